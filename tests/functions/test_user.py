"""Functions written in Python: types both ways, overloads, nulls, errors, files."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streamsql.errors import ExternalError, NotSupportedError, PlanError
from streamsql.functions import SCALARS
from streamsql.functions.call import print_call
from streamsql.functions.registry import Registry, Scalar, TableFunction
from streamsql.functions.resolve import resolve
from streamsql.functions.user import load_udf_file, rows_of, udf, udtf
from streamsql.functions.user_aggregates import udaf
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)
from tests.functions.evaluate import (
    Evaluator,
    Value,
    array,
    bigint,
    decimal,
    integer,
    text,
    unit,
    value,
)


def evaluator(*functions: Any) -> Evaluator:
    scalars = [row for f in functions for row in rows_of(f) if isinstance(row, Scalar)]
    registry: Registry[Scalar] = Registry(SCALARS)
    registry.add(scalars)
    return Evaluator(registry)


def test_a_row_wise_function_and_its_documentation() -> None:
    @udf("shout(text string, times int) -> string", example="SHOUT('a', 2)", gives="A!!")
    def shout(text: str, times: int) -> str:
        """The text, loudly."""
        return text.upper() + "!" * times

    (row,) = rows_of(shout)
    assert (row.name, row.signature) == ("SHOUT", "(text VARCHAR, times INTEGER) -> VARCHAR")
    assert (row.says, row.category) == ("The text, loudly.", "User-defined")
    assert shout("a", 1) == "A!", "it is still the function it was"
    found = evaluator(shout).column("Shout", Value(VARCHAR, ["a", None, "c"]), Value(INTEGER, [1, 2, None]))
    assert found.to_pylist() == ["A!", None, None]


PAIR = Struct((("A", INTEGER), ("B", Map(VARCHAR, DATE))))
MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 0, 123000)

SAME: list[tuple[SqlType, Any]] = [
    (BOOLEAN, True),
    (INTEGER, -7),
    (BIGINT, 2**40),
    (DOUBLE, 0.5),
    (Decimal(5, 2), D("1.50")),
    (VARCHAR, "é😀"),
    (BYTES, b"\x00\xff"),
    (DATE, MOMENT.date()),
    (TIME, MOMENT.time()),
    (TIMESTAMP, MOMENT),
    (Array(INTEGER), [1, None]),
    (Map(VARCHAR, INTEGER), {"a": 1, "b": None}),
    (Array(Map(VARCHAR, INTEGER)), [{"a": 1}, None]),
    (PAIR, {"A": 1, "B": {"x": MOMENT.date()}}),
]


@pytest.mark.parametrize(("t", "x"), SAME)
def test_every_type_comes_as_a_python_value_and_goes_back(t: SqlType, x: Any) -> None:
    seen: list[Any] = []

    @udf(f"same(x {t}) -> {t}")
    def same(x: Any) -> Any:
        seen.append(x)
        return x

    stored = pa.array([x if not isinstance(x, dict) or t == PAIR else list(x.items())], t.arrow)
    if t == PAIR:
        stored = pa.array([{"A": 1, "B": [("x", MOMENT.date())]}], t.arrow)
    elif t == Array(Map(VARCHAR, INTEGER)):
        stored = pa.array([[[("a", 1)], None]], t.arrow)
    found = evaluator(same).column("SAME", Value(t, stored.to_pylist()))
    assert seen == [x]
    assert found.equals(stored)


def test_overloads_are_chosen_by_type() -> None:
    @udf("kind(x BIGINT) -> VARCHAR")
    @udf("kind(x VARCHAR) -> VARCHAR")
    def kind(x: Any) -> str:
        return type(x).__name__

    evaluate = evaluator(kind)
    assert evaluate.one("KIND", integer(1)) == "int"
    assert evaluate.one("KIND", text("a")) == "str"


def test_generic_variadic_optional_and_unit_parameters() -> None:
    @udf("first_of(x T, others T...) -> T", takes_nulls=True)
    def first_of(*xs: Any) -> Any:
        return next((x for x in xs if x is not None), None)

    @udf("wait(unit UNIT, n INTEGER, [factor INTEGER]) -> VARCHAR")
    def wait(unit: str, n: int, factor: int = 1) -> str:
        return f"{n * factor} {unit}"

    evaluate = evaluator(first_of, wait)
    assert evaluate.one("FIRST_OF", integer(None), bigint(2), integer(3)) == 2
    assert evaluate.one("FIRST_OF", text(None), text("b")) == "b"
    assert evaluate.one("FIRST_OF", array(INTEGER, None), array(INTEGER, [1])) == [1]
    assert evaluate.one("FIRST_OF", decimal("1.5", 2, 1), decimal("1.25", 3, 2)) == D("1.50")
    assert evaluate.one("WAIT", unit("DAYS"), integer(3)) == "3 DAYS"
    assert evaluate.one("WAIT", unit("DAYS"), integer(3), integer(2)) == "6 DAYS"


def test_a_function_without_arguments() -> None:
    numbers = itertools.count()

    @udf("answer() -> INTEGER")
    def answer() -> int:
        return 42

    @udf("next_number() -> BIGINT", volatile=True)
    def next_number() -> int:
        return next(numbers)

    evaluate = evaluator(answer, next_number)
    assert evaluate.column("ANSWER", rows=3).to_pylist() == [42, 42, 42]
    assert len(set(evaluate.column("NEXT_NUMBER", rows=5).to_pylist())) == 5


def test_nulls_reach_only_who_asks_for_them() -> None:
    @udf("describe_null(x INTEGER) -> VARCHAR", takes_nulls=True)
    def describe_null(x: int | None) -> str:
        return repr(x)

    assert evaluator(describe_null).column("DESCRIBE_NULL", Value(INTEGER, [1, None])).to_pylist() == [
        "1",
        "None",
    ]


def test_an_exception_is_its_rows_alone() -> None:
    @udf("inverse(x INTEGER) -> DOUBLE")
    def inverse(x: int) -> float:
        return 1 / x

    evaluate = evaluator(inverse)
    numbers = Value(INTEGER, [1, 0, None, 4] * 600)
    with pytest.raises(duckdb.Error, match="function INVERSE failed: ZeroDivisionError: division by zero"):
        evaluate.column("INVERSE", numbers)
    assert evaluate.column("INVERSE", numbers, guarded=True).to_pylist() == [1.0, None, None, 0.25] * 600


@pytest.mark.parametrize(
    ("t", "given"), [("INTEGER", 2**40), ("INTEGER", 1.5), ("VARCHAR", 1), ("DECIMAL(3, 1)", D("1.25"))]
)
def test_a_result_of_another_type_fails_its_row(t: str, given: Any) -> None:
    @udf(f"wrong(x INTEGER) -> {t}")
    def wrong(x: int) -> Any:
        return given if x else None

    evaluate = evaluator(wrong)
    with pytest.raises(duckdb.Error, match="function WRONG gave .*, which is no"):
        evaluate.column("WRONG", Value(INTEGER, [0, 1]))
    assert evaluate.column("WRONG", Value(INTEGER, [0, 1]), guarded=True).to_pylist() == [None, None]


def test_a_vectorised_function_gets_arrays() -> None:
    sizes: list[int] = []

    @udf("twice(x BIGINT) -> BIGINT", vectorised=True)
    def twice(x: pa.Array) -> Any:  # type: ignore[type-arg]
        sizes.append(len(x))
        return pc.multiply(x, 2)

    @udf("narrow(x BIGINT) -> BIGINT", vectorised=True)
    def narrow(x: pa.Array) -> Any:  # type: ignore[type-arg]
        return x.cast(pa.int32())

    evaluate = evaluator(twice, narrow)
    found = evaluate.column("TWICE", Value(BIGINT, [*range(5000), None])).to_pylist()
    assert found == [*range(0, 10000, 2), None]
    assert len(sizes) < 10, "it runs per vector, not per row"
    assert evaluate.column("NARROW", Value(BIGINT, [1, None])).type == pa.int64()
    with pytest.raises(duckdb.Error, match="function NARROW failed: ArrowInvalid"):
        evaluate.one("NARROW", bigint(2**40))
    assert evaluate.column("NARROW", Value(BIGINT, [2**40, 5]), guarded=True).to_pylist() == [None, 5]


def test_a_vectorised_function_must_give_one_value_per_row() -> None:
    @udf("total(x BIGINT) -> BIGINT", vectorised=True)
    def total(x: pa.Array) -> Any:  # type: ignore[type-arg]
        return pa.array([pc.sum(x).as_py()])

    @udf("scalar(x BIGINT) -> BIGINT", vectorised=True)
    def scalar(x: pa.Array) -> Any:  # type: ignore[type-arg]
        return pc.sum(x)

    evaluate = evaluator(total, scalar)
    with pytest.raises(duckdb.Error, match="TOTAL must give an Arrow array of 2 values, gave 1"):
        evaluate.column("TOTAL", Value(BIGINT, [1, 2]))
    with pytest.raises(duckdb.Error, match="SCALAR must give an Arrow array of 1 values, gave Int64Scalar"):
        evaluate.one("SCALAR", bigint(1))


def test_the_same_name_again_is_another_function() -> None:
    """A kernel's workspace may outlive a function's definition."""
    evaluate = Evaluator()

    def define(result: int) -> Any:
        @udf("versioned() -> INTEGER")
        def versioned() -> int:
            return result

        return versioned

    for result in (1, 2):
        (row,) = rows_of(define(result))
        assert isinstance(row, Scalar)
        evaluate.registry = Registry([row])
        assert evaluate.one("VERSIONED") == result


def test_a_table_function_gives_rows() -> None:
    @udtf("words(text VARCHAR) -> VARCHAR", says="The words of a text.")
    def words(text: str) -> Iterator[str]:
        yield from text.split()

    (row,) = rows_of(words)
    assert isinstance(row, TableFunction)
    match = resolve("words", [row], [VARCHAR])
    assert match.result == VARCHAR
    sql, functions, can_fail = print_call(match, ['"T"'])
    batch = pa.record_batch({"T": ["a b", None, "", "c"]})
    kernel = Evaluator().workspace.kernel(f"SELECT {sql} AS r FROM {{i}}", {"i": batch.schema}, functions)
    assert kernel.run(i=batch).column("r").to_pylist() == [["a", "b"], None, [], ["c"]]
    assert can_fail


FILE = '''
"""Functions for the shop."""
import dataclasses
from streamsql.functions.user import udf, udtf


@dataclasses.dataclass
class Rate:
    percent: int = 19


@udf("tax(price DOUBLE) -> DOUBLE")
def tax(price):
    return price * Rate().percent / 100


@udtf("letters(text VARCHAR) -> VARCHAR")
def letters(text):
    return list(text)


also_tax = tax
'''


def test_a_file_of_functions(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text(FILE)
    assert [(row.name, type(row)) for row in load_udf_file(path)] == [
        ("TAX", Scalar),
        ("LETTERS", TableFunction),
    ]
    with pytest.raises(ExternalError, match="there is no file"):
        load_udf_file(tmp_path / "none.py")
    path.write_text("x = 1")
    with pytest.raises(PlanError, match="defines no function for SQL"):
        load_udf_file(path)
    path.write_text("\n1 / 0")
    with pytest.raises(
        PlanError, match="shop.py, line 2 cannot be loaded: ZeroDivisionError: division by zero"
    ):
        load_udf_file(path)
    path.write_text("from streamsql import udf\n@udf('half(x DUBLE) -> DOUBLE')\ndef half(x): return x / 2")
    with pytest.raises(PlanError, match=r"shop.py, line 2: function HALF: .* no type DUBLE"):
        load_udf_file(path)


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("half", "does not begin with name"),
        ("half(x NUMBER) -> DOUBLE", "function HALF: signature .* no type NUMBER"),
        ("half(x DOUBLE)", "-> expected"),
        (
            "half(x DOUBLE, y DOUBLE) -> DOUBLE",
            "declares 2 parameters that its Python function does not take",
        ),
        ("half() -> DOUBLE", "declares 0 parameters"),
        ("select(x DOUBLE) -> DOUBLE", "SELECT is a word of the language"),
        ("half(x DOUBLE) -> ARRAY<T>", r"gives ARRAY<T>, and no parameter says what T is"),
    ],
)
def test_a_declaration_that_is_wrong(declaration: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):

        @udf(declaration)
        def half(x: float) -> float:
            return x / 2


@pytest.mark.parametrize("decorator", [udf, udtf, udaf])
def test_a_decorator_needs_its_declaration(decorator: Any) -> None:
    with pytest.raises(PlanError, match="needs a declaration") as caught:
        decorator(lambda x: x)
    assert caught.value.hint == f'@{decorator.__name__}("name(x BIGINT) -> BIGINT")'


def test_fields_have_names_as_in_sql() -> None:
    @udf("turned(p STRUCT<x INTEGER, `y` INTEGER>) -> STRUCT<x INTEGER, `y` INTEGER>")
    def turned(p: dict[str, int]) -> Any:
        return {"X": -p["y"], "y": p["X"]}

    @udf("misspelt(n INTEGER) -> ARRAY<STRUCT<x INTEGER>>")
    def misspelt(n: int) -> Any:
        return [{"X": n}, {"x": n}]

    evaluate = evaluator(turned, misspelt)
    t = Struct((("X", INTEGER), ("y", INTEGER)))
    assert evaluate.one("TURNED", Value(t, [{"X": 1, "y": 2}])) == {"X": -2, "y": 1}
    with pytest.raises(
        duckdb.Error, match=r"MISSPELT gave a field 'x', which ARRAY<STRUCT<X INTEGER>> has not"
    ):
        evaluate.one("MISSPELT", integer(1))


def test_lambda_parameters_are_not_built() -> None:
    with pytest.raises(NotSupportedError, match="lambda parameters in function APPLY"):

        @udf("apply(a ARRAY<T>, f (T) => T) -> ARRAY<T>")
        def apply(a: Any, f: Any) -> Any:
            return a


def test_a_built_in_name_is_taken() -> None:
    @udf("Len(x INTEGER) -> INTEGER")
    def length(x: int) -> int:
        return x

    with pytest.raises(PlanError, match="function LEN exists already"):
        evaluator(length)


def test_null_literals_reach_a_generic_function() -> None:
    @udf("show(x T) -> VARCHAR", takes_nulls=True)
    def show(x: Any) -> str:
        return repr(x)

    evaluate = evaluator(show)
    assert evaluate.one("SHOW", value(VARCHAR, None)) == "None"
    match = resolve("show", evaluate.registry.overloads("SHOW"), [NULL])
    assert match.types == (VARCHAR,)

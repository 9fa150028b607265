"""Functions written in Python: types both ways, overloads, nulls, errors, files."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streamsql.functions.call import print_call
from streamsql.functions.registry import Registry, Scalar, TableFunction
from streamsql.functions.resolve import resolve
from streamsql.functions.user import rows_of, udf, udtf
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
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
    evaluator,
    integer,
    text,
    unit,
)


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

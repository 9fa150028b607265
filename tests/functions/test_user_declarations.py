"""How functions of one's own are declared, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from streamsql.errors import ExternalError, NotSupportedError, PlanError
from streamsql.functions.registry import Scalar, TableFunction
from streamsql.functions.resolve import resolve
from streamsql.functions.user import load_udf_file, udf, udtf
from streamsql.functions.user_aggregates import udaf
from streamsql.types import (
    INTEGER,
    NULL,
    VARCHAR,
    Struct,
)
from tests.functions.evaluate import (
    Value,
    evaluator,
    integer,
    value,
)

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

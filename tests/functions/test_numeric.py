"""Numeric functions at the edges: the ends of the ranges, ties, NaN, decimals."""

from __future__ import annotations

import math
from decimal import Decimal as D
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import PlanError
from streamsql.types import DOUBLE, INTEGER, Decimal
from tests.functions.evaluate import (
    Evaluator,
    Value,
    bigint,
    decimal,
    double,
    integer,
    literal,
    octets,
    shared,
    text,
)

NAN, INF = math.nan, math.inf
LOWEST_INT, LOWEST_LONG, HIGHEST_LONG = -(2**31), -(2**63), 2**63 - 1


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


CASES: list[tuple[str, list[Any], Any]] = [
    ("ABS", [integer(LOWEST_INT)], LOWEST_INT),
    ("ABS", [integer(-5)], 5),
    ("ABS", [bigint(LOWEST_LONG)], LOWEST_LONG),
    ("ABS", [bigint(-(2**40))], 2**40),
    ("ABS", [double(-0.5)], 0.5),
    ("ABS", [decimal("-1.50", 3, 2)], D("1.50")),
    ("ACOS", [double(2.0)], NAN),
    ("ASIN", [double(-2.0)], NAN),
    ("ATAN", [double(INF)], math.pi / 2),
    ("ATAN2", [integer(1), integer(-1)], 3 * math.pi / 4),
    ("CBRT", [double(27.0)], 3.0),
    ("CEIL", [double(-0.5)], -0.0),
    ("CEIL", [decimal("1.2", 2, 1)], D("2.0")),
    ("CEIL", [decimal("-1.2", 2, 1)], D("-1.0")),
    ("FLOOR", [decimal("-1.2", 2, 1)], D("-2.0")),
    ("FLOOR", [integer(LOWEST_INT)], LOWEST_INT),
    ("COS", [double(INF)], NAN),
    ("COT", [double(0.0)], INF),
    ("DEGREES", [decimal("0.0", 2, 1)], 0.0),
    ("EXP", [double(1000.0)], INF),
    ("GREATEST", [integer(1), integer(None), integer(3)], 3),
    ("GREATEST", [integer(None), integer(None)], None),
    ("GREATEST", [decimal("1.5", 2, 1), decimal("1.25", 3, 2)], D("1.50")),
    ("GREATEST", [text("b"), text("a"), text("B")], "b"),
    ("GREATEST", [octets(b"a"), octets(b"ab")], b"ab"),
    ("LEAST", [double(1.5), double(-INF)], -INF),
    ("LEAST", [integer(4)], 4),
    ("LN", [double(0.0)], -INF),
    ("LN", [integer(-1)], NAN),
    ("LOG", [integer(10), integer(1000)], math.log(1000) / math.log(10)),
    ("LOG", [double(1.0), double(5.0)], NAN),
    ("LOG", [double(0.0), double(5.0)], NAN),
    ("LOG", [double(-2.0), double(5.0)], NAN),
    ("LOG", [double(1.0), double(None)], None),
    ("LOG", [double(2.0), double(0.0)], -INF),
    ("LOG", [double(2.0), double(-1.0)], NAN),
    ("POWER", [integer(2), integer(-1)], 0.5),
    ("POWER", [double(1.0), double(INF)], NAN),
    ("POWER", [double(-1.0), double(NAN)], NAN),
    ("POWER", [double(2.0), double(INF)], INF),
    ("POWER", [double(1.0), double(None)], None),
    ("ROUND", [integer(LOWEST_INT)], LOWEST_INT),
    ("ROUND", [bigint(7)], 7),
    ("ROUND", [double(2.5)], 3),
    ("ROUND", [double(-2.5)], -2),
    ("ROUND", [double(-2.6)], -3),
    ("ROUND", [double(0.49999999999999994)], 0),
    ("ROUND", [double(-0.5)], 0),
    ("ROUND", [double(4503599627370497.5)], 4503599627370498),
    ("ROUND", [double(1e300)], HIGHEST_LONG),
    ("ROUND", [double(-INF)], LOWEST_LONG),
    ("ROUND", [double(NAN)], 0),
    ("ROUND", [double(None)], None),
    ("ROUND", [decimal("2.5", 3, 1)], D("3")),
    ("ROUND", [decimal("-2.5", 3, 1)], D("-2")),
    ("ROUND", [decimal("-2.51", 4, 2)], D("-3")),
    ("ROUND", [decimal("-2.4", 3, 1)], D("-2")),
    ("ROUND", [decimal("7", 3, 0)], D("7")),
    ("ROUND", [double(1.005), integer(2)], 1.01),
    ("ROUND", [double(-1.005), integer(2)], -1.0),
    ("ROUND", [double(2.675), integer(2)], 2.68),
    ("ROUND", [double(0.285), integer(2)], 0.29),
    ("ROUND", [double(125.0), integer(-1)], 130.0),
    ("ROUND", [double(-125.0), integer(-1)], -120.0),
    ("ROUND", [double(123.0), integer(-400)], 0.0),
    ("ROUND", [double(123.456), integer(30)], 123.456),
    ("ROUND", [double(1e300), integer(5)], 1e300),
    ("ROUND", [double(1.5), integer(None)], None),
    ("ROUND", [double(1.005), literal(INTEGER, "CAST(2 AS INTEGER)")], 1.01),
    ("ROUND", [double(-2.5), literal(INTEGER, "0")], -2.0),
    ("ROUND", [double(125.0), literal(INTEGER, "CAST(-1 AS INTEGER)")], 130.0),
    ("ROUND", [double(1e300), literal(INTEGER, "5")], 1e300),
    ("ROUND", [double(None), literal(INTEGER, "5")], None),
    ("TRUNC", [double(0.29), literal(INTEGER, "2")], 0.29),
    ("ROUND", [decimal("127.45", 5, 2), literal(INTEGER, "1")], D("127.50")),
    ("ROUND", [decimal("-127.45", 5, 2), literal(INTEGER, "1")], D("-127.40")),
    ("ROUND", [decimal("127.45", 5, 2), literal(INTEGER, "-1")], D("130.00")),
    ("ROUND", [decimal("127.45", 5, 2), literal(INTEGER, "5")], D("127.45")),
    ("ROUND", [decimal("127.45", 5, 2), integer(1)], D("127.50")),
    ("ROUND", [decimal("-127.45", 5, 2), integer(1)], D("-127.40")),
    ("ROUND", [decimal("127.45", 5, 2), integer(-1)], D("130.00")),
    ("ROUND", [decimal("127.45", 5, 2), integer(-9)], D("0.00")),
    ("ROUND", [decimal("127.45", 5, 2), integer(9)], D("127.45")),
    ("ROUND", [decimal("127.45", 5, 2), integer(None)], None),
    ("SIGN", [double(NAN)], 0),
    ("SIGN", [decimal("-0.5", 2, 1)], -1),
    ("SIGN", [bigint(2**40)], 1),
    ("SQRT", [double(-1.0)], NAN),
    ("SQRT", [integer(9)], 3.0),
    ("TRUNC", [double(-2.9)], -2),
    ("TRUNC", [double(-1e300)], LOWEST_LONG),
    ("TRUNC", [double(NAN)], 0),
    ("TRUNC", [decimal("-2.9", 2, 1)], D("-2")),
    ("TRUNC", [double(0.29), integer(2)], 0.29),
    ("TRUNC", [double(-0.299), integer(2)], -0.29),
    ("TRUNC", [double(1234.5), integer(-2)], 1200.0),
    ("TRUNC", [decimal("127.49", 5, 2), literal(INTEGER, "1")], D("127.40")),
    ("TRUNC", [decimal("-127.49", 5, 2), integer(1)], D("-127.40")),
    ("TRUNC", [decimal("127.49", 5, 2), integer(-2)], D("100.00")),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_value(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    found = evaluate.one(name, *arguments)
    if isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(found)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-15), found
        assert math.copysign(1, found) == math.copysign(1, expected)
    else:
        assert found == expected
        assert type(found) is type(expected)
        assert str(found) == str(expected), "a decimal keeps its scale"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("CEIL", [decimal("9.5", 2, 1)]),
        ("ROUND", [decimal("9.99", 3, 2)]),
        ("ROUND", [double(NAN), integer(2)]),
        ("ROUND", [double(INF), integer(2)]),
        ("TRUNC", [double(-INF), integer(2)]),
        ("ROUND", [decimal("99.95", 4, 2), literal(INTEGER, "1")]),
        ("ROUND", [decimal("99.95", 4, 2), integer(1)]),
    ],
)
def test_a_value_that_does_not_fit_fails_its_row(
    evaluate: Evaluator, name: str, arguments: list[Any]
) -> None:
    with pytest.raises(duckdb.Error):
        evaluate.one(name, *arguments)
    assert evaluate.one(name, *arguments, guarded=True) is None


@pytest.mark.parametrize("name", ["ROUND", "TRUNC"])
def test_a_decimal_without_whole_digits_has_no_whole_number(evaluate: Evaluator, name: str) -> None:
    with pytest.raises(
        PlanError, match=r"rounding a DECIMAL\(2, 2\) to a whole number leaves no digits"
    ) as found:
        evaluate.one(name, decimal("0.99", 2, 2))
    assert found.value.hint == "CAST it to DECIMAL(3, 2) first"


def test_every_row_has_its_own_random_number(evaluate: Evaluator) -> None:
    numbers = evaluate.column("RANDOM", rows=100).to_pylist()
    assert len(set(numbers)) == 100
    assert all(0 <= x < 1 for x in numbers)


short = st.integers(-(10**12), 10**12)


@given(st.lists(st.tuples(short, st.integers(0, 6), st.integers(-3, 7)), min_size=1, max_size=50))
def test_rounding_a_double_is_rounding_its_decimal_text(numbers: list[tuple[int, int, int]]) -> None:
    """As BigDecimal.valueOf(x).setScale(n) does it: ties up for ROUND, toward zero for TRUNC."""
    evaluate = shared()
    digits = [float(D(unscaled).scaleb(-scale)) for unscaled, scale, _ in numbers]
    places = [n for *_, n in numbers]
    exact = [D(repr(x)) for x in digits]
    pairs = list(zip(exact, places, strict=True))
    up = [float(_exact(x, n, "ROUND_HALF_UP" if x > 0 else "ROUND_HALF_DOWN")) for x, n in pairs]
    cut = [float(_exact(x, n, "ROUND_DOWN")) for x, n in pairs]
    arguments = Value(DOUBLE, digits), Value(INTEGER, places)
    assert evaluate.column("ROUND", *arguments).to_pylist() == up
    assert evaluate.column("TRUNC", *arguments).to_pylist() == cut


@given(st.lists(st.tuples(short, st.integers(-12, 5)), min_size=1, max_size=50))
def test_a_decimal_rounds_alike_by_literal_and_by_column(numbers: list[tuple[int, int]]) -> None:
    evaluate = shared()
    values = Value(Decimal(20, 3), [D(x).scaleb(-3) for x, _ in numbers])
    for name, mode in (("ROUND", None), ("TRUNC", "ROUND_DOWN")):
        places = [n for _, n in numbers]
        expected = [
            _exact(x, n, mode or ("ROUND_HALF_UP" if x > 0 else "ROUND_HALF_DOWN"))
            for x, n in zip(values.rows, places, strict=True)
        ]
        assert evaluate.column(name, values, Value(INTEGER, places)).to_pylist() == expected


def _exact(x: D, n: int, mode: str) -> D:
    return x.quantize(D(1).scaleb(-n), rounding=mode)

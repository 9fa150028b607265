"""CAST: every cell of the matrix, its edge cases, failing rows, and what cannot be cast."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import ArrowFunction, Workspace
from streamsql.errors import PlanError
from streamsql.functions.cast import cast_sql, is_castable, widen_sql
from streamsql.functions.cast_text import CastPrint
from streamsql.java_text import double_text
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    PRIMITIVES,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)
from tests.examples import tried

D = decimal.Decimal
FAILS = None
"""What a row gives whose conversion raises; no other case gives null."""


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    space = Workspace()
    yield space
    space.close()


def run(space: Workspace, sql: str, printed: CastPrint, batch: pa.RecordBatch) -> pa.Array[Any]:
    kernel = space.kernel(f"SELECT {sql} AS y FROM {{rows}}", {"rows": batch.schema}, printed.functions)
    return kernel.run(rows=batch).column("y")


def cast_all(space: Workspace, values: list[Any], source: SqlType, target: SqlType) -> list[Any]:
    """The casts of a column, null where they fail; checks that the plain form raises just then."""
    printed = cast_sql('"X"', source, target)
    batch = pa.record_batch({"X": pa.array(values, source.arrow)})
    tried = run(space, f"TRY({printed.sql})", printed, batch)
    assert tried.type.equals(target.arrow)
    if any(x is not None and y is None for x, y in zip(values, tried.to_pylist(), strict=True)):
        assert printed.can_fail, "a cast that says it cannot fail did"
        with pytest.raises(duckdb.Error):
            run(space, printed.sql, printed, batch)
    else:
        assert str(run(space, printed.sql, printed, batch)) == str(tried)
    return tried.to_pylist()


def cast(space: Workspace, value: Any, source: SqlType, target: SqlType) -> Any:
    return cast_all(space, [value], source, target)[0]


TS = dt.datetime(2020, 5, 6, 7, 8, 9, 123000)

CASES: list[tuple[Any, SqlType, SqlType, Any]] = [
    (True, BOOLEAN, VARCHAR, "true"),
    (False, BOOLEAN, VARCHAR, "false"),
    # integers
    (-5, INTEGER, BIGINT, -5),
    (5, INTEGER, DOUBLE, 5.0),
    (-5, INTEGER, VARCHAR, "-5"),
    (1, INTEGER, Decimal(2, 1), D("1.0")),
    (10, INTEGER, Decimal(2, 1), FAILS),
    (2147483648, BIGINT, INTEGER, -2147483648),
    (-2147483649, BIGINT, INTEGER, 2147483647),
    (4294967295, BIGINT, INTEGER, -1),
    (9223372036854775807, BIGINT, INTEGER, -1),
    (-9223372036854775808, BIGINT, INTEGER, 0),
    (-7, BIGINT, INTEGER, -7),
    (9223372036854775807, BIGINT, Decimal(19, 0), D("9223372036854775807")),
    (9223372036854775807, BIGINT, Decimal(18, 0), FAILS),
    (9007199254740993, BIGINT, DOUBLE, 9007199254740992.0),
    (9223372036854775807, BIGINT, VARCHAR, "9223372036854775807"),
    # decimals
    (D("-2.9"), Decimal(2, 1), INTEGER, -2),
    (D("2.9"), Decimal(2, 1), BIGINT, 2),
    (D("4294967297.9"), Decimal(12, 1), INTEGER, 1),
    (D("2147483648"), Decimal(10, 0), INTEGER, -2147483648),
    (D("-18446744073709551617"), Decimal(25, 0), BIGINT, -1),
    (D("9223372036854775808"), Decimal(38, 0), BIGINT, -9223372036854775808),
    (D("-4294967297.5"), Decimal(38, 10), INTEGER, -1),
    (D("1.25"), Decimal(3, 2), Decimal(2, 1), D("1.3")),
    (D("-1.25"), Decimal(3, 2), Decimal(2, 1), D("-1.3")),
    (D("1.24"), Decimal(3, 2), Decimal(2, 1), D("1.2")),
    (D("10.00"), Decimal(4, 2), Decimal(2, 1), FAILS),
    (D("9.99"), Decimal(3, 2), Decimal(2, 1), FAILS),
    (D("1.2"), Decimal(2, 1), Decimal(5, 3), D("1.200")),
    (D("0.1"), Decimal(2, 1), DOUBLE, 0.1),
    (D("12345678901234567.89"), Decimal(19, 2), DOUBLE, 12345678901234567.89),
    (D("0.00"), Decimal(4, 2), VARCHAR, "0.00"),
    (D("-0.5"), Decimal(1, 1), VARCHAR, "-0.5"),
    (D("0.005"), Decimal(3, 3), VARCHAR, "0.005"),
    (D("-0." + "0" * 37 + "7"), Decimal(38, 38), VARCHAR, "-0." + "0" * 37 + "7"),
    (D("1234567890.10"), Decimal(12, 2), VARCHAR, "1234567890.10"),
    # doubles
    (2.9, DOUBLE, INTEGER, 2),
    (-2.9, DOUBLE, INTEGER, -2),
    (math.nan, DOUBLE, INTEGER, 0),
    (math.inf, DOUBLE, INTEGER, 2147483647),
    (-1e300, DOUBLE, INTEGER, -2147483648),
    (2147483647.5, DOUBLE, INTEGER, 2147483647),
    (-2147483648.5, DOUBLE, INTEGER, -2147483648),
    (math.nan, DOUBLE, BIGINT, 0),
    (9.3e18, DOUBLE, BIGINT, 9223372036854775807),
    (-math.inf, DOUBLE, BIGINT, -9223372036854775808),
    (9223372036854774784.0, DOUBLE, BIGINT, 9223372036854774784),
    (0.01, DOUBLE, Decimal(2, 1), D("0.0")),
    (0.99, DOUBLE, Decimal(2, 1), D("1.0")),
    (0.285, DOUBLE, Decimal(3, 2), D("0.29")),  # 0.28499…98 rounds to 0.285 first
    (0.285, DOUBLE, Decimal(20, 2), D("0.28")),
    (2.5, DOUBLE, Decimal(1, 0), D("3")),
    (-2.5, DOUBLE, Decimal(1, 0), D("-3")),
    (0.125, DOUBLE, Decimal(2, 2), D("0.13")),
    (12.5, DOUBLE, Decimal(2, 0), D("13")),
    (10.0, DOUBLE, Decimal(2, 1), FAILS),
    (math.nan, DOUBLE, Decimal(2, 1), FAILS),
    (math.inf, DOUBLE, Decimal(2, 1), FAILS),
    (1.0, DOUBLE, VARCHAR, "1.0"),
    (1e10, DOUBLE, VARCHAR, "1.0E10"),
    (12345678.9, DOUBLE, VARCHAR, "1.23456789E7"),
    (9999999.0, DOUBLE, VARCHAR, "9999999.0"),
    (0.001, DOUBLE, VARCHAR, "0.001"),
    (0.00015, DOUBLE, VARCHAR, "1.5E-4"),
    (-0.0, DOUBLE, VARCHAR, "-0.0"),
    (math.nan, DOUBLE, VARCHAR, "NaN"),
    (-math.inf, DOUBLE, VARCHAR, "-Infinity"),
    (5e-324, DOUBLE, VARCHAR, "5.0E-324"),
    # texts to numbers
    (" 12 ", VARCHAR, INTEGER, 12),
    ("\x01-12\t", VARCHAR, INTEGER, -12),
    ("+7", VARCHAR, BIGINT, 7),
    ("2147483648", VARCHAR, INTEGER, FAILS),
    ("-2147483648", VARCHAR, INTEGER, -2147483648),
    *[(text, VARCHAR, INTEGER, FAILS) for text in ("1.0", "1e3", "1_000", "0x10", "", " ", "-", "1 2", "a")],
    *[(text, VARCHAR, BIGINT, FAILS) for text in ("1.0", "0b1", "9223372036854775808")],
    ("1.5", VARCHAR, DOUBLE, 1.5),
    (" .5e1\x02", VARCHAR, DOUBLE, 5.0),
    ("5.", VARCHAR, DOUBLE, 5.0),
    *[(t, VARCHAR, DOUBLE, FAILS) for t in ("NaN", "Infinity", "inf", "-inf", "1e400", "1_0", "", ".", "x")],
    ("1.235", VARCHAR, Decimal(4, 2), D("1.24")),
    ("-1.235", VARCHAR, Decimal(4, 2), D("-1.24")),
    ("1e1", VARCHAR, Decimal(4, 2), D("10.00")),
    (" 7 ", VARCHAR, Decimal(4, 2), D("7.00")),
    ("1234567e-6", VARCHAR, Decimal(4, 2), D("1.23")),
    ("1e-999999", VARCHAR, Decimal(4, 2), D("0.00")),
    ("0.045E+2", VARCHAR, Decimal(2, 1), D("4.5")),
    *[(text, VARCHAR, Decimal(4, 2), FAILS) for text in ("100", "1e2", "1_0", "", "x", "NaN", "1e99")],
    # texts to booleans
    *[(t, VARCHAR, BOOLEAN, True) for t in ("t", "TR", "true", " yes ", "Y", "ye")],
    *[(t, VARCHAR, BOOLEAN, False) for t in ("false", "no", "truex", "", "1", "on", "es")],
    # texts to bytes
    ("YQ==", VARCHAR, BYTES, b"a"),
    ("YQ", VARCHAR, BYTES, b"a"),
    ("YWI", VARCHAR, BYTES, b"ab"),
    ("", VARCHAR, BYTES, b""),
    ("Y", VARCHAR, BYTES, FAILS),
    ("Y!==", VARCHAR, BYTES, FAILS),
    # texts to dates and times
    ("2020", VARCHAR, DATE, dt.date(2020, 1, 1)),
    ("2020-05", VARCHAR, DATE, dt.date(2020, 5, 1)),
    (" 2020-05-06 ", VARCHAR, DATE, dt.date(2020, 5, 6)),
    *[(t, VARCHAR, DATE, FAILS) for t in ("2020-5-6", "2020-02-30", "2020-13", "20200506", "x", "")],
    ("10:05", VARCHAR, TIME, dt.time(10, 5)),
    ("23:59:59.123456", VARCHAR, TIME, dt.time(23, 59, 59, 123000)),
    ("10:05:03.", VARCHAR, TIME, dt.time(10, 5, 3)),
    *[(t, VARCHAR, TIME, FAILS) for t in ("24:00", "1:05", "10", "10:60", "10:05:60", "10:05Z")],
    ("2020-05-06T07:08:09.123", VARCHAR, TIMESTAMP, TS),
    ("2020-05-06T07:08:09.123Z", VARCHAR, TIMESTAMP, TS),
    ("2020-05-06T07:08:09.123+0230", VARCHAR, TIMESTAMP, TS - dt.timedelta(hours=2, minutes=30)),
    ("2020-05-06T07:08:09.123-0100", VARCHAR, TIMESTAMP, TS + dt.timedelta(hours=1)),
    (" 2020-05-06 ", VARCHAR, TIMESTAMP, dt.datetime(2020, 5, 6)),
    ("2020", VARCHAR, TIMESTAMP, dt.datetime(2020, 1, 1)),
    ("2020-05", VARCHAR, TIMESTAMP, dt.datetime(2020, 5, 1)),
    ("2020T", VARCHAR, TIMESTAMP, dt.datetime(2020, 1, 1)),
    ("2020-05-06T07", VARCHAR, TIMESTAMP, dt.datetime(2020, 5, 6, 7)),
    ("2020-05-06T07:3", VARCHAR, TIMESTAMP, dt.datetime(2020, 5, 6, 7, 30)),
    ("2020-05-06T18:30+18:00", VARCHAR, TIMESTAMP, dt.datetime(2020, 5, 6, 0, 30)),
    ("2020-05-06T07:30Z", VARCHAR, TIMESTAMP, dt.datetime(2020, 5, 6, 7, 30)),
    ("2019-02-30", VARCHAR, TIMESTAMP, dt.datetime(2019, 2, 28)),
    ("2019-12-31T24:00", VARCHAR, TIMESTAMP, dt.datetime(2020, 1, 1)),
    *[
        (t, VARCHAR, TIMESTAMP, FAILS)
        for t in ("", "x", "2020-05-06 07:08", "2020-5-6", "2020-13-01", "2020-05-32", "2020-05-06T25:00")
        + (
            "2020-05-06T07:08:09.1234",
            "2020-05-06T07:08:09+9900",
            "2020-05-06T07:08:09+18:01",
            "2020-05-06T07:60",
        )
    ],
    # dates and times
    (TS, TIMESTAMP, VARCHAR, "2020-05-06T07:08:09.123"),
    (dt.datetime(1969, 12, 31, 23, 59, 59, 999000), TIMESTAMP, VARCHAR, "1969-12-31T23:59:59.999"),
    (TS, TIMESTAMP, DATE, dt.date(2020, 5, 6)),
    (dt.datetime(1969, 12, 31, 23), TIMESTAMP, DATE, dt.date(1969, 12, 31)),
    (TS, TIMESTAMP, TIME, dt.time(7, 8, 9, 123000)),
    (dt.date(2020, 5, 6), DATE, TIMESTAMP, dt.datetime(2020, 5, 6)),
    (dt.date(2020, 5, 6), DATE, VARCHAR, "2020-05-06"),
    (dt.time(10, 5), TIME, VARCHAR, "10:05"),
    (dt.time(10, 5, 0, 7000), TIME, VARCHAR, "10:05"),
    (dt.time(10, 5, 9, 7000), TIME, VARCHAR, "10:05:09"),
    (dt.time(0, 0), TIME, VARCHAR, "00:00"),
    # structures
    ([1, None, 3], Array(INTEGER), VARCHAR, "[1, null, 3]"),
    ([], Array(INTEGER), VARCHAR, "[]"),
    ([[1.0], None, [1e9]], Array(Array(DOUBLE)), VARCHAR, "[[1.0], null, [1.0E9]]"),
    (["1", None, " 2"], Array(VARCHAR), Array(INTEGER), [1, None, 2]),
    (["1", "x"], Array(VARCHAR), Array(INTEGER), FAILS),
    ([[1, 2147483648], None], Array(Array(BIGINT)), Array(Array(INTEGER)), [[1, -2147483648], None]),
    ([("a", 1), ("b", None)], Map(VARCHAR, INTEGER), VARCHAR, "{a=1, b=null}"),
    ([], Map(VARCHAR, INTEGER), VARCHAR, "{}"),
    ([("a", 2147483648)], Map(VARCHAR, BIGINT), Map(VARCHAR, INTEGER), [("a", -2147483648)]),
    ([("7", "8")], Map(VARCHAR, VARCHAR), Map(INTEGER, VARCHAR), [(7, "8")]),
    ([("7", "8"), (" 7", "9")], Map(VARCHAR, VARCHAR), Map(INTEGER, VARCHAR), FAILS),
    (
        [("k", [("j", "10")])],
        Map(VARCHAR, Map(VARCHAR, VARCHAR)),
        Map(VARCHAR, Map(VARCHAR, INTEGER)),
        [("k", [("j", 10)])],
    ),
    ({"F0": 1, "f1": 3}, Struct((("F0", INTEGER), ("f1", BIGINT))), VARCHAR, "Struct{F0=1,f1=3}"),
    ({"F0": None, "F1": "x"}, Struct((("F0", INTEGER), ("F1", VARCHAR))), VARCHAR, "Struct{F1=x}"),
    (
        {"F0": 1, "F1": "x"},
        Struct((("F0", BIGINT), ("F1", VARCHAR))),
        Struct((("F0", VARCHAR), ("F3", VARCHAR))),
        {"F0": "1", "F3": None},
    ),
    ({"a": 1}, Struct((("a", BIGINT),)), Struct((("A", BIGINT),)), {"A": None}),
    (
        [{"A": ["1"]}],
        Array(Struct((("A", Array(VARCHAR)),))),
        Array(Struct((("A", Array(INTEGER)),))),
        [{"A": [1]}],
    ),
    (
        {"A": [{"B": 0.5}]},
        Struct((("A", Array(Struct((("B", DOUBLE),)))),)),
        VARCHAR,
        "Struct{A=[Struct{B=0.5}]}",
    ),
]


@pytest.mark.parametrize(("value", "source", "target", "expected"), CASES, ids=lambda v: str(v)[:40])
def test_cast(workspace: Workspace, value: Any, source: SqlType, target: SqlType, expected: Any) -> None:
    got = cast(workspace, value, source, target)
    assert (got, type(got)) == (expected, type(expected))


def test_null_casts_to_null_everywhere(workspace: Workspace) -> None:
    for _, source, target, _ in CASES:
        assert cast(workspace, None, source, target) is None, (source, target)
        assert cast(workspace, None, NULL, target) is None


def test_a_failing_row_leaves_its_neighbours(workspace: Workspace) -> None:
    assert cast_all(workspace, ["1", "x", None, " 3"], VARCHAR, INTEGER) == [1, None, None, 3]
    texts = ["2020", "x", None, "2020-05-06T07"]
    moments = [dt.datetime(2020, 1, 1), None, None, dt.datetime(2020, 5, 6, 7)]
    assert cast_all(workspace, texts, VARCHAR, TIMESTAMP) == moments


def test_an_argument_longer_than_a_name_is_printed_once(workspace: Workspace) -> None:
    inner = "concat('20', '20')"
    sql, functions = inner, tuple[ArrowFunction, ...]()
    for target, source in (
        (TIMESTAMP, VARCHAR),
        (VARCHAR, TIMESTAMP),
        (TIMESTAMP, VARCHAR),
        (DATE, TIMESTAMP),
    ):
        printed = cast_sql(sql, source, target)
        sql, functions = printed.sql, (*functions, *printed.functions)
    assert sql.count(inner) == 1
    assert workspace.kernel(f"SELECT {sql} AS y", {}, functions).run().column("y")[0].as_py() == dt.date(
        2020, 1, 1
    )


SAME_AND_LISTED = {
    "BOOLEAN": "VARCHAR",
    "INTEGER": "BIGINT DOUBLE VARCHAR DECIMAL",
    "BIGINT": "INTEGER DOUBLE VARCHAR DECIMAL",
    "DOUBLE": "INTEGER BIGINT VARCHAR DECIMAL",
    "DECIMAL": "INTEGER BIGINT DOUBLE VARCHAR",
    "VARCHAR": "BOOLEAN INTEGER BIGINT DOUBLE BYTES DATE TIME TIMESTAMP DECIMAL",
    "TIMESTAMP": "VARCHAR TIME DATE",
    "DATE": "VARCHAR TIMESTAMP",
    "TIME": "VARCHAR",
    "BYTES": "",
}


def test_the_matrix_has_these_casts_and_no_others() -> None:
    types = {**PRIMITIVES, "DECIMAL": Decimal(4, 2)}
    for source, listed in SAME_AND_LISTED.items():
        castable = {name for name, t in types.items() if is_castable(types[source], t)}
        assert castable == {source, *listed.split()}, source


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (VARCHAR, Array(INTEGER)),
        (Array(INTEGER), Map(VARCHAR, INTEGER)),
        (Array(BYTES), VARCHAR),
        (Array(DATE), Array(INTEGER)),
        (Map(VARCHAR, BOOLEAN), Map(VARCHAR, INTEGER)),
        (Struct((("A", BYTES),)), Struct((("A", VARCHAR),))),
        (Struct((("A", BYTES),)), VARCHAR),
    ],
    ids=str,
)
def test_a_cast_outside_the_matrix_names_both_types(source: SqlType, target: SqlType) -> None:
    with pytest.raises(PlanError) as error:
        cast_sql("x", source, target)
    assert error.value.code == "PLAN-CAST"
    assert error.value.message == f"cannot cast {source} to {target}"


def test_casts_that_a_function_replaces_have_a_hint() -> None:
    with pytest.raises(PlanError, match="use FROM_UNIXTIME"):
        cast_sql("x", BIGINT, TIMESTAMP)


@pytest.mark.parametrize(
    ("source", "target", "can_fail"),
    [
        (INTEGER, BIGINT, False),
        (INTEGER, Decimal(10, 0), False),
        (BIGINT, DOUBLE, False),
        (Decimal(3, 1), Decimal(5, 2), False),
        (VARCHAR, DATE, True),
        (VARCHAR, BYTES, True),
        (Array(INTEGER), Array(DOUBLE), False),
        (Struct((("A", INTEGER),)), Struct((("A", BIGINT), ("B", VARCHAR))), False),
        (Struct((("A", VARCHAR),)), Struct((("A", TIMESTAMP),)), True),
        (NULL, DATE, False),
    ],
    ids=str,
)
def test_widening_says_whether_it_can_fail(source: SqlType, target: SqlType, can_fail: bool) -> None:
    assert widen_sql("x", source, target).can_fail is can_fail


def test_what_does_not_widen_is_refused() -> None:
    with pytest.raises(PlanError, match="DOUBLE does not widen to INTEGER"):
        widen_sql("x", DOUBLE, INTEGER)


@tried(50, share=5)
@given(numbers=st.lists(st.floats(), min_size=1, max_size=200))
def test_doubles_print_as_java_does(workspace: Workspace, numbers: list[float]) -> None:
    assert cast_all(workspace, numbers, DOUBLE, VARCHAR) == [double_text(x) for x in numbers]


# Eighths and their neighbours: half of them lie exactly between two decimals somewhere.
EIGHTHS = st.integers(-10_000, 10_000).map(lambda n: n / 8)
DECIMALS = [Decimal(1, 0), Decimal(2, 2), Decimal(4, 2), Decimal(17, 3), Decimal(38, 9)]


@pytest.mark.parametrize("target", DECIMALS, ids=str)
@tried(50, share=5)
@given(numbers=st.lists(EIGHTHS | st.floats(-1e3, 1e3), min_size=1, max_size=50))
def test_doubles_become_decimals_as_in_java(
    workspace: Workspace, target: Decimal, numbers: list[float]
) -> None:
    def java(x: float) -> decimal.Decimal | None:
        with decimal.localcontext(prec=target.precision, rounding=decimal.ROUND_HALF_UP):
            significant = +D(x)
        with decimal.localcontext(prec=99):
            rounded = significant.quantize(D(1).scaleb(-target.scale), decimal.ROUND_HALF_UP)
        return rounded if abs(rounded) < D(10) ** (target.precision - target.scale) else None

    assert cast_all(workspace, numbers, DOUBLE, target) == [java(x) for x in numbers]

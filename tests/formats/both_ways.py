"""JSON read by DuckDB and by the letter, and what must be the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa
from format_samples import WORKSPACE

from streamsql.formats.json import JsonDecoder
from streamsql.formats.json_plan import are_best_by_paths
from streamsql.schema import Column
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
    Decimal,
    SqlType,
)

SCALARS = (
    BOOLEAN,
    INTEGER,
    BIGINT,
    DOUBLE,
    Decimal(10, 2),
    Decimal(30, 20),
    Decimal(3, 0),
    VARCHAR,
    BYTES,
    DATE,
    TIME,
    TIMESTAMP,
)

# JSON texts of values that are near the edge of some type.
TRICKY = (
    """
null true false 0 1 -1 -0 0.0 -0.0 1.0 1.7 -1.7 2.5 12 1e2 1E+2 1.5e-3 1.50 1.505 123.45 99999999.99
100000000 2147483647 2147483648 -2147483649 4294967297 9007199254740993 9223372036854775807
9223372036854775808 -9223372036854775809 18446744073709551616 123456789012345678901234567890 1e30
1e400 5e-324 0.1 12345678901234567.25 1.9999999999999999999 1.00000000000000000000001 86399999
86400000 NaN Infinity -Infinity "" "0" "1" "12" "-12" "+12" "1.5" "1.50" "1.505" "1e2"
"1_000" "0x1F" "true" "false" "t" "null" "NaN" "nan" "Infinity" "-Infinity" "inf" "abc" "YWJj"
"YQ==" "YQ" "Y-_c" "YWJjZA=" "9223372036854775807" "9223372036854775808" "2020-01-01" "é" "\\u00e9"
"a\\"b" "\\\\" "\\/" "a\\nb" "[1]" "{}" "{\\"x\\":1}" "1.5e3" "\\ud83d\\ude00" [] [null] [1]
[1,2.5,"x"] [true] ["a",null] [[1],[2,null]] [{"F":1},{"f":"x"}] [1.10] {} {"F":1} {"f":1}
{"f":null} {"F":{"G":1}} {"k":1} {"k":"x","l":null} {"k":1.50,"k2":[1]} {"a":{"F":2}}
""".split()
    + ['" 12 "', '"1 "', '" 1.5"']
)


def columns_of(t: SqlType) -> list[Column]:
    return [Column("A", t), Column("B", VARCHAR)]


NAMES = [
    "A",
    "a",
    "B",
    "b",
    "Id",
    "id",
    "ID",
    "iD",
    "ıd",
    "mixed",
    "MIXED",
    "Mixed",
    "FIT",
    "fit",
    "ﬁt",
    "\\u0061",
]


def fast_and_exact(
    columns: list[Column], payloads: list[bytes | None], *, is_record: bool = True, closely: bool = False
) -> tuple[Any, Any]:
    """What both ways make of the payloads; the fast one must not leave everything to the exact one.

    closely  all are read as the fast way reads those it has doubts about, if they are many
    """
    array = pa.array(payloads, pa.binary())
    exact = JsonDecoder(columns, is_record=is_record, workspace=WORKSPACE)
    exact._fast = None
    fast = JsonDecoder(columns, is_record=is_record, workspace=WORKSPACE)
    assert fast._fast is not None
    if closely:
        fast._fast.read = partial(fast._fast.read, closely=True)  # type: ignore[method-assign]
    filler = [b"{}" if is_record else b"null"] * 64
    padded = pa.concat_arrays([array, pa.array(filler, pa.binary())])
    return fast.decode(padded), exact.decode(padded)


def assert_same(columns: list[Column], payloads: list[bytes | None], *, is_record: bool = True) -> None:
    for closely in {False, is_record and not are_best_by_paths(columns)}:
        fast, exact = fast_and_exact(columns, payloads, is_record=is_record, closely=closely)
        assert_equal(columns, payloads, fast, exact)


def assert_equal(columns: list[Column], payloads: list[bytes | None], fast: Any, exact: Any) -> None:
    for got, want in zip(fast.columns, exact.columns, strict=True):
        if got.slice(0, len(payloads)).equals(want.slice(0, len(payloads))):
            continue
        for row, payload in enumerate(payloads):  # only NaN equals nothing, but its text does
            assert got.slice(row, 1).equals(want.slice(row, 1)) or repr(got[row]) == repr(want[row]), payload
    assert list(fast.bad) == list(exact.bad)
    assert fast.reasons.to_pylist() == exact.reasons.to_pylist()
    for column, array in zip(columns, fast.columns, strict=True):
        assert array.type == column.type.arrow
        array.validate(full=True)

"""A stream with columns of every type, and rows of values that are often at the edge of what a type holds."""

from __future__ import annotations

import datetime
import math
import random
from decimal import Decimal as D
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

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

DECIMAL, WIDE, WHOLE = Decimal(6, 2), Decimal(38, 12), Decimal(18, 0)
TEXTS, NUMBERS, FLOATS, GRID = Array(VARCHAR), Array(INTEGER), Array(DOUBLE), Array(Array(BIGINT))
COUNTS, LABELS = Map(VARCHAR, INTEGER), Map(VARCHAR, VARCHAR)
PLACE = Struct((("F", INTEGER), ("G", VARCHAR), ("H", NUMBERS)))
DEEP = Struct((("P", PLACE), ("M", Map(VARCHAR, Decimal(6, 2))), ("when", TIMESTAMP), ("X", DOUBLE)))
PLACES, TAGS = Array(PLACE), Map(VARCHAR, TEXTS)

COLUMNS: dict[str, SqlType] = {
    "B": BOOLEAN, "C": BOOLEAN, "I": INTEGER, "J": INTEGER, "L": BIGINT, "M": BIGINT, "X": DOUBLE, "Y": DOUBLE,
    "N": DECIMAL, "O": DECIMAL, "W": WIDE, "V": WHOLE, "S": VARCHAR, "T": VARCHAR, "BS": BYTES, "BT": BYTES,
    "DT": DATE, "DU": DATE, "TM": TIME, "TN": TIME, "TS": TIMESTAMP, "TT": TIMESTAMP,
    "NS": NUMBERS, "XS": TEXTS, "FS": FLOATS, "GS": GRID, "PS": PLACES,
    "MP": COUNTS, "ML": LABELS, "MT": TAGS, "ST": PLACE, "SU": DEEP,
}  # fmt: skip
"""The stream's columns; all names are plain."""

NUMERIC: list[SqlType] = [INTEGER, BIGINT, DOUBLE, DECIMAL, WIDE, WHOLE]
SCALAR_TYPES: list[SqlType] = [BOOLEAN, *NUMERIC, VARCHAR, BYTES, DATE, TIME, TIMESTAMP]
STRUCTURES: list[SqlType] = [NUMBERS, TEXTS, FLOATS, GRID, PLACES, COUNTS, LABELS, TAGS, PLACE, DEEP]
TYPES = [*SCALAR_TYPES, *STRUCTURES]

EDGES: dict[SqlType, list[Any]] = {
    BOOLEAN: [True, False],
    INTEGER: [0, 1, -1, 2, 7, 2**31 - 1, -(2**31)],
    BIGINT: [0, 1, -3, 2**31, 2**40, 2**53 + 1, 2**63 - 1, -(2**63)],
    DOUBLE: [0.0, -0.0, 1.0, -2.5, 0.1, 1e300, -1e-300, 5e-324, 2.0**53, math.nan, math.inf, -math.inf],
    DECIMAL: [D("0.00"), D("1.50"), D("-2.25"), D("9999.99"), D("-9999.99"), D("-0.01")],
    WIDE: [D(0), D("0.000000000001"), D("-12345678901234567890.5"), D("9" * 26 + "." + "9" * 12)],
    WHOLE: [D(0), D(1), D(-7), D(10**18 - 1), D(1 - 10**18)],
    VARCHAR: ["", "a", "B", " a b ", "12", "-7", "1.5", "true", "é😀", "e\u0301", "𝒳y", "a,b", "2024-02-29", "[1, 2]",
              '{"a": 1}', "null", "%", "_", "10:30", "x\ny", "İ", "ß", "it's", "a\\b", "b\\", "\x00", 'nested_0 TRY', '"~nested"'],
    BYTES: [b"", b"a", b"\x00\xff", b"\x80", b"abcdefgh", bytes(4)],
    DATE: [datetime.date(1970, 1, 1), datetime.date(2024, 2, 29), datetime.date(1900, 3, 1), datetime.date(1, 1, 1),
           datetime.date(9999, 12, 31)],
    TIME: [datetime.time(0, 0), datetime.time(23, 59, 59, 999000), datetime.time(10, 30)],
    TIMESTAMP: [datetime.datetime(1970, 1, 1), datetime.datetime(2024, 2, 29, 12, 30, 0, 123000),
                datetime.datetime(1969, 12, 31, 23, 59, 59, 999000), datetime.datetime(1, 1, 1),
                datetime.datetime(9999, 12, 31, 23, 59, 59, 999000)],
}  # fmt: skip


def value(t: SqlType, chance: random.Random) -> Any:
    """A value of a type as Arrow takes it, a null one time in seven."""
    if chance.randrange(7) == 0:
        return None
    match t:
        case Array(element):
            return [value(element, chance) for _ in range(chance.randrange(4))]
        case Map(_, inner):
            return [(key, value(inner, chance)) for key in chance.sample("abk", chance.randrange(4))]
        case Struct(fields):
            return {name: value(part, chance) for name, part in fields}
    if t in (INTEGER, BIGINT) and chance.randrange(2):
        return chance.randrange(-10, 11)
    if t == DOUBLE and chance.randrange(2):
        return chance.uniform(-100, 100)
    return chance.choice(EDGES[t])


def rows_of(seed: int, count: int) -> pa.RecordBatch:
    """Rows of all columns; the same for the same numbers."""
    chance = random.Random(seed)
    made = [[value(t, chance) for t in COLUMNS.values()] for _ in range(count)]
    arrays = [
        pa.array(column, t.arrow) for column, t in zip(zip(*made, strict=True), COLUMNS.values(), strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS))


def rows(most: int = 12) -> st.SearchStrategy[pa.RecordBatch]:
    """One to `most` rows. By a seed: hypothesis would take longer to draw them than all else takes."""
    return st.builds(rows_of, st.integers(0, 2**32 - 1), st.integers(1, most))

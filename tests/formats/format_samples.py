"""Columns, values and layouts that the tests of the formats share."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal as Number
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from streamsql import formats
from streamsql.engine.codec import Decoded
from streamsql.formats.format import Layout
from streamsql.formats.registry import EmbeddedRegistry
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
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)
from tests.workspaces import kept_workspace

WORKSPACE = kept_workspace()
SCALARS: tuple[SqlType, ...] = (
    BOOLEAN,
    INTEGER,
    BIGINT,
    DOUBLE,
    Decimal(4, 2),
    Decimal(38, 10),
    VARCHAR,
    BYTES,
    DATE,
    TIME,
    TIMESTAMP,
)

EXAMPLES: dict[SqlType, list[Any]] = {
    BOOLEAN: [True, False, None],
    INTEGER: [0, 1, -(2**31), 2**31 - 1, None],
    BIGINT: [0, -1, -(2**63), 2**63 - 1, None],
    DOUBLE: [0.0, -0.5, 1e-5, 1e7, 1.7976931348623157e308, 5e-324, math.inf, -math.inf, None],
    Decimal(4, 2): [Number("0.00"), Number("-99.99"), Number("1.50"), None],
    Decimal(38, 10): [Number("1234567890123456789012345678.0123456789"), Number("-0.0000000001"), None],
    VARCHAR: [
        "a",
        "ü",
        "a,b",
        'say "hi"',
        "two\nlines",
        "tab\there",
        "'",
        "\\",
        " x ",
        "-",
        "#",
        "\0",
        "😀",
        None,
    ],
    BYTES: [b"\0\xff", b"abc", None],
    DATE: [dt.date(1970, 1, 1), dt.date(1969, 12, 31), dt.date(9999, 12, 31), dt.date(1, 1, 1), None],
    TIME: [dt.time(0), dt.time(23, 59, 59, 999000), None],
    TIMESTAMP: [
        dt.datetime(1970, 1, 1),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000),
        dt.datetime(2262, 4, 12),
        None,
    ],
}


def layout(
    *columns: Column,
    key: bool = False,
    wrapped: bool = True,
    registry: EmbeddedRegistry | None = None,
    topic: str = "t",
    **properties: str,
) -> Layout:
    return Layout(columns, key, wrapped, properties, topic, registry)


def arrays(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [pa.array([row[i] for row in rows], c.type.arrow) for i, c in enumerate(columns)]


def encode(name: str, where: Layout, rows: Sequence[Sequence[Any]], absent: Any = None) -> list[bytes | None]:
    written = formats.get(name).encoder(where, WORKSPACE).encode(arrays(where.columns, rows), absent)
    assert written.type == pa.binary()
    payloads: list[bytes | None] = written.to_pylist()
    return payloads


def decode(
    name: str, where: Layout, payloads: Sequence[bytes | None], wanted: Sequence[str] | None = None
) -> Decoded:
    names = [c.name for c in where.columns] if wanted is None else wanted
    decoded = formats.get(name).decoder(where, names, WORKSPACE).decode(pa.array(payloads, pa.binary()))
    types = {c.name: c.type.arrow for c in where.columns}
    assert [c.type for c in decoded.columns] == [types[n] for n in names]
    assert all(len(c) == len(payloads) for c in decoded.columns)
    assert list(decoded.bad) == sorted(decoded.bad) and len(decoded.bad) == len(decoded.reasons)
    for column in decoded.columns:
        column.validate(full=True)
        assert all(column[int(row)].as_py() is None for row in decoded.bad)
    return decoded


def values(decoded: Decoded) -> list[Any]:
    """The rows that were read, one tuple each."""
    return list(zip(*(c.to_pylist() for c in decoded.columns), strict=True))


def value_of(t: SqlType, *, floats: bool = True) -> st.SearchStrategy[Any]:
    """Values of a type, nulls inside of structures included."""
    match t:
        case Array(element):
            return st.lists(st.none() | value_of(element), max_size=3)
        case Map(_, item):
            inner = st.dictionaries(st.text(max_size=3), st.none() | value_of(item), max_size=3)
            return inner.map(lambda d: list(d.items()))
        case Struct(fields):
            return st.fixed_dictionaries({name: st.none() | value_of(inner) for name, inner in fields})
        case Decimal(precision, scale):
            limit = 10**precision - 1
            return st.integers(-limit, limit).map(
                lambda n: Number((n < 0, tuple(map(int, str(abs(n)))), -scale))
            )
    return {
        BOOLEAN: st.booleans(),
        INTEGER: st.integers(-(2**31), 2**31 - 1),
        BIGINT: st.integers(-(2**63), 2**63 - 1),
        DOUBLE: st.floats(allow_nan=False),
        VARCHAR: st.text(st.characters(codec="utf-8"), max_size=8),
        BYTES: st.binary(max_size=8),
        DATE: st.dates(),
        TIME: st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
        TIMESTAMP: st.datetimes().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    }[t]


SCALAR_TYPES = st.sampled_from(SCALARS) | st.builds(
    lambda p, s: Decimal(p, min(p, s)), st.integers(1, 38), st.integers(0, 38)
)
TYPES = st.recursive(
    SCALAR_TYPES,
    lambda inner: (
        st.builds(Array, inner)
        | st.builds(lambda t: Map(VARCHAR, t), inner)
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda ts: Struct(tuple((f"F{i}", t) for i, t in enumerate(ts)))
        )
    ),
    max_leaves=5,
)

"""Texts read many at a time say what reading them one by one says; bytes that are no UTF-8 are all found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql.engine.texts import as_text, rows_where
from streamsql.formats import scalars
from streamsql.formats.texts import from_counts, read_texts
from streamsql.types import BIGINT, BYTES, DATE, DOUBLE, INTEGER, TIME, TIMESTAMP, Decimal, SqlType
from tests.examples import tried

EPOCH = dt.datetime(1970, 1, 1)
EXACT: dict[SqlType, Callable[[str], Any]] = {
    INTEGER: lambda text: scalars.integer(text, INTEGER),
    BIGINT: lambda text: scalars.integer(text, BIGINT),
    DOUBLE: scalars.double,
    Decimal(4, 2): lambda text: scalars.exact_decimal(text, Decimal(4, 2)),
    Decimal(3, 3): lambda text: scalars.exact_decimal(text, Decimal(3, 3)),
    Decimal(38, 10): lambda text: scalars.exact_decimal(text, Decimal(38, 10)),
    Decimal(38, 0): lambda text: scalars.exact_decimal(text, Decimal(38, 0)),
    BYTES: scalars.base64_bytes,
    TIME: lambda text: (EPOCH + dt.timedelta(milliseconds=scalars.integer(text, TIME))).time(),
    DATE: lambda text: scalars.integer(text, DATE),
    TIMESTAMP: lambda text: scalars.integer(text, TIMESTAMP) * 1000,
}
TEXTS = (
    """
0.055 -0.0055 0.00000055 10.50 100.00 12345.6 1.230 1.2300 -12.345 0.1234567 100000000.5 -0.1
0 -0 +0 1 -1 +1 007 1. .5 0.50 0.999 1.5 -1.50 1.505 99.99 100 99.995 1e2 1E+2 1e-2 1e400 1e999999 --1 1-2 - + . e5 1_0
2147483647 2147483648 -2147483649 9223372036854775807 9223372036854775808 123456789012345678901 86399999 86400000
9223372036854775 9223372036854776 NaN nan -Infinity inf 1.5f 1d 0x1F abc é ٣ 12٣ YQ== YQ YWI= YWJj Y=W= = ==== Y?== ~
""".split()
    + [
        "",
        " ",
        " 1",
        "1 ",
        "1\n",
        "it's",
        "x" * 60,
        "x" * 61,
        "é" * 70,
        "9" * 40,
        "1" * 28,
        "1" * 30,
        "3402823669209384634633746074317682114561",
        "9" * 400,
        "0" * 70,
    ]
)


@pytest.mark.parametrize("kind", EXACT, ids=str)
@given(st.lists(st.none() | st.sampled_from(TEXTS) | st.text("0123456789+-.eE", max_size=6), max_size=30))
@tried(60, share=5)
@example([*TEXTS, None])
def test_many_texts_are_read_as_each_alone(kind: SqlType, texts: list[str | None]) -> None:
    column, reasons = read_texts(pa.array(texts, pa.string()), kind)
    assert column.type == kind.arrow
    column.validate(full=True)
    raw = column.cast({DATE: pa.int32(), TIMESTAMP: pa.int64()}.get(kind, column.type)).to_pylist()
    wrong = np.flatnonzero(reasons.wrong)
    said = dict(zip(wrong.tolist(), reasons.of_rows(wrong).to_pylist(), strict=True))
    for row, text in enumerate(texts):
        try:
            value = None if text is None else EXACT[kind](text)
        except scalars.Mismatch as mismatch:
            assert (raw[row], said.get(row)) == (None, mismatch.reason), text
        else:
            assert row not in said, (text, said[row])
            # A NaN equals nothing, and 0.0 a negative one; their texts differ. Decimals know no negative zero.
            assert (repr(raw[row]) == repr(value)) if kind == DOUBLE else (raw[row] == value), text


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _edges() -> list[bytes]:
    """Sequences of up to four bytes from both sides of every limit in the standard's table."""
    edges = [
        0x00,
        0x7F,
        0x80,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
        0xEE,
    ]
    edges += [0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    inner = [0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]
    found = [bytes([a]) for a in range(256)] + [bytes([a, b]) for a in edges for b in edges]
    found += [bytes([a, b, c]) for a in edges for b in inner for c in (0x7F, 0x80, 0xBF, 0xC2)]
    return found + [bytes([a, b, c, 0x80]) for a in edges[-8:] for b in inner for c in (0x7F, 0x80, 0xBF)]


@given(st.lists(st.none() | st.binary(max_size=5) | st.text(max_size=3).map(str.encode), max_size=20))
@tried(200)
@example(_edges())
@example([*(c.encode() for c in "é€😀"), b"\xe2\x82", b"\xac", None, b"", b"\xf0\x9f\x98", b"\x80a"])
def test_exactly_what_is_no_utf8_is_found(payloads: list[bytes | None]) -> None:
    for array in (pa.array(payloads, pa.binary()), pa.array([b"\xff", *payloads], pa.binary()).slice(1)):
        texts, broken = as_text(array)
        assert broken.tolist() == [p is not None and not _is_utf8(p) for p in payloads]
        texts.validate(full=True)
        assert texts.to_pylist() == [
            None if p is None or not _is_utf8(p) else p.decode("utf-8") for p in payloads
        ]


@given(st.lists(st.lists(st.booleans(), max_size=4), max_size=12), st.integers(0, 3))
def test_rows_are_found_by_their_bytes(rows: list[list[bool]], before: int) -> None:
    offsets = np.cumsum([before, *map(len, rows)])
    marked = np.array([flag for row in rows for flag in row], dtype=np.bool_)
    assert rows_where(offsets, marked).tolist() == [any(row) for row in rows]


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"),
    [
        (TIME, 0, 86_399_999),
        (DATE, -(2**31), 2**31 - 1),
        (TIMESTAMP, -9_223_372_036_854_775, 9_223_372_036_854_775),
    ],
)
def test_counts_beyond_what_a_type_holds_are_told_apart(kind: SqlType, lowest: int, highest: int) -> None:
    counts = pa.array([lowest, highest, None, lowest - 1, highest + 1], pa.int64())
    column, outside = from_counts(counts, kind)
    assert outside.tolist() == [False, False, False, True, True]
    assert column.type == kind.arrow
    raw = column.cast(pa.int32()) if kind == DATE else pc.divide(column.cast(pa.int64()), 1000)
    assert raw.to_pylist() == [lowest, highest, None, None, None]

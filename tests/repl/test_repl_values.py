"""Arrow columns as JSON and as texts: every type, nested ones, and values no Python date can hold."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from streamsql.repl.values import cell_texts, json_text, json_values

NOON = dt.datetime(2024, 1, 31, 12, 30)
LONG = "1" * 28 + ".0000000001"
TINY = "0.000000000001"
DAY = dt.date(2024, 1, 1)
PAIR = pa.struct([("A", pa.int32()), ("D", pa.date32())])
DEEP = pa.list_(pa.struct([("M", pa.map_(pa.string(), pa.binary()))]))

# name, type, value, as JSON, as text where that is not the JSON without its quotes
CASES: list[tuple[str, pa.DataType, Any, str, str | None]] = [
    ("boolean", pa.bool_(), True, "true", None),
    ("integer", pa.int32(), -7, "-7", None),
    ("bigint", pa.int64(), 2**63 - 1, "9223372036854775807", None),
    ("double", pa.float64(), 0.1, "0.1", None),
    ("NaN", pa.float64(), float("nan"), '"NaN"', None),
    ("infinity", pa.float64(), float("-inf"), '"-Infinity"', None),
    ("decimal", pa.decimal128(10, 2), Decimal("1.50"), "1.50", None),
    ("38 digits", pa.decimal128(38, 10), Decimal(LONG), LONG, None),
    ("small decimal", pa.decimal128(20, 12), Decimal(TINY), TINY, None),
    ("text", pa.string(), 'say "hi"\n', '"say \\"hi\\"\\n"', 'say "hi"\n'),
    ("bytes", pa.binary(), b"\x00\xff", '"AP8="', None),
    ("date", pa.date32(), dt.date(1969, 12, 31), '"1969-12-31"', None),
    ("time", pa.time64("us"), dt.time(1, 2, 3, 4000), '"01:02:03.004"', None),
    ("time ms", pa.time32("ms"), dt.time(1, 2, 3, 4000), '"01:02:03.004"', None),
    ("time in µs", pa.time64("us"), dt.time(1, 2, 3, 4), '"01:02:03.000004"', None),
    ("timestamp", pa.timestamp("us"), NOON, '"2024-01-31T12:30:00.000"', None),
    ("timestamp ms", pa.timestamp("ms"), NOON, '"2024-01-31T12:30:00.000"', None),
    ("array", pa.list_(pa.int64()), [1, None], "[1,null]", None),
    ("array of times", pa.list_(pa.timestamp("us")), [NOON], '["2024-01-31T12:30:00.000"]', None),
    ("map", pa.map_(pa.string(), pa.decimal128(4, 1)), [("k", Decimal("1.0"))], '{"k":1.0}', None),
    ("map by number", pa.map_(pa.int64(), pa.string()), [(7, None)], '{"7":null}', None),
    ("struct", PAIR, {"A": None, "D": DAY}, '{"A":null,"D":"2024-01-01"}', None),
    ("deep", DEEP, [{"M": [("x", b"a")]}], '[{"M":{"x":"YQ=="}}]', None),
]


@pytest.mark.parametrize(("name", "kind", "value", "json", "text"), CASES, ids=[c[0] for c in CASES])
def test_every_type_as_json_and_as_text(
    name: str, kind: pa.DataType, value: Any, json: str, text: str | None
) -> None:
    column = pa.array([value, None, value], kind)
    text = json.strip('"') if text is None else text
    assert [json_text(v) for v in json_values(column)] == [json, "null", json]
    assert cell_texts(column) == [text, None, text]
    # A slice of a batch is a batch: offsets must not be lost.
    assert cell_texts(column.slice(1)) == [None, text]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([2**62], pa.int64()).cast(pa.timestamp("us")), "148108-07-06T14:00:27.387904"),
        (pa.array([-(2**55)], pa.int64()).cast(pa.timestamp("us")), "0828-04-17T00:49:41.036032"),
        (pa.array([10**7], pa.int32()).cast(pa.date32()), "29349-01-26"),
    ],
)
def test_a_time_beyond_all_calendars_is_printed(column: pa.Array[Any], text: str) -> None:
    assert cell_texts(column) == [text]
    nested = pa.StructArray.from_arrays([column], names=["T"])
    assert cell_texts(nested) == [f'{{"T":"{text}"}}']


def test_text_that_is_not_utf8_is_shown_all_the_same() -> None:
    column = pa.array([b"ok", b"\xff!"], pa.binary()).cast(pa.string(), safe=False)
    assert cell_texts(column) == ["ok", "\ufffd!"]


def test_json_of_a_decimal_keeps_its_digits_through_a_parser_of_decimals() -> None:
    digits = "12345678901234567890.123456789"
    column = pa.array([Decimal(digits)], pa.decimal128(38, 9))
    assert json_text(json_values(column)) == f"[{digits}]"
    assert orjson.loads(json_text(json_values(column))) == [float(digits)]

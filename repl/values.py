"""Arrow columns as values for JSON and as texts for cells.

    BOOLEAN true · numbers as numbers, exact · DOUBLE NaN and infinities as "NaN", "Infinity"
    VARCHAR text · BYTES base64 · DATE 2024-01-31 · TIME 12:30:00.000 · TIMESTAMP 2024-01-31T12:30:00.000
    ARRAY [..] · MAP and STRUCT {..}

Dates far outside the years that Python knows (a time in µs taken for ms) are printed all the same.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from streamsql.result import Changes

Value = Any
"""What orjson can print."""

_PIECE_ROWS = 8192
_MICROS = pa.timestamp("us")
_Convert = Callable[[Any], Value]


def json_values(column: pa.Array[Any]) -> list[Value]:
    """One value per row for orjson; null is None."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _moments(column)
    items = _raw(column).to_pylist() if not pa.types.is_string(kind) else strings(column)
    convert = _converter(kind)
    if convert is None or convert is _double and np.isfinite(column.drop_null().to_numpy()).all():
        return items
    return [None if item is None else convert(item) for item in items]


def cell_texts(column: pa.Array[Any]) -> list[str | None]:
    """One text per row, not yet made safe for a screen; null is None."""
    kind = column.type
    if pa.types.is_decimal(kind):
        return [None if item is None else format(item, "f") for item in column.to_pylist()]
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind):
        return [None if item is None else json_text(item) for item in json_values(column)]
    # The items are a row each already; what is left to do for a number is its repr.
    return [None if item is None else str(item) for item in json_values(column)]


def json_text(value: Value) -> str:
    """A value of `json_values` as compact JSON."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def in_small_pieces(pieces: Iterator[Changes], rows: int = _PIECE_ROWS) -> Iterator[Changes]:
    """The same rows in pieces that may become Python objects without filling the memory."""
    for piece in pieces:
        for at in range(0, piece.rows.num_rows, rows):
            marks = None if piece.tombstones is None else piece.tombstones.slice(at, rows)
            yield Changes(piece.rows.slice(at, rows), marks)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is aligned to the right."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def strings(column: pa.Array[Any]) -> list[Value]:
    """A text column as Python strings; bytes that are not UTF-8 show as U+FFFD."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        items = column.cast(pa.binary()).to_pylist()
        return [None if item is None else item.decode("utf-8", "replace") for item in items]


def _moments(column: pa.Array[Any]) -> list[Value]:
    """Timestamps and dates, ISO."""
    is_date = pa.types.is_date(column.type)
    numbers = column.cast(pa.date32()).cast(pa.int32()) if is_date else column.cast(_MICROS).cast(pa.int64())
    texts: list[Value] = _iso(numbers.fill_null(0).to_numpy(zero_copy_only=False), "D" if is_date else "us")
    if column.null_count:
        for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
            texts[row] = None
    return texts


def _iso(numbers: np.ndarray[Any, Any], unit: str) -> list[str]:
    """Days or microseconds since 1970 as ISO text, of any year; microseconds only where there are any."""
    if unit == "D":
        days: list[str] = np.datetime_as_string(numbers.astype("datetime64[D]")).tolist()
        return days
    moments = numbers.astype("datetime64[us]")
    texts: list[str] = np.datetime_as_string(moments.astype("datetime64[ms]")).tolist()
    for row in np.flatnonzero(numbers % 1000):
        texts[row] = str(np.datetime_as_string(moments[row]))
    return texts


def _moment(unit: str) -> _Convert:
    return lambda number: _iso(np.array([number]), unit)[0]


def _time_of_day(us: int) -> str:
    seconds, fraction = divmod(us, 1_000_000)
    digits = f"{fraction // 1000:03}" if fraction % 1000 == 0 else f"{fraction:06}"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{digits}"


def _double(number: float) -> Value:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _raw(column: pa.Array[Any]) -> pa.Array[Any]:
    """The column with times as numbers (timestamps in µs), wherever they are nested."""
    in_micros = _with_micros(column.type)
    raw = _raw_type(in_micros)
    if raw == column.type:
        return column
    return (column if in_micros == column.type else column.cast(in_micros, safe=False)).cast(raw)


def _with_micros(kind: pa.DataType) -> pa.DataType:
    def in_micros(leaf: pa.DataType) -> pa.DataType:
        if pa.types.is_date64(leaf):
            return pa.date32()
        return _MICROS if pa.types.is_timestamp(leaf) else leaf

    return _rebuilt(kind, in_micros)


def _raw_type(kind: pa.DataType) -> pa.DataType:
    return _rebuilt(kind, _number_type)


def _number_type(leaf: pa.DataType) -> pa.DataType:
    if pa.types.is_date32(leaf) or pa.types.is_time32(leaf):
        return pa.int32()
    if pa.types.is_timestamp(leaf) or pa.types.is_time64(leaf):
        return pa.int64()
    return leaf


def _rebuilt(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with `leaf` applied to everything in it that is not nested."""
    if isinstance(kind, pa.MapType):
        return pa.map_(_rebuilt(kind.key_type, leaf), _rebuilt(kind.item_type, leaf))
    if isinstance(kind, pa.StructType):
        return pa.struct([f.with_type(_rebuilt(f.type, leaf)) for f in kind])
    if isinstance(kind, pa.ListType):
        return pa.list_(kind.value_field.with_type(_rebuilt(kind.value_type, leaf)))
    return leaf(kind)


def _converter(kind: pa.DataType) -> _Convert | None:
    """From what Arrow gives in Python to what JSON takes; None if they are the same."""
    if pa.types.is_floating(kind):
        return _double
    if pa.types.is_decimal(kind):
        return lambda number: orjson.Fragment(format(number, "f"))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return lambda data: base64.b64encode(data).decode()
    if pa.types.is_timestamp(kind):
        return _moment("us")
    if pa.types.is_date(kind):
        return _moment("D")
    if pa.types.is_time(kind):
        nanos = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}[kind.unit]
        return lambda ticks: _time_of_day(ticks * nanos // 1000)
    if pa.types.is_map(kind):
        key, item = _text_key(kind.key_type), _nullable(kind.item_type)
        return lambda pairs: {key(k): item(v) for k, v in pairs}
    if pa.types.is_struct(kind):
        parts = [(f.name, _nullable(f.type)) for f in kind]
        return lambda fields: {name: convert(fields[name]) for name, convert in parts}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        element = _converter(kind.value_type)
        return None if element is None else lambda items: [None if i is None else element(i) for i in items]
    return None


def _nullable(kind: pa.DataType) -> _Convert:
    convert = _converter(kind)
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def _text_key(kind: pa.DataType) -> _Convert:
    """A map's key as JSON wants it: a text."""
    if pa.types.is_string(kind):
        return lambda key: key
    convert = _nullable(kind)
    return lambda key: json_text(convert(key)).strip('"')

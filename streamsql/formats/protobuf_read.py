"""Protobuf messages as SQL values; the types are told in `streamsql.formats.protobuf_schema`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal as Number
from typing import Any

from streamsql.formats import scalars
from streamsql.formats.protobuf_runtime import Runtime, is_map, kind_of
from streamsql.formats.protobuf_schema import DECIMAL_MESSAGE, LOGICAL_MESSAGES, WRAPPERS
from streamsql.formats.registered import Convert, by_name, same
from streamsql.formats.scalars import Mismatch
from streamsql.java_text import double_text
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

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MICROS = 1_000_000


def open_message(message: Any, columns: Sequence[Column]) -> Callable[[bytes], Sequence[Any]]:
    """How the bytes of a message (a class of the runtime) are read as the columns."""
    read = _message_reader(message.DESCRIPTOR, [(c.name, c.type) for c in columns])
    parse, decode_error = message.FromString, Runtime.get().decode_error

    def read_bytes(body: bytes) -> Sequence[Any]:
        try:
            value = parse(body)
        except decode_error as error:
            raise ValueError(f"the Protobuf message does not read: {error}") from None
        return read(value)

    return read_bytes


def _message_reader(descriptor: Any, fields: Sequence[tuple[str, SqlType]]) -> Callable[[Any], list[Any]]:
    written = list(descriptor.fields_by_name)
    readers: list[Convert] = []
    for name, t in fields:
        given = by_name(written, name)
        readers.append(_nothing if given is None else _field_reader(descriptor.fields_by_name[given], t))

    def read(message: Any) -> list[Any]:
        found: list[Any] = []
        try:
            for convert in readers:
                found.append(convert(message))
        except Mismatch as mismatch:
            mismatch.inside(f".{fields[len(found)][0]}")
            raise
        return found

    return read


def _nothing(message: Any) -> Any:
    return None


def _field_reader(field: Any, t: SqlType) -> Convert:
    """A field of a message as a value of the type; refuses at the value, not before."""
    name = field.name
    if is_map(field):
        item = (
            _value_reader(field.message_type.fields_by_name["value"], t.value) if isinstance(t, Map) else None
        )
        text = _text_reader(field.message_type.fields_by_name["key"])
        if item is None:
            return _refusal("a map", t)
        return lambda message: [(text(k), item(v)) for k, v in getattr(message, name).items()]
    if field.is_repeated:
        element = _value_reader(field, t.element) if isinstance(t, Array) else None
        if element is None:
            return _refusal("a repeated field", t)
        return lambda message: [element(v) for v in getattr(message, name)]
    convert = _value_reader(field, t)
    if convert is None:
        return _refusal(kind_of(field), t)
    if field.has_presence:
        return lambda message: convert(getattr(message, name)) if message.HasField(name) else None
    return lambda message: convert(getattr(message, name))


def _refusal(what: str, t: SqlType) -> Convert:
    def refuse(message: Any) -> Any:
        raise Mismatch(f"{what} cannot be read as {t}")

    return refuse


def _value_reader(field: Any, t: SqlType) -> Convert | None:
    """One value of a field's type as a value of the SQL type, None if it is none."""
    if field.enum_type is not None:
        symbols = {v.number: v.name for v in field.enum_type.values}
        return (lambda value: symbols.get(value, str(value))) if t == VARCHAR else None
    if field.message_type is None:
        return _scalar_reader(Runtime.get().type_names[field.type], t)
    full_name = field.message_type.full_name
    if full_name in WRAPPERS:
        inner = _scalar_reader(WRAPPERS[full_name], t)
        return None if inner is None else lambda value: inner(value.value)
    if full_name == DECIMAL_MESSAGE:
        return _decimal_reader(t)
    if full_name in LOGICAL_MESSAGES and t == LOGICAL_MESSAGES[full_name]:
        return _LOGICAL_READERS[t]
    if isinstance(t, Struct):
        names = [name for name, _ in t.fields]
        read = _message_reader(field.message_type, t.fields)
        return lambda value: dict(zip(names, read(value), strict=True))
    return None


def _scalar_reader(kind: str, t: SqlType) -> Convert | None:
    match kind, t:
        case "bool", _ if t == BOOLEAN:
            return same
        case "bool", _ if t == VARCHAR:
            return lambda value: "true" if value else "false"
        case "float" | "double", _:
            return same if t == DOUBLE else double_text if t == VARCHAR else None
        case "string" | "bytes", _:
            return same if t == (VARCHAR if kind == "string" else BYTES) else None
        case "bool", _:
            return None
        case _, Decimal():
            exact = t
            return lambda value: scalars.fit(Number(value), exact)
    if t in (INTEGER, BIGINT):
        return lambda value: scalars.in_range(value, t)
    return float if t == DOUBLE else str if t == VARCHAR else None


def _text_reader(field: Any) -> Convert:
    convert = _scalar_reader(Runtime.get().type_names[field.type], VARCHAR)
    return convert or str


def _decimal_reader(t: SqlType) -> Convert | None:
    if not isinstance(t, Decimal):
        return None
    exact = t

    def read(value: Any) -> Any:
        unscaled = int.from_bytes(value.value, "big", signed=True)
        return scalars.fit(Number(unscaled).scaleb(-value.scale, context=scalars.EXACT), exact)

    return read


def _read_date(value: Any) -> int:
    try:
        return datetime.date(value.year, value.month, value.day).toordinal() - _EPOCH
    except ValueError:
        raise Mismatch(f"{value.year}-{value.month}-{value.day} is no date") from None


def _read_time(value: Any) -> int:
    seconds = (value.hours * 60 + value.minutes) * 60 + value.seconds
    return _in_range(seconds * _MICROS + int(value.nanos) // 1000, TIME)


def _read_timestamp(value: Any) -> int:
    return _in_range(int(value.seconds) * _MICROS + int(value.nanos) // 1000, TIMESTAMP)


def _in_range(micros: int, t: SqlType) -> int:
    scalars.in_range(micros // 1000, t)
    return micros


_LOGICAL_READERS: dict[SqlType, Convert] = {DATE: _read_date, TIME: _read_time, TIMESTAMP: _read_timestamp}

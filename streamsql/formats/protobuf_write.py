"""SQL values as Protobuf messages; the types are told in `streamsql.formats.protobuf_schema`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal as Number
from typing import Any, TypeAlias

from streamsql.errors import PlanError
from streamsql.formats import scalars
from streamsql.formats.protobuf_runtime import Runtime, is_map, kind_of
from streamsql.formats.protobuf_schema import DECIMAL_MESSAGE, LOGICAL_MESSAGES, WRAPPERS
from streamsql.formats.registered import Convert, by_name, same, unwritable
from streamsql.formats.scalars import Mismatch
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    is_numeric,
)

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MICROS = 1_000_000


def open_writer(message: Any, columns: Sequence[Column]) -> Callable[[Sequence[Any]], bytes]:
    """How a row of the columns becomes the bytes of a message (a class of the runtime).

    raises  PlanError if the message cannot hold a column
    """
    write = _message_writer(message.DESCRIPTOR, [(c.name, c.type) for c in columns])

    def to_bytes(row: Sequence[Any]) -> bytes:
        target = message()
        try:
            write(target, row)
            return bytes(target.SerializeToString())
        except Mismatch as mismatch:
            raise unwritable("Protobuf", mismatch) from None
        except (TypeError, ValueError) as error:
            raise unwritable("Protobuf", error) from error

    return to_bytes


Write: TypeAlias = "Callable[[Any, Any], None]"
"""Puts a value, which is not None, into a message."""


def _message_writer(descriptor: Any, fields: Sequence[tuple[str, SqlType]]) -> Write:
    names = list(descriptor.fields_by_name)
    writers: list[tuple[str, int, Write]] = []
    for place, (name, t) in enumerate(fields):
        given = by_name(names, name)
        if given is None:
            raise PlanError(
                f"the schema's message {descriptor.full_name} has no field {name}", code="PLAN-SCHEMA"
            )
        writers.append((name, place, _field_writer(descriptor.fields_by_name[given], t)))

    def write(message: Any, row: Any) -> None:
        for name, place, put in writers:
            value = row[place]
            if value is not None:
                try:
                    put(message, value)
                except Mismatch as mismatch:
                    mismatch.inside(f".{name}")
                    raise

    return write


def _field_writer(field: Any, t: SqlType) -> Write:
    name = field.name
    if is_map(field) and isinstance(t, Map):
        return _map_writer(field, t)
    if field.is_repeated and not is_map(field) and isinstance(t, Array):
        return _list_writer(field, t)
    if not field.is_repeated:
        if field.message_type is None:
            convert = _scalar_writer(field, t)
            if convert is not None:
                return lambda message, value: setattr(message, name, convert(value))
        else:
            fill = _filler(field.message_type, t)
            if fill is not None:
                return _submessage_writer(name, fill)
    raise PlanError(
        f"a column of type {t} cannot be written as Protobuf {kind_of(field)}", code="PLAN-SCHEMA"
    )


def _submessage_writer(name: str, fill: Write) -> Write:
    def write(message: Any, value: Any) -> None:
        inner = getattr(message, name)
        # A message of nothing but nulls is there all the same.
        inner.SetInParent()
        fill(inner, value)

    return write


def _list_writer(field: Any, t: Array) -> Write:
    name = field.name
    fill = None if field.message_type is None else _filler(field.message_type, t.element)
    convert = _scalar_writer(field, t.element) if field.message_type is None else None
    if fill is None and convert is None:
        raise PlanError(
            f"a column of type {t} cannot be written as Protobuf {kind_of(field)}", code="PLAN-SCHEMA"
        )

    def write(message: Any, values: Any) -> None:
        target = getattr(message, name)
        for place, value in enumerate(values):
            if value is None:
                raise Mismatch("Protobuf has no null in an array").inside(f"[{place}]")
            if fill is not None:
                fill(target.add(), value)
            elif convert is not None:
                target.append(convert(value))

    return write


def _map_writer(field: Any, t: Map) -> Write:
    name = field.name
    inner = field.message_type.fields_by_name["value"]
    fill = None if inner.message_type is None else _filler(inner.message_type, t.value)
    convert = _scalar_writer(inner, t.value) if inner.message_type is None else None
    if fill is None and convert is None:
        raise PlanError(
            f"a column of type {t} cannot be written as Protobuf {kind_of(inner)}", code="PLAN-SCHEMA"
        )

    def write(message: Any, pairs: Any) -> None:
        target = getattr(message, name)
        for key, value in pairs:
            if value is None:
                raise Mismatch("Protobuf has no null in a map").inside(f".{key}")
            if fill is not None:
                fill(target[key], value)
            elif convert is not None:
                target[key] = convert(value)

    return write


_HOLDS: dict[str, SqlType] = {"bool": BOOLEAN, "string": VARCHAR, "bytes": BYTES}


def _scalar_writer(field: Any, t: SqlType) -> Convert | None:
    if field.enum_type is not None:
        return _enum_writer(field) if t == VARCHAR else None
    return _plain_writer(Runtime.get().type_names[field.type], t)


def _plain_writer(kind: str, t: SqlType) -> Convert | None:
    if kind in _HOLDS:
        return same if t == _HOLDS[kind] else None
    if kind in ("float", "double"):
        return float if is_numeric(t) else None
    return same if t in (INTEGER, BIGINT) else None


def _enum_writer(field: Any) -> Convert:
    numbers = {v.name: v.number for v in field.enum_type.values}

    def convert(value: str) -> int:
        if value not in numbers:
            raise Mismatch(f"{scalars.shown(value)} is none of {', '.join(numbers)}")
        return int(numbers[value])

    return convert


def _filler(descriptor: Any, t: SqlType) -> Write | None:
    """How a value fills a message of its own, None if the message is not for the type."""
    full_name = descriptor.full_name
    if full_name in WRAPPERS:
        convert = _plain_writer(WRAPPERS[full_name], t)
        return None if convert is None else lambda message, value: setattr(message, "value", convert(value))
    if full_name == DECIMAL_MESSAGE:
        return _decimal_filler(t) if isinstance(t, Decimal) else None
    if full_name in LOGICAL_MESSAGES:
        return _LOGICAL_FILLERS[t] if LOGICAL_MESSAGES[full_name] == t else None
    if isinstance(t, Struct):
        names = [name for name, _ in t.fields]
        write = _message_writer(descriptor, t.fields)
        return lambda message, value: write(message, [value[name] for name in names])
    return None


def _decimal_filler(t: Decimal) -> Write:
    def fill(message: Any, value: Number) -> None:
        unscaled = int(value.scaleb(t.scale, context=scalars.EXACT))
        magnitude = unscaled if unscaled >= 0 else ~unscaled
        message.value = unscaled.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)
        message.precision = t.precision
        message.scale = t.scale

    return fill


def _fill_date(message: Any, days: int) -> None:
    try:
        day = datetime.date.fromordinal(days + _EPOCH)
    except (ValueError, OverflowError):
        raise Mismatch(f"{days} days since 1970 is outside of the years 1 to 9999") from None
    message.year, message.month, message.day = day.year, day.month, day.day


def _fill_time(message: Any, micros: int) -> None:
    seconds, rest = divmod(micros, _MICROS)
    message.hours, message.minutes, message.seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    message.nanos = rest * 1000


def _fill_timestamp(message: Any, micros: int) -> None:
    message.seconds, rest = divmod(micros, _MICROS)
    message.nanos = rest * 1000


_LOGICAL_FILLERS: dict[SqlType, Write] = {DATE: _fill_date, TIME: _fill_time, TIMESTAMP: _fill_timestamp}

"""Values of the corpus as Protobuf messages of a .proto text, and back."""

from __future__ import annotations

import base64
import datetime
import functools
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from streamsql.formats.proto_text import ProtoFile
from streamsql.formats.protobuf import files_of
from streamsql.formats.protobuf_runtime import is_map, message_class
from streamsql.formats.protobuf_schema import find_message, message_at

_EPOCH = datetime.date(1970, 1, 1)
_EXACT = Context(prec=100)
_WRAPPERS = "google.protobuf."
_MESSAGE = 11  # google.protobuf.FieldDescriptor.TYPE_MESSAGE


def encode(spec: Any, text: str, references: Mapping[str, str], full_name: str | None = None) -> bytes:
    """A message's bytes, without a frame; a bare value goes into its first field."""
    message = _message(text, tuple(references.items()), full_name)()
    _fill(message, spec if isinstance(spec, Mapping) else {message.DESCRIPTOR.fields[0].name: spec})
    data: bytes = message.SerializeToString()
    return data


def decode(data: bytes, text: str, references: Mapping[str, str], path: tuple[int, ...] = (0,)) -> Any:
    """All fields of a message, the one at these indexes of the file, by name."""
    file, _ = files_of(text, references)
    message = _message(text, tuple(references.items()), message_at(file, path))()
    message.ParseFromString(data)
    return _plain(message)


@functools.lru_cache(maxsize=64)
def _message(text: str, references: tuple[tuple[str, str], ...], full_name: str | None) -> Any:
    file, imported = files_of(text, dict(references))
    return message_class(file, imported, find_message(file, full_name)[0])


def class_of(file: ProtoFile) -> Any:
    """The class of a file's first message."""
    return message_class(file, {}, find_message(file, None)[0])


def bare(spec: Any, message_type: Any) -> bytes:
    message = message_type()
    _fill(message, spec)
    data: bytes = message.SerializeToString()
    return data


def read_bare(data: bytes, message_type: Any) -> Any:
    message = message_type()
    message.ParseFromString(data)
    return _plain(message)


def _fill(message: Any, spec: Mapping[str, Any]) -> None:
    given = {k.upper(): v for k, v in spec.items()}
    for field in message.DESCRIPTOR.fields:
        value = given.get(field.name.upper())
        if value is None:
            continue
        target = getattr(message, field.name)
        if is_map(field):
            item = field.message_type.fields_by_name["value"]
            for key, inner in value.items():
                if item.type == _MESSAGE:
                    _fill_message(target[key], inner)
                elif inner is not None:
                    target[key] = _scalar(inner, item)
        elif field.is_repeated:
            for inner in value:
                if field.type == _MESSAGE:
                    _fill_message(target.add(), inner)
                else:
                    target.append(_scalar(inner, field))
        elif field.type == _MESSAGE:
            target.SetInParent()
            _fill_message(target, value)
        else:
            setattr(message, field.name, _scalar(value, field))


def _fill_message(message: Any, value: Any) -> None:
    name = message.DESCRIPTOR.full_name
    match name:
        case "confluent.type.Decimal":
            exact = Decimal(value)
            scale = -int(exact.as_tuple().exponent)
            unscaled = int(exact.scaleb(scale, context=_EXACT))
            message.value = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
            message.precision, message.scale = len(exact.as_tuple().digits), scale
        case "google.type.Date":
            day = _EPOCH + datetime.timedelta(days=value)
            message.year, message.month, message.day = day.year, day.month, day.day
        case "google.type.TimeOfDay":
            seconds, ms = divmod(value, 1000)
            message.hours, message.minutes, message.seconds = (
                seconds // 3600,
                seconds // 60 % 60,
                seconds % 60,
            )
            message.nanos = ms * 1_000_000
        case "google.protobuf.Timestamp":
            message.seconds, ms = divmod(value, 1000)
            message.nanos = ms * 1_000_000
        case _ if name.startswith(_WRAPPERS) and "value" in message.DESCRIPTOR.fields_by_name:
            message.value = _scalar(value, message.DESCRIPTOR.fields_by_name["value"])
        case _:
            _fill(message, value)


def _scalar(value: Any, field: Any) -> Any:
    match field.cpp_type:
        case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
            return float(value)
        case field.CPPTYPE_STRING:
            if field.type == field.TYPE_BYTES:
                return base64.b64decode(value)
            return value if isinstance(value, str) else str(value)
        case field.CPPTYPE_ENUM:
            return field.enum_type.values_by_name[value].number
        case field.CPPTYPE_BOOL:
            return bool(value)
    return int(value)


def _plain(message: Any) -> Any:
    name = message.DESCRIPTOR.full_name
    match name:
        case "confluent.type.Decimal":
            unscaled = int.from_bytes(message.value, "big", signed=True)
            return Decimal(unscaled).scaleb(-message.scale, context=_EXACT)
        case "google.type.Date":
            return (datetime.date(message.year, message.month, message.day) - _EPOCH).days
        case "google.type.TimeOfDay":
            seconds = (message.hours * 60 + message.minutes) * 60 + message.seconds
            return seconds * 1000 + message.nanos // 1_000_000
        case "google.protobuf.Timestamp":
            return message.seconds * 1000 + message.nanos // 1_000_000
    if name.startswith(_WRAPPERS) and "value" in message.DESCRIPTOR.fields_by_name:
        return _value(message.value, message.DESCRIPTOR.fields_by_name["value"])
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if is_map(field):
        item = field.message_type.fields_by_name["value"]
        return {key: _value(inner, item) for key, inner in value.items()}
    if field.is_repeated:
        return [_value(inner, field) for inner in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(value, field)


def _value(value: Any, field: Any) -> Any:
    if field.type == _MESSAGE:
        return _plain(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value

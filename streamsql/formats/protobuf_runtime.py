"""The protobuf package, imported on first use, and message classes made from .proto declarations."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from streamsql.errors import PlanError
from streamsql.formats.proto_text import SCALARS, ProtoEnum, ProtoField, ProtoFile, ProtoMessage, parse_proto
from streamsql.formats.protobuf_schema import BUILT_IN, Messages, messages_in
from streamsql.formats.registered import missing_extra

# Files that the protobuf package brings along, and the modules that hold them.
_PACKAGED = {
    f"google/protobuf/{name}.proto": f"google.protobuf.{name}_pb2"
    for name in ("wrappers", "timestamp", "duration", "struct", "any", "empty", "field_mask", "descriptor")
}


class Runtime:
    """The parts of the protobuf package that are used."""

    def __init__(self) -> None:
        """raises  ExternalError if the package is not installed"""
        try:
            self.descriptors: Any = importlib.import_module("google.protobuf.descriptor_pb2")
            self.pools: Any = importlib.import_module("google.protobuf.descriptor_pool")
            self.factory: Any = importlib.import_module("google.protobuf.message_factory")
            self.decode_error: Any = importlib.import_module("google.protobuf.message").DecodeError
        except ImportError as error:
            raise missing_extra("PROTOBUF", "protobuf", "protobuf") from error
        kinds = self.descriptors.FieldDescriptorProto
        self.type_numbers = {name: getattr(kinds, f"TYPE_{name.upper()}") for name in SCALARS}
        self.type_names = {number: name for name, number in self.type_numbers.items()}

    @staticmethod
    @functools.cache
    def get() -> Runtime:
        """The one runtime."""
        return Runtime()


def message_class(file: ProtoFile, imported: Mapping[str, ProtoFile], full_name: str) -> Any:
    """The class of a message.

    imported  the files that the schema refers to, by the names it imports them under
    raises    PlanError if a type or an import is unknown, or Protobuf does not allow what is declared
    """
    runtime = Runtime.get()
    pool = runtime.pools.DescriptorPool()
    added: dict[str, ProtoFile | None] = {}

    def add(name: str) -> None:
        if name in added:
            return
        added[name] = None
        if name in _PACKAGED:
            packaged = runtime.descriptors.FileDescriptorProto()
            importlib.import_module(_PACKAGED[name]).DESCRIPTOR.CopyToProto(packaged)
            for inner in packaged.dependency:
                add(inner)
            pool.Add(packaged)
            return
        found = imported.get(name)
        if found is None:
            if name not in BUILT_IN:
                raise PlanError(
                    f"the .proto schema imports {name}, which is not registered",
                    code="PLAN-SCHEMA",
                    hint=f"register {name}, and what imports it again with a reference of that name",
                )
            found = parse_proto(BUILT_IN[name])
        for inner in found.imports:
            add(inner)
        added[name] = found
        pool.Add(_described(found, name, _known(added)))

    try:
        for name in file.imports:
            add(name)
        pool.Add(_described(file, "schema.proto", _known({**added, "": file})))
        return runtime.factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
    except (TypeError, KeyError, ValueError) as error:
        raise PlanError(f"the .proto schema is not valid: {error}", code="PLAN-SCHEMA") from error


def _known(files: Mapping[str, ProtoFile | None]) -> Messages:
    """What the files declare; of the packaged ones, the messages by their names alone."""
    declared = messages_in([file for file in files.values() if file is not None])
    messages = dict(declared.messages)
    for name in files:
        if name in _PACKAGED:
            for message in importlib.import_module(_PACKAGED[name]).DESCRIPTOR.message_types_by_name.values():
                messages[message.full_name] = ProtoMessage(message.name)
    return Messages(messages, declared.enums)


def _described(file: ProtoFile, name: str, known: Messages) -> Any:
    """A file as the runtime's description of it."""
    target = Runtime.get().descriptors.FileDescriptorProto(
        name=name, package=file.package, dependency=file.imports, syntax=file.syntax
    )
    for enum in file.enums:
        _describe_enum(target.enum_type.add(), enum)
    for message in file.messages:
        scope = f"{file.package}.{message.name}" if file.package else message.name
        _describe_message(target.message_type.add(), message, scope, known, file.syntax)
    return target


def _describe_enum(target: Any, enum: ProtoEnum) -> None:
    target.name = enum.name
    for name, number in enum.values:
        target.value.add(name=name, number=number)
    if len({number for _, number in enum.values}) < len(enum.values):
        target.options.allow_alias = True


def _describe_message(target: Any, message: ProtoMessage, scope: str, known: Messages, syntax: str) -> None:
    target.name = message.name
    for enum in message.enums:
        _describe_enum(target.enum_type.add(), enum)
    for inner in message.messages:
        _describe_message(target.nested_type.add(), inner, f"{scope}.{inner.name}", known, syntax)
    for oneof in dict.fromkeys(f.oneof for f in message.fields if f.oneof):
        target.oneof_decl.add(name=oneof)
    oneofs: Sequence[str] = [o.name for o in target.oneof_decl]
    for field in message.fields:
        described = target.field.add(name=field.name, number=field.number)
        if field.map_key is not None:
            _describe_map(target, described, field, scope, known)
            continue
        _set_type(described, field.type, scope, known)
        described.label = getattr(described, f"LABEL_{(field.label or 'optional').upper()}")
        if field.oneof:
            described.oneof_index = oneofs.index(field.oneof)
    # After the real oneofs, as protoc has it: proto3's optional is a oneof of its own.
    for field, described in zip(message.fields, target.field, strict=True):
        if field.label == "optional" and syntax == "proto3":
            described.proto3_optional = True
            described.oneof_index = len(target.oneof_decl)
            target.oneof_decl.add(name=f"_{field.name}")


def _describe_map(target: Any, described: Any, field: ProtoField, scope: str, known: Messages) -> None:
    """A map is a repeated message of key and value."""
    words = field.name.split("_")
    name = "".join(word[:1].upper() + word[1:] for word in words) + "Entry"
    entry = target.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (part, kind) in enumerate((("key", field.map_key or "string"), ("value", field.type)), 1):
        inner = entry.field.add(name=part, number=number, label=described.LABEL_OPTIONAL)
        _set_type(inner, kind, scope, known)
    described.label = described.LABEL_REPEATED
    described.type = described.TYPE_MESSAGE
    described.type_name = f".{scope}.{name}"


def _set_type(described: Any, kind: str, scope: str, known: Messages) -> None:
    numbers = Runtime.get().type_numbers
    if kind in numbers:
        described.type = numbers[kind]
        return
    full = known.resolve(kind, scope)
    if full is None or (full not in known.messages and full not in known.enums):
        raise PlanError(f"the .proto schema has no type {kind}", code="PLAN-SCHEMA")
    described.type = described.TYPE_ENUM if full in known.enums else described.TYPE_MESSAGE
    described.type_name = f".{full}"


def is_map(field: Any) -> bool:
    """Whether a field's description is a map's."""
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def kind_of(field: Any) -> str:
    """A field's type as messages call it."""
    if field.message_type is not None:
        return f"message {field.message_type.full_name}"
    return "an enum" if field.enum_type is not None else Runtime.get().type_names[field.type]

"""Protobuf schemas: what a layout's columns are in proto3, and what columns a message has.

Written: message ConnectDefault1, or the layout's SCHEMA_FULL_NAME; the messages of STRUCTs are inside
of it, ConnectDefault2 and so on in order:

    BOOLEAN bool · INTEGER int32 · BIGINT int64 · DOUBLE double · VARCHAR string · BYTES bytes
    DECIMAL confluent.type.Decimal · DATE google.type.Date · TIME google.type.TimeOfDay
    TIMESTAMP google.protobuf.Timestamp · ARRAY repeated · MAP map<string, T> · STRUCT message

A scalar has no null in proto3: NULL is read back as 0, "" or false, unless NULLABLE_REPRESENTATION is
OPTIONAL (proto3 optional) or WRAPPER (google.protobuf.Int32Value and its kin).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamsql.errors import PlanError
from streamsql.formats.format import Layout
from streamsql.formats.proto_text import SCALARS, ProtoField, ProtoFile, ProtoMessage
from streamsql.formats.registered import NAME_COLUMNS, spelt
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

DECIMAL_MESSAGE = "confluent.type.Decimal"
DATE_MESSAGE = "google.type.Date"
TIME_MESSAGE = "google.type.TimeOfDay"
TIMESTAMP_MESSAGE = "google.protobuf.Timestamp"

_SCALARS: dict[SqlType, str] = {
    BOOLEAN: "bool",
    INTEGER: "int32",
    BIGINT: "int64",
    DOUBLE: "double",
    VARCHAR: "string",
    BYTES: "bytes",
}
WRAPPERS = {
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
    "google.protobuf.FloatValue": "float",
    "google.protobuf.DoubleValue": "double",
    "google.protobuf.StringValue": "string",
    "google.protobuf.BytesValue": "bytes",
}
_WRAPPER_OF = {scalar: message for message, scalar in WRAPPERS.items()}
_LOGICAL: dict[SqlType, tuple[str, str]] = {
    DATE: (DATE_MESSAGE, "google/type/date.proto"),
    TIME: (TIME_MESSAGE, "google/type/timeofday.proto"),
    TIMESTAMP: (TIMESTAMP_MESSAGE, "google/protobuf/timestamp.proto"),
}
LOGICAL_MESSAGES: dict[str, SqlType] = {message: t for t, (message, _) in _LOGICAL.items()}
_READ: dict[str, SqlType] = {
    **dict.fromkeys(("int32", "sint32", "sfixed32"), INTEGER),
    **dict.fromkeys(("uint32", "fixed32", "int64", "sint64", "uint64", "fixed64", "sfixed64"), BIGINT),
    **dict.fromkeys(("float", "double"), DOUBLE),
    "bool": BOOLEAN,
    "string": VARCHAR,
    "bytes": BYTES,
}
# Messages that hold values of any type: SQL has none for them.
_UNTYPED = {
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
    "google.protobuf.Any",
}

BUILT_IN = {
    "google/type/date.proto": """syntax = "proto3"; package google.type;
        message Date { int32 year = 1; int32 month = 2; int32 day = 3; }""",
    "google/type/timeofday.proto": """syntax = "proto3"; package google.type;
        message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }""",
    "confluent/type/decimal.proto": """syntax = "proto3"; package confluent.type;
        message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }""",
    "confluent/meta.proto": """syntax = "proto3"; package confluent;
        message Meta { string doc = 1; map<string, string> params = 2; }""",
}
"""Files that schemas import and that the protobuf package does not bring along."""


def schema_of(layout: Layout) -> ProtoFile:
    """The file with the message that a layout's columns are written as.

    raises  PlanError for a type that has no like in Protobuf, or a name it forbids
    """
    full_name = layout.properties.get("SCHEMA_FULL_NAME", "ConnectDefault1")
    package, _, name = full_name.rpartition(".")
    representation = layout.properties.get("NULLABLE_REPRESENTATION", "").upper()
    if representation not in ("", "OPTIONAL", "WRAPPER"):
        side = "KEY" if layout.is_key else "VALUE"
        raise PlanError(
            f"{side}_PROTOBUF_NULLABLE_REPRESENTATION is OPTIONAL or WRAPPER, not '{representation}'",
            code="PLAN-FORMAT-PROPERTY",
        )
    writer = _Writer(representation)
    message = writer.message(name, [(c.name, c.type) for c in layout.columns])
    return ProtoFile("proto3", package, sorted(writer.imports), [message])


class _Writer:
    def __init__(self, representation: str) -> None:
        self._representation = representation
        self._count = 1
        self.imports: set[str] = set()

    def message(self, name: str, fields: Sequence[tuple[str, SqlType]]) -> ProtoMessage:
        message = ProtoMessage(_checked(name))
        for number, (field, t) in enumerate(fields, 1):
            message.fields.append(self._field(message, _checked(field), number, t))
        return message

    def _field(self, message: ProtoMessage, name: str, number: int, t: SqlType) -> ProtoField:
        match t:
            case Array(element):
                kind, digits = self._inner(message, name, element)
                return ProtoField(name, number, kind, "repeated", digits=digits)
            case Map(_, item):
                kind, digits = self._inner(message, name, item)
                return ProtoField(name, number, kind, map_key="string", digits=digits)
        kind, digits = self._type(message, t)
        if kind in SCALARS and self._representation == "WRAPPER":
            self.imports.add("google/protobuf/wrappers.proto")
            return ProtoField(name, number, _WRAPPER_OF[kind])
        label = "optional" if kind in SCALARS and self._representation == "OPTIONAL" else ""
        return ProtoField(name, number, kind, label, digits=digits)

    def _inner(self, message: ProtoMessage, name: str, t: SqlType) -> tuple[str, tuple[int, int] | None]:
        if isinstance(t, (Array, Map)):
            raise PlanError(
                f"Protobuf has no arrays or maps inside of arrays and maps, which column {name} has",
                code="PLAN-FORMAT-TYPE",
                hint="put a STRUCT in between",
            )
        return self._type(message, t)

    def _type(self, message: ProtoMessage, t: SqlType) -> tuple[str, tuple[int, int] | None]:
        match t:
            case Struct(fields):
                self._count += 1
                inner = self.message(f"ConnectDefault{self._count}", fields)
                message.messages.append(inner)
                return inner.name, None
            case Decimal(precision, scale):
                self.imports |= {"confluent/meta.proto", "confluent/type/decimal.proto"}
                return DECIMAL_MESSAGE, (precision, scale)
        if t in _LOGICAL:
            kind, file = _LOGICAL[t]
            self.imports.add(file)
            return kind, None
        return _SCALARS[t], None


def _checked(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise PlanError(
            f"`{name}` is no name in Protobuf: letters, digits and _ only, and no digit first",
            code="PLAN-FORMAT-NAME",
        )
    return name


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages and enums of a file and of those it imports, by full name."""

    messages: dict[str, ProtoMessage]
    enums: frozenset[str]

    def resolve(self, name: str, scope: str) -> str | None:
        """The full name of what `name` means inside of the message or package `scope`."""
        if name.startswith("."):
            return name[1:]
        while True:
            full = f"{scope}.{name}" if scope else name
            if full in self.messages or full in self.enums:
                return full
            if not scope:
                return None
            scope = scope.rpartition(".")[0]


def messages_in(files: Sequence[ProtoFile]) -> Messages:
    messages: dict[str, ProtoMessage] = {}
    enums: set[str] = set()

    def visit(inside: ProtoFile | ProtoMessage, scope: str) -> None:
        prefix = f"{scope}." if scope else ""
        enums.update(prefix + e.name for e in inside.enums)
        for message in inside.messages:
            messages[prefix + message.name] = message
            visit(message, prefix + message.name)

    for file in files:
        visit(file, file.package)
    return Messages(messages, frozenset(enums))


def find_message(file: ProtoFile, full_name: str | None) -> tuple[str, tuple[int, ...]]:
    """(full name, message indexes) of the named message, or of the file's first.

    raises  PlanError if there is no such message
    """
    for full, path in _paths(file):
        if full_name is None or full_name in (full, full.removeprefix(f"{file.package}.")):
            return full, path
    what = f"message {full_name}" if full_name else "a message"
    raise PlanError(f"the registered schema does not have {what}", code="PLAN-SCHEMA-NAME")


def message_at(file: ProtoFile, path: Sequence[int]) -> str:
    """The full name of the message that message indexes lead to.

    raises  ValueError if there is none
    """
    for full, found in _paths(file):
        if found == tuple(path):
            return full
    raise ValueError(f"the schema has no message number {'.'.join(map(str, path))}")


def _paths(file: ProtoFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    def visit(
        inside: ProtoFile | ProtoMessage, scope: str, path: tuple[int, ...]
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        for i, message in enumerate(inside.messages):
            full = f"{scope}.{message.name}" if scope else message.name
            yield full, (*path, i)
            yield from visit(message, full, (*path, i))

    # The messages at the top first: the first of them is the default.
    found = list(visit(file, file.package, ()))
    return iter(sorted(found, key=lambda entry: len(entry[1])))


def columns_of(known: Messages, full_name: str, layout: Layout) -> tuple[Column, ...]:
    """The columns of a message; fields whose type SQL has none for are left out.

    raises  PlanError for a message that holds itself
    """
    return tuple(Column(name, t) for name, t in _fields(known, full_name, layout, ()))


def _fields(
    known: Messages, full_name: str, layout: Layout, outer: tuple[str, ...]
) -> list[tuple[str, SqlType]]:
    if full_name in outer:
        raise PlanError(
            f"the schema's message {full_name} holds itself: SQL has no such type",
            code="PLAN-SCHEMA-RECURSIVE",
            hint=NAME_COLUMNS,
        )
    found: list[tuple[str, SqlType]] = []
    for field in known.messages[full_name].fields:
        t = _field_type(known, full_name, field, layout, (*outer, full_name))
        if t is not None:
            found.append((spelt(field.name, layout), t))
    return found


def _field_type(
    known: Messages, scope: str, field: ProtoField, layout: Layout, outer: tuple[str, ...]
) -> SqlType | None:
    t = _single_type(known, scope, field, layout, outer)
    if t is None:
        return None
    if field.map_key is not None:
        return Map(VARCHAR, t)
    return Array(t) if field.label == "repeated" else t


def _single_type(
    known: Messages, scope: str, field: ProtoField, layout: Layout, outer: tuple[str, ...]
) -> SqlType | None:
    if field.type in SCALARS:
        return _READ[field.type]
    full = known.resolve(field.type, scope) or field.type.lstrip(".")
    if full in known.enums:
        return VARCHAR
    if full in WRAPPERS:
        return _READ[WRAPPERS[full]]
    if full in LOGICAL_MESSAGES:
        return LOGICAL_MESSAGES[full]
    if full == DECIMAL_MESSAGE:
        return Decimal(*(field.digits or (38, 9)))
    if full in _UNTYPED or full not in known.messages:
        return None
    fields = _fields(known, full, layout, outer)
    return Struct(tuple(fields)) if fields else None

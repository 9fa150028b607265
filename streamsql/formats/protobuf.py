"""PROTOBUF and PROTOBUF_NOSR: Protobuf messages, behind the registry's frame or bare.

The frame names the schema and then, as varints in zigzag, where in its file the message stands: how
many indexes, and each of them; a single zero byte is the first message. PROTOBUF_NOSR has no frame:
its schema is derived from the columns on both sides. A payload is always a message, of a key too.

Reading follows the schema that a record was written with; names match exactly or in any case. The
protobuf package reads and writes one message at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Vector
from streamsql.errors import PlanError
from streamsql.formats.arrays import valid_mask
from streamsql.formats.checks import refuse_properties, require_columns, require_text_keys, wanted_columns
from streamsql.formats.format import Format, Layout
from streamsql.formats.proto_text import ProtoFile, parse_proto, print_proto
from streamsql.formats.protobuf_read import open_message
from streamsql.formats.protobuf_runtime import Runtime, message_class
from streamsql.formats.protobuf_schema import columns_of, find_message, message_at, messages_in, schema_of
from streamsql.formats.protobuf_write import open_writer
from streamsql.formats.reasons import Reasons
from streamsql.formats.registered import (
    FramedDecoder,
    ReadRecord,
    frame,
    gather,
    raw_values,
    registered_schema,
    schema_id_of,
    schema_to_write,
    schemas_of,
    subject,
    write_all,
)
from streamsql.schema import Column


class ProtobufEncoder:
    """prefix  what stands before the message's bytes"""

    def __init__(self, message: Any, columns: Sequence[Column], prefix: bytes) -> None:
        self._columns = columns
        self._prefix = prefix
        self._write = open_writer(message, columns)

    def encode(self, columns: Sequence[Vector], absent: pa.BooleanArray | None = None) -> Vector:
        values = [raw_values(a, c.type) for a, c in zip(columns, self._columns, strict=True)]
        rows = list(zip(*values, strict=True))
        return write_all(len(rows), absent, lambda row: self._prefix + self._write(rows[row]))


# Frames.


def message_indexes(path: Sequence[int]) -> bytes:
    """Where a message stands in its file, as the frame has it.

    >>> message_indexes([0]), message_indexes([1]), message_indexes([2, 0])
    (b'\\x00', b'\\x02\\x02', b'\\x04\\x04\\x00')
    """
    if list(path) == [0]:
        return b"\0"
    return b"".join(_varint(number << 1) for number in (len(path), *path))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def read_message_indexes(body: bytes) -> tuple[tuple[int, ...], int]:
    """The indexes at the start of a body, and where the message begins.

    raises  ValueError if the body ends among them
    """
    count, at = _read_varint(body, 0)
    if count == 0:
        return (0,), at
    path: list[int] = []
    for _ in range(count):
        index, at = _read_varint(body, at)
        path.append(index)
    return tuple(path), at


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while at < len(body) and shift < 35:
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number >> 1, at
    raise ValueError("the indexes of the message before the record do not read")


def files_of(text: str, references: Mapping[str, str]) -> tuple[ProtoFile, dict[str, ProtoFile]]:
    """A schema and, by name, the schemas that it refers to."""
    return parse_proto(text), {name: parse_proto(inner) for name, inner in references.items()}


def open_framed(text: str, references: Mapping[str, str], columns: Sequence[Column]) -> ReadRecord:
    """How framed records of a schema are read, message indexes first."""
    file, imported = files_of(text, references)
    readers: dict[tuple[int, ...], ReadRecord] = {}

    def read(body: bytes) -> Sequence[Any]:
        path, at = read_message_indexes(body)
        reader = readers.get(path)
        if reader is None:
            message = message_class(file, imported, message_at(file, path))
            reader = readers[path] = open_message(message, columns)
        return reader(body[at:])

    return read


class ProtobufFormat(Format):
    name = "PROTOBUF"
    can_infer = True
    can_wrap = True
    properties = frozenset({"SCHEMA_ID", "SCHEMA_FULL_NAME", "NULLABLE_REPRESENTATION"})

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        Runtime.get()
        if not layout.is_key:
            require_columns(self.name, layout)
        require_text_keys(self.name, layout)
        if layout.columns and schema_id_of(layout) is None:
            schema_of(layout)

    def infer(self, layout: Layout) -> tuple[Column, ...] | None:
        found = registered_schema(layout, "PROTOBUF")
        if found is None:
            return None
        file, imported = files_of(found[1], schemas_of(layout).references(found[0]))
        full_name, _ = find_message(file, layout.properties.get("SCHEMA_FULL_NAME"))
        try:
            # What cannot be made a message of now could not be read later either.
            message_class(file, imported, full_name)
        except PlanError as error:
            raise PlanError(
                f"schema {found[0]}, registered for {subject(layout)}, cannot be used: {error.message}",
                code=error.code,
                hint=error.hint,
            ) from error
        return columns_of(messages_in([file, *imported.values()]), full_name, layout)

    def register(self, layout: Layout) -> None:
        if layout.columns:
            _schema(layout)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        store = schemas_of(layout)

        def open_one(schema_id: int) -> ReadRecord:
            found = store.by_id(schema_id)
            if found is None or found[1] != "PROTOBUF":
                raise ValueError(f"no Protobuf schema with id {schema_id} is registered")
            try:
                return open_framed(found[0], store.references(schema_id), columns)
            except PlanError as error:
                raise ValueError(error.message) from error

        return FramedDecoder(columns, open_one)

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        schema_id, text = _schema(layout)
        file, imported = files_of(text, schemas_of(layout).references(schema_id))
        full_name, path = find_message(file, layout.properties.get("SCHEMA_FULL_NAME"))
        message = message_class(file, imported, full_name)
        return ProtobufEncoder(message, layout.columns, frame(schema_id) + message_indexes(path))


def _schema(layout: Layout) -> tuple[int, str]:
    return schema_to_write(layout, "PROTOBUF", _text)


def _text(layout: Layout) -> str:
    return print_proto(schema_of(layout))


class _BareDecoder:
    """Reads messages that stand without a frame."""

    def __init__(self, columns: Sequence[Column], read: ReadRecord) -> None:
        self._columns = columns
        self._read = read

    def decode(self, payloads: Vector) -> Decoded:
        rows = np.flatnonzero(valid_mask(payloads))
        chosen = payloads if len(rows) == len(payloads) else payloads.take(pa.array(rows))

        def records() -> Iterator[tuple[int, Sequence[Any] | str]]:
            for row, payload in zip(rows.tolist(), chosen.to_pylist(), strict=True):
                try:
                    yield row, self._read(payload)
                except ValueError as error:
                    yield row, str(error)

        return gather(self._columns, records(), Reasons(len(payloads)))


class BareProtobufFormat(Format):
    name = "PROTOBUF_NOSR"
    can_wrap = True
    properties = frozenset({"NULLABLE_REPRESENTATION"})

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        Runtime.get()
        if not layout.is_key:
            require_columns(self.name, layout)
        require_text_keys(self.name, layout)
        schema_of(layout)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        return _BareDecoder(columns, open_message(_derived(layout), columns))

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return ProtobufEncoder(_derived(layout), layout.columns, b"")


def _derived(layout: Layout) -> Any:
    file = schema_of(layout)
    return message_class(file, {}, find_message(file, None)[0])


PROTOBUF = ProtobufFormat()
PROTOBUF_NOSR = BareProtobufFormat()

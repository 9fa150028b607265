"""AVRO: Avro's binary encoding behind the registry's frame; the schemas are told in `avro_schema`.

Reading follows the schema a record was written with, found by the id in its frame: fields are matched
by name, exactly or in any case, missing ones are null; int, long and float widen, numbers and enums
are read as VARCHAR too; a union of null and one type is that type. fastavro reads and writes one
record at a time; it is given the schemas without logical types, so that dates and decimals pass as
the numbers they are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from streamsql.engine.codec import Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Vector
from streamsql.formats.avro_read import open_reader
from streamsql.formats.avro_schema import columns_of, schema_of
from streamsql.formats.avro_values import UNREADABLE, AvroSchema, fastavro_package
from streamsql.formats.avro_write import record_writer, value_writer
from streamsql.formats.checks import (
    is_record,
    refuse_properties,
    require_columns,
    require_text_keys,
    wanted_columns,
)
from streamsql.formats.format import Format, Layout
from streamsql.formats.registered import (
    Convert,
    FramedDecoder,
    ReadRecord,
    frame,
    inferred,
    raw_values,
    schema_id_of,
    schema_to_write,
    schemas_of,
    unwritable,
    write_all,
)
from streamsql.formats.scalars import Mismatch
from streamsql.schema import Column


class AvroEncoder:
    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._is_record = is_record(layout)
        schema_id, text = _schema(layout)
        self._frame = frame(schema_id)
        self._schema = AvroSchema(text)
        self._write = fastavro_package().schemaless_writer
        if self._is_record:
            fields = [(c.name, c.type) for c in layout.columns]
            self._record = record_writer(self._schema, self._schema.root, fields)
        else:
            self._value = value_writer(self._schema, self._schema.root, layout.columns[0].type)

    def encode(self, columns: Sequence[Vector], absent: pa.BooleanArray | None = None) -> Vector:
        values = [raw_values(a, c.type) for a, c in zip(columns, self._columns, strict=True)]
        if self._is_record:
            records = list(zip(*values, strict=True))
            return write_all(len(records), absent, lambda row: self._bytes(self._record, records[row]))
        bare = values[0]
        return write_all(
            len(bare), absent, lambda row: None if bare[row] is None else self._bytes(self._value, bare[row])
        )

    def _bytes(self, convert: Convert, value: Any) -> bytes:
        target = io.BytesIO()
        target.write(self._frame)
        try:
            self._write(target, self._schema.parsed, convert(value))
        except Mismatch as mismatch:
            raise unwritable("Avro", mismatch) from None
        except UNREADABLE as error:
            raise unwritable("Avro", error) from error
        return target.getvalue()


def _schema(layout: Layout) -> tuple[int, str]:
    return schema_to_write(layout, "AVRO", _text)


def _text(layout: Layout) -> str:
    return json.dumps(schema_of(layout), ensure_ascii=False)


class AvroFormat(Format):
    name = "AVRO"
    can_infer = True
    can_wrap = True
    can_unwrap = True
    properties = frozenset({"SCHEMA_ID", "SCHEMA_FULL_NAME"})

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        fastavro_package()
        if not layout.is_key:
            require_columns(self.name, layout)
        require_text_keys(self.name, layout)
        if layout.columns and schema_id_of(layout) is None:
            schema_of(layout)

    def infer(self, layout: Layout) -> tuple[Column, ...] | None:
        return inferred(layout, "AVRO", columns_of)

    def register(self, layout: Layout) -> None:
        if layout.columns:
            _schema(layout)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        store = schemas_of(layout)
        as_record = is_record(layout)

        def open_one(schema_id: int) -> ReadRecord:
            found = store.by_id(schema_id)
            if found is None or found[1] != "AVRO":
                raise ValueError(f"no Avro schema with id {schema_id} is registered")
            return open_reader(found[0], columns, is_record=as_record)

        return FramedDecoder(columns, open_one)

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return AvroEncoder(layout)


AVRO = AvroFormat()

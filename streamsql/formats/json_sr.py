"""JSON_SR: JSON behind the registry's frame; the schemas are told in `json_schema`.

What is inside the frame is read and written as format JSON does: the text says what it is, so a
record's own schema is not asked. With a SCHEMA_ID the fields are written under the names and in the
order of that schema, null where no column has one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Vector, parts
from streamsql.formats.arrays import first_bytes, mask_of, null_where, nulls, pc, valid_mask
from streamsql.formats.checks import (
    is_record,
    refuse_properties,
    require_columns,
    require_text_keys,
    wanted_columns,
)
from streamsql.formats.format import Format, Layout
from streamsql.formats.json import JsonDecoder, JsonEncoder
from streamsql.formats.json_schema import columns_of, property_names, schema_of
from streamsql.formats.reasons import Reasons
from streamsql.formats.registered import (
    FRAME_BYTES,
    UNFRAMED,
    by_name,
    frame,
    inferred,
    schema_id_of,
    schema_to_write,
)
from streamsql.schema import Column
from streamsql.types import VARCHAR


class JsonSrDecoder:
    def __init__(self, json_decoder: JsonDecoder) -> None:
        self._json = json_decoder

    def decode(self, payloads: Vector) -> Decoded:
        present = valid_mask(payloads)
        lengths = np.diff(parts(payloads)[0])
        unframed = present & ((lengths < FRAME_BYTES) | (first_bytes(payloads) != 0))
        bodies = pc.binary_replace_slice(null_where(payloads, unframed), 0, FRAME_BYTES, b"")
        decoded = self._json.decode(bodies)
        if not unframed.any():
            return decoded
        reasons = Reasons(len(payloads))
        reasons.note(np.flatnonzero(unframed), UNFRAMED)
        reasons.note(decoded.bad, decoded.reasons)
        return reasons.decoded(decoded.columns)


class JsonSrEncoder:
    def __init__(self, layout: Layout, workspace: Workspace) -> None:
        schema_id, text = _schema(layout)
        self._frame = pa.scalar(frame(schema_id), pa.binary())
        columns = list(layout.columns)
        self._places: list[int | None] = list(range(len(columns)))
        if schema_id_of(layout) is not None and is_record(layout):
            columns, self._places = _in_schema_order(columns, property_names(json.loads(text)))
        self._json = JsonEncoder(columns, is_record=is_record(layout), workspace=workspace)

    def encode(self, columns: Sequence[Vector], absent: pa.BooleanArray | None = None) -> Vector:
        n = len(columns[0])
        ordered = [nulls(n, pa.string()) if i is None else columns[i] for i in self._places]
        texts = self._json.encode(ordered)
        framed = pc.binary_join_element_wise(self._frame, texts, pa.scalar(b"", pa.binary()))
        return framed if absent is None else null_where(framed, mask_of(absent.fill_null(False)))


def _in_schema_order(
    columns: Sequence[Column], names: Sequence[str]
) -> tuple[list[Column], list[int | None]]:
    """The schema's fields as columns, and where each one's values are; fields of no column are null."""
    given = [c.name for c in columns]
    ordered: list[Column] = []
    places: list[int | None] = []
    for name in names:
        found = by_name(given, name)
        place = None if found is None else given.index(found)
        places.append(place)
        ordered.append(Column(name, VARCHAR if place is None else columns[place].type))
    missing = [i for i in range(len(columns)) if i not in places]
    return ordered + [columns[i] for i in missing], [*places, *missing]


def _schema(layout: Layout) -> tuple[int, str]:
    return schema_to_write(layout, "JSON", _text)


def _text(layout: Layout) -> str:
    return json.dumps(schema_of(layout), ensure_ascii=False)


class JsonSrFormat(Format):
    name = "JSON_SR"
    can_infer = True
    can_wrap = True
    can_unwrap = True
    properties = frozenset({"SCHEMA_ID"})

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        if not layout.is_key:
            require_columns(self.name, layout)
        require_text_keys(self.name, layout)
        schema_id_of(layout)

    def infer(self, layout: Layout) -> tuple[Column, ...] | None:
        return inferred(layout, "JSON", columns_of)

    def register(self, layout: Layout) -> None:
        if layout.columns:
            _schema(layout)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        return JsonSrDecoder(JsonDecoder(columns, is_record=is_record(layout), workspace=workspace))

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return JsonSrEncoder(layout, workspace)


JSON_SR = JsonSrFormat()

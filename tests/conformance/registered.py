"""Values in the formats with schemas: AVRO, PROTOBUF, JSON_SR, and PROTOBUF_NOSR.

They are written and read here, independently of the engine's own codecs; what is shared with the engine
is how a .proto text becomes a message type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from streamsql.formats.format import Layout
from streamsql.formats.proto_text import parse_proto
from streamsql.formats.protobuf import message_indexes, read_message_indexes
from streamsql.formats.protobuf_schema import find_message, schema_of
from streamsql.formats.registry import EmbeddedRegistry
from tests.conformance import avro_values, protobuf_values, wire

_FRAME_BYTES = 5


def encode(name: str, spec: Any, subject: str, layout: Layout | None, schemas: EmbeddedRegistry) -> bytes:
    """A spec as a value of the latest schema of a subject, framed."""
    if name == "PROTOBUF_NOSR":
        assert layout is not None
        return protobuf_values.bare(spec, protobuf_values.class_of(schema_of(layout)))
    found = schemas.latest(subject)
    if found is None:
        raise LookupError(f"no schema is registered under {subject}")
    schema_id, text, _ = found
    frame = b"\0" + schema_id.to_bytes(4, "big")
    if name == "AVRO":
        return frame + avro_values.encode(spec, text)
    if name == "JSON_SR":
        return frame + wire.json_text(_renamed(spec, json.loads(text))).encode()
    wanted = None if layout is None else layout.properties.get("SCHEMA_FULL_NAME")
    full_name, path = find_message(parse_proto(text), wanted)
    data = protobuf_values.encode(spec, text, schemas.references(schema_id), full_name)
    return frame + message_indexes(path) + data


def decode(name: str, data: bytes, layout: Layout | None, schemas: EmbeddedRegistry) -> Any:
    """The value of bytes, by the schema they were written with."""
    if name == "PROTOBUF_NOSR":
        assert layout is not None
        return protobuf_values.read_bare(data, protobuf_values.class_of(schema_of(layout)))
    assert data[:1] == b"\0", data[:8]
    schema_id, body = int.from_bytes(data[1:_FRAME_BYTES], "big"), data[_FRAME_BYTES:]
    found = schemas.by_id(schema_id)
    assert found is not None, data[:8]
    if name == "AVRO":
        return avro_values.decode(body, found[0])
    if name == "JSON_SR":
        return json.loads(body, parse_float=Decimal)
    path, at = read_message_indexes(body)
    return protobuf_values.decode(body[at:], found[0], schemas.references(schema_id), path)


def _renamed(spec: Any, schema: Mapping[str, Any]) -> Any:
    """A spec with the names of the schema's properties; members it does not have are dropped."""
    branches = [s for s in schema.get("oneOf", ()) if s.get("type") != "null"]
    if branches:
        return _renamed(spec, branches[0])
    if isinstance(spec, list):
        return [_renamed(item, schema.get("items", {})) for item in spec]
    properties = schema.get("properties")
    if not isinstance(spec, dict) or not properties:
        return spec
    given = {k.upper(): v for k, v in spec.items()}
    return {name: _renamed(given.get(name.upper()), inner) for name, inner in properties.items()}

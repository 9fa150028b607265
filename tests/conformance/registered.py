"""Values in the formats that have registered schemas: AVRO, PROTOBUF, JSON_SR (and PROTOBUF_NOSR).

AVRO and JSON_SR are written and read here, independently of the engine's own code; the bytes of PROTOBUF
messages are the protobuf library's, with message types from the engine's reader of .proto texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from streamsql.formats.registry import EmbeddedRegistry
from tests.conformance import avro_values, wire

_MAGIC = b"\0"


def encode(name: str, spec: Any, subject: str, schemas: EmbeddedRegistry) -> bytes:
    """A spec as a value of the latest schema of a subject, framed."""
    found = schemas.latest(subject)
    if found is None:
        raise LookupError(f"no schema is registered under {subject}")
    schema_id, text, _ = found
    frame = _MAGIC + schema_id.to_bytes(4, "big")
    if name == "AVRO":
        return frame + avro_values.encode(spec, text)
    assert name == "JSON_SR", name
    return frame + wire.json_text(_renamed(spec, json.loads(text))).encode()


def decode(name: str, data: bytes, schemas: EmbeddedRegistry) -> Any:
    """The value of framed bytes, by the schema they were written with."""
    assert data[:1] == _MAGIC, data[:8]
    found = schemas.by_id(int.from_bytes(data[1:5], "big"))
    assert found is not None, data[:8]
    if name == "AVRO":
        return avro_values.decode(data[5:], found[0])
    assert name == "JSON_SR", name
    return json.loads(data[5:], parse_float=Decimal)


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

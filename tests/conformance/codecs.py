"""From the corpus's values to a topic's bytes and back, by the formats of the source declared on it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamsql import formats
from streamsql.catalog import SideFormat, SourceInfo
from streamsql.formats.format import Layout
from streamsql.formats.registry import EmbeddedRegistry, Reference
from streamsql.plan.sources import layout_of
from streamsql.schema import Column
from streamsql.types import SqlType, Struct
from tests.conformance import registered, wire
from tests.conformance.corpus import Record
from tests.conformance.records import Raw

REGISTERED = frozenset({"AVRO", "PROTOBUF", "JSON_SR", "PROTOBUF_NOSR"})

_KINDS = {"AVRO": "AVRO", "PROTOBUF": "PROTOBUF", "JSON_SR": "JSON", "JSON": "JSON"}


@dataclass(frozen=True, slots=True)
class Side:
    """One side, key or value, of a topic.

    type  of the decoded value: of the bare column, or of the record; None if nothing is declared
    """

    format: str
    columns: Sequence[Column]
    type: SqlType | None
    subject: str
    layout: Layout | None = None


def side_of(topic: str, info: SourceInfo | None, entry: Mapping[str, Any], *, is_key: bool) -> Side:
    """How one side of a topic is written.

    info   the source declared on the topic
    entry  of `topics`, used where there is no source
    """
    subject = f"{topic}-{'key' if is_key else 'value'}"
    if info is None:
        name = entry.get("keyFormat" if is_key else "valueFormat") or ("KAFKA" if is_key else "JSON")
        return Side(name.upper(), (), None, subject)
    layout = layout_of(info, is_key=is_key, schemas=None)
    side: SideFormat = info.key_format if is_key else info.value_format
    columns = layout.columns
    if len(columns) == 1 and not layout.is_wrapped:
        # A Protobuf message is always a record, even around one key.
        is_message = side.name.startswith("PROTOBUF")
        t = Struct(((columns[0].name, columns[0].type),)) if is_message else columns[0].type
        return Side(side.name, columns, t, subject, layout)
    return Side(side.name, columns, Struct(tuple((c.name, c.type) for c in columns)), subject, layout)


def encode_record(
    record: Record, info: SourceInfo | None, schemas: EmbeddedRegistry, entry: Mapping[str, Any]
) -> Raw:
    """A record of the corpus as bytes."""
    parts = []
    for is_key, spec in ((True, record.key), (False, record.value)):
        side = side_of(record.topic, info, entry, is_key=is_key)
        if side.format in REGISTERED and spec is not None:
            parts.append(registered.encode(side.format, spec, side.subject, side.layout, schemas))
        else:
            parts.append(wire.encode(side.format, spec, side.columns))
    headers = tuple(header_pairs(record.headers or ()))
    assert record.timestamp is not None
    return Raw(wire.windowed(parts[0], record.window), parts[1], record.timestamp, headers)


def decode(data: bytes | None, side: Side, schemas: EmbeddedRegistry) -> Any:
    """A key or a value as JSON-like Python."""
    if side.format in REGISTERED and data is not None:
        return registered.decode(side.format, data, side.layout, schemas)
    return wire.decode(side.format, data, side.columns)


def header_pairs(headers: Sequence[Mapping[str, Any]]) -> list[tuple[str, bytes | None]]:
    """Headers of the corpus as name and bytes."""
    return [(h["key"], None if h["value"] is None else base64.b64decode(h["value"])) for h in headers]


def register_numbered(topics: Sequence[Mapping[str, Any]], schemas: EmbeddedRegistry) -> None:
    """Register the schemas of topics that come with an id."""
    for topic in topics:
        for side in ("key", "value"):
            if f"{side}SchemaId" in topic:
                _register(topic, side, schemas)


def register_given(topic: Mapping[str, Any], schemas: EmbeddedRegistry) -> None:
    """Register the schemas of a topic that come without an id."""
    for side in ("key", "value"):
        if f"{side}Schema" in topic and f"{side}SchemaId" not in topic:
            _register(topic, side, schemas)


def _register(topic: Mapping[str, Any], side: str, schemas: EmbeddedRegistry) -> None:
    """What a schema refers to comes after it: statements count on the schema's own id."""
    kind = _KINDS[(topic.get(f"{side}Format") or "AVRO").upper()]
    others = topic.get(f"{side}SchemaReferences", ())
    references = [Reference(other["name"], other["name"], -1) for other in others]
    text = _text(topic[f"{side}Schema"], kind)
    schemas.register(f"{topic['name']}-{side}", text, kind, references, topic.get(f"{side}SchemaId"))
    for other in others:
        schemas.register(other["name"], _text(other["schema"], kind), kind)


def register_derived(info: SourceInfo, schemas: EmbeddedRegistry) -> None:
    """Register the schemas of a source's columns, where its topic has none."""
    for is_key in (True, False):
        side = info.key_format if is_key else info.value_format
        layout = layout_of(info, is_key=is_key, schemas=schemas)
        subject = f"{info.topic}-{'key' if is_key else 'value'}"
        found = formats.get(side.name)
        if found.can_infer and layout.columns and "SCHEMA_ID" not in side.properties:
            if schemas.latest(subject) is None:
                found.register(layout)


def _text(schema: Any, kind: str) -> str:
    return schema if kind == "PROTOBUF" else wire.json_text(schema)

"""PRINT: the records of a topic, as text that people read.

Payloads behind a registry's frame are shown as the JSON of what their own schema says, whether a stream is
declared on the topic or not; PROTOBUF_NOSR and numbers in KAFKA as the first stream or table on the topic
has them. Anything else is shown as the text it is, or else in hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from streamsql import formats
from streamsql.catalog import SourceInfo
from streamsql.engine.kernel import Workspace
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.log.reader import TopicReader
from streamsql.errors import StreamSQLError
from streamsql.formats.format import Layout, SchemaStore
from streamsql.formats.registered import FRAME_BYTES
from streamsql.grammar.names import quote_name
from streamsql.plan.sources import layout_of
from streamsql.plan.topics import unknown_topic
from streamsql.result import Changes, rows
from streamsql.schema import Column
from streamsql.types import BIGINT, INTEGER, VARCHAR

PRINTED = (
    Column("ROWTIME", VARCHAR),
    Column("PARTITION", INTEGER),
    Column("OFFSET", BIGINT),
    Column("KEY", VARCHAR),
    Column("VALUE", VARCHAR),
)
_FORMATS = {"AVRO": "AVRO", "PROTOBUF": "PROTOBUF", "JSON": "JSON_SR"}
"""Kind of a schema in the registry -> format of the payloads behind its id."""


def print_topic(
    log: Log,
    topic: str,
    sources: Sequence[SourceInfo],
    schemas: SchemaStore | None,
    *,
    from_beginning: bool,
    interval: int | None,
    limit: int | None,
) -> Iterator[Changes]:
    """The records that are in the topic.

    sources   the streams and tables on it
    interval  only every n-th record
    raises    PlanError if there is no such topic
    """
    if not log.has_topic(topic):
        raise unknown_topic(topic, log.topics())
    return _printed(log, topic, Payloads(topic, sources, schemas), from_beginning, interval or 1, limit)


def _printed(
    log: Log, topic: str, payloads: Payloads, from_beginning: bool, interval: int, limit: int | None
) -> Iterator[Changes]:
    start = {
        TopicPartition(topic, p): log.start_offset(topic, p) if from_beginning else log.end_offset(topic, p)
        for p in range(log.topic_config(topic).partitions)
    }
    reader = TopicReader(log, topic, start)
    seen = shown = 0
    while (batch := reader.poll(1024)) is not None:
        kept: list[tuple[Any, ...]] = []
        # PRINT is for people: one record at a time is what they read.
        for record in batch.to_pylist():
            seen += 1
            if (seen - 1) % interval:
                continue
            if limit is not None and shown >= limit:
                break
            shown += 1
            kept.append(
                (
                    moment(record["timestamp"]),
                    record["$partition"],
                    record["$offset"],
                    payloads.text(record["key"], is_key=True),
                    payloads.text(record["value"], is_key=False),
                )
            )
        yield Changes(next(iter(rows(PRINTED, kept))))
        if limit is not None and shown >= limit:
            return


def moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")


class Payloads:
    """Keys and values of one topic as text."""

    def __init__(self, topic: str, sources: Sequence[SourceInfo], schemas: SchemaStore | None) -> None:
        self._topic = topic
        self._source = sources[0] if sources else None
        self._schemas = schemas
        self._workspace: Workspace | None = None
        self._readers: dict[tuple[bool, int | None], _AsJson | None] = {}

    def text(self, payload: Any, *, is_key: bool) -> str | None:
        if payload is None:
            return None
        if isinstance(payload, dict):
            return ", ".join(f"{quote_name(name)}: {value}" for name, value in payload.items())
        reader = self._reader(payload, is_key)
        found = reader.text(payload) if reader else None
        if found is not None:
            return found
        try:
            text: str = payload.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        return text if text and (text.isprintable() or not set(text) - {"\n", "\t"}) else "0x" + payload.hex()

    def _reader(self, payload: bytes, is_key: bool) -> _AsJson | None:
        schema_id: int | None = None
        if self._declared(is_key) is None:
            if len(payload) < FRAME_BYTES or payload[0]:
                return None
            schema_id = int.from_bytes(payload[1:FRAME_BYTES], "big")
        place = (is_key, schema_id)
        if place not in self._readers:
            try:
                self._readers[place] = self._open(is_key, schema_id)
            except StreamSQLError:
                # A schema that is not to be had, or a package: then the bytes are shown.
                self._readers[place] = None
        return self._readers[place]

    def _declared(self, is_key: bool) -> tuple[str, Layout] | None:
        """Format and layout of what only the declaration says how to read."""
        if self._source is None:
            return None
        side = self._source.key_format if is_key else self._source.value_format
        columns = self._source.schema.key if is_key else self._source.schema.value
        is_number = side.name == "KAFKA" and len(columns) == 1 and columns[0].type != VARCHAR
        if not columns or not (is_number or side.name == "PROTOBUF_NOSR"):
            return None
        return side.name, layout_of(self._source, is_key=is_key, schemas=self._schemas)

    def _open(self, is_key: bool, schema_id: int | None) -> _AsJson | None:
        declared = self._declared(is_key)
        if declared is not None:
            name, layout = declared
        else:
            found = self._schemas.by_id(schema_id or 0) if self._schemas else None
            if found is None:
                return None
            name = _FORMATS[found[1]]
            properties = {"SCHEMA_ID": str(schema_id)}
            layout = Layout((), is_key, True, properties, self._topic, self._schemas)
            columns = formats.get(name).infer(layout) or ()
            layout = replace(layout, columns=columns, is_wrapped=[c.name for c in columns] != ["ROWVAL"])
        if self._workspace is None:
            self._workspace = Workspace()
        return _AsJson(name, layout, self._workspace)


class _AsJson:
    """Payloads of one format and layout, as JSON."""

    def __init__(self, name: str, layout: Layout, workspace: Workspace) -> None:
        names = [column.name for column in layout.columns]
        self._decoder = formats.get(name).decoder(layout, names, workspace)
        self._encoder = formats.get("JSON").encoder(replace(layout, properties={}), workspace)

    def text(self, payload: bytes) -> str | None:
        """None if the payload does not read."""
        decoded = self._decoder.decode(pa.array([payload], pa.binary()))
        if len(decoded.bad):
            return None
        (text,) = self._encoder.encode(decoded.columns).to_pylist()
        return "null" if text is None else str(text, "utf-8")

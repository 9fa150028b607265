"""From a stream or table in FROM to a source of the graph, with only the columns that are used."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from streamsql import formats
from streamsql.catalog import SideFormat, SourceInfo
from streamsql.engine.batch import HEADERS, OFFSET, PARTITION, TIME, WINDOW_END, WINDOW_START
from streamsql.engine.codec import OpenDecoder, OpenEncoder
from streamsql.engine.log.wanted import Wanted
from streamsql.engine.operators.source import EventTime, Source
from streamsql.formats.format import Layout, SchemaStore
from streamsql.formats.payloads import BytesOnly
from streamsql.plan.event_time import event_time
from streamsql.plan.scope import Scope, ScopeColumn, column_sql, physical
from streamsql.plan.stages import Output, StageBuilder
from streamsql.schema import Column
from streamsql.types import BIGINT, INTEGER, TIMESTAMP, duckdb_name, duckdb_string


@dataclass(frozen=True, slots=True)
class Needs:
    """What a query uses of a source.

    columns  names, or None for all of them
    """

    columns: frozenset[str] | None
    null_values: bool = False
    throw_on_bad_time: bool = False

    def uses(self, name: str) -> bool:
        return self.columns is None or name in self.columns


def build_source(info: SourceInfo, needs: Needs, schemas: SchemaStore | None) -> Source:
    """The source operator's settings."""
    timed = {info.timestamp.name} if info.timestamp else set()
    key = [c for c in info.schema.key if needs.uses(c.name) or c.name in timed]
    value = [c for c in info.schema.value if needs.uses(c.name) or c.name in timed]
    with_headers = any(needs.uses(c.name) for c in info.schema.headers)
    return Source(
        topic=info.topic,
        key=tuple(_field(c) for c in key),
        value=tuple(_field(c) for c in value),
        key_decoder=open_decoder(info, key, is_key=True, schemas=schemas) if key else None,
        value_decoder=open_decoder(info, value, is_key=False, schemas=schemas) if info.schema.value else None,
        is_table=info.is_table,
        windowed_key=info.window,
        keeps_null_values=needs.null_values and not info.is_table,
        with_offset=needs.columns is not None and "ROWOFFSET" in needs.columns,
        with_headers=with_headers,
        event_time=_event_time(info, throws=needs.throw_on_bad_time),
        wanted=Wanted(
            frozenset([*(c.name for c in key), *((WINDOW_START, WINDOW_END) if info.window else ())]),
            frozenset(c.name for c in value),
            with_headers,
        ),
        reads_as=_reads_as(info, value),
    )


def source_scope(info: SourceInfo, qualifier: str, alias: str | None = None) -> Scope:
    """The columns of a source by their own names, with the pseudo columns.

    alias  what the source's batch is called in the SQL, if it must be said
    """
    prefix = "" if alias is None else alias + "."
    columns = [
        ScopeColumn(
            c.name,
            prefix + column_sql(c.name),
            c.type,
            qualifier,
            c.name,
            is_key=info.schema.is_key(c.name),
        )
        for c in info.schema.key + info.schema.value
    ]
    columns += [
        ScopeColumn(c.name, header_sql(c, prefix), c.type, qualifier, c.name) for c in info.schema.headers
    ]
    pseudo = pseudo_columns(qualifier, is_windowed=info.window is not None)
    return Scope((*columns, *(replace(c, sql=prefix + c.sql) for c in pseudo)))


def pseudo_columns(qualifier: str | None, *, is_windowed: bool) -> Sequence[ScopeColumn]:
    """ROWTIME and its kin as they read in a source's batch."""
    found = [("ROWTIME", TIME, BIGINT), ("ROWPARTITION", PARTITION, INTEGER), ("ROWOFFSET", OFFSET, BIGINT)]
    if is_windowed:
        found += [("WINDOWSTART", WINDOW_START, BIGINT), ("WINDOWEND", WINDOW_END, BIGINT)]
    return [
        ScopeColumn(name, duckdb_name(meta), t, qualifier, name, is_hidden=True) for name, meta, t in found
    ]


def header_sql(column: Column, prefix: str = "") -> str:
    """A header column: all headers, or the last one of a name."""
    headers = prefix + duckdb_name(HEADERS)
    if not column.header:
        return headers
    name = duckdb_string(column.header)
    return f'list_extract(list_filter({headers}, lambda h: h."KEY" = {name}), -1)."VALUE"'


def open_decoder(
    info: SourceInfo, wanted: Collection[Column], *, is_key: bool, schemas: SchemaStore | None
) -> OpenDecoder:
    """How to open the decoder of one side of a source."""
    side = info.key_format if is_key else info.value_format
    layout = layout_of(info, is_key=is_key, schemas=schemas)
    names = [c.name for c in wanted]
    chosen = formats.get(side.name)
    if chosen.is_typed:
        return lambda workspace: chosen.decoder(layout, names, workspace)
    columns = tuple(wanted)
    return lambda workspace: BytesOnly(chosen.decoder(layout, names, workspace), columns, chosen.name)


def open_encoder(info: SourceInfo, *, is_key: bool, schemas: SchemaStore | None) -> OpenEncoder:
    """How to open the encoder of one side of a source."""
    side = info.key_format if is_key else info.value_format
    layout = layout_of(info, is_key=is_key, schemas=schemas)
    return lambda workspace: formats.get(side.name).encoder(layout, workspace)


def _reads_as(info: SourceInfo, wanted: Collection[Column]) -> Hashable | None:
    """All that the decoding of values depends on; None where values are columns already."""
    side = info.value_format
    if formats.get(side.name).is_typed or not wanted:
        return None
    names = tuple(column.name for column in wanted)
    return info.topic, side.name, side.is_wrapped, tuple(side.properties.items()), info.schema.value, names


def layout_of(info: SourceInfo, *, is_key: bool, schemas: SchemaStore | None) -> Layout:
    """What a format needs to know of one side of a source."""
    side: SideFormat = info.key_format if is_key else info.value_format
    columns = info.schema.key if is_key else info.schema.value
    wrapped = side.is_wrapped if side.is_wrapped is not None else not is_key or len(columns) > 1
    return Layout(columns, is_key, wrapped, side.properties, info.topic, schemas)


def _field(column: Column) -> pa.Field[Any]:
    return pa.field(physical(column.name), column.type.arrow)


def _event_time(info: SourceInfo, *, throws: bool) -> EventTime | None:
    if info.timestamp is None:
        return None
    column = info.schema.find(info.timestamp.name)
    assert column is not None
    if column.type in (BIGINT, TIMESTAMP):
        return EventTime(physical(column.name), throws=throws)
    value = event_time(column, info.timestamp.pattern)
    builder = StageBuilder(pa.schema([_field(column)]))
    builder.project([Output("$time", value)])
    return EventTime(physical(column.name), builder.build(), throws)

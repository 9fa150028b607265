"""Persistent queries: CREATE .. AS SELECT and INSERT INTO .. SELECT, planned down to the sink."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from streamsql import formats
from streamsql.catalog import TABLE, SideFormat, SourceInfo
from streamsql.engine.batch import NULL_VALUE, PARTITION, SEQ, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.codec import OpenEncoder
from streamsql.engine.graph import Graph
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.sink import Sink
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.operators.upserts import Upserts
from streamsql.errors import PlanError
from streamsql.formats.format import Layout
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled, coerce
from streamsql.plan.create import (
    check_columns,
    check_formats,
    check_retention,
    check_source_name,
    default_formats,
    timestamp_column,
)
from streamsql.plan.environment import Environment
from streamsql.plan.event_time import event_time
from streamsql.plan.flow import PlannedSelect
from streamsql.plan.properties import (
    COMMON,
    OF_INSERT,
    Properties,
    read_properties,
    side_formats,
    with_wrapping,
)
from streamsql.plan.scope import at, column_sql, key_place, physical, result_place
from streamsql.plan.select import SelectPlanner
from streamsql.plan.sources import layout_of, open_encoder
from streamsql.plan.stages import Output, StageBuilder
from streamsql.plan.table_changes import emit_every_change
from streamsql.plan.unused import drop_unused_columns
from streamsql.schema import Column
from streamsql.types import BIGINT, duckdb_name, widens


@dataclass(frozen=True, slots=True)
class PersistentPlan:
    """A query that can run.

    sink        the stream or table it writes, as the catalog will have it
    view        the node whose snapshot is the table's content; None for a stream, and for a table that
                only its topic knows
    partitions, retention_ms  of the sink's topic, if it has to be created
    reads       names of the sources, left-most first
    """

    graph: Graph
    sink: SourceInfo
    view: int | None
    reads: tuple[str, ...]
    partitions: int
    retention_ms: int | None
    is_compacted: bool


def plan_create_as(
    statement: ast.CreateAsSelect,
    env: Environment,
    partitions_of_topic: dict[str, int],
    *,
    is_new: bool = True,
) -> PersistentPlan:
    """CREATE STREAM/TABLE name AS SELECT.

    partitions_of_topic  of the topics that exist
    is_new               False: it was accepted before, and its topic may have been made anew since
    raises               PlanError, NotSupportedError
    """
    select = SelectPlanner(env, is_persistent=True).plan(statement.query)
    if select.kind != statement.kind:
        raise at(
            place_of(statement.kind),
            f"the result of this SELECT is a {select.kind}, not a {statement.kind}",
            "PLAN-RESULT-KIND",
            f"CREATE {select.kind} {quote_name(statement.name)} AS ..",
        )
    check_source_name(statement.name)
    properties = read_properties(statement.properties, COMMON, statement.name)
    left = env.catalog.source(select.sources[0])
    key_format, value_format = _sink_formats(properties, select, left, env)
    schema = select.schema
    prefix = env.config.text("ksql.output.topic.name.prefix")
    topic = properties.get("KAFKA_TOPIC") or f"{prefix}{statement.name}"
    wrap = env.config.text("ksql.persistence.wrap.single.values")
    sink = SourceInfo(
        str(statement.kind),
        str(statement.name),
        schema,
        topic,
        key_format,
        with_wrapping(properties, value_format, len(schema.value), wrap),
        timestamp=timestamp_column(properties, schema),
        window=select.window,
        sql=to_sql(statement),
    )
    places = {c.name: c.span for c in select.columns if c.span is not None}
    result = result_place(statement.query)
    keys = dict.fromkeys(select.key, key_place(statement.query))
    check_columns(sink, result, keys)
    check_formats(sink, env, replace(properties, span=result), places)
    if is_new:
        _check_given_schemas(sink, env, properties)
    asked = properties.number("PARTITIONS", 1)
    partitions = partitions_of_topic.get(topic) or asked or partitions_of_topic.get(left.topic, 1)
    if asked is not None and asked != partitions and is_new:
        raise properties.error(
            "PARTITIONS", f"topic {topic} exists: it has PARTITIONS {partitions}, not {asked}"
        )
    retention = properties.number("RETENTION_MS", 0)
    check_retention(sink, retention, properties)
    if sink.window and select.retention_ms is not None:
        retention = max(retention or 0, select.retention_ms)
    return _with_sink(select, sink, env, partitions, retention)


def plan_insert_select(
    statement: ast.InsertSelect, env: Environment, partitions_of_topic: dict[str, int]
) -> PersistentPlan:
    """INSERT INTO stream SELECT."""
    read_properties(statement.properties, OF_INSERT, statement.target)
    sink, target = env.catalog.source(statement.target), place_of(statement.target)
    if sink.is_table:
        raise at(target, f"INSERT INTO .. SELECT writes to streams, not to {sink.title}", "PLAN-INSERT")
    if sink.is_source:
        raise at(target, f"{sink.title} is read-only", "PLAN-READ-ONLY")
    if sink.schema.headers:
        raise at(target, f"{sink.title} has HEADERS columns: nothing can be inserted", "PLAN-INSERT")
    select = SelectPlanner(env, is_persistent=True).plan(statement.query)
    if select.kind == TABLE:
        raise at(
            place_of(statement.query),
            "the result of this SELECT is a TABLE: it cannot go into a stream",
            "PLAN-RESULT-KIND",
        )
    select = _fit(select, sink, statement.query)
    return _with_sink(select, sink, env, partitions_of_topic.get(sink.topic, 1), None)


def _check_given_schemas(sink: SourceInfo, env: Environment, properties: Properties) -> None:
    """The schema of a *_SCHEMA_ID is written as it is: the result's columns must be its first ones.

    raises  PlanError PLAN-SCHEMA-ID
    """
    for is_key in (True, False):
        side = sink.key_format if is_key else sink.value_format
        columns = sink.schema.key if is_key else sink.schema.value
        layout = layout_of(sink, is_key=is_key, schemas=env.schemas)
        if "SCHEMA_ID" not in side.properties or (is_key and len(columns) == 1):
            continue
        given = formats.get(side.name).infer(layout) or ()
        for mine, theirs in zip_longest(columns, given[: len(columns)]):
            if theirs is None or mine.name != theirs.name or mine.type != theirs.type:
                word = "key" if is_key else "value"
                raise at(
                    properties.place(f"{word.upper()}_SCHEMA_ID"),
                    f"{word} column {quote_name(mine.name)} {mine.type} is not in its place in schema "
                    f"{side.properties['SCHEMA_ID']}",
                    "PLAN-SCHEMA-ID",
                    "the schema has " + ", ".join(f"{quote_name(c.name)} {c.type}" for c in given),
                )


def _fit(select: PlannedSelect, sink: SourceInfo, query: ast.Query) -> PlannedSelect:
    """The result with the sink's types; names, order and kinds must be equal."""

    def mismatch() -> PlanError:
        return at(
            result_place(query),
            f"the result does not fit {sink.title}",
            "PLAN-INSERT-SCHEMA",
            f"it has {select.schema.describe()}; {sink.title} has {sink.schema.describe()}",
        )

    ours, theirs = select.schema, sink.schema
    if len(ours.key) != len(theirs.key) or len(ours.value) != len(theirs.value):
        raise mismatch()
    builder = StageBuilder(select.graph.nodes[select.node].spec.output)
    outputs: list[Output] = []
    for mine, other in zip(ours.key + ours.value, theirs.key + theirs.value, strict=True):
        if mine.name != other.name or not widens(mine.type, other.type):
            raise mismatch()
        ref = ast.ColumnRef(mine.name)
        sql = column_sql(mine.name)
        outputs.append(Output(physical(mine.name), coerce(Compiled(sql, sql, mine.type, ref), other.type)))
    if ours == theirs:
        return select
    builder.project(outputs)
    node = select.graph.add(Stateless(builder.build(), f"fit to {quote_name(sink.name)}"), select.node)
    types = {c.name: c for c in theirs.key + theirs.value}
    columns = tuple(replace(c, column=types[c.name]) for c in select.columns)
    return replace(select, node=node, columns=columns)


def _sink_formats(
    properties: Properties, select: PlannedSelect, left: SourceInfo, env: Environment
) -> tuple[SideFormat, SideFormat]:
    """Formats that the WITH list does not name are those of the left-most source."""
    default_key, _ = default_formats(env)
    has_key = bool(select.schema.key)
    key_default: SideFormat | None = left.key_format
    if select.null_key:
        key_default = SideFormat("NONE")
    elif left.key_format.name == "NONE" and has_key:
        key_default = default_key or SideFormat("KAFKA")
    elif left.value_format.name != "ARROW" and left.key_format.name == "ARROW":
        key_default = default_key or SideFormat("KAFKA")
    key, value = side_formats(properties, key_default, left.value_format, has_key=has_key)
    if select.null_key and key.name != "NONE":
        raise properties.error(
            "KEY_FORMAT", f"PARTITION BY NULL gives records without a key: no {key.name} key"
        )
    return key, value


def _with_sink(
    select: PlannedSelect, sink: SourceInfo, env: Environment, partitions: int, retention_ms: int | None
) -> PersistentPlan:
    graph, node = select.graph, select.node
    is_table = select.kind == TABLE
    view: int | None = None
    keys = tuple(physical(name) for name in select.key)
    places = (*keys, *((WINDOW_START, WINDOW_END) if select.window else ()))
    is_of_sessions = bool(select.window and select.window.is_session)
    if sink.timestamp is not None:
        if is_table:
            node = _each_upsert(graph, node, places, keeps_retractions=is_of_sessions)
        node = _restamped(graph, node, sink)
    elif is_table:
        view = _view(graph, node)
        if view is None:
            view = node = graph.add(Materialise(graph.nodes[node].spec.output, places, emit_old=False), node)
    if not is_table:
        _drop_unwritten(graph, node, {SEQ} if partitions > 1 else {SEQ, PARTITION})
    schemas = env.schemas
    value = tuple(physical(c.name) for c in select.schema.value)
    key_encoder = open_encoder(sink, is_key=True, schemas=schemas) if keys else None
    graph.add(
        Sink(
            sink.topic,
            partitions,
            graph.nodes[node].spec.output,
            keys,
            value,
            key_encoder,
            open_encoder(sink, is_key=False, schemas=schemas),
            key_bytes=key_bytes(sink)
            if keys and partitions > 1 and sink.key_format.name == "ARROW"
            else None,
            windowed_key=select.window,
            is_table=is_table,
            keeps_retractions=is_of_sessions,
            no_key_if_null=not is_table and not select.is_rekeyed,
        ),
        node,
    )
    policy_compact = is_table
    graph = drop_unused_columns(graph, view)
    return PersistentPlan(graph, sink, view, select.sources, partitions, retention_ms, policy_compact)


def _drop_unwritten(graph: Graph, node: int, meta: set[str]) -> None:
    """Leave out meta columns that the sink, the only reader of the node, does not look at."""
    spec = graph.nodes[node].spec
    if isinstance(spec, Stateless):
        graph.nodes[node] = replace(graph.nodes[node], spec=replace(spec, stage=spec.stage.without(meta)))


def _view(graph: Graph, node: int) -> int | None:
    """The node itself if its content can be read from the state below it, else None."""
    below = node
    while isinstance(graph.nodes[below].spec, Stateless):
        below = graph.nodes[below].inputs[0]
    return node if isinstance(graph.nodes[below].spec, Aggregate | Materialise) else None


def _each_upsert(graph: Graph, node: int, keys: tuple[str, ...], *, keeps_retractions: bool) -> int:
    """Every change of a table, for a sink whose TIMESTAMP column may leave some out.

    A key whose new row has no readable time keeps its old one. Which one that is must not depend on how
    the input was cut, so that aggregates may not tell the last change only.
    """
    emit_every_change(graph, node)
    return node if keeps_retractions else graph.add(Upserts(graph.nodes[node].spec.output, keys), node)


def _restamped(graph: Graph, node: int, sink: SourceInfo) -> int:
    """A stage that stamps each row from the sink's TIMESTAMP column; a tombstone keeps its time."""
    assert sink.timestamp is not None
    column = sink.schema.find(sink.timestamp.name)
    assert column is not None
    schema = graph.nodes[node].spec.output
    builder = StageBuilder(schema)
    value = event_time(column, sink.timestamp.pattern)
    ref = value.node
    gone = WEIGHT if WEIGHT in schema.names else NULL_VALUE if NULL_VALUE in schema.names else None
    if gone is not None:
        kept = f"{duckdb_name(gone)} < 0" if gone == WEIGHT else duckdb_name(gone)
        text = f"CASE WHEN {kept} THEN {duckdb_name(TIME)} ELSE {{}} END"
        value = replace(value, sql=text.format(value.sql), safe=text.format(value.safe))
    own = [
        Output(f.name, Compiled(duckdb_name(f.name), duckdb_name(f.name), _type_of(f, sink), ref))
        for f in schema
        if not f.name.startswith("$")
    ]
    builder.project(own, meta=[Output(TIME, value)])
    has_time = f"{duckdb_name(TIME)} >= 0"
    builder.filter(Compiled(has_time, f"coalesce({has_time}, false)", BIGINT, ref))
    return graph.add(Stateless(builder.build(), f"time from {quote_name(column.name)}"), node)


def _type_of(f: pa.Field[Any], sink: SourceInfo):  # type: ignore[no-untyped-def]
    column = next(c for c in sink.schema.columns if physical(c.name) == f.name)
    return column.type


def key_bytes(sink: SourceInfo) -> OpenEncoder:
    """How a typed key is written for partitioning: one column as KAFKA does, several as JSON."""
    simple = len(sink.schema.key) == 1 and _is_kafka(sink.schema.key[0])
    layout = Layout(sink.schema.key, True, len(sink.schema.key) > 1, {}, sink.topic, None)
    name = "KAFKA" if simple else "JSON"
    return lambda workspace: formats.get(name).encoder(layout, workspace)


def _is_kafka(column: Column) -> bool:
    return str(column.type) in ("INTEGER", "BIGINT", "DOUBLE", "VARCHAR", "BYTES")

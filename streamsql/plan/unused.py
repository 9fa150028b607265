"""Dropping columns that nobody reads, so that joins neither carry nor keep them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from streamsql.engine.graph import Graph
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Spec
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.stage import Stage
from streamsql.types import duckdb_name


def drop_unused_columns(graph: Graph, view: int | None = None) -> Graph:
    """The same graph, whose stages and joins give only what something after them reads.

    view  a node whose output is looked at from outside and stays as it is
    """
    wanted: dict[int, set[str]] = {}
    """By node: the columns of its output that are read."""
    for number in reversed(range(len(graph.nodes))):
        node = graph.nodes[number]
        if number == view or number not in wanted:
            wanted[number] = set(node.spec.output.names)
        for below in node.inputs:
            schema = graph.nodes[below].spec.output
            wanted.setdefault(below, set()).update(_read(node.spec, schema, wanted[number]))
    narrowed = Graph()
    for number, node in enumerate(graph.nodes):
        inputs = [narrowed.nodes[below].spec.output for below in node.inputs]
        narrowed.add(_narrowed(node.spec, inputs, wanted[number]), *node.inputs)
    return narrowed


def _read(spec: Spec, input_schema: pa.Schema, wanted: set[str]) -> Iterable[str]:
    """The columns of an input that an operator reads to give what is wanted of it."""
    match spec:
        case Stateless(stage=stage):
            return _named(_chosen(stage, wanted), input_schema)
        case Aggregate(stage=stage):
            return _named(stage, input_schema)
        case StreamStreamJoin(keys=keys, matching=matching):
            return wanted.union(keys, matching.input.names if matching else ())
        case TableTableJoin(keys=keys):
            return wanted.union(keys)
        case StreamTableJoin(left_keys=left, right_keys=right):
            return wanted.union(left, right)
        case ForeignKeyJoin(left_keys=left, foreign_key=foreign, right_key=right):
            return wanted.union(left, foreign, right)
    return input_schema.names


def _named(stage: Stage, schema: pa.Schema) -> Iterable[str]:
    """The columns whose names stand in the stage's SQL: those it reads, and perhaps some more."""
    if stage.moves is not None:
        return {*stage.moves, *stage.not_null}
    text = stage.sql + (stage.safe_sql or "")
    return {name for name in schema.names if duckdb_name(name) in text}


def _narrowed(spec: Spec, inputs: list[pa.Schema], wanted: set[str]) -> Spec:
    """An operator over narrower inputs, giving what is wanted of it."""
    match spec:
        case Stateless(stage=stage):
            return replace(spec, stage=replace(_chosen(stage, wanted), input=inputs[0]))
        case Aggregate(stage=stage, coarse=coarse):
            return replace(
                spec,
                stage=replace(stage, input=inputs[0]),
                coarse=coarse and replace(coarse, input=inputs[0]),
            )
        case StreamStreamJoin() | StreamTableJoin() | TableTableJoin() | ForeignKeyJoin():
            read = set(_read(spec, spec.output, wanted))
            left, right = (
                pa.schema([f for f in schema if f.name.startswith("$") or f.name in read])
                for schema in inputs
            )
            return replace(spec, left=left, right=right)
    return spec


def _chosen(stage: Stage, wanted: set[str]) -> Stage:
    """A stage that gives only some of its columns, and its meta columns."""
    output = _only(stage.output, wanted)
    if len(output) == len(stage.output):
        return stage
    names = ", ".join(duckdb_name(name) for name in output.names)
    moves = stage.moves and tuple(
        moved for moved, name in zip(stage.moves, stage.output.names, strict=True) if name in output.names
    )
    return replace(
        stage,
        sql=f"SELECT {names} FROM ({stage.sql})",
        safe_sql=stage.safe_sql and f"SELECT {names} FROM ({stage.safe_sql})",
        output=output,
        moves=moves,
    )


def _only(schema: pa.Schema, names: set[str]) -> pa.Schema:
    """Some columns of a schema, and its meta columns."""
    return pa.schema([f for f in schema if f.name.startswith("$") or f.name in names])

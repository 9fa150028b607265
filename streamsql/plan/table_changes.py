"""Changes of a table that come with the rows they replace: what filters and aggregates over tables need.

A table's source says only what a key's row is now. What is taken back is known to an aggregate, which
keeps its groups, to joins of tables, and to an operator that materialises the table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamsql.catalog import TABLE
from streamsql.engine.batch import TIME, WINDOW_END, WINDOW_START
from streamsql.engine.graph import Graph
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.stateless import Stateless
from streamsql.grammar import ast
from streamsql.plan.compiled import Compiled
from streamsql.plan.environment import Environment
from streamsql.plan.flow import Flow
from streamsql.plan.rewrite import columns_used, walk
from streamsql.plan.scope import physical
from streamsql.plan.stages import Output
from streamsql.types import BIGINT, duckdb_name

_OWN_TIME = "KSQL_ROWTIME"


def with_old_rows(flow: Flow, query: ast.Select) -> None:
    """From here on every change of the table takes back the row that it replaces.

    What is taken back has the time of the change, so that a tombstone that is left of it has. If the query
    reads ROWTIME, that is the row's own: it is kept in a column.
    """
    if flow.kind != TABLE or flow.is_final:
        return
    if reads_time(flow, (query.items, query.where, query.group_by, query.having)):
        _name_time(flow)
        materialise(flow)
    elif not flow.has_old_rows:
        aggregate = _aggregate_below(flow)
        if aggregate is None:
            materialise(flow)
        else:
            spec = flow.graph.nodes[aggregate].spec
            assert isinstance(spec, Aggregate)
            flow.graph.change(aggregate, replace(spec, emit_old=True))
            flow.has_old_rows = True


def materialise(flow: Flow) -> None:
    """Keep the table that the flow is."""
    node = flow.close_stage()
    bounds = [b for b in (WINDOW_START, WINDOW_END) if flow.window is not None]
    keys = (*(physical(k.column) for k in flow.key), *bounds)
    spec = Materialise(flow.builder.schema, keys, emit_old=True)
    flow.take(flow.graph.add(spec, node), spec.output)
    flow.has_old_rows = True


def reads_time(flow: Flow, parts: Any) -> bool:
    """Whether a column is named that is nothing but the change's time."""
    times = {name for c in flow.scope.columns if c.sql == duckdb_name(TIME) for name in (c.short, c.name)}
    return bool(times & {ref.name for ref in columns_used(parts)})


def is_volatile(parts: Any, env: Environment) -> bool:
    """Whether something is called that gives another value each time."""
    names = {n.name for n in walk(parts) if isinstance(n, ast.FunctionCall)}
    others = (env.library.aggregates, env.library.tables)
    scalars = [n for n in names if n in env.library and not any(n in kind for kind in others)]
    return any(overload.volatile for name in scalars for overload in env.library.scalar(name))


def _name_time(flow: Flow) -> None:
    """Make the time of a change an ordinary column, which ROWTIME means from here on."""
    time, column = duckdb_name(TIME), duckdb_name(_OWN_TIME)
    outputs = [_passed(name, flow) for name in flow.passing]
    outputs.append(Output(_OWN_TIME, Compiled(time, time, BIGINT, ast.ColumnRef("ROWTIME"))))
    flow.builder.project(outputs)
    columns = (replace(c, sql=column) if c.sql == time else c for c in flow.scope.columns)
    flow.scope = replace(flow.scope, columns=tuple(columns))


def _passed(name: str, flow: Flow) -> Output:
    sql = duckdb_name(name)
    return Output(name, Compiled(sql, sql, flow.type_of(name), ast.ColumnRef(name)))


def _aggregate_below(flow: Flow) -> int | None:
    """The aggregate that the flow is a projection of."""
    node = flow.node
    while isinstance(flow.graph.nodes[node].spec, Stateless):
        node = flow.graph.nodes[node].inputs[0]
    return node if isinstance(flow.graph.nodes[node].spec, Aggregate) else None


def emit_every_change(graph: Graph, node: int) -> None:
    """Make the aggregates below a node tell each change of a group, not the last one of a batch.

    What follows from a table row by row, as a join of a stream with it does, would else depend on how the
    input is cut into batches.
    """
    spec = graph.nodes[node].spec
    if isinstance(spec, Aggregate) and not spec.emit_final:
        graph.change(node, replace(spec, emit_every=True))
    for below in graph.nodes[node].inputs:
        emit_every_change(graph, below)

"""Filtering the sides of a join before it is made: rows that WHERE leaves out are neither kept nor looked up.

A condition goes down where the pairs it leaves out are all those with a row that fails it: to both sides of
an inner join, to the side that an outer join keeps whole. Not below a join of two streams, whose time is told
by all of its rows. What can fail stays where it is, as it would fail for rows that match nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.engine.batch import WEIGHT
from streamsql.engine.graph import Graph
from streamsql.engine.operators.base import Spec
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.stage import Stage
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.expressions import compile_filter
from streamsql.plan.flow import Flow
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, column_sql, physical
from streamsql.plan.table_changes import is_volatile
from streamsql.types import duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


def push_down(
    planner: SelectPlanner, flow: Flow, conditions: Sequence[ast.Expression], clause: str
) -> list[ast.Expression]:
    """Filter the sides of the join that the flow is; gives the conditions that are left for its result."""
    return [c for c in conditions if not _is_pushed(planner, flow, c, flow.scope.in_clause(clause))]


def _is_pushed(planner: SelectPlanner, flow: Flow, condition: ast.Expression, scope: Scope) -> bool:
    """Filter a side by a condition, if it is about one side alone."""
    columns = [scope.resolve(ref) for ref in columns_used(condition)]
    compiled = compile_filter(condition, scope, planner.env)
    is_plain = all(c.qualifier is not None and c.sql == column_sql(c.name) for c in columns)
    if not columns or not is_plain or compiled.can_fail or is_volatile(condition, planner.env):
        return False
    node = _side(flow.graph, flow.node, {physical(c.name) for c in columns})
    if node is None:
        return False
    side = flow.graph.nodes[node].spec
    assert isinstance(side, Stateless)
    title = f"{side.title}, filter {to_sql(condition)}"
    flow.graph.change(node, Stateless(_filtered(side.stage, compiled), title))
    return True


def _side(graph: Graph, join: int, columns: set[str]) -> int | None:
    """The stage farthest below a join in which all of the columns are, and where a filter does the same."""
    node = graph.nodes[join]
    for below in (node.inputs[side] for side in _whole_sides(node.spec)):
        spec = graph.nodes[below].spec
        if not isinstance(spec, Stateless) or not columns <= set(spec.output.names):
            continue
        is_moved = spec.stage.moves is not None and all(
            moved == name
            for moved, name in zip(spec.stage.moves, spec.output.names, strict=True)
            if name in columns
        )
        deeper = _side(graph, graph.nodes[below].inputs[0], columns) if is_moved else None
        return below if deeper is None else deeper
    return None


def _whole_sides(spec: Spec) -> tuple[int, ...]:
    """The sides of a join whose rows, if they are not there, leave out their pairs and nothing else."""
    match spec:
        case StreamTableJoin(keeps_unmatched=True) | ForeignKeyJoin(keeps_unmatched=True):
            return (0,)
        case StreamTableJoin() | ForeignKeyJoin() | TableTableJoin(kind="INNER"):
            return (0, 1)
        case TableTableJoin(kind="LEFT"):
            return (0,)
        case TableTableJoin(kind="RIGHT"):
            return (1,)
    return ()


def _filtered(stage: Stage, condition: Compiled) -> Stage:
    """The stage without rows that fail; of a table, with a delete for each."""
    names = [duckdb_name(name) for name in stage.output.names]

    def over(sql: str, holds: str) -> str:
        if WEIGHT not in stage.output.names:
            return f"SELECT {', '.join(names)} FROM ({sql}) WHERE {holds}"
        weight = duckdb_name(WEIGHT)
        kept = f"CASE WHEN {holds} THEN {weight} ELSE -1::TINYINT END AS {weight}"
        return f"SELECT {', '.join(kept if name == weight else name for name in names)} FROM ({sql})"

    return replace(
        stage,
        sql=over(stage.sql, condition.sql),
        safe_sql=stage.safe_sql and over(stage.safe_sql, condition.safe),
        functions=tuple(dict.fromkeys((*stage.functions, *condition.functions))),
        safe_functions=tuple(dict.fromkeys((*stage.safe_functions, *condition.functions))),
        moves=None,
        not_null=(),
    )

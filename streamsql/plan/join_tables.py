"""Joins of tables: on both keys, or where a left row points at a right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamsql.catalog import TABLE
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.grammar import ast
from streamsql.plan.flow import Flow, source_names
from streamsql.plan.join_conditions import Condition, Equality, cover_key
from streamsql.plan.join_keys import BOUNDS, joined, key_names, with_keys
from streamsql.plan.join_rest import filter_by_rest, null_where_rest_fails
from streamsql.plan.rewrite import walk
from streamsql.plan.scope import Scope, at, physical

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


def join_tables(
    planner: SelectPlanner, join: ast.Join, left: Flow, right: Flow, condition: Condition, query: ast.Select
) -> Flow:
    """A join of tables; one that covers the keys of both sides has their key, any other the left one's."""
    pairs, rest = cover_key(join, condition, right)
    ours, theirs = ([c.name for c in flow.scope.columns] for flow in (left, right))
    by_left = _by_left_key(left, pairs)
    # A table whose key has no window stands for all windows of the other.
    is_primary = by_left is not None and (left.window is None) == (right.window is None)
    if is_primary and by_left is not None:
        flow = _on_primary_keys(join, left, right, by_left)
    else:
        flow = _on_foreign_key(planner, join, left, right, pairs, query)
    match join.kind:
        case "INNER":
            filter_by_rest(planner, flow, rest)
        case "LEFT":
            null_where_rest_fails(planner, flow, rest, theirs)
        case "RIGHT":
            null_where_rest_fails(planner, flow, rest, ours)
        case _ if rest:
            raise at(
                join.condition.span,
                "a FULL join of tables on more than their keys would have two rows of one key, one for each "
                "side",
                "PLAN-JOIN",
                "put the rest into WHERE, or filter the sides in subqueries",
            )
    return flow


def _by_left_key(left: Flow, pairs: Sequence[Equality]) -> list[Equality] | None:
    """The pairs in the order of the left table's key; None if they are not just its columns."""
    found = [next((p for p in pairs if key.is_given_by(p.left.expression)), None) for key in left.key]
    chosen = [p for p in found if p is not None]
    return chosen if len(chosen) == len(left.key) == len(pairs) else None


def _on_primary_keys(join: ast.Join, left: Flow, right: Flow, pairs: Sequence[Equality]) -> Flow:
    names = key_names(len(pairs))
    left_node = with_keys(left, [p.left for p in pairs], names)
    right_node = with_keys(right, [p.right for p in pairs], names, left.window)
    bounds = BOUNDS if left.window else ()
    spec = TableTableJoin(
        left.builder.schema, right.builder.schema, (*names, *bounds), join.kind, emit_old=True
    )
    return joined(join, left, right, left.graph.add(spec, left_node, right_node), TABLE, pairs)


def _on_foreign_key(
    planner: SelectPlanner,
    join: ast.Join,
    left: Flow,
    right: Flow,
    pairs: Sequence[Equality],
    query: ast.Select,
) -> Flow:
    """A join of tables in which the left rows keep their key."""
    span = join.condition.span
    if join.kind in ("RIGHT", "FULL"):
        raise at(
            span,
            f"a {join.kind} join on a foreign key would have rows without the left table's key: "
            "only INNER and LEFT",
            "PLAN-JOIN",
            "to keep every row that is pointed at: that table LEFT JOIN "
            "(SELECT the pointer, COLLECT_LIST(..) .. GROUP BY the pointer)",
        )
    if right.window:
        raise at(span, "a windowed table is joined on its key and not pointed at", "PLAN-JOIN")
    pointers = tuple(f"KSQL_FOREIGN_KEY_{n}" for n in range(len(pairs)))
    targets = tuple(f"KSQL_TABLE_KEY_{n}" for n in range(len(pairs)))
    left_node = with_keys(left, [p.left for p in pairs], pointers, keeps_key=True)
    right_node = with_keys(right, [p.right for p in pairs], targets)
    bounds = BOUNDS if left.window else ()
    spec = ForeignKeyJoin(
        left.builder.schema,
        right.builder.schema,
        (*(physical(k.column) for k in left.key), *bounds),
        pointers,
        targets,
        keeps_unmatched=join.kind == "LEFT",
        tells_all_deletes=_ends_at_sink(planner, join, query),
    )
    node = left.graph.add(spec, left_node, right_node)
    left.scope = Scope((*left.scope.columns, *right.scope.columns))
    left.sources, left.names = source_names((left, right)), left.names | right.names
    left.take(node, spec.output)
    left.has_old_rows, left.is_final = True, False
    return left


def _ends_at_sink(planner: SelectPlanner, join: ast.Join, query: ast.Select) -> bool:
    """Whether nothing behind the join counts its rows: what comes out is put in and deleted by key."""
    is_grouped = query.group_by is not None or any(planner.is_aggregate(n) for n in walk(query.items))
    return query.relation is join and not is_grouped and not planner.is_nested

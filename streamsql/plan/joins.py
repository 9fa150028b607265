"""Joins: from `A JOIN B ON ..` to join operators, left-deep and in the order of the text.

Inside a join every column is called ALIAS_COLUMN. The join's own key, the values both sides agree on, are
columns of their own; the columns that are equal to them are *viable* to stand for the key of the result.
What else the condition says decides which pairs match: it is part of the join, not a filter behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.catalog import STREAM, TABLE
from streamsql.engine.batch import HEADERS
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.windows import default_grace_ms
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.plan.compiled import Compiled
from streamsql.plan.flow import Flow
from streamsql.plan.items import KeyColumn
from streamsql.plan.join_conditions import Condition, cover_key, take_apart
from streamsql.plan.join_keys import BOUNDS, joined, key_names, with_keys
from streamsql.plan.join_rest import filter_by_rest, matching_stage, null_where_rest_fails
from streamsql.plan.join_tables import join_tables
from streamsql.plan.properties import duration_ms
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql, physical
from streamsql.plan.stages import Output
from streamsql.plan.table_changes import emit_every_change
from streamsql.types import duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


def plan_join(planner: SelectPlanner, join: ast.Join, query: ast.Select) -> Flow:
    """The flow of a join, its columns named ALIAS_COLUMN."""
    relations = _flatten(join)
    aliases = [_alias(relation) for relation in relations]
    for number, (relation, alias) in enumerate(zip(relations, aliases, strict=True)):
        if alias in aliases[:number]:
            raise at(
                relation.span, f"{quote_name(alias)} stands in FROM twice", "PLAN-JOIN", "give one an alias"
            )
    return _joined(planner, join, query)


def _flatten(relation: ast.Relation) -> list[ast.Relation]:
    if isinstance(relation, ast.Join):
        return [*_flatten(relation.left), *_flatten(relation.right)]
    return [relation]


def _alias(relation: ast.Relation) -> str:
    match relation:
        case ast.SourceRef(name=name, alias=alias):
            return alias or name
        case ast.SubqueryRef(alias=str(alias)):
            return alias
    raise at(relation.span, "a subquery in a join needs a name", "PLAN-JOIN", "(SELECT ..) AS name")


def _joined(planner: SelectPlanner, relation: ast.Relation, query: ast.Select) -> Flow:
    if not isinstance(relation, ast.Join):
        flow = planner.relation_flow(relation, query)
        _refuse_plain_values(planner, relation)
        return _named(flow, _alias(relation))
    left = _joined(planner, relation.left, query)
    right = _joined(planner, relation.right, query)
    _check_kinds(relation, left, right)
    condition = take_apart(relation, left.scope, right.scope, planner.env)
    if left.kind == STREAM and right.kind == STREAM:
        return _stream_stream(planner, relation, left, right, condition)
    if left.kind == STREAM:
        return _stream_table(planner, relation, left, right, condition)
    return join_tables(planner, relation, left, right, condition, query)


def _named(flow: Flow, alias: str) -> Flow:
    """The flow of one relation with its columns called ALIAS_COLUMN, pseudo columns that it has included."""
    outputs: list[Output] = []
    columns: list[ScopeColumn] = []
    available = set(flow.builder.schema.names)
    for column in flow.scope.columns:
        source = column.sql
        if _read_from(column) not in available:
            continue
        name = f"{alias}_{column.short}"
        ref = ast.ColumnRef(column.short, alias)
        outputs.append(Output(physical(name), Compiled(source, source, column.type, ref)))
        columns.append(replace(column, name=name, sql=column_sql(name), qualifier=alias))
    flow.builder.project(outputs)
    flow.titles.append(f"as {quote_name(alias)}")
    flow.scope = Scope(tuple(columns))
    flow.key = tuple(
        KeyColumn(ast.ColumnRef(f"{alias}_{k.column}"), f"{alias}_{k.name}", is_hidden=k.is_hidden)
        for k in flow.key
    )
    return flow


def _read_from(column: ScopeColumn) -> str:
    """The column of a relation's batch that a column of its scope is read from."""
    if duckdb_name(HEADERS) in column.sql:
        return HEADERS
    return column.sql.strip('"') if column.is_hidden else physical(column.name)


def _refuse_plain_values(planner: SelectPlanner, relation: ast.Relation) -> None:
    if not isinstance(relation, ast.SourceRef) or relation.name in planner.common:
        return
    info = planner.env.catalog.source(relation.name)
    if info.value_format.name == "KAFKA":
        raise at(
            relation.span,
            f"{info.title} has KAFKA values: it cannot be joined",
            "PLAN-JOIN",
            "use another VALUE_FORMAT",
        )


def _check_kinds(join: ast.Join, left: Flow, right: Flow) -> None:
    span = place_of(join.right)
    if left.kind == TABLE and right.kind == STREAM:
        raise at(
            place_of(join),
            "a table cannot be joined with a stream on its right",
            "PLAN-JOIN",
            "swap the sides",
        )
    both_streams = left.kind == STREAM and right.kind == STREAM
    if both_streams and join.within is None:
        raise at(span, "a join of two streams needs WITHIN", "PLAN-JOIN", "JOIN .. WITHIN 1 HOUR ON ..")
    if not both_streams and join.within is not None:
        raise at(join.within.span, "WITHIN is for joins of two streams", "PLAN-JOIN")
    if left.kind == STREAM and right.kind == TABLE and join.kind in ("RIGHT", "FULL"):
        kind = f"a stream and a table cannot be {join.kind} joined: only INNER and LEFT"
        raise at(place_of(join.kind), kind, "PLAN-JOIN")
    if right.window is not None and left.window is None or both_streams and left.window and not right.window:
        raise at(span, "a windowed source can only be joined with a windowed one", "PLAN-JOIN")
    if left.window and right.window and left.window.is_session != right.window.is_session:
        raise at(span, "session windows can only be joined with session windows", "PLAN-JOIN")


def _stream_table(
    planner: SelectPlanner, join: ast.Join, left: Flow, right: Flow, condition: Condition
) -> Flow:
    pairs, rest = cover_key(join, condition, right)
    left_keys, right_keys = key_names(len(pairs)), tuple(f"KSQL_TABLE_KEY_{n}" for n in range(len(pairs)))
    left_node = with_keys(left, [p.left for p in pairs], left_keys)
    right_node = with_keys(right, [p.right for p in pairs], right_keys, left.window)
    emit_every_change(right.graph, right_node)
    bounds = BOUNDS if left.window and right.window else ()
    spec = StreamTableJoin(
        left.builder.schema,
        right.builder.schema,
        left_keys + bounds,
        right_keys + bounds,
        keeps_unmatched=join.kind == "LEFT",
    )
    added = [c.name for c in right.scope.columns]
    flow = joined(join, left, right, left.graph.add(spec, left_node, right_node), STREAM, pairs[:1])
    if join.kind == "INNER":
        filter_by_rest(planner, flow, rest)
    else:
        null_where_rest_fails(planner, flow, rest, added)
    return flow


def _stream_stream(
    planner: SelectPlanner, join: ast.Join, left: Flow, right: Flow, condition: Condition
) -> Flow:
    assert join.within is not None
    before, after = duration_ms(join.within.before), duration_ms(join.within.after)
    grace = None if join.within.grace is None else duration_ms(join.within.grace)
    pairs = condition.equalities
    for flow, side in ((left, pairs[0].left), (right, pairs[0].right)):
        if flow.window is not None and not (len(flow.key) == 1 and flow.key[0].is_given_by(side.expression)):
            raise at(
                side.expression.span,
                "a windowed source is joined on its key: it cannot be re-keyed",
                "PLAN-JOIN",
            )
    names = key_names(len(pairs))
    left_node = with_keys(left, [p.left for p in pairs], names)
    right_node = with_keys(right, [p.right for p in pairs], names, left.window)
    if join.kind == "RIGHT":
        # ksqlDB runs a RIGHT JOIN as a LEFT JOIN with the sides, but not the window, turned around.
        before, after = after, before
    spec = StreamStreamJoin(
        left.builder.schema,
        right.builder.schema,
        names + (BOUNDS if left.window else ()),
        join.kind,
        before,
        after,
        default_grace_ms(before + after) if grace is None else grace,
        is_eager=grace is None,
        matching=None if join.kind == "INNER" else matching_stage(planner, left, right, condition.rest),
    )
    flow = joined(join, left, right, left.graph.add(spec, left_node, right_node), STREAM, pairs[:1])
    if join.kind == "INNER":
        filter_by_rest(planner, flow, condition.rest)
    return flow

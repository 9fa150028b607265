"""GROUP BY, WINDOW and HAVING: from the clauses to an aggregate operator and what stands on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.catalog import TABLE
from streamsql.engine.batch import WINDOW_END, WINDOW_START
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.engine.stage import Stage
from streamsql.engine.windowed_keys import WindowedKey
from streamsql.engine.windows import Session, TimeWindow, default_grace_ms, hopping, session
from streamsql.functions.aggregate import StateNames
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.aggregates import (
    ResolvedAggregate,
    find_aggregates,
    refuse_unknown_functions,
    resolve_aggregate,
)
from streamsql.plan.coarse import coarse_stage
from streamsql.plan.expressions import compile_expression, compile_filter
from streamsql.plan.flow import Flow
from streamsql.plan.items import Item, KeyColumn, key_column, qualify
from streamsql.plan.properties import duration_ms
from streamsql.plan.rewrite import columns_used, rewrite
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql
from streamsql.plan.sources import pseudo_columns
from streamsql.plan.stages import Output
from streamsql.plan.table_changes import with_old_rows
from streamsql.plan.table_functions import table_function_calls
from streamsql.schema import WINDOW_BOUNDS
from streamsql.types import BIGINT, NULL, Map, SqlType, duckdb_name, walk

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


def bounds_in_select(scope: Scope) -> Scope:
    """The scope of a SELECT list beside a WINDOW clause: the bounds can be named there, and only there."""
    bounds = (("WINDOWSTART", WINDOW_START), ("WINDOWEND", WINDOW_END))
    added = [
        ScopeColumn(name, duckdb_name(meta), BIGINT, None, name, is_hidden=True) for name, meta in bounds
    ]
    return replace(scope, columns=(*scope.columns, *added))


def group_by(planner: SelectPlanner, query: ast.Select, items: Sequence[Item], flow: Flow) -> list[Item]:
    """Aggregate the flow; gives the items over the aggregate's output.

    raises  PlanError with the span of what is wrong
    """
    if query.window is not None and flow.kind == TABLE:
        raise at(query.window.span, "WINDOW works on streams only, and this is a table", "PLAN-WINDOW")
    if query.emit == "FINAL" and query.window is None:
        raise at(
            place_of(query.emit),
            "EMIT FINAL needs a WINDOW",
            "PLAN-EMIT-FINAL",
            "WINDOW TUMBLING (SIZE 1 MINUTE) before GROUP BY; or EMIT CHANGES",
        )
    if query.group_by is None and (planner.is_persistent or planner.is_nested):
        where = "persistent query" if planner.is_persistent else "subquery"
        found = find_aggregates([*(i.expression for i in items)], planner.env)
        raise at(
            place_of(*found[:1], *([] if found else [query.having])),
            f"an aggregate needs a GROUP BY in a {where}",
            "PLAN-GROUP-BY",
        )
    for call in table_function_calls(items, planner.env):
        raise at(
            call.span,
            f"table function {call.name} cannot stand beside aggregates",
            "PLAN-TABLE-FUNCTION",
            "let a subquery explode the rows: .. FROM (SELECT .. EXPLODE(..) ..) GROUP BY ..",
        )
    groups = _groups(planner, query, flow)
    having = None if query.having is None else qualify(query.having, flow.scope.in_clause("HAVING"))
    calls = find_aggregates(
        [*(i.expression for i in items), *([having] if having is not None else [])], planner.env
    )
    if not calls:
        refuse_unknown_functions((query.items, query.having), planner.env)
        raise at(
            place_of(*(query.group_by or ()), *([] if query.group_by else [query.having])),
            "GROUP BY needs an aggregate in SELECT or HAVING",
            "PLAN-GROUP-BY",
            "COUNT(*), say",
        )
    flow.stand_ins.update({f"KSQL_GROUP_{n}": to_sql(group) for n, group in enumerate(groups)})
    flow.stand_ins.update({f"KSQL_AGG_{n}": to_sql(call) for n, call in enumerate(calls)})
    with_old_rows(flow, query)
    aggregates = [resolve_aggregate(c, flow.scope.in_clause(f"{c.name}(..)"), planner.env) for c in calls]
    group_types, coarse = _add_stage(planner, groups, aggregates, flow)
    arguments = _argument_names(aggregates)
    on_table = flow.kind == TABLE and not flow.is_final
    declared: list[AggregateCall] = []
    names = StateNames()
    for number, aggregate in enumerate(aggregates):
        sql = [column_sql(arguments[a.node]) for a in aggregate.arguments]
        made = aggregate.call(f"KSQL_AGG_{number}", f"a{number}_", sql, on_table=on_table, names=names)
        declared.append(replace(made, title=to_sql(calls[number])))
    keys = tuple(f"KSQL_GROUP_{n}" for n in range(len(groups)))
    window = _window(query.window)
    spec = Aggregate(
        flow.builder.build(),
        keys,
        tuple(declared),
        window=window,
        emit_old=having is not None,
        emit_final=query.emit == "FINAL",
        titles=tuple(to_sql(group) for group in groups),
        by_partition=not flow.is_spread and tuple(groups) == tuple(k.expression for k in flow.key),
        coarse=coarse,
    )
    node = flow.graph.add(spec, flow.node)
    flow.take(node, spec.output)
    _leave_group(query, items, groups, group_types, aggregates, flow)
    items = _over_groups(items, groups, calls, flow)
    if having is not None:
        condition = _swap(having, groups, calls)
        _check_grouped(condition, having, flow, "HAVING")
        flow.builder.filter(compile_filter(condition, flow.scope.in_clause("HAVING"), planner.env))
        flow.titles.append(f"having {to_sql(having)}")
    return items


def _groups(planner: SelectPlanner, query: ast.Select, flow: Flow) -> list[ast.Expression]:
    """The grouping expressions, checked."""
    if query.group_by is None:
        return []
    if not query.group_by:
        hint = "GROUP BY 1 makes one group of all rows"
        raise at(place_of(query.group_by), "GROUP BY needs an expression", "PLAN-GROUP-BY", hint)
    scope = flow.scope.in_clause("GROUP BY")
    found: list[ast.Expression] = []
    for written in query.group_by:
        aggregate = find_aggregates([written], planner.env)
        if aggregate:
            raise at(
                aggregate[0].span, f"aggregate {to_sql(aggregate[0])} cannot be in GROUP BY", "PLAN-GROUP-BY"
            )
        if isinstance(written, ast.FunctionCall) and written.name in ("ROLLUP", "CUBE"):
            hint = "write a query for each of the groupings"
            raise at(written.span, f"GROUP BY knows no {written.name}", "PLAN-GROUP-BY", hint)
        expression = qualify(written, scope)
        if expression in found:
            raise at(written.span, f"GROUP BY has {to_sql(written)} twice", "PLAN-GROUP-BY")
        found.append(expression)
    return found


def _argument_names(aggregates: Sequence[ResolvedAggregate]) -> dict[ast.Expression, str]:
    """Equal arguments are computed once: expression -> column of the stage."""
    names: dict[ast.Expression, str] = {}
    for aggregate in aggregates:
        for argument in aggregate.arguments:
            names.setdefault(argument.node, f"KSQL_ARG_{len(names)}")
    return names


def _add_stage(
    planner: SelectPlanner,
    groups: Sequence[ast.Expression],
    aggregates: Sequence[ResolvedAggregate],
    flow: Flow,
) -> tuple[list[SqlType], Stage | None]:
    """Compute groups and arguments; a row without a group is left out.

    gives  the groups' types, and the same steps with groups for less, if that is known how
    """
    scope = flow.scope.in_clause("GROUP BY")
    outputs: list[Output] = []
    for number, expression in enumerate(groups):
        value = compile_expression(expression, scope, planner.env)
        if value.type == NULL:
            raise at(expression.span, "the type of this NULL is unknown", "PLAN-GROUP-BY")
        if any(isinstance(part, Map) for part in walk(value.type)):
            raise at(expression.span, f"a {value.type} cannot be grouped by: it holds a MAP", "PLAN-GROUP-BY")
        outputs.append(Output(f"KSQL_GROUP_{number}", value))
    names = _argument_names(aggregates)
    compiled = {a.node: a for aggregate in aggregates for a in aggregate.arguments}
    outputs += [Output(name, compiled[node]) for node, name in names.items()]
    coarse = coarse_stage(flow.builder, outputs, len(groups), scope, planner.env)
    flow.builder.project(outputs)
    for number, expression in enumerate(groups):
        flow.builder.drop_nulls(f"KSQL_GROUP_{number}", expression)
    return [output.value.type for output in outputs[: len(groups)]], coarse


def _window(clause: ast.Window | None) -> TimeWindow | Session | None:
    if clause is None:
        return None
    size = duration_ms(clause.size)
    if size <= 0:
        raise at(clause.size.span, "a window's size must be positive", "PLAN-WINDOW")
    grace = None if clause.grace is None else duration_ms(clause.grace)
    retention = None if clause.retention is None else duration_ms(clause.retention)
    least = size + (default_grace_ms(size) if grace is None else grace)
    if retention is not None and retention < least:
        raise at(
            place_of(clause.retention),
            f"RETENTION of {retention} ms is shorter than the window and its grace together, {least} ms",
            "PLAN-WINDOW",
            "a longer RETENTION, or a shorter GRACE PERIOD",
        )
    if clause.kind == "SESSION":
        return session(size, grace, retention)
    advance = size if clause.advance is None else duration_ms(clause.advance)
    if not 0 < advance <= size:
        raise at(
            place_of(clause.advance),
            f"ADVANCE BY must be positive and not larger than SIZE, {size} ms",
            "PLAN-WINDOW",
        )
    return hopping(size, advance, grace, retention)


def _leave_group(
    query: ast.Select,
    items: Sequence[Item],
    groups: Sequence[ast.Expression],
    group_types: Sequence[SqlType],
    aggregates: Sequence[ResolvedAggregate],
    flow: Flow,
) -> None:
    """From here on the flow is a table of groups."""
    named = [key_column(e, items, flow.scope) for e in groups]
    columns: list[ScopeColumn] = []
    for number, (t, key) in enumerate(zip(group_types, named, strict=True)):
        name = f"KSQL_GROUP_{number}"
        columns.append(ScopeColumn(name, column_sql(name), t, None, key.name, is_key=True))
    for number, aggregate in enumerate(aggregates):
        name = f"KSQL_AGG_{number}"
        columns.append(ScopeColumn(name, column_sql(name), aggregate.type))
    hidden = pseudo_columns(None, is_windowed=query.window is not None)
    kept = [c for c in hidden if c.short == "ROWTIME" or c.short in WINDOW_BOUNDS]
    flow.scope = Scope((*columns, *kept))
    flow.kind = TABLE
    flow.has_old_rows = query.having is not None
    flow.key = tuple(KeyColumn(ast.ColumnRef(f"KSQL_GROUP_{n}"), key.name) for n, key in enumerate(named))
    flow.window = None
    if query.window is not None:
        size = None if query.window.kind == "SESSION" else duration_ms(query.window.size)
        flow.window = WindowedKey(query.window.kind, size)
        window = _window(query.window)
        assert window is not None
        flow.retention_ms = window.retention_ms
    flow.is_rekeyed = flow.null_key = flow.is_spread = False
    # A session may be final and grow once more all the same.
    flow.is_final = query.window is not None and query.emit == "FINAL" and query.window.kind != "SESSION"
    flow.titles = []


def _over_groups(
    items: Sequence[Item], groups: Sequence[ast.Expression], calls: Sequence[ast.FunctionCall], flow: Flow
) -> list[Item]:
    found = []
    for item in items:
        expression = _swap(item.expression, groups, calls)
        _check_grouped(expression, item.expression, flow, "SELECT")
        found.append(replace(item, expression=expression))
    return found


def _swap(
    expression: ast.Expression, groups: Sequence[ast.Expression], calls: Sequence[ast.FunctionCall]
) -> ast.Expression:
    """The expression with groups and aggregates as columns of the aggregate's output."""
    columns: dict[ast.Expression, str] = {e: f"KSQL_GROUP_{n}" for n, e in enumerate(groups)}
    columns.update({c: f"KSQL_AGG_{n}" for n, c in enumerate(calls)})
    result: ast.Expression = rewrite(
        expression, lambda node: ast.ColumnRef(columns[node], span=node.span) if node in columns else None
    )
    return result


def _check_grouped(expression: ast.Expression, written: ast.Expression, flow: Flow, clause: str) -> None:
    for ref in columns_used(expression):
        if flow.scope.named(ref.name) is None:
            raise at(
                ref.span,
                f"column {quote_name(ref.name)} in {clause} is neither grouped nor aggregated",
                "PLAN-NOT-GROUPED",
                f"GROUP BY {quote_name(ref.name)}, or use an aggregate of it"
                + (", or WHERE" if clause == "HAVING" else ""),
            )

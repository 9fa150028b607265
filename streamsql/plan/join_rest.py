"""What a join's condition says beyond the equalities that its operator joins by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from streamsql.engine.operators.pair_filter import pair_schema
from streamsql.engine.stage import Stage
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.expressions import compile_filter
from streamsql.plan.flow import Flow
from streamsql.plan.push_down import push_down
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, physical
from streamsql.plan.stages import Output, StageBuilder
from streamsql.types import duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner

_MATCHES = "KSQL_MATCHES"


def filter_by_rest(planner: SelectPlanner, flow: Flow, rest: Sequence[ast.Expression]) -> None:
    """For an INNER join: a pair that fails the rest is not there."""
    rest = push_down(planner, flow, rest, "JOIN ON")
    if rest:
        whole = conjunction(rest)
        flow.builder.filter(compile_filter(whole, flow.scope.in_clause("JOIN ON"), planner.env))
        flow.titles.append(f"filter {to_sql(whole)}")


def null_where_rest_fails(
    planner: SelectPlanner, flow: Flow, rest: Sequence[ast.Expression], columns: Collection[str]
) -> None:
    """For an outer join that pairs a row with at most one other: where the rest fails, the other's columns
    are null, as if it were not there.

    columns  names in the scope of what may be missing
    """
    if not rest:
        return
    whole = conjunction(rest)
    condition = compile_filter(whole, flow.scope.in_clause("JOIN ON"), planner.env)
    # Two steps, so that a failing condition is reported once and not for every column.
    names = flow.passing
    flow.builder.project([*(_passed(flow, name) for name in names), Output(_MATCHES, condition)])
    missing = {physical(name) for name in columns}
    flow.builder.project([_passed(flow, name, name in missing) for name in names])
    flow.titles.append(f"matches where {to_sql(whole)}")


def matching_stage(
    planner: SelectPlanner, left: Flow, right: Flow, rest: Sequence[ast.Expression]
) -> Stage | None:
    """For an outer join that pairs a row with any number of others: what decides which pairs there are."""
    if not rest:
        return None
    whole = conjunction(rest)
    scope = Scope((*left.scope.columns, *right.scope.columns), "JOIN ON")
    used = {physical(ref.name) for ref in columns_used(whole)}
    fields = [f for flow in (left, right) for f in flow.builder.schema if f.name in used]
    builder = StageBuilder(pair_schema(fields))
    builder.filter(compile_filter(whole, scope, planner.env))
    return builder.build()


def conjunction(rest: Sequence[ast.Expression]) -> ast.Expression:
    return reduce(lambda a, b: ast.Logical("AND", a, b, span=a.span), rest)


def _passed(flow: Flow, name: str, where_matching: bool = False) -> Output:
    column = duckdb_name(name)
    sql = f"CASE WHEN {duckdb_name(_MATCHES)} THEN {column} END" if where_matching else column
    return Output(name, Compiled(sql, sql, flow.type_of(name), ast.ColumnRef(name)))

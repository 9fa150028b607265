"""Subqueries in FROM and WITH queries: planned into the same graph, with no topic in between.

What a subquery is, a stream or a table, follows from itself, as does its key: a stream has one if the key
columns are all selected; a table always has, if need be in columns that no name reaches. A WITH query is
planned where it is first read; whoever reads it later reads the same node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamsql.catalog import STREAM, TABLE
from streamsql.engine.batch import WINDOW_START
from streamsql.errors import PlanError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.plan.flow import Flow, Selected
from streamsql.plan.items import KeyColumn
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql
from streamsql.plan.sources import pseudo_columns
from streamsql.plan.table_changes import materialise
from streamsql.schema import WINDOW_BOUNDS

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


@dataclass(slots=True)
class CommonTable:
    """A WITH query and the planner that knows those before it; `planned` once it has been read."""

    query: ast.Query
    planner: SelectPlanner
    planned: Selected | None = None


def common_tables(planner: SelectPlanner, ctes: tuple[ast.CommonTable, ...]) -> Mapping[str, CommonTable]:
    """The WITH queries in reach of a query: those around it and its own, each seeing the ones before it.

    raises  PlanError PLAN-WITH if a name stands twice
    """
    found = dict(planner.common)
    for number, cte in enumerate(ctes):
        if cte.name in [c.name for c in ctes[:number]]:
            raise at(cte.span, f"{quote_name(cte.name)} stands in WITH twice", "PLAN-WITH", "rename one")
        inner = replace(planner.nested(), common=dict(found))
        found[cte.name] = CommonTable(cte.query, inner)
    return found


def subquery_flow(planner: SelectPlanner, relation: ast.SubqueryRef) -> Flow:
    """A subquery as something to read: its last stage stays open, so that the outer steps join it."""
    selected = planner.nested().select(relation.query)
    return as_relation(selected, relation.alias)


def common_table_flow(common: CommonTable, relation: ast.SourceRef) -> Flow:
    """A WITH query as something to read, by one reader of perhaps several."""
    if relation.as_of is not None:
        raise as_of_has_no_meaning(relation.as_of)
    if common.planned is None:
        common.planned = common.planner.select(common.query)
        common.planned.flow.close_stage()
    selected = replace(common.planned, flow=common.planned.flow.branch())
    return as_relation(selected, relation.alias or relation.name)


def as_of_has_no_meaning(as_of: ast.AsOf) -> PlanError:
    """What is said of AS OF where a query goes on from what it reads."""
    return at(
        as_of.span,
        "AS OF has no meaning in a query that keeps running: it goes on from what was",
        "PLAN-AS-OF",
        "AS OF in a pull query; SET 'auto.offset.reset' says whether a query begins at the beginning",
    )


def as_relation(selected: Selected, qualifier: str | None) -> Flow:
    """The result's columns in the place of what they were computed from."""
    flow = selected.flow
    is_whole = len(selected.key) == len(flow.key)
    in_batch = flow.builder.schema.names
    columns = [
        ScopeColumn(
            c.name,
            column_sql(c.name),
            c.column.type,
            qualifier,
            c.name,
            is_key=c.is_key and is_whole,
            # Bounds that were selected under their own names are those that `*` shows anyway.
            is_hidden=c.is_hidden or (flow.window is not None and c.name in WINDOW_BOUNDS),
        )
        for c in selected.columns
    ]
    taken = {c.name for c in columns}
    pseudo = [
        c
        for c in pseudo_columns(qualifier, is_windowed=WINDOW_START in in_batch)
        if c.sql.strip('"') in in_batch
        and c.name not in taken
        and (flow.kind == STREAM or c.name == "ROWTIME" or c.name in WINDOW_BOUNDS)
    ]
    titles = {c.name: c.title for c in selected.columns if c.is_hidden}
    keys = tuple(
        KeyColumn(ast.ColumnRef(name), titles.get(name, name), is_hidden=name in titles)
        for name in selected.key
    )
    flow.scope = Scope((*columns, *pseudo))
    flow.key = keys if is_whole else ()
    flow.window = flow.window if is_whole else None
    flow.names = frozenset(taken)
    if flow.kind == TABLE and not (selected.is_repeatable or flow.is_final):
        # Computed again, what a change takes back would not be what was put in.
        materialise(flow)
    return flow

"""Push queries: a SELECT that keeps running for one reader."""

from __future__ import annotations

from dataclasses import dataclass

from streamsql.catalog import TABLE
from streamsql.engine.graph import Graph
from streamsql.engine.operators.sink import Collect
from streamsql.grammar import ast
from streamsql.plan.environment import Environment
from streamsql.plan.flow import OutputColumn
from streamsql.plan.select import SelectPlanner
from streamsql.plan.unused import drop_unused_columns


@dataclass(frozen=True, slots=True)
class PushPlan:
    """columns: in SELECT order; is_table: the rows are changes, some of them tombstones."""

    graph: Graph
    columns: tuple[OutputColumn, ...]
    is_table: bool
    limit: int | None
    sources: tuple[str, ...]


def plan_push(query: ast.Query, env: Environment) -> PushPlan:
    """raises PlanError, NotSupportedError"""
    select = SelectPlanner(env, is_persistent=False).plan(query)
    graph = select.graph
    graph.add(Collect(graph.nodes[select.node].spec.output), select.node)
    graph = drop_unused_columns(graph)
    return PushPlan(graph, select.columns, select.kind == TABLE, query.limit, select.sources)

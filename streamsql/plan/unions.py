"""UNION of streams that keep running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from streamsql.catalog import STREAM
from streamsql.engine.operators.union import Union
from streamsql.errors import NotSupportedError
from streamsql.grammar import ast
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.flow import Flow, OutputColumn, Selected, source_names
from streamsql.plan.items import KeyColumn
from streamsql.plan.join_keys import BOUNDS
from streamsql.plan.scope import Scope, at, column_sql
from streamsql.plan.stages import Output, StageBuilder

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


def union(planner: SelectPlanner, query: ast.SetOperation) -> Selected:
    """All rows of both sides, with the columns and names of the left one.

    The result has a key if both sides have one, in the same places of their SELECT lists, and over the same
    windows if one is windowed: then it is windowed too.

    raises  PlanError if a side is a table or the columns differ; NotSupportedError for other operations
    """
    if query.op not in ("UNION", "UNION ALL"):
        raise NotSupportedError(
            f"{query.op} in a query that keeps running",
            span=place_of(query.op),
            hint="a join finds the rows that are on both sides, a LEFT JOIN those that are not",
        )
    sides = [planner.nested().select(side) for side in (query.left, query.right)]
    left, right = (side.flow for side in sides)
    for flow, side in zip((left, right), (query.left, query.right), strict=True):
        if flow.kind != STREAM:
            raise at(
                side.span,
                f"{query.op} is for streams, and {to_sql(side)} is a table",
                "PLAN-SET-OPERATION",
                "a table has one row per key",
            )
    mine, other = (side.columns for side in sides)
    if [c.column.type for c in mine] != [c.column.type for c in other]:
        raise at(
            place_of(query.op),
            f"the sides of {query.op} have different columns: {_listed(mine)} and {_listed(other)}",
            "PLAN-SET-OPERATION",
            "CAST the columns of one side",
        )
    nodes = [_named(flow, columns, mine) for flow, columns in ((left, mine), (right, other))]
    is_keyed = _key_places(sides[0]) == _key_places(sides[1]) and left.window == right.window
    key = sides[0].key if is_keyed else ()
    window = left.window if key else None
    bounds = () if window is None else BOUNDS
    spec = Union(
        pa.schema(
            [
                *(pa.field(c.physical, c.column.type.arrow) for c in mine),
                *(pa.field(name, pa.int64()) for name in bounds),
            ]
        )
    )
    columns = tuple(OutputColumn(c.name, c.column, c.name in key) for c in mine)
    flow = Flow(
        planner.graph,
        planner.graph.add(spec, *nodes),
        StageBuilder(spec.output),
        Scope(()),
        STREAM,
        tuple(KeyColumn(ast.ColumnRef(name), name) for name in key),
        source_names((left, right)),
        frozenset(c.name for c in mine),
        window,
        null_key=left.null_key and right.null_key,
        is_rekeyed=left.is_rekeyed or right.is_rekeyed,
        is_spread=True,
    )
    return Selected(flow, columns, key, True)


def _named(flow: Flow, columns: tuple[OutputColumn, ...], names: tuple[OutputColumn, ...]) -> int:
    """The node of a side whose columns have the left side's names."""
    outputs = []
    for column, name in zip(columns, names, strict=True):
        sql = column_sql(column.name)
        value = Compiled(sql, sql, column.column.type, ast.ColumnRef(column.name))
        outputs.append(Output(name.physical, value))
    flow.builder.project(outputs)
    return flow.close_stage()


def _listed(columns: tuple[OutputColumn, ...]) -> str:
    return ", ".join(f"{c.name} {c.column.type}" for c in columns)


def _key_places(side: Selected) -> list[int]:
    """Where the key columns stand in the SELECT list; none if one of them does not."""
    names = [c.name for c in side.columns]
    is_whole = len(side.key) == len(side.flow.key)
    return [names.index(name) for name in side.key] if is_whole else []

"""SELECT DISTINCT and UNION in queries that keep running: every row once, while something makes it.

A row is a group of its own. Groups are known by one STRUCT of all columns: columns may be NULL, the parts of
a key may not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.engine.operators.drop_unchanged import DropUnchanged
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.plan.flow import Selected
from streamsql.plan.items import KeyColumn
from streamsql.plan.scope import at, result_place
from streamsql.plan.subqueries import as_relation
from streamsql.types import Map, walk

WHOLE_ROW = "KSQL_ROW"
"""What the key of different rows is called."""

if TYPE_CHECKING:
    from streamsql.plan.select import SelectPlanner


def distinct(planner: SelectPlanner, query: ast.Query, selected: Selected) -> Selected:
    """The different rows of a result, as a table.

    selected  the result with all its rows
    raises    PlanError PLAN-DISTINCT in a persistent query, and for a MAP, whose values are not told apart
    """
    columns = [c for c in selected.columns if not c.is_hidden]
    names = [c.name for c in columns]
    if planner.is_persistent:
        listed = ", ".join(map(quote_name, names))
        raise at(
            place_of(query.op) if isinstance(query, ast.SetOperation) else result_place(query),
            "different rows are a table whose key is all of its columns; a persistent query needs others too",
            "PLAN-DISTINCT",
            f"SELECT {listed}, COUNT(*) AS n FROM .. GROUP BY {listed}",
        )
    for column in columns:
        if any(isinstance(part, Map) for part in walk(column.column.type)):
            raise at(
                column.span,
                f"column {quote_name(column.name)} holds a MAP, and MAPs are not told apart",
                "PLAN-DISTINCT",
                "leave it out",
            )
    fields = [f"F{number}" for number in range(len(names))]
    row = ast.StructConstructor(
        tuple(zip(fields, (ast.ColumnRef(name) for name in names), strict=True)), span=query.span
    )
    grouped = ast.Select(
        items=tuple(
            ast.SelectExpression(ast.FieldRef(row, field), alias=name)
            for field, name in zip(fields, names, strict=True)
        ),
        relation=ast.SubqueryRef(query, span=query.span),
        group_by=(row,),
        # Over a table a group stays when all its rows were taken back.
        having=ast.Comparison(">", ast.FunctionCall("COUNT", is_star=True), ast.IntegerLiteral(0)),
        span=query.span,
    )
    found = planner.finish(grouped, as_relation(selected, None))
    flow = found.flow
    node = flow.close_stage()
    spec = DropUnchanged(flow.builder.schema)
    flow.take(flow.graph.add(spec, node), spec.output)
    # Where changes are shown a row is known by all of its columns; a query around this one has a hidden key.
    shown = (
        replace(c, title=WHOLE_ROW) if c.is_hidden else replace(c, is_key=not planner.is_nested)
        for c in found.columns
    )
    return replace(found, columns=tuple(shown))


def refuse_key_of_distinct(key: KeyColumn, query: ast.Select) -> None:
    """raises PlanError PLAN-KEY-MISSING if this is the key of a subquery's different rows"""
    if key.is_hidden and key.name == WHOLE_ROW:
        raise at(
            query.relation.span,
            "rows of SELECT DISTINCT are told apart by all of their columns: a table needs another key",
            "PLAN-KEY-MISSING",
            "GROUP BY the columns in the subquery, with COUNT(*) beside them",
        )

"""UNION, INTERSECT and EXCEPT of pull queries: columns go together by place and take a common type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.grammar import ast
from streamsql.plan import typing
from streamsql.plan.compiled import Compiled, convert
from streamsql.plan.pull_sql import Sql, joined, limits, sql
from streamsql.plan.pull_windows import direction
from streamsql.plan.scope import Scope, at, column_sql
from streamsql.schema import Column

if TYPE_CHECKING:
    from streamsql.plan.pull import Planner, Result


def set_operation(
    planner: Planner, query: ast.SetOperation, ctes: dict[str, Result], outer: Scope | None
) -> Result:
    """The result's columns are called as the left side's.

    raises  PlanError PLAN-SET-OPERATION if the sides do not fit each other
    """
    left, right = planner.query(query.left, ctes, outer), planner.query(query.right, ctes, outer)
    if len(left.columns) != len(right.columns):
        raise at(
            query.right.span,
            f"the sides of {query.op} have {len(left.columns)} and {len(right.columns)} columns",
            "PLAN-SET-OPERATION",
        )
    columns: list[Column] = []
    for mine, theirs in zip(left.columns, right.columns, strict=True):
        t = typing.unify(mine.type, theirs.type, None)
        if t is None:
            raise at(
                query.right.span,
                f"the sides of {query.op} do not fit: {mine.name} is {mine.type}, "
                f"{theirs.name} is {theirs.type}",
                "PLAN-SET-OPERATION",
                f"CAST({theirs.name} AS {mine.type})",
            )
        columns.append(replace(mine, type=t))
    both = (_as(planner, left, columns), _as(planner, right, columns))
    text = sql("({}) {} ({})", both[0], query.op, both[1])
    if query.order_by:
        order = [_target(item, query, columns) + direction(item) for item in query.order_by]
        text = sql("{} ORDER BY {}", text, ", ".join(order))
    return replace(left, text=sql("{}{}", text, limits(query)), columns=tuple(columns), name=None)


def _as(planner: Planner, side: Result, columns: Sequence[Column]) -> Sql:
    """A side with the columns' types."""
    if [c.type for c in side.columns] == [c.type for c in columns]:
        return side.text
    values = []
    for own, column in zip(side.columns, columns, strict=True):
        name = column_sql(own.name)
        value = convert(Compiled(name, name, own.type, ast.ColumnRef(own.name)), column.type)
        values.append(sql("{} AS {}", planner.noted(value), column_sql(column.name)))
    return sql("SELECT {} FROM ({}) AS {}", joined(", ", values), side.text, planner.alias("t"))


def _target(item: ast.OrderItem, query: ast.SetOperation, columns: Sequence[Column]) -> str:
    match item.expression:
        case ast.ColumnRef(name=name, qualifier=None) if any(c.name == name for c in columns):
            return column_sql(name)
        case ast.IntegerLiteral(value=number) if 1 <= number <= len(columns):
            return str(number)
    raise at(item.span, f"ORDER BY of {query.op} takes the result's columns", "PLAN-ORDER-BY")

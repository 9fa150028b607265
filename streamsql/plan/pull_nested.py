"""Subqueries in the expressions of pull queries: scalar ones, IN (SELECT ..) and EXISTS.

They may use the columns of the query around them. As everywhere a comparison with NULL is false, so
`x IN (SELECT ..)` is true or false, and NOT IN its opposite.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.errors import Span
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.printer import to_sql
from streamsql.plan import typing
from streamsql.plan.compiled import Compiled, convert
from streamsql.plan.expressions import compile_expression
from streamsql.plan.pull_sql import Sql, sql
from streamsql.plan.pull_windows import window_function
from streamsql.plan.scope import Scope, at, column_sql
from streamsql.types import BOOLEAN

if TYPE_CHECKING:
    from streamsql.plan.pull import Planner, Result


def compile_nested(planner: Planner, ctes: dict[str, Result], node: ast.Expression, scope: Scope) -> Compiled:
    """Type and print a subquery or a window function. Fits `Scope.nested`, given planner and ctes.

    raises  PlanError
    """
    match node:
        case ast.WindowFunction():
            return window_function(planner, node, scope)
        case ast.Exists(query=query):
            found = planner.query(query, ctes, scope)
            return _boolean(node, sql("EXISTS ({})", found.text))
        case ast.ScalarSubquery(query=query):
            found = planner.query(query, ctes, scope)
            _check_single(found, node.span)
            text = sql("({})", found.text)
            return Compiled(text.plain, text.safe, found.columns[0].type, node)
        case ast.InSubquery():
            return _in(planner, ctes, node, scope)
    raise AssertionError(node)


def _in(planner: Planner, ctes: dict[str, Result], node: ast.InSubquery, scope: Scope) -> Compiled:
    value = planner.noted(compile_expression(node.value, scope, planner.env))
    found = planner.query(node.query, ctes, scope)
    _check_single(found, node.query.span)
    (column,) = found.columns
    target = typing.comparison_type(value.type, column.type, "=")
    if target is None:
        raise at(
            node.span,
            f"{to_sql(node.value)} is {value.type}, and the subquery gives {column.type}",
            "PLAN-COMPARE",
            "CAST one side",
        )
    own = planner.alias("n")
    name = f"{own}.{column_sql(column.name)}"
    item = planner.noted(convert(Compiled(name, name, column.type, ast.ColumnRef(column.name)), target))
    value = planner.noted(convert(value, target))
    text = sql("coalesce({} IN (SELECT {} FROM ({}) AS {}), false)", value, item, found.text, own)
    if node.negated:
        text = sql("(NOT {})", text)
    return replace(_boolean(node, text), can_fail=value.can_fail or item.can_fail)


def _boolean(node: ast.Expression, text: Sql) -> Compiled:
    return Compiled(text.plain, text.safe, BOOLEAN, node)


def _check_single(found: Result, span: Span) -> None:
    if len(found.columns) != 1:
        names = ", ".join(quote_name(c.name) for c in found.columns)
        raise at(
            span, f"this subquery must give one column, not {names}", "PLAN-SUBQUERY", "SELECT one of them"
        )

"""Makes queries: SELECT and its clauses, relations, windows; see streamsql.grammar.build."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from streamsql.errors import ParseError, Span
from streamsql.grammar import ast
from streamsql.grammar.build_text import whole_number
from streamsql.grammar.lexer import Token
from streamsql.grammar.names import UNITS


def _query(
    span: Span,
    ctes: tuple[ast.CommonTable, ...] | None,
    body: ast.Query,
    order_by: tuple[ast.OrderItem, ...],
    emit: str | None,
    limit: int | None,
    offset: int | None,
) -> ast.Query:
    """The body with its frame; `body` has been made without one."""
    return dataclasses.replace(
        body, ctes=ctes or (), order_by=order_by, emit=emit, limit=limit, offset=offset, span=span
    )


def _common_table(span: Span, name: str, query: ast.Query) -> ast.CommonTable:
    return ast.CommonTable(name, query, span=span)


def _operand(span: Span, query: ast.Query) -> ast.Query:
    """One side of a set operation in parentheses."""
    framed = query.ctes or query.order_by or query.emit or query.limit is not None or query.offset is not None
    if framed:
        raise ParseError(
            "a side of UNION, INTERSECT or EXCEPT has no WITH, ORDER BY, EMIT, LIMIT or OFFSET of its own",
            code="PARSE-SET-OPERATION",
            span=span,
            hint="put it into FROM: SELECT * FROM (SELECT .. LIMIT 3) UNION ..",
        )
    return query


def _set_operation(span: Span, left: ast.Query, op: str, right: ast.Query) -> ast.SetOperation:
    return ast.SetOperation(op=op, left=left, right=right, span=span)


def _select(
    span: Span,
    is_distinct: bool,
    items: tuple[ast.SelectItem, ...],
    relation: ast.Relation,
    window: ast.Window | None,
    where: ast.Expression | None,
    group_by: tuple[ast.Expression, ...] | None,
    partition_by: tuple[ast.Expression, ...] | None,
    having: ast.Expression | None,
) -> ast.Select:
    return ast.Select(
        items=items,
        relation=relation,
        window=window,
        where=where,
        group_by=group_by,
        partition_by=partition_by,
        having=having,
        is_distinct=is_distinct,
        span=span,
    )


def _select_all(span: Span) -> ast.SelectAll:
    return ast.SelectAll(span=span)


def _select_qualified_all(span: Span, qualifier: str) -> ast.SelectAll:
    return ast.SelectAll(qualifier, span=span)


def _select_struct_all(span: Span, base: ast.Expression) -> ast.SelectStructAll:
    return ast.SelectStructAll(base, span=span)


def _select_expression(span: Span, expression: ast.Expression, alias: str | None) -> ast.SelectExpression:
    return ast.SelectExpression(expression, None if alias is None else str(alias), span=span)


def _source_reference(span: Span, name: str, alias: str | None, as_of: ast.AsOf | None) -> ast.SourceRef:
    return ast.SourceRef(name, alias, as_of, span=span)


def _subquery_reference(span: Span, query: ast.Query, alias: str | None) -> ast.SubqueryRef:
    return ast.SubqueryRef(query, alias, span=span)


def _join(
    span: Span,
    left: ast.Relation,
    kind: str,
    right: ast.Relation,
    within: ast.Within | None,
    condition: ast.Expression,
) -> ast.Join:
    return ast.Join(kind, left, right, condition, within, span=span)


def _inner(_span: Span) -> str:
    return "INNER"


def _within(span: Span, both: ast.Duration | None, grace: ast.Duration | None) -> ast.Within | None:
    return None if both is None else ast.Within(both, both, grace, span=span)


def _within_both(
    span: Span, before: ast.Duration, after: ast.Duration, grace: ast.Duration | None
) -> ast.Within:
    return ast.Within(before, after, grace, span=span)


def _as_of(span: Span, kind: Token | None, value: ast.Expression | None) -> ast.AsOf | None:
    if kind is None or value is None:
        return None
    return ast.AsOf(kind.text.upper(), value, span=span)


def _window(span: Span, name: str | None, shape: ast.Window | None) -> ast.Window | None:
    return None if shape is None else dataclasses.replace(shape, name=name, span=span)


def _time_window(
    span: Span,
    kind: Token,
    size: ast.Duration,
    retention: ast.Duration | None,
    grace: ast.Duration | None,
) -> ast.Window:
    return ast.Window(kind.text.upper(), size, None, retention, grace, span=span)


def _hopping_window(
    span: Span,
    kind: Token,
    size: ast.Duration,
    advance: ast.Duration,
    retention: ast.Duration | None,
    grace: ast.Duration | None,
) -> ast.Window:
    return ast.Window(kind.text.upper(), size, advance, retention, grace, span=span)


def _duration(span: Span, amount: Token, unit: str) -> ast.Duration:
    return ast.Duration(whole_number(amount), UNITS[unit], span=span)


def _order_item(
    span: Span, expression: ast.Expression, direction: Token | None, nulls: str | None
) -> ast.OrderItem:
    descending = direction is not None and direction.text.upper() == "DESC"
    return ast.OrderItem(expression, descending, nulls, span=span)


QUERY_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "as_of": _as_of,
    "common_table": _common_table,
    "duration": _duration,
    "hopping_window": _hopping_window,
    "inner": _inner,
    "join": _join,
    "operand": _operand,
    "order_item": _order_item,
    "query": _query,
    "select": _select,
    "select_all": _select_all,
    "select_expression": _select_expression,
    "select_qualified_all": _select_qualified_all,
    "select_struct_all": _select_struct_all,
    "set_operation": _set_operation,
    "source_reference": _source_reference,
    "subquery_reference": _subquery_reference,
    "time_window": _time_window,
    "window": _window,
    "within": _within,
    "within_both": _within_both,
}

"""Window functions of pull queries: `f(..) OVER (PARTITION BY .. ORDER BY .. frame)`.

An aggregate before OVER is computed from its partial, as everywhere: each DuckDB aggregate in the partial's
text gets the OVER clause. What picks rows by their place in the stream picks them by the window's order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.errors import PlanError, Span
from streamsql.functions.resolve import resolve
from streamsql.grammar import ast
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.aggregates import resolve_aggregate
from streamsql.plan.compiled import Compiled, coerce
from streamsql.plan.expressions import compile_expression
from streamsql.plan.pull_layers import layered
from streamsql.plan.pull_sql import Sql, joined, sql
from streamsql.plan.rewrite import walk
from streamsql.plan.scope import Scope, at
from streamsql.types import BIGINT, SqlType, duckdb_name, is_numeric

if TYPE_CHECKING:
    from streamsql.plan.pull import Planner

_DEFAULTS = {"offset": "1", "default": "NULL"}
_CLAUSES = ("SELECT", "ORDER BY")


def direction(item: ast.OrderItem) -> str:
    """What follows an expression in ORDER BY; nulls are the largest values unless the query says it."""
    nulls = item.nulls or ("FIRST" if item.descending else "LAST")
    return f"{' DESC' if item.descending else ''} NULLS {nulls}"


def window_function(planner: Planner, node: ast.WindowFunction, scope: Scope) -> Compiled:
    """Type and print a window function.

    raises  PlanError
    """
    if scope.clause not in _CLAUSES:
        raise at(
            node.span,
            f"{node.call.name}(..) OVER cannot be used in {scope.clause}",
            "PLAN-WINDOW-FUNCTION",
            "select it in a subquery, and filter that",
        )
    if any(isinstance(inner, ast.WindowFunction) for inner in list(walk(node))[1:]):
        raise at(node.span, "window functions cannot be nested", "PLAN-WINDOW-FUNCTION", "use a subquery")
    over = _over(planner, node, scope)
    name = node.call.name
    if name in planner.env.library.windows:
        return _ranking(planner, node, scope, over)
    if name not in planner.env.library.aggregates:
        raise at(
            node.call.span,
            f"{name} is neither an aggregate nor a window function",
            "PLAN-WINDOW-FUNCTION",
            f"there are {', '.join(planner.env.library.windows.names())}, and every aggregate",
        )
    return _aggregate(planner, node, scope, over)


def _ranking(planner: Planner, node: ast.WindowFunction, scope: Scope, over: Sql) -> Compiled:
    call = node.call
    if call.is_star:
        raise at(call.span, f"{call.name} takes no *", "PLAN-WINDOW-FUNCTION")
    values = [planner.noted(compile_expression(a, scope, planner.env)) for a in call.arguments]
    try:
        match = resolve(call.name, planner.env.library.windows.overloads(call.name), [v.type for v in values])
    except PlanError as error:
        error.span = error.span or call.span
        raise
    if node.frame is not None and not match.overload.takes_frame:
        raise at(
            place_of(node.frame),
            f"{call.name} takes no frame: it looks at the whole partition",
            "PLAN-FRAME",
            f"leave {node.frame} out",
        )
    given: dict[str, Compiled] = {
        parameter.name: coerce(value, parameter.type)
        for parameter, value in zip(match.parameters, values, strict=True)
    }
    plain = match.overload.sql.format_map(_DEFAULTS | {name: value.sql for name, value in given.items()})
    safe = match.overload.sql.format_map(_DEFAULTS | {name: value.safe for name, value in given.items()})
    return Compiled(
        f"{plain} {over.plain}", f"{safe} {over.safe}", match.result, node, any(v.can_fail for v in values)
    )


def _aggregate(planner: Planner, node: ast.WindowFunction, scope: Scope, over: Sql) -> Compiled:
    found = resolve_aggregate(node.call, scope.in_clause(f"{node.call.name}(..)"), planner.env)
    places = [f'"$argument{n}"' for n in range(len(found.arguments))]
    call = found.call("value", "", places, on_table=False)
    planner.functions.update(dict.fromkeys(call.functions))
    for argument in found.arguments:
        planner.noted(argument)
    result = call.result
    texts = {duckdb_name(column.name): with_over(column.partial) for column in call.state}
    result = _filled(result, texts)

    def form(arguments: Sequence[str], clause: str) -> str:
        values = dict(zip(places, arguments, strict=True)) | {OVER: clause}
        if call.uses_seq:
            values['"$seq"'] = scope_seq(scope, node)
        return _filled(result, values)

    return Compiled(
        form([a.sql for a in found.arguments], over.plain),
        form([a.safe for a in found.arguments], over.safe),
        found.type,
        node,
        True,
    )


# --- the place of a row in its window -----------------------------------------------------------


def needs_numbers(planner: Planner, expressions: Sequence[ast.Expression]) -> list[ast.WindowFunction]:
    """The window functions that ask for the place of a row in its window, each window once."""
    found: dict[ast.WindowFunction, ast.WindowFunction] = {}
    aggregates = planner.env.library.aggregates
    for expression in expressions:
        for node in walk(expression):
            if isinstance(node, ast.WindowFunction) and node.call.name in aggregates:
                if any(row.uses_seq for row in aggregates.overloads(node.call.name)):
                    found.setdefault(_window(node), node)
    return list(found.values())


def numbered(
    planner: Planner,
    source: Sql,
    scope: Scope,
    windows: Sequence[ast.WindowFunction],
    expressions: Sequence[ast.Expression],
) -> tuple[Sql, Scope]:
    """The source with a column per window that counts its rows."""
    added: list[tuple[str, SqlType, Sql]] = []
    for node in windows:
        over = _over(planner, replace(node, frame=None), scope.in_clause("SELECT"))
        added.append((_seq_name(node), BIGINT, sql("row_number() {}", over)))
    return layered(planner, source, scope, added, expressions)


def scope_seq(scope: Scope, node: ast.WindowFunction) -> str:
    """SQL for the place of a row in the window of a function."""
    column = scope.named(_seq_name(node))
    assert column is not None, to_sql(node)
    return column.sql


def _window(node: ast.WindowFunction) -> ast.WindowFunction:
    """The window alone, for comparing."""
    return replace(node, call=ast.FunctionCall(""), frame=None)


def _seq_name(node: ast.WindowFunction) -> str:
    return "$seq " + to_sql(_window(node))


# --- the OVER clause ----------------------------------------------------------------------------

OVER = '"$over"'


def _over(planner: Planner, node: ast.WindowFunction, scope: Scope) -> Sql:
    parts: list[Sql] = []
    clause = scope.in_clause("OVER")
    if node.partition_by:
        keys = [planner.noted(compile_expression(e, clause, planner.env)) for e in node.partition_by]
        parts.append(sql("PARTITION BY {}", joined(", ", keys)))
    ordering = [planner.noted(compile_expression(i.expression, clause, planner.env)) for i in node.order_by]
    if ordering:
        items = [
            sql("{}{}", value, direction(item)) for item, value in zip(node.order_by, ordering, strict=True)
        ]
        parts.append(sql("ORDER BY {}", joined(", ", items)))
    if node.frame is not None:
        _check_frame(node.frame, [v.type for v in ordering], place_of(node.frame) or node.span)
        parts.append(sql("{}", node.frame))
    return sql("OVER ({})", joined(" ", parts))


def _check_frame(frame: str, ordering: Sequence[SqlType], span: Span) -> None:
    """raises  PlanError PLAN-FRAME for a frame that means nothing"""
    unit, _, rest = frame.partition(" ")
    start, _, end = rest.removeprefix("BETWEEN ").partition(" AND ")
    is_backwards = _rank(start) > _rank(end or "CURRENT ROW")
    if is_backwards or start == "UNBOUNDED FOLLOWING" or end == "UNBOUNDED PRECEDING":
        raise at(span, f"the frame {frame} ends before it begins", "PLAN-FRAME")
    if unit == "GROUPS" and not ordering:
        raise at(span, "GROUPS needs an ORDER BY in its window", "PLAN-FRAME")
    if unit == "RANGE" and re.search(r"\d", rest) and (len(ordering) != 1 or not is_numeric(ordering[0])):
        raise at(
            span, "RANGE with a distance needs ORDER BY one number in its window", "PLAN-FRAME", "use ROWS"
        )


def _rank(bound: str) -> int:
    return ("UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING").index(
        re.sub(r"^\d+ ", "", bound)
    )


# --- the texts of aggregates --------------------------------------------------------------------

_AGGREGATES = (
    "count|sum|avg|min|max|list|var_pop|arg_min_null|arg_max_null|first|last|any_value"
    "|regr_count|regr_avgx|regr_avgy|regr_sxx|regr_sxy|regr_syy"
)
_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"]|"")*\""""
_TOKENS = re.compile(rf"{_QUOTED}|\b(?:{_AGGREGATES})\(|[()]")


def with_over(partial: str) -> str:
    """The partial's text with `"$over"` after each DuckDB aggregate and its FILTER.

    >>> with_over('coalesce(sum("$argument0") FILTER (WHERE true), 0)')
    'coalesce(sum("$argument0") FILTER (WHERE true) "$over", 0)'
    """
    places: list[int] = []
    stack: list[bool] = []
    for token in _TOKENS.finditer(partial):
        match token[0][-1:], token[0]:
            case "(", text:
                stack.append(text != "(")
            case ")", _:
                if stack.pop():
                    places.append(_after_filter(partial, token.end()))
    for place in sorted(places, reverse=True):
        partial = f"{partial[:place]} {OVER}{partial[place:]}"
    return partial


def _after_filter(text: str, place: int) -> int:
    if not text.startswith(" FILTER (", place):
        return place
    depth = 0
    for token in re.finditer(rf"{_QUOTED}|[()]", text[place:]):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if token[0] == ")" and depth == 0:
            return place + token.end()
    raise AssertionError(text)


def _filled(text: str, values: dict[str, str]) -> str:
    """The text with some of its quoted names replaced."""
    return re.sub(_QUOTED, lambda name: values.get(name[0], name[0]), text)

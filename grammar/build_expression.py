"""Makes expressions and types, see streamsql.grammar.build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamsql.errors import ParseError, Span
from streamsql.grammar import ast
from streamsql.grammar.build_text import double_value, span_of, string_value, whole_number
from streamsql.grammar.lexer import Token
from streamsql.grammar.names import TYPE_SYNONYMS, UNIT_FUNCTIONS, UNITS
from streamsql.grammar.places import PlacedText

Number = ast.IntegerLiteral | ast.DecimalLiteral | ast.DoubleLiteral


# --- literals -----------------------------------------------------------------------------------


def _unsigned(_span: Span, token: Token) -> Token:
    """A number stays a token until it is known whether a minus belongs to it."""
    return token


def _number_of(token: Token, span: Span, sign: Token | None = None) -> Number:
    if token.kind == "INTEGER_LITERAL":
        return ast.IntegerLiteral(whole_number(token, sign=sign), span=span)
    if token.kind == "DECIMAL_LITERAL":
        return ast.DecimalLiteral(("-" if sign else "") + token.text, span=span)
    return ast.DoubleLiteral(double_value(token, sign=sign), span=span)


def _number(span: Span, token: Token) -> Number:
    return _number_of(token, span)


def _negative(span: Span, sign: Token, token: Token) -> Number:
    return _number_of(token, span, sign)


def _string_literal(span: Span, token: Token) -> ast.StringLiteral:
    return ast.StringLiteral(string_value(token), span=span)


def _boolean(span: Span, token: Token) -> ast.BooleanLiteral:
    return ast.BooleanLiteral(token.text.upper() == "TRUE", span=span)


def _null(span: Span) -> ast.NullLiteral:
    return ast.NullLiteral(span=span)


# --- operators ----------------------------------------------------------------------------------


def _logical(span: Span, left: ast.Expression, op: Token, right: ast.Expression) -> ast.Logical:
    return ast.Logical(op.text.upper(), left, right, span=span)


def _not(span: Span, operand: ast.Expression) -> ast.Not:
    return ast.Not(operand, span=span)


def _comparison(span: Span, left: ast.Expression, op: str, right: ast.Expression) -> ast.Comparison:
    return ast.Comparison("<>" if op == "!=" else op, left, right, span=span)


def _distinct_from(
    span: Span, left: ast.Expression, negation: Token | None, right: ast.Expression
) -> ast.Comparison:
    op = "IS NOT DISTINCT FROM" if negation else "IS DISTINCT FROM"
    return ast.Comparison(op, left, right, span=span)


def _between(
    span: Span, value: ast.Expression, negation: Token | None, low: ast.Expression, high: ast.Expression
) -> ast.Between:
    return ast.Between(value, low, high, negation is not None, span=span)


def _in_list(
    span: Span, value: ast.Expression, negation: Token | None, items: tuple[ast.Expression, ...]
) -> ast.In:
    return ast.In(value, items, negation is not None, span=span)


def _in_query(span: Span, value: ast.Expression, negation: Token | None, query: ast.Query) -> ast.InSubquery:
    return ast.InSubquery(value, query, negation is not None, span=span)


def _like(
    span: Span, value: ast.Expression, negation: Token | None, pattern: ast.Expression, escape: str | None
) -> ast.Like:
    return ast.Like(value, pattern, escape, negation is not None, span=span)


def _escape(_span: Span, token: Token) -> str:
    text = string_value(token)
    if len(text) != 1:
        raise ParseError(
            f"ESCAPE takes exactly one character, found {len(text)}",
            code="PARSE-ESCAPE",
            span=span_of(token),
            hint=r"for example ESCAPE '\'",
        )
    return text


def _is_null(span: Span, operand: ast.Expression, negation: Token | None) -> ast.IsNull:
    return ast.IsNull(operand, negation is not None, span=span)


def _binary(span: Span, left: ast.Expression, op: Token, right: ast.Expression) -> ast.Binary:
    return ast.Binary(op.text, left, right, span=span)


def _unary(span: Span, op: Token, operand: ast.Expression) -> ast.Unary:
    return ast.Unary(op.text, operand, span=span)


def _at_time_zone(span: Span, operand: ast.Expression, zone: ast.Expression) -> ast.AtTimeZone:
    return ast.AtTimeZone(operand, zone, span=span)


# --- columns, calls, constructors ---------------------------------------------------------------


def _column(span: Span, name: str) -> ast.ColumnRef:
    return ast.ColumnRef(str(name), span=span)


def _qualified_column(span: Span, qualifier: str, name: str) -> ast.ColumnRef:
    return ast.ColumnRef(str(name), qualifier, span=span)


def _field(span: Span, base: ast.Expression, name: str) -> ast.FieldRef:
    return ast.FieldRef(base, name, span=span)


def _subscript(span: Span, base: ast.Expression, index: ast.Expression) -> ast.Subscript:
    return ast.Subscript(base, index, span=span)


def _call(span: Span, name: str, *arguments: ast.Expression) -> ast.FunctionCall:
    if name in UNIT_FUNCTIONS:
        arguments = tuple(_as_unit(argument) for argument in arguments)
    return ast.FunctionCall(name, arguments, span=span)


def _as_unit(argument: ast.Expression) -> ast.Expression:
    # A quoted name is longer than its text: `DAY` in backticks stays a column.
    if (
        isinstance(argument, ast.ColumnRef)
        and argument.qualifier is None
        and argument.name in UNITS
        and argument.span.end - argument.span.start == len(argument.name)
    ):
        return ast.TimeUnit(UNITS[argument.name], span=argument.span)
    return argument


def _call_star(span: Span, name: str) -> ast.FunctionCall:
    return ast.FunctionCall(name, (), True, span=span)


def _time_unit(span: Span, token: Token) -> ast.TimeUnit:
    return ast.TimeUnit(UNITS[token.text.upper()], span=span)


def _lambda(span: Span, *parts: Any) -> ast.Lambda:
    *parameters, body = parts
    return ast.Lambda(tuple(parameters), body, span=span)


def _case(span: Span, operand: ast.Expression | None, *rest: Any) -> ast.Case:
    *whens, default = rest
    return ast.Case(tuple(whens), default, operand, span=span)


def _when(span: Span, condition: ast.Expression, result: ast.Expression) -> ast.When:
    return ast.When(condition, result, span=span)


def _cast(span: Span, operand: ast.Expression, to: ast.TypeNode) -> ast.Cast:
    return ast.Cast(operand, to, span=span)


def _array(span: Span, *elements: ast.Expression | None) -> ast.ArrayConstructor:
    return ast.ArrayConstructor(tuple(e for e in elements if e is not None), span=span)


def _map(span: Span, *entries: tuple[ast.Expression, ast.Expression] | None) -> ast.MapConstructor:
    return ast.MapConstructor(tuple(e for e in entries if e is not None), span=span)


def _struct(span: Span, *fields: tuple[str, ast.Expression] | None) -> ast.StructConstructor:
    return ast.StructConstructor(tuple(f for f in fields if f is not None), span=span)


def _exists(span: Span, query: ast.Query) -> ast.Exists:
    return ast.Exists(query, span=span)


def _scalar_subquery(span: Span, query: ast.Query) -> ast.ScalarSubquery:
    return ast.ScalarSubquery(query, span=span)


def _window_function(
    span: Span,
    call: ast.FunctionCall,
    partition_by: tuple[ast.Expression, ...],
    order_by: tuple[ast.OrderItem, ...],
    frame: str | None,
) -> ast.WindowFunction:
    return ast.WindowFunction(call, partition_by, order_by, frame, span=span)


def _frame(span: Span, unit: Token | None, *rest: Any) -> PlacedText | None:
    if unit is None:
        return None
    words = [unit.text, *(part.text if isinstance(part, Token) else part for part in rest)]
    return PlacedText(" ".join(words).upper(), span)


# --- types --------------------------------------------------------------------------------------


def _named_type(span: Span, name: str) -> ast.NamedType:
    if name in _PARTS and span.end - span.start == len(name):  # not quoted
        raise ParseError(
            f"the type {name} is not complete", code="PARSE-TYPE", span=span, hint=f"write {_PARTS[name]}"
        )
    return ast.NamedType(TYPE_SYNONYMS.get(name, name), span=span)


def _sized_type(span: Span, name: str, *parameters: Token) -> ast.NamedType:
    """`VARCHAR(10)` and `VARCHAR(STRING)`: what is in the parentheses has no meaning."""
    named = _named_type(span, name)
    wrong = next((p for p in parameters if p.kind != "INTEGER_LITERAL" and p.text.upper() != "STRING"), None)
    if named.name != "VARCHAR" or len(parameters) != 1 or wrong is not None:
        raise ParseError(
            f"the type {name} takes no such parameter",
            code="PARSE-TYPE",
            span=span_of(wrong) if wrong is not None and named.name == "VARCHAR" else span,
            hint="only VARCHAR(n) and DECIMAL(precision, scale) take parameters",
        )
    return named


def _decimal_type(span: Span, precision: Token, scale: Token) -> ast.NamedType:
    return ast.NamedType("DECIMAL", (whole_number(precision), whole_number(scale)), span=span)


_PARTS = {"ARRAY": "ARRAY<type>", "MAP": "MAP<STRING, type>", "STRUCT": "STRUCT<name type, ..>"}


def _array_type(span: Span, element: ast.TypeNode) -> ast.ArrayType:
    return ast.ArrayType(element, span=span)


def _map_type(span: Span, key: ast.TypeNode, value: ast.TypeNode) -> ast.MapType:
    return ast.MapType(key, value, span=span)


def _struct_type(span: Span, *fields: tuple[str, ast.TypeNode] | None) -> ast.StructType:
    return ast.StructType(tuple(f for f in fields if f is not None), span=span)


EXPRESSION_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "array": _array,
    "array_type": _array_type,
    "at_time_zone": _at_time_zone,
    "between": _between,
    "binary": _binary,
    "boolean": _boolean,
    "call": _call,
    "call_star": _call_star,
    "case": _case,
    "cast": _cast,
    "column": _column,
    "comparison": _comparison,
    "decimal_type": _decimal_type,
    "distinct_from": _distinct_from,
    "empty_struct_type": _struct_type,
    "escape": _escape,
    "exists": _exists,
    "field": _field,
    "frame": _frame,
    "in_list": _in_list,
    "in_query": _in_query,
    "is_null": _is_null,
    "lambda_": _lambda,
    "like": _like,
    "logical": _logical,
    "map": _map,
    "map_type": _map_type,
    "named_type": _named_type,
    "negative": _negative,
    "not_": _not,
    "null": _null,
    "number": _number,
    "qualified_column": _qualified_column,
    "scalar_subquery": _scalar_subquery,
    "sized_type": _sized_type,
    "string_literal": _string_literal,
    "struct": _struct,
    "struct_type": _struct_type,
    "subscript": _subscript,
    "time_unit": _time_unit,
    "unary": _unary,
    "unsigned": _unsigned,
    "when": _when,
    "window_function": _window_function,
}

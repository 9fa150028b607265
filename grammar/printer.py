"""The tree as canonical SQL: keywords in upper case, one line, parentheses only where they are needed.

parse(to_sql(x)) == x for every tree that the parser can make. Expressions are here; queries and
statements are in printer_statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamsql.grammar import ast
from streamsql.grammar.names import UNIT_FUNCTIONS, UNITS, quote_name

# How tightly an expression binds; an operand that binds looser than its place asks for gets parentheses.
OR, AND, NOT, PREDICATE, CONCAT, SUM, PRODUCT, UNARY, ZONED, PRIMARY = range(10)

_BINARY = {"||": CONCAT, "+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT}


def to_sql(node: ast.Node) -> str:
    """Any node as SQL; a statement comes without its `;`.

    >>> from streamsql.grammar.parser import parse_expression
    >>> to_sql(parse_expression("(a+1)*2 <> `b` and not (x)"))
    '(A + 1) * 2 <> `b` AND NOT X'
    """
    if isinstance(node, ast.Expression):
        return expression(node)
    if isinstance(node, ast.TypeNode):
        return type_text(node)
    from streamsql.grammar.printer_statement import other  # it needs this module

    return other(node)


def string(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def comma(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def expression(node: ast.Expression, place: int = OR) -> str:
    """An expression, in parentheses if it binds looser than `place`."""
    level, text = _TEXT[type(node)](node)
    return f"({text})" if level < place else text


def expressions(nodes: Sequence[ast.Expression]) -> str:
    return comma([expression(node) for node in nodes])


# --- one function a node: (level, text) ----------------------------------------------------------


def _integer(node: ast.IntegerLiteral) -> tuple[int, str]:
    return PRIMARY, str(node.value)


def _decimal(node: ast.DecimalLiteral) -> tuple[int, str]:
    return PRIMARY, node.text


def _double(node: ast.DoubleLiteral) -> tuple[int, str]:
    text = repr(node.value).upper()
    return PRIMARY, text if "E" in text else text + "E0"


def _string(node: ast.StringLiteral) -> tuple[int, str]:
    return PRIMARY, string(node.value)


def _boolean(node: ast.BooleanLiteral) -> tuple[int, str]:
    return PRIMARY, "TRUE" if node.value else "FALSE"


def _null(_node: ast.NullLiteral) -> tuple[int, str]:
    return PRIMARY, "NULL"


def _column(node: ast.ColumnRef) -> tuple[int, str]:
    name = quote_name(node.name)
    return PRIMARY, name if node.qualifier is None else f"{quote_name(node.qualifier)}.{name}"


def _field(node: ast.FieldRef) -> tuple[int, str]:
    return PRIMARY, f"{expression(node.base, PRIMARY)}->{quote_name(node.field)}"


def _subscript(node: ast.Subscript) -> tuple[int, str]:
    return PRIMARY, f"{expression(node.base, PRIMARY)}[{expression(node.index)}]"


def _call(node: ast.FunctionCall) -> tuple[int, str]:
    # A function's name that is also a constructor's is quoted by quote_name.
    arguments = "*" if node.is_star else comma([_argument(node.name, a) for a in node.arguments])
    return PRIMARY, f"{quote_name(node.name)}({arguments})"


def _argument(function: str, node: ast.Expression) -> str:
    bare = isinstance(node, ast.ColumnRef) and node.qualifier is None and node.name in UNITS
    if bare and function in UNIT_FUNCTIONS:
        assert isinstance(node, ast.ColumnRef)
        return quote_name(node.name, always=True)
    return expression(node)


def _time_unit(node: ast.TimeUnit) -> tuple[int, str]:
    return PRIMARY, node.unit + "S"


def _lambda(node: ast.Lambda) -> tuple[int, str]:
    names = [quote_name(name) for name in node.parameters]
    parameters = names[0] if len(names) == 1 else f"({comma(names)})"
    return OR, f"{parameters} => {expression(node.body)}"


def _unary(node: ast.Unary) -> tuple[int, str]:
    operand = expression(node.operand, UNARY)
    # `-5` would read as one literal, and `--5` as a comment.
    first = operand[0]
    if first in "+-" or (node.op == "-" and (first.isdigit() or first == ".")):
        operand = f"({operand})"
    return UNARY, node.op + operand


def _binary(node: ast.Binary) -> tuple[int, str]:
    level = _BINARY[node.op]
    return level, f"{expression(node.left, level)} {node.op} {expression(node.right, level + 1)}"


def _comparison(node: ast.Comparison) -> tuple[int, str]:
    return PREDICATE, f"{expression(node.left, CONCAT)} {node.op} {expression(node.right, CONCAT)}"


def _logical(node: ast.Logical) -> tuple[int, str]:
    level = AND if node.op == "AND" else OR
    return level, f"{expression(node.left, level)} {node.op} {expression(node.right, level + 1)}"


def _not(node: ast.Not) -> tuple[int, str]:
    return NOT, f"NOT {expression(node.operand, NOT)}"


def _negation(negated: bool) -> str:
    return "NOT " if negated else ""


def _between(node: ast.Between) -> tuple[int, str]:
    low, high = expression(node.low, CONCAT), expression(node.high, CONCAT)
    return PREDICATE, f"{expression(node.value, CONCAT)} {_negation(node.negated)}BETWEEN {low} AND {high}"


def _in(node: ast.In) -> tuple[int, str]:
    value = expression(node.value, CONCAT)
    return PREDICATE, f"{value} {_negation(node.negated)}IN ({expressions(node.items)})"


def _in_subquery(node: ast.InSubquery) -> tuple[int, str]:
    value = expression(node.value, CONCAT)
    return PREDICATE, f"{value} {_negation(node.negated)}IN ({to_sql(node.query)})"


def _like(node: ast.Like) -> tuple[int, str]:
    escape = "" if node.escape is None else f" ESCAPE {string(node.escape)}"
    value, pattern = expression(node.value, CONCAT), expression(node.pattern, CONCAT)
    return PREDICATE, f"{value} {_negation(node.negated)}LIKE {pattern}{escape}"


def _is_null(node: ast.IsNull) -> tuple[int, str]:
    return PREDICATE, f"{expression(node.operand, CONCAT)} IS {_negation(node.negated)}NULL"


def _case(node: ast.Case) -> tuple[int, str]:
    operand = "" if node.operand is None else f" {expression(node.operand)}"
    whens = "".join(f" {when(w)}" for w in node.whens)
    default = "" if node.default is None else f" ELSE {expression(node.default)}"
    return PRIMARY, f"CASE{operand}{whens}{default} END"


def when(node: ast.When) -> str:
    return f"WHEN {expression(node.condition)} THEN {expression(node.result)}"


def _cast(node: ast.Cast) -> tuple[int, str]:
    return PRIMARY, f"CAST({expression(node.operand)} AS {type_text(node.type)})"


def _at_time_zone(node: ast.AtTimeZone) -> tuple[int, str]:
    return ZONED, f"{expression(node.operand, ZONED)} AT TIME ZONE {expression(node.zone, PRIMARY)}"


def _array(node: ast.ArrayConstructor) -> tuple[int, str]:
    return PRIMARY, f"ARRAY[{expressions(node.elements)}]"


def _map(node: ast.MapConstructor) -> tuple[int, str]:
    return PRIMARY, f"MAP({comma([f'{expression(k)} := {expression(v)}' for k, v in node.entries])})"


def _struct(node: ast.StructConstructor) -> tuple[int, str]:
    return PRIMARY, f"STRUCT({comma([f'{quote_name(f)} := {expression(e)}' for f, e in node.fields])})"


def _scalar_subquery(node: ast.ScalarSubquery) -> tuple[int, str]:
    return PRIMARY, f"({to_sql(node.query)})"


def _exists(node: ast.Exists) -> tuple[int, str]:
    return PRIMARY, f"EXISTS ({to_sql(node.query)})"


def _window_function(node: ast.WindowFunction) -> tuple[int, str]:
    parts = []
    if node.partition_by:
        parts.append("PARTITION BY " + comma([expression(e, CONCAT) for e in node.partition_by]))
    if node.order_by:
        parts.append("ORDER BY " + comma([to_sql(item) for item in node.order_by]))
    if node.frame is not None:
        parts.append(node.frame)
    return PRIMARY, f"{expression(node.call)} OVER ({' '.join(parts)})"


_TEXT: dict[type[ast.Expression], Callable[[Any], tuple[int, str]]] = {
    ast.ArrayConstructor: _array,
    ast.AtTimeZone: _at_time_zone,
    ast.Between: _between,
    ast.Binary: _binary,
    ast.BooleanLiteral: _boolean,
    ast.Case: _case,
    ast.Cast: _cast,
    ast.ColumnRef: _column,
    ast.Comparison: _comparison,
    ast.DecimalLiteral: _decimal,
    ast.DoubleLiteral: _double,
    ast.Exists: _exists,
    ast.FieldRef: _field,
    ast.FunctionCall: _call,
    ast.In: _in,
    ast.InSubquery: _in_subquery,
    ast.IntegerLiteral: _integer,
    ast.IsNull: _is_null,
    ast.Lambda: _lambda,
    ast.Like: _like,
    ast.Logical: _logical,
    ast.MapConstructor: _map,
    ast.Not: _not,
    ast.NullLiteral: _null,
    ast.ScalarSubquery: _scalar_subquery,
    ast.StringLiteral: _string,
    ast.StructConstructor: _struct,
    ast.Subscript: _subscript,
    ast.TimeUnit: _time_unit,
    ast.Unary: _unary,
    ast.WindowFunction: _window_function,
}


# --- types --------------------------------------------------------------------------------------


def type_text(node: ast.TypeNode) -> str:
    """A type: `MAP<VARCHAR, ARRAY<DECIMAL(10, 2)>>`."""
    if isinstance(node, ast.ArrayType):
        return f"ARRAY<{type_text(node.element)}>"
    if isinstance(node, ast.MapType):
        return f"MAP<{type_text(node.key)}, {type_text(node.value)}>"
    if isinstance(node, ast.StructType):
        return f"STRUCT<{comma([f'{quote_name(name)} {type_text(kind)}' for name, kind in node.fields])}>"
    assert isinstance(node, ast.NamedType)
    if node.name == "DECIMAL" and node.parameters:
        precision, scale = node.parameters
        return f"DECIMAL({precision}, {scale})"
    return quote_name(node.name)

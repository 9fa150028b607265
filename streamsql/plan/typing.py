"""Typing rules: pure functions over types."""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.grammar import ast
from streamsql.tolerance import attempts
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    common_numeric,
    is_numeric,
    widens,
)


def decimal_literal(text: str) -> Decimal:
    """The type of a decimal literal.

    >>> str(decimal_literal("1.20")), str(decimal_literal("0.005")), str(decimal_literal("1."))
    ('DECIMAL(3, 2)', 'DECIMAL(4, 3)', 'DECIMAL(1, 0)')
    """
    whole, _, fraction = text.lstrip("+-").partition(".")
    scale = len(fraction)
    digits = len(whole.lstrip("0"))
    return Decimal(max(digits + scale, 1) if digits else scale + 1, scale)


def decimal_arithmetic(op: str, a: Decimal, b: Decimal) -> Decimal:
    """The result type of a decimal operation."""
    scale = max(a.scale, b.scale)
    whole_a, whole_b = a.precision - a.scale, b.precision - b.scale
    if op in ("+", "-"):
        return Decimal(scale + max(whole_a, whole_b) + 1, scale)
    if op == "*":
        return Decimal(a.precision + b.precision + 1, a.scale + b.scale)
    if op == "/":
        scale = max(6, a.scale + b.precision + 1)
        return Decimal(whole_a + b.scale + scale, scale)
    return Decimal(min(whole_a, whole_b) + scale, scale)


def decimal_division(a: Decimal, b: Decimal, result: Decimal) -> ArrowFunction:
    """a / b, rounded half up to the result's scale; DuckDB would divide decimals as doubles."""
    stored = result.arrow
    context = decimal.Context(prec=100, rounding=decimal.ROUND_HALF_UP)
    unit = decimal.Decimal(1).scaleb(-stored.scale)

    def divide(left: Any, right: Any) -> Any:
        # A loop over rows: neither DuckDB nor Arrow divides decimals exactly at these scales.
        return pa.array(
            attempts(quotient, zip(left.to_pylist(), right.to_pylist(), strict=True)), type=stored
        )

    def quotient(x: decimal.Decimal | None, y: decimal.Decimal | None) -> decimal.Decimal | None:
        if x is None or y is None:
            return None
        if not y:
            raise DataError(f"division of {x} by zero")
        return context.divide(x, y).quantize(unit, context=context)

    name = f"decimal_divide_{a.precision}_{a.scale}_{b.precision}_{b.scale}"
    return ArrowFunction(name, (a.duckdb, b.duckdb), result.duckdb, divide)


_ORDERED_WITH_TEXT = (DATE, TIME, TIMESTAMP)


def comparison_type(left: SqlType, right: SqlType, op: str) -> SqlType | None:
    """The type both sides take for a comparison; None if they cannot be compared with this operator."""
    is_equality = op in ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
    if NULL in (left, right):
        return (right if left == NULL else left) if op.startswith("IS ") else None
    if is_numeric(left) and is_numeric(right):
        return common_numeric(left, right)
    if left == right:
        if isinstance(left, Array | Map | Struct) or left == BOOLEAN:
            return left if is_equality else None
        return left
    pair = {left, right}
    if VARCHAR in pair:
        (other,) = pair - {VARCHAR}
        return other if other in _ORDERED_WITH_TEXT else None
    if pair == {DATE, TIMESTAMP}:
        return TIMESTAMP
    if isinstance(left, Array | Map) and isinstance(right, Array | Map) and is_equality:
        return right if widens(left, right) else left if widens(right, left) else None
    return None


_BOOLEAN_WORDS = ("true", "yes", "false", "no")


def unify(target: SqlType, item: SqlType, node: ast.Expression | None) -> SqlType | None:
    """The common type of items so far and one more; None if there is none.

    node  the item as it is written: literals, also inside constructors, follow laxer rules (language:
          literal coercion)
    """
    if item == NULL or item == target:
        return target
    if target == NULL:
        return item
    if is_numeric(target) and is_numeric(item):
        return common_numeric(target, item)
    if isinstance(node, LITERALS):
        return _unify_literal(target, node) or (target if widens(item, target) else None)
    match target, item, node:
        case Array(t), Array(e), ast.ArrayConstructor(elements=elements):
            element = _unify_all(t, e, elements)
            return None if element is None else Array(element)
        case Map(k, v), Map(own_key, own_value), ast.MapConstructor(entries=entries):
            key = _unify_all(k, own_key, [e[0] for e in entries])
            value = _unify_all(v, own_value, [e[1] for e in entries])
            return None if key is None or value is None else Map(key, value)
        case Struct(a), Struct(b), ast.StructConstructor(fields=written):
            return _unify_structs(a, b, dict(written))
    if widens(item, target):
        return target
    if widens(target, item) and not isinstance(target, type(VARCHAR)):
        return item
    match target, item:
        case Struct(a), Struct(b):
            return _unify_structs(a, b, {})
    return None


def _unify_all(target: SqlType, own: SqlType, nodes: Iterable[ast.Expression]) -> SqlType | None:
    """The common type of `target` and the parts of a constructor, whose own common type is `own`."""
    for node in nodes:
        if isinstance(node, ast.NullLiteral):
            continue
        found = unify(target, _literal_type(node) or own, node)
        if found is None:
            return None
        target = found
    return target


def _unify_structs(
    a: Iterable[tuple[str, SqlType]], b: Iterable[tuple[str, SqlType]], nodes: Mapping[str, ast.Expression]
) -> SqlType | None:
    """All fields of both; a field that both have takes the common type."""
    fields = dict(a)
    for name, t in b:
        found = unify(fields.get(name, NULL), t, nodes.get(name))
        if found is None:
            return None
        fields[name] = found
    return Struct(tuple(fields.items()))


LITERALS = (
    ast.StringLiteral,
    ast.IntegerLiteral,
    ast.DecimalLiteral,
    ast.DoubleLiteral,
    ast.BooleanLiteral,
)


def _literal_type(node: ast.Expression) -> SqlType | None:
    match node:
        case ast.StringLiteral():
            return VARCHAR
        case ast.BooleanLiteral():
            return BOOLEAN
        case ast.IntegerLiteral(value=value):
            return INTEGER if -(2**31) <= value < 2**31 else BIGINT
        case ast.DoubleLiteral():
            return DOUBLE
        case ast.DecimalLiteral(text=text):
            return decimal_literal(text)
    return None


def _unify_literal(target: SqlType, literal: ast.Expression) -> SqlType | None:
    if target == VARCHAR:
        return VARCHAR
    if not isinstance(literal, ast.StringLiteral):
        return None
    text = literal.value.strip()
    if is_numeric(target):
        found = _number_type(text)
        return None if found is None else target if target == DOUBLE else common_numeric(target, found)
    if target == BOOLEAN:
        is_word = text != "" and any(word.startswith(text.lower()) for word in _BOOLEAN_WORDS)
        return BOOLEAN if is_word else None
    return target if target in (BYTES, *_ORDERED_WITH_TEXT) else None


def _number_type(text: str) -> SqlType | None:
    if re.fullmatch(r"[+-]?\d+", text):
        value = int(text)
        if -(2**31) <= value < 2**31:
            return INTEGER
        return BIGINT if -(2**63) <= value < 2**63 else None
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?", text):
        _, digits, exponent = decimal.Decimal(text).as_tuple()
        scale = max(0, -int(exponent))
        return Decimal(max(len(digits) + max(0, int(exponent)), scale, 1), scale)
    return None

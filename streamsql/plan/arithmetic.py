"""Arithmetic and comparisons of doubles, printed so that they mean what KSQL means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streamsql.functions.arrow import or_null
from streamsql.functions.call import Places
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan import typing
from streamsql.plan.compiled import Compiled, coerce, combine, constant
from streamsql.plan.scope import at
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    VARCHAR,
    Decimal,
    SqlType,
    as_decimal,
    common_numeric,
    is_numeric,
)

# For DuckDB NaN is equal to itself and the largest of all numbers. The side that must not be NaN for a
# comparison to be TRUE; where both are, every comparison has to be FALSE.
_NOT_NAN = {"=": (0,), ">": (0,), ">=": (0,), "<": (1,), "<=": (1,), "<>": (0, 1)}

# DuckDB makes x > 2 of x + 1 > 3, and no longer sees that x + 1 overflows; called by its name, it stays.
_BY_NAME = {"+": "add", "-": "subtract", "*": "multiply"}


def without_nan(comparison: Compiled, op: str, sides: Sequence[Compiled]) -> Compiled:
    """A comparison of doubles that is FALSE if one is NaN, as in Java."""
    guarded = [sides[i] for i in _NOT_NAN.get(op, ()) if not isinstance(sides[i].node, typing.LITERALS)]
    if not guarded:
        return comparison
    template = f"({{}}{' AND NOT isnan({})' * len(guarded)})"
    return combine(comparison.node, BOOLEAN, template, [comparison, *guarded])


def unary(node: ast.Unary, operand: Compiled) -> Compiled:
    """+ or - of a number."""
    if not is_numeric(operand.type):
        raise at(
            node.span,
            f"unary {node.op} needs a number, but {to_sql(node.operand)} is {operand.type}",
            "PLAN-ARITHMETIC",
        )
    if node.op == "+":
        return replace(operand, node=node)
    if operand.type in (INTEGER, BIGINT):
        zero = constant(f"CAST(0 AS {operand.type.duckdb})", operand.type, node.operand)
        return integer_arithmetic(node, "-", operand.type, zero, operand)
    return combine(node, operand.type, "(-{})", [operand])


def binary(node: ast.Binary, left: Compiled, right: Compiled) -> Compiled:
    """+ - * / % of two numbers; + of two texts joins them."""
    if node.op == "+" and left.type == VARCHAR and right.type == VARCHAR:
        return combine(node, VARCHAR, "(coalesce({}, 'null') || coalesce({}, 'null'))", [left, right])
    if not (is_numeric(left.type) and is_numeric(right.type)):
        hint = "NULL has no type here: CAST(NULL AS ..)" if NULL in (left.type, right.type) else None
        raise at(
            node.span,
            f"{node.op} is not defined for {to_sql(node.left)} ({left.type}) "
            f"and {to_sql(node.right)} ({right.type})",
            "PLAN-ARITHMETIC",
            hint,
        )
    t = common_numeric(left.type, right.type)
    if isinstance(t, Decimal):
        return decimal_arithmetic(node, left, right)
    left, right = coerce(left, t), coerce(right, t)
    if t == DOUBLE:
        return combine(node, DOUBLE, f"({{}} {node.op} {{}})", [left, right])
    return integer_arithmetic(node, node.op, t, left, right)


def integer_arithmetic(
    node: ast.Expression, op: str, t: SqlType, left: Compiled, right: Compiled
) -> Compiled:
    """Fast form: DuckDB's, which raises on overflow. Safe form: wraps as Java does, x / 0 gives NULL."""
    duck_op = "//" if op == "/" else op
    sql = f"({left.sql} {duck_op} {right.sql})"
    if op in _BY_NAME:
        sql = f"{_BY_NAME[op]}({left.sql}, {right.sql})"
    places = Places([left.safe, right.safe])
    a, b = places.names
    if op in ("/", "%"):
        safe = places.fill(f"({a} {duck_op} {b})", tried=True)
    else:
        if t == INTEGER:
            wide = f"(CAST({a} AS BIGINT) {op} CAST({b} AS BIGINT))"
            wrapped = f"CAST((({wide} + 2147483648) & 4294967295) - 2147483648 AS INTEGER)"
        else:
            wide = f"(CAST({a} AS HUGEINT) {op} CAST({b} AS HUGEINT))"
            bias = "9223372036854775808::HUGEINT"
            wrapped = f"CAST((({wide} + {bias}) & 18446744073709551615::HUGEINT) - {bias} AS BIGINT)"
        # The TRY is there to have the overflow noted.
        safe = places.fill(f"coalesce(TRY({a} {op} {b}), {wrapped})")
    functions = tuple(dict.fromkeys(left.functions + right.functions))
    return Compiled(sql, safe, t, node, True, functions)


def decimal_arithmetic(node: ast.Binary, left: Compiled, right: Compiled) -> Compiled:
    a, b = as_decimal(left.type), as_decimal(right.type)
    result = typing.decimal_arithmetic(node.op, a, b)
    sides = [coerce(left, a), coerce(right, b)]
    if node.op in ("+", "-", "%"):
        # Both sides in the result's type first: DuckDB then adds exactly and checks for overflow.
        wide = (
            result
            if node.op != "%"
            else Decimal(max(a.precision, b.precision, result.precision), result.scale)
        )
        template = (
            f"CAST((CAST({{}} AS {wide.duckdb}) {node.op} CAST({{}} AS {wide.duckdb})) AS {result.duckdb})"
        )
        return combine(node, result, template, sides, can_fail=True)
    if node.op == "*":
        return combine(node, result, f"CAST(({{}} * {{}}) AS {result.duckdb})", sides, can_fail=True)
    divide = typing.decimal_division(a, b, result)
    twin = or_null(divide)
    quotient = combine(node, result, f"{divide.name}({{}}, {{}})", sides)
    return replace(
        quotient,
        safe=f"{twin.name}({sides[0].safe}, {sides[1].safe})",
        can_fail=True,
        functions=(*quotient.functions, divide, twin),
    )

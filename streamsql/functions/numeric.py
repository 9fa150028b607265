"""Numeric functions.

DuckDB computes DOUBLE as IEEE 754 does, like Java: SQRT(-1) is NaN, LN(0) is -Infinity. Integer and
decimal arguments of functions that only know DOUBLE widen to it, so such a function has one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal as Exact
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamsql.distinct import Column
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import PlanError
from streamsql.functions.call import literal_integer
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import FAIL, cannot
from streamsql.types import Decimal, SqlType

_NAN = "CAST('NaN' AS DOUBLE)"
_MAX_BIGINT = "9223372036854775807"
_MIN_BIGINT = "(-9223372036854775807 - 1)"


def _one_double(name: str, sql: str, says: str, example: str, gives: str) -> Scalar:
    return Scalar(name, "(x DOUBLE) -> DOUBLE", says, sql=sql, example=example, gives=gives)


def _absolute(lowest: str) -> str:
    """The absolute value as Java has it: the lowest number, which has no positive twin, stays."""
    return f"CASE WHEN {{x}} = {lowest} THEN {{x}} ELSE abs({{x}}) END"


# Rounding -----------------------------------------------------------------------------------------------


def _saturated(whole: str) -> str:
    """A whole DOUBLE as BIGINT: beyond the range its nearest end, NaN 0 (Java's narrowing).

    NaN is asked for first, since DuckDB orders it above every number.
    """
    return (
        f"coalesce(TRY_CAST({whole} AS BIGINT), CASE WHEN isnan({{x}}) THEN 0"
        f" WHEN {{x}} > 0 THEN {_MAX_BIGINT} WHEN {{x}} < 0 THEN {_MIN_BIGINT} END)"
    )


# x - floor(x) is exact for every double, floor(x + 0.5) is not: 0.49999999999999994 would give 1.
_ROUND_DOUBLE = _saturated("floor({x}) + CASE WHEN {x} - floor({x}) >= 0.5 THEN 1 ELSE 0 END")


def _round_double_to(call: BoundCall) -> Fragment:
    """A DOUBLE rounded at a decimal digit, ties toward +Infinity, as if done on its shortest digits.

    With f = 10^n the neighbours are k/f and (k+1)/f, k = floor(x f). The tie between them, (2k+1)/(2f),
    is one correctly rounded division of exact numbers, so x equals it just when x prints as the tie:
    1.005 gives 1.01 although its binary value lies below. From 2^52 on a number has no digit to round.
    """
    return _at_digit(
        call,
        after="(floor({x} * {f}) + CASE WHEN {x} >= (2 * floor({x} * {f}) + 1) / (2 * {f})"
        " THEN 1 ELSE 0 END) / {f}",
        before="(floor({x} / {f}) + CASE WHEN {x} >= (2 * floor({x} / {f}) + 1) * {f} / 2"
        " THEN 1 ELSE 0 END) * {f}",
    )


def _trunc_double_to(call: BoundCall) -> Fragment:
    """A DOUBLE cut at a decimal digit, as if done on its shortest digits: see _round_double_to.

    The product x f can fall short of a whole number (0.29 * 100), so the next neighbour is tried too.
    """
    return _at_digit(
        call,
        after="sign({x}) * (trunc(abs({x}) * {f})"
        " + CASE WHEN (trunc(abs({x}) * {f}) + 1) / {f} <= abs({x}) THEN 1"
        " WHEN trunc(abs({x}) * {f}) / {f} > abs({x}) THEN -1 ELSE 0 END) / {f}",
        before="trunc({x} / {f}) * {f}",
    )


def _at_digit(call: BoundCall, after: str, before: str) -> Fragment:
    """Rounding right (after) or left (before) of the point, by a number of digits that is known or not.

    10^n is exact up to n = 22, past it nothing is left to cut; below n = -308 nothing is left at all.
    """
    x, n = call.arguments["x"], call.arguments["digits"]
    known = literal_integer(n)
    refused = f"NOT isfinite({x}) THEN {cannot('round', f'CAST({x} AS VARCHAR)', 'DOUBLE')}"
    if known is not None and 0 <= known <= 22:
        f = f"CAST(1e{known} AS DOUBLE)"
        is_whole = f"abs({x}) * {f} >= 4503599627370496"
        sql = f"CASE WHEN {refused} WHEN {is_whole} THEN {x} ELSE {after.format(x=x, f=f)} END"
        return Fragment(sql, (FAIL,))
    f, left_f = f"pow(10.0::DOUBLE, {n})", f"pow(10.0::DOUBLE, -{n})"
    sql = (
        f"CASE WHEN {refused} WHEN {n} < -308 THEN CAST(0 AS DOUBLE)"
        f" WHEN {n} < 0 THEN {before.format(x=x, f=left_f)}"
        f" WHEN {n} > 22 OR abs({x}) * {f} >= 4503599627370496 THEN {x}"
        f" ELSE {after.format(x=x, f=f)} END"
    )
    return Fragment(f"CASE WHEN {n} IS NOT NULL THEN {sql} END", (FAIL,))


def _whole(types: Sequence[SqlType]) -> SqlType:
    """The type of a decimal without its digits after the point."""
    assert isinstance(types[0], Decimal)
    precision = types[0].precision - types[0].scale
    if precision == 0:
        raise PlanError(
            f"rounding a {types[0]} to a whole number leaves no digits",
            code="PLAN-DECIMAL",
            hint=f"CAST it to DECIMAL({types[0].precision + 1}, {types[0].scale}) first",
        )
    return Decimal(precision, 0)


def _decimal(call: BoundCall) -> Decimal:
    t = call.types["x"]
    assert isinstance(t, Decimal)
    return t


def _round_decimal(call: BoundCall) -> str:
    """Ties go toward +Infinity; DuckDB's go away from zero, so a negative number is first raised by its
    last digit: -2.50 becomes -2.49, and -2.51 the tie that goes down."""
    x, t = call.arguments["x"], _decimal(call)
    digits = f", {call.arguments['digits']}" if "digits" in call.arguments else ""
    last_digit = f"CAST(1e-{t.scale} AS {t.duckdb})"
    rounded = f"round({x}{digits})"
    if t.scale > 0:
        rounded = f"CASE WHEN {x} < 0 THEN round({x} + {last_digit}{digits}) ELSE {rounded} END"
    return f"CAST({rounded} AS {call.result.duckdb})"


def _decimal_digits(literal: Callable[[BoundCall, int], str], mode: str) -> Callable[[BoundCall], Fragment]:
    """Rounding a decimal at a digit: DuckDB's own if the digit is a literal, else an Arrow function."""

    def printed(call: BoundCall) -> Fragment:
        digits = call.arguments["digits"]
        known = literal_integer(digits)
        if known is not None:
            return Fragment(literal(call, known))
        t = _decimal(call)
        function = ArrowFunction(
            f"round_{mode}_{t.precision}_{t.scale}",
            (t.duckdb, "INTEGER"),
            t.duckdb,
            lambda x, n: _round_by_row(x, n, mode),
        )
        return Fragment(f"{function.name}({call.arguments['x']}, {digits})", (function,))

    return printed


def _round_by_row(numbers: Column, digits: Column, mode: Any) -> Any:
    """Each decimal at its own digit; a digit past the scale changes nothing, one past the front gives 0."""
    t = numbers.type
    digits = pc.min_element_wise(digits, pa.scalar(t.scale, pa.int32()), skip_nulls=False)
    in_front = pc.less(digits, -(t.precision - t.scale))
    rounded = pc.round_binary(numbers, pc.if_else(in_front, 0, digits).cast(pa.int32()), round_mode=mode)
    return pc.if_else(in_front, pa.scalar(Exact(0), t), rounded)


def _round_decimal_to(call: BoundCall, digits: int) -> str:
    return call.arguments["x"] if digits >= _decimal(call).scale else _round_decimal(call)


def _trunc_decimal_to(call: BoundCall, digits: int) -> str:
    return f"CAST(trunc({call.arguments['x']}, {digits}) AS {call.result.duckdb})"


# Greatest and least -------------------------------------------------------------------------------------

_COMPARABLE = ("INTEGER", "BIGINT", "DOUBLE", "D", "VARCHAR", "BYTES", "DATE", "TIME", "TIMESTAMP")


def _extreme(name: str, says: str, gives: str) -> tuple[Scalar, ...]:
    """DuckDB's function ignores nulls too. It orders texts by code point where ksqlDB has UTF-16 units,
    which differs for characters past U+FFFF against U+E000 to U+FFFF only."""

    def printed(call: BoundCall) -> str:
        return f"{name.lower()}({', '.join((call.arguments['x'], *call.variadic))})"

    return tuple(
        Scalar(
            name, f"(x {t}, others {t}...) -> {t}", says, sql=printed, example=f"{name}(3, 7, 5)", gives=gives
        )
        for t in _COMPARABLE
    )


# Rows ---------------------------------------------------------------------------------------------------

_ABS = "The absolute value; the lowest INTEGER or BIGINT, which has no positive twin, stays as it is."
_CEIL = "The smallest whole number that is not below the number, in the number's own type."
_FLOOR = "The largest whole number that is not above the number, in the number's own type."
_ROUND = "The nearest whole number, halves going up: 2.5 gives 3, -2.5 gives -2."
_ROUND_TO = "The number rounded to so many digits after the point (negative: before it), halves going up."
_TRUNC = "The number without its digits after the point."
_TRUNC_TO = "The number cut after so many digits after the point (negative: before it)."


def _whole_numbers(name: str, says: str, example: str, gives: str) -> tuple[Scalar, ...]:
    """CEIL or FLOOR: a whole number is its own; a decimal keeps its scale and may outgrow its digits."""

    def of_decimal(call: BoundCall) -> str:
        return f"CAST({name.lower()}({call.arguments['x']}) AS {call.result.duckdb})"

    return (
        Scalar(name, "(x INTEGER) -> INTEGER", says, sql="{x}", example=f"{name}(7)", gives="7"),
        Scalar(name, "(x BIGINT) -> BIGINT", says, sql="{x}", example=f"{name}(7)", gives="7"),
        Scalar(
            name, "(x DOUBLE) -> DOUBLE", says, sql=f"{name.lower()}({{x}})", example=example, gives=gives
        ),
        Scalar(name, "(x D) -> D", says, sql=of_decimal, can_fail=True, example=example, gives=gives),
    )


NUMERIC: tuple[Scalar, ...] = (
    Scalar(
        "ABS",
        "(x INTEGER) -> INTEGER",
        _ABS,
        sql=_absolute("(-2147483647 - 1)"),
        example="ABS(-3)",
        gives="3",
    ),
    Scalar("ABS", "(x BIGINT) -> BIGINT", _ABS, sql=_absolute(_MIN_BIGINT), example="ABS(-3)", gives="3"),
    Scalar("ABS", "(x DOUBLE) -> DOUBLE", _ABS, sql="abs({x})", example="ABS(-2.5)", gives="2.5"),
    Scalar("ABS", "(x D) -> D", _ABS, sql="abs({x})", example="ABS(-2.5)", gives="2.5"),
    _one_double("ACOS", "acos({x})", "The arc cosine in radians; NaN outside -1 to 1.", "ACOS(1)", "0.0"),
    _one_double("ASIN", "asin({x})", "The arc sine in radians; NaN outside -1 to 1.", "ASIN(0)", "0.0"),
    _one_double("ATAN", "atan({x})", "The arc tangent in radians.", "ATAN(0)", "0.0"),
    Scalar(
        "ATAN2",
        "(y DOUBLE, x DOUBLE) -> DOUBLE",
        "The angle in radians between the positive x axis and the point (x, y).",
        sql="atan2({y}, {x})",
        example="ATAN2(0, 1)",
        gives="0.0",
    ),
    _one_double("CBRT", "cbrt({x})", "The cube root.", "CBRT(-8)", "-2.0"),
    *_whole_numbers("CEIL", _CEIL, "CEIL(1.2)", "2.0"),
    _one_double("COS", "cos({x})", "The cosine of an angle in radians.", "COS(0)", "1.0"),
    _one_double("COSH", "cosh({x})", "The hyperbolic cosine.", "COSH(0)", "1.0"),
    _one_double(
        "COT", "cot({x})", "The cotangent of an angle in radians; Infinity at 0.", "COT(0)", "Infinity"
    ),
    _one_double("DEGREES", "degrees({x})", "An angle in radians, in degrees.", "DEGREES(PI())", "180.0"),
    _one_double("EXP", "exp({x})", "Euler's number to the power of x.", "EXP(0)", "1.0"),
    *_whole_numbers("FLOOR", _FLOOR, "FLOOR(1.8)", "1.0"),
    *_extreme("GREATEST", "The largest argument; nulls are ignored.", "7"),
    *_extreme("LEAST", "The smallest argument; nulls are ignored.", "3"),
    _one_double("LN", "ln({x})", "The natural logarithm; -Infinity at 0, NaN below.", "LN(1)", "0.0"),
    _one_double("LOG", "ln({x})", "The natural logarithm; -Infinity at 0, NaN below.", "LOG(1)", "0.0"),
    Scalar(
        "LOG",
        "(base DOUBLE, x DOUBLE) -> DOUBLE",
        "The logarithm to a base; NaN for base 1 and bases not above 0.",
        # NaN * x keeps a null argument null.
        sql=f"CASE WHEN {{base}} <= 0 OR {{base}} = 1 THEN {_NAN} * {{x}} ELSE ln({{x}}) / ln({{base}}) END",
        example="LOG(2, 8)",
        gives="3.0",
    ),
    Scalar("PI", "() -> DOUBLE", "The number pi.", sql="pi()", example="PI()", gives="3.141592653589793"),
    Scalar(
        "POWER",
        "(base DOUBLE, exponent DOUBLE) -> DOUBLE",
        "The base to the power of the exponent.",
        # C has 1 for the powers of 1 and -1 that Java leaves undefined.
        sql="CASE WHEN abs({base}) = 1 AND NOT isfinite({exponent})"
        f" THEN {_NAN} ELSE pow({{base}}, {{exponent}}) END",
        example="POWER(2, 10)",
        gives="1024.0",
    ),
    _one_double(
        "RADIANS", "radians({x})", "An angle in degrees, in radians.", "RADIANS(180)", "3.141592653589793"
    ),
    Scalar(
        "RANDOM",
        "() -> DOUBLE",
        "A random number from 0 up to, not including, 1; another one for every row.",
        sql="random()",
        volatile=True,
        example="RANDOM() < 1",
        gives="true",
    ),
    Scalar(
        "ROUND", "(x INTEGER) -> BIGINT", _ROUND, sql="CAST({x} AS BIGINT)", example="ROUND(7)", gives="7"
    ),
    Scalar("ROUND", "(x BIGINT) -> BIGINT", _ROUND, sql="{x}", example="ROUND(7)", gives="7"),
    Scalar("ROUND", "(x DOUBLE) -> BIGINT", _ROUND, sql=_ROUND_DOUBLE, example="ROUND(-2.5E0)", gives="-2"),
    Scalar(
        "ROUND",
        "(x D) -> D",
        _ROUND,
        sql=_round_decimal,
        result=_whole,
        can_fail=True,
        example="ROUND(-2.5)",
        gives="-2",
    ),
    Scalar(
        "ROUND",
        "(x DOUBLE, digits INTEGER) -> DOUBLE",
        _ROUND_TO,
        sql=_round_double_to,
        can_fail=True,
        example="ROUND(1.005E0, 2)",
        gives="1.01",
    ),
    Scalar(
        "ROUND",
        "(x D, digits INTEGER) -> D",
        _ROUND_TO,
        sql=_decimal_digits(_round_decimal_to, "half_up"),
        can_fail=True,
        example="ROUND(127.45, -1)",
        gives="130.00",
    ),
    _one_double("SIN", "sin({x})", "The sine of an angle in radians.", "SIN(0)", "0.0"),
    _one_double("SINH", "sinh({x})", "The hyperbolic sine.", "SINH(0)", "0.0"),
    Scalar(
        "SIGN",
        "(x DOUBLE) -> INTEGER",
        "-1, 0 or 1 for a number below, at or above 0; 0 for NaN.",
        sql="CAST(sign({x}) AS INTEGER)",
        example="SIGN(-4)",
        gives="-1",
    ),
    _one_double("SQRT", "sqrt({x})", "The square root; NaN below 0.", "SQRT(16)", "4.0"),
    _one_double("TAN", "tan({x})", "The tangent of an angle in radians.", "TAN(0)", "0.0"),
    _one_double("TANH", "tanh({x})", "The hyperbolic tangent.", "TANH(0)", "0.0"),
    Scalar(
        "TRUNC", "(x INTEGER) -> BIGINT", _TRUNC, sql="CAST({x} AS BIGINT)", example="TRUNC(7)", gives="7"
    ),
    Scalar("TRUNC", "(x BIGINT) -> BIGINT", _TRUNC, sql="{x}", example="TRUNC(7)", gives="7"),
    Scalar(
        "TRUNC",
        "(x DOUBLE) -> BIGINT",
        _TRUNC,
        sql=_saturated("trunc({x})"),
        example="TRUNC(-2.9E0)",
        gives="-2",
    ),
    Scalar(
        "TRUNC",
        "(x D) -> D",
        _TRUNC,
        sql=lambda call: f"CAST(trunc({call.arguments['x']}) AS {call.result.duckdb})",
        result=_whole,
        example="TRUNC(-2.9)",
        gives="-2",
    ),
    Scalar(
        "TRUNC",
        "(x DOUBLE, digits INTEGER) -> DOUBLE",
        _TRUNC_TO,
        sql=_trunc_double_to,
        can_fail=True,
        example="TRUNC(0.29E0, 2)",
        gives="0.29",
    ),
    Scalar(
        "TRUNC",
        "(x D, digits INTEGER) -> D",
        _TRUNC_TO,
        sql=_decimal_digits(_trunc_decimal_to, "towards_zero"),
        example="TRUNC(127.45, 1)",
        gives="127.40",
    ),
)

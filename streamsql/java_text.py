"""Numbers as Java prints them, which is what the dialect's CAST to VARCHAR and CONCAT show.

Double.toString: the shortest digits that read back as the same number; plain between 10^-3 and 10^7,
else one digit before the point and an exponent: 0.001, 1.0, 1.0E7, 1.5E-5, NaN, Infinity.
"""

from __future__ import annotations

import math

import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.sqltext import once


def double_text(number: float) -> str:
    """A double as Java's Double.toString (JDK 19 and later) prints it.

    >>> [double_text(x) for x in (1.0, 1e7, 0.00015, -0.0, float("inf"))]
    ['1.0', '1.0E7', '1.5E-4', '-0.0', 'Infinity']
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return repr(number)
    mantissa, _, exponent = repr(number).lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    shift = len(whole) if whole != "0" else len(digits) - len(fraction)
    digits = digits.rstrip("0")
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{shift - 1 + int(exponent or 0)}"


def _double_texts(numbers: Column) -> Vector:
    return each_distinct(double_text, pa.string(), numbers)


DOUBLE_TEXT = ArrowFunction("java_double_text", ("DOUBLE",), "VARCHAR", _double_texts)
"""Needed by every kernel that holds text of `double_text_sql`."""


def double_text_sql(sql: str) -> str:
    """DuckDB SQL that prints a DOUBLE as `double_text` does; the plain range never leaves DuckDB."""
    return once(
        sql,
        lambda x: (
            f"CASE WHEN abs({x}) >= 1e-3 AND abs({x}) < 1e7 OR {x} = 0 THEN CAST({x} AS VARCHAR)"
            f" ELSE java_double_text({x}) END"
        ),
    )

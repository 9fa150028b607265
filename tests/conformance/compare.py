"""Whether what came out is what was expected."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from streamsql.types import BYTES, DOUBLE, Array, Map, SqlType, Struct
from streamsql.types import Decimal as SqlDecimal

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True, slots=True)
class Rules:
    """How values are compared.

    strict    spelling counts: 1.50 is not 1.5, whatever the column's type
    is_typed  actual values were decoded from a format that carries types (AVRO and its kin): a DOUBLE may
              equal an integer there
    is_exact  False: every fraction is a double (the case says so)
    """

    strict: bool = False
    is_typed: bool = False
    is_exact: bool = True


def matches(expected: Any, actual: Any, t: SqlType | None, rules: Rules) -> bool:
    """Compare an expected JSON value with a decoded one.

    t  the type of the column; None if it is not known
    """
    if expected is None:
        return actual is None
    if isinstance(expected, bool):
        return actual is expected
    if isinstance(expected, str):
        return _matches_text(expected, actual, t)
    if isinstance(expected, int):
        return _matches_integer(expected, actual, t, rules)
    if isinstance(expected, Decimal):
        return _matches_fraction(expected, actual, t, rules)
    if isinstance(expected, list):
        element = t.element if isinstance(t, Array) else None
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(matches(e, a, element, rules) for e, a in zip(expected, actual, strict=True))
        )
    return _matches_object(expected, actual, t, rules)


def _matches_text(expected: str, actual: Any, t: SqlType | None) -> bool:
    if isinstance(actual, str):
        return actual == expected
    if isinstance(actual, bytes):
        return base64.b64encode(actual).decode() == expected
    if isinstance(actual, float) and expected in _NOT_FINITE:
        return repr(actual) == repr(float(expected))
    if isinstance(actual, Decimal | int | float) and not isinstance(actual, bool):
        # The original writes some decimals, and DOUBLE keys of pull queries, as text.
        try:
            spelled = Decimal(expected)
        except InvalidOperation:
            return False
        if t == DOUBLE or isinstance(actual, float):
            return close(spelled, actual)
        return isinstance(actual, Decimal) and same_decimal(spelled, actual)
    return False


def _matches_integer(expected: int, actual: Any, t: SqlType | None, rules: Rules) -> bool:
    if isinstance(actual, bool):
        return False
    if isinstance(actual, float):
        return rules.is_typed and close(expected, actual)
    if t == DOUBLE and not rules.is_typed:
        # From 10 million on Java writes a double with an exponent, 1.0E7, which equals the integer.
        return not rules.strict and abs(expected) >= 10**7 and close(expected, actual)
    if isinstance(actual, int):
        return actual == expected
    if isinstance(actual, Decimal):
        if t == DOUBLE:
            return close(expected, actual)
        exponent = actual.as_tuple().exponent
        return isinstance(exponent, int) and exponent >= 0 and actual == expected
    return False


def _matches_fraction(expected: Decimal, actual: Any, t: SqlType | None, rules: Rules) -> bool:
    if isinstance(actual, bool) or not isinstance(actual, int | float | Decimal):
        return False
    if isinstance(actual, float) or not rules.is_exact:
        return close(expected, actual)
    if isinstance(actual, int):
        if rules.strict:
            return actual == int(expected)
        return t == DOUBLE and close(expected, actual)
    if t == DOUBLE and not rules.strict:
        return close(expected, actual)
    return same_decimal(expected, actual)


def _matches_object(expected: Mapping[str, Any], actual: Any, t: SqlType | None, rules: Rules) -> bool:
    if not isinstance(actual, dict) or len(actual) != len(expected):
        return False
    for name, value in expected.items():
        found = actual.get(name)
        if found is None:
            found = actual.get(name.upper())
        if not matches(value, found, field_type(t, name), rules):
            return False
    return True


def field_type(t: SqlType | None, name: str) -> SqlType | None:
    """The type of a member of a map or a struct, if it is known."""
    if isinstance(t, Map):
        return t.value
    if isinstance(t, Struct):
        return t.field(name) or t.field(name.upper())
    return None


def close(a: Decimal | int | float, b: Decimal | int | float) -> bool:
    """Equal as doubles are."""
    x, y = float(a), float(b)
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or math.isinf(y):
        return repr(x) == repr(y)
    return abs(x - y) <= max(1e-6, 1e-9 * abs(y))


def same_decimal(a: Decimal, b: Decimal) -> bool:
    """Equal with the same scale: 1.50 is not 1.5."""
    return a.is_finite() and b.is_finite() and a == b and a.as_tuple().exponent == b.as_tuple().exponent


def typed(value: Any, t: SqlType) -> Any:
    """An Arrow value as Python gives it, as the JSON of a result row has it.

    Bytes become base64 text, times ISO text, map entries objects.
    """
    if value is None:
        return None
    if t == BYTES:
        return base64.b64encode(value).decode()
    if isinstance(t, Array):
        return [typed(v, t.element) for v in value]
    if isinstance(t, Map):
        pairs: Sequence[tuple[Any, Any]] = value.items() if isinstance(value, dict) else value
        return {typed(k, t.key): typed(v, t.value) for k, v in pairs}
    if isinstance(t, Struct):
        return {name: typed(value[name], inner) for name, inner in t.fields}
    if isinstance(t, SqlDecimal) or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat()

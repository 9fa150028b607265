"""One value as text, read by the rules that the text formats share; exact, one at a time.

Integers are digits with a sign and nothing else. DOUBLE takes what Java's parser takes in decimal
notation. A DECIMAL must fit its type without rounding. TIME counts ms of the day, DATE days and
TIMESTAMP ms since the epoch. Every function raises Mismatch with what is wrong.
"""

from __future__ import annotations

import base64
import binascii
import decimal
import re
from functools import cache

from streamsql.types import BIGINT, DATE, INTEGER, TIME, TIMESTAMP, Decimal, SqlType

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?", re.ASCII)
_NAMED_DOUBLES = {"NaN", "+NaN", "-NaN", "Infinity", "+Infinity", "-Infinity"}
EXACT = decimal.Context(prec=decimal.MAX_PREC, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
_MS_PER_DAY = 86_400_000
_MAX_TIMESTAMP_MS = (2**63 - 1) // 1000

_RANGES: dict[SqlType, tuple[int, int]] = {
    INTEGER: (-(2**31), 2**31 - 1),
    BIGINT: (-(2**63), 2**63 - 1),
    DATE: (-(2**31), 2**31 - 1),
    TIME: (0, _MS_PER_DAY - 1),
    TIMESTAMP: (-_MAX_TIMESTAMP_MS, _MAX_TIMESTAMP_MS),
}


class Mismatch(ValueError):
    """A value that its type does not take; `path` says where in the record and grows outwards."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path = ""

    def inside(self, step: str) -> Mismatch:
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        return f"${self.path}: {self.reason}"


def integer(text: str, kind: SqlType) -> int:
    """A whole number within the type's range; for TIME, DATE and TIMESTAMP the count that stands for it."""
    if not _INTEGER.fullmatch(text):
        raise Mismatch(f"{shown(text)} is not {article(kind)}")
    digits = text.lstrip("+-0") or "0"
    # A number longer than any 64-bit number is refused before int() would spend time on it.
    size = int(digits) if len(digits) < 64 else 2**64
    return in_range(-size if text.startswith("-") else size, kind)


def in_range(number: int, kind: SqlType) -> int:
    lowest, highest = _RANGES[kind]
    if not lowest <= number <= highest:
        raise Mismatch(f"{shown(str(number))} is outside the range of {kind}")
    return number


def double(text: str) -> float:
    if _DOUBLE.fullmatch(text):
        return float(text.rstrip("fFdD"))
    if text in _NAMED_DOUBLES:
        return float(text)
    raise Mismatch(f"{shown(text)} is not a DOUBLE")


def exact_decimal(text: str, kind: Decimal) -> decimal.Decimal:
    """The number with the type's scale.

    raises  Mismatch if it is none, has more digits before the point, or would lose digits after it
    """
    try:
        number = EXACT.create_decimal(text.strip("_"))
    except decimal.InvalidOperation:
        number = decimal.Decimal("NaN")
    if not number.is_finite() or "_" in text:
        raise Mismatch(f"{shown(text)} is not {article(kind)}")
    return fit(number, kind)


def fit(number: decimal.Decimal, kind: Decimal) -> decimal.Decimal:
    """A finite number with the type's scale, see `exact_decimal`."""
    # The size is checked first: quantize of 1E+999999 would write all its zeros.
    if number and number.adjusted() >= kind.precision - kind.scale:
        raise _inexact(number, kind)
    try:
        fitted = number.quantize(_unit(kind.scale), context=EXACT)
    except decimal.InvalidOperation:
        raise _inexact(number, kind) from None
    if fitted != number:
        raise _inexact(number, kind)
    return fitted


def _inexact(number: decimal.Decimal, kind: Decimal) -> Mismatch:
    return Mismatch(f"{shown(str(number))} does not fit {kind} without rounding")


@cache
def _unit(scale: int) -> decimal.Decimal:
    return decimal.Decimal(1).scaleb(-scale)


def base64_bytes(text: str) -> bytes:
    """Base64 with or without its padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Mismatch(f"{shown(text)} is not base64") from None


@cache
def article(kind: SqlType) -> str:
    return f"an {kind}" if str(kind)[0] in "AEIO" else f"a {kind}"


SHOWN = 60
"""Characters of a text that messages quote."""


def shown(text: str) -> str:
    """A text as messages quote it: cut when long."""
    return f"'{text}'" if len(text) <= SHOWN else f"'{text[: SHOWN - 3]}...'"

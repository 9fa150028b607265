"""JSON read record by record, by the letter of the rules: what the fast path is measured against.

The rules, per column type; JSON null is NULL for every type, anything not listed fails the record:

    BOOLEAN          true, false
    INTEGER, BIGINT  a number, its fraction cut off, beyond the range its low bits; or a text of digits
    DOUBLE           a number, or a text that holds one, also NaN, Infinity, -Infinity
    DECIMAL(p,s)     a number or a text that holds one; it must fit without rounding
    VARCHAR          anything: scalars as their text, objects as compact JSON, arrays as [a, b]
    BYTES            a base64 text
    TIME, DATE, TIMESTAMP  ms of day, days, ms since the epoch: a number or a text of digits
    ARRAY            an array;  MAP, STRUCT  an object

A field is looked up by the column's exact name; if there is none, by the JSON names whose upper case
is the column's name, the last one of several. One name twice in one object: the first one counts.
Bare NaN and Infinity in any case, and a comma before a closing bracket, are read although JSON has none.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal as Number
from typing import Any, TypeAlias

import orjson

from streamsql.formats import scalars
from streamsql.formats.scalars import Mismatch
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)

Convert: TypeAlias = "Callable[[Any], Any]"
"""A JSON value as `parse` gives it -> the Python value pyarrow takes for the column. Raises Mismatch."""


class Real(str):
    """The text of a JSON number with a fraction or an exponent, its digits kept."""

    __slots__ = ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


_decode = json.JSONDecoder(parse_float=Real, parse_constant=Real, object_pairs_hook=_pairs).decode
MAY_BE_MENDED = r"(?i),\s*[}\]]|nan|[iıİ]nf"
"""Of texts that may be read although they are no JSON to the letter; RE2 has it mean the same."""
_TO_MEND = re.compile(
    r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])|(-?)\b(?:(nan)|inf(?:inity)?)\b', re.DOTALL | re.IGNORECASE
)


def parse(payload: bytes | str) -> Any:
    """A JSON text as Python values; numbers with fraction or exponent as Real.

    raises  ValueError if it is no JSON, saying where
    """
    text = payload if isinstance(payload, str) else payload.decode("utf-8")
    try:
        value = _decode(text)
    except RecursionError:
        raise ValueError(why_not_json(text) or "JSON nested too deeply") from None
    except ValueError:
        value = _decode_mended(text)
    if "\\ud" in text or "\\uD" in text:
        _refuse_lone_surrogates(value, text)
    return value


def why_not_json(payload: bytes | str) -> str | None:
    """What is wrong with a text that is no JSON; None if it is JSON."""
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # A number beyond a double's range is JSON all the same.
        return None if "infinity" in error.msg else f"not JSON: {error}"
    return None


def _decode_mended(text: str) -> Any:
    """A text with commas before closing brackets, or NaN in other letters: common enough to be read."""
    mended = _TO_MEND.sub(_mended, text)
    if mended != text:
        try:
            return _decode(mended)
        except (RecursionError, ValueError):
            pass
    raise ValueError(why_not_json(text) or "not JSON: a number of too many digits")


def _mended(found: re.Match[str]) -> str:
    if found[1] is not None:
        return found[1]
    if found[0] == ",":
        return ""
    return "NaN" if found[3] else f"{found[2]}Infinity"


def _refuse_lone_surrogates(value: Any, text: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(why_not_json(text) or "not JSON: half of a surrogate pair") from None


class RecordReader:
    """Reads the wanted columns of a payload: an object with fields, or one bare value."""

    def __init__(self, columns: Sequence[Column], *, is_record: bool) -> None:
        self._is_record = is_record
        self._fields = [(c.name, converter(c.type)) for c in columns]

    def read(self, payload: bytes | str) -> list[Any]:
        """One Python value per wanted column.

        raises  ValueError that says what is wrong and where, as `$.ADDRESS.ZIP[2]: ..`
        """
        value = parse(payload)
        if not self._is_record:
            return [convert(value) for _, convert in self._fields]
        if value is None:
            return [None] * len(self._fields)
        if type(value) is not dict:
            raise Mismatch(f"{_shown(value)} is not an object")
        return _fields(value, self._fields)


def _fields(value: dict[str, Any], fields: Sequence[tuple[str, Convert]]) -> list[Any]:
    folded: dict[str, Any] | None = None
    found: list[Any] = []
    try:
        for name, convert in fields:
            if name in value:
                inner = value[name]
            else:
                if folded is None:
                    folded = {key.upper(): v for key, v in value.items()}
                inner = folded.get(name)
            found.append(None if inner is None else convert(inner))
    except Mismatch as mismatch:
        mismatch.inside(f".{fields[len(found)][0]}")
        raise
    return found


def converter(t: SqlType) -> Convert:
    """How a JSON value becomes a value of the type."""
    match t:
        case Array(element):
            return _array(converter(element))
        case Map(_, value):
            return _map(converter(value))
        case Struct(fields):
            return _struct([(name, converter(inner)) for name, inner in fields])
        case Decimal():
            return _decimal(t)
    if t in (INTEGER, BIGINT):
        return _integer(t)
    if t in (TIME, DATE, TIMESTAMP):
        return _count(t)
    return _SCALARS[t]


def _boolean(value: Any) -> Any:
    if value is None or value is True or value is False:
        return value
    raise _wrong(value, BOOLEAN)


def _whole(value: Any, t: SqlType) -> int | None:
    """A number without its fraction, or a text of digits."""
    kind = type(value)
    if kind is int:
        return value
    if value is None:
        return None
    if kind is Real:
        number = Number(value)
        if not number.is_finite():
            raise _wrong(value, t)
        # The low bits of a number of this size are all zero.
        return 0 if number.adjusted() > 400 else int(number)
    if kind is str:
        return scalars.integer(value, t)
    raise _wrong(value, t)


def _integer(t: SqlType) -> Convert:
    half = 2**31 if t == INTEGER else 2**63

    def convert(value: Any) -> Any:
        number = _whole(value, t)
        if number is None or -half <= number < half:
            return number
        return (number + half) % (2 * half) - half

    return convert


def _count(t: SqlType) -> Convert:
    def convert(value: Any) -> Any:
        number = _whole(value, t)
        if number is None:
            return None
        scalars.in_range(number, t)
        return number if t == DATE else number * 1000

    return convert


def _double(value: Any) -> Any:
    kind = type(value)
    if kind is Real:
        return float(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if value is None:
        return None
    if kind is str:
        return _double_text(value)
    raise _wrong(value, DOUBLE)


def _double_text(text: str) -> float:
    try:
        return scalars.double(text)
    except Mismatch:
        # As DuckDB reads them, which the fast way relies on: blanks around, nan and inf in any case,
        # single underscores between digits.
        if not text.isascii():
            raise
        try:
            return float(text)
        except ValueError:
            pass
        raise


def _decimal(t: Decimal) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        if type(value) not in (int, Real, str):
            raise _wrong(value, t)
        return scalars.exact_decimal(str(value), t)

    return convert


def text_of(value: Any) -> Any:
    """A JSON value as a VARCHAR."""
    kind = type(value)
    if kind is str or value is None:
        return value
    if kind is dict:
        return compact(value)
    if kind is list:
        return "[" + ", ".join("null" if v is None else text_of(v) for v in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Real and value not in ("NaN", "Infinity", "-Infinity"):
        # Java's and Python's decimals print alike: 1.50, 1E+2.
        return str(Number(value))
    return str(value)


def compact(value: Any) -> str:
    """A JSON value as JSON text without blanks."""
    match value:
        case dict():
            return "{" + ",".join(f"{_quoted(k)}:{compact(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(compact(v) for v in value) + "]"
        case None:
            return "null"
        case Real() | int():
            return _scalar(value)
    return _quoted(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _bytes(value: Any) -> Any:
    if value is None:
        return None
    if type(value) is not str:
        raise _wrong(value, BYTES)
    return scalars.base64_bytes(value)


def _array(element: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not list:
            raise Mismatch(f"{_shown(value)} is not an array")
        found = []
        for place, inner in enumerate(value):
            try:
                found.append(element(inner))
            except Mismatch as mismatch:
                mismatch.inside(f"[{place}]")
                raise
        return found

    return convert


def _map(item: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not dict:
            raise Mismatch(f"{_shown(value)} is not an object")
        found = []
        for key, inner in value.items():
            try:
                found.append((key, item(inner)))
            except Mismatch as mismatch:
                mismatch.inside(f".{key}")
                raise
        return found

    return convert


def _struct(fields: Sequence[tuple[str, Convert]]) -> Convert:
    names = [name for name, _ in fields]

    def convert(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not dict:
            raise Mismatch(f"{_shown(value)} is not an object")
        return dict(zip(names, _fields(value, fields), strict=True))

    return convert


def _wrong(value: Any, t: SqlType) -> Mismatch:
    return Mismatch(f"{_shown(value)} is not {scalars.article(t)}")


def _shown(value: Any) -> str:
    """A JSON value as a message quotes it: texts in quotes, long ones cut."""
    text = compact(value)
    return text if len(text) <= 60 else text[:57] + "..."


_SCALARS: dict[SqlType, Convert] = {
    BOOLEAN: _boolean,
    DOUBLE: _double,
    VARCHAR: text_of,
    BYTES: _bytes,
}

"""CAST from VARCHAR: a test of the text in front of DuckDB's cast, which reads more than the dialect does."""

from __future__ import annotations

import decimal
import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.sqltext import FAIL, cannot, once
from streamsql.types import SqlType, duckdb_string


@dataclass(frozen=True, slots=True)
class CastPrint:
    """A printed conversion.

    functions  the Arrow functions its text calls
    can_fail   whether a row can raise
    """

    sql: str
    functions: tuple[ArrowFunction, ...] = ()
    can_fail: bool = False


_BLANK = r"[\x00-\x20]"


def _reading(
    sql: str,
    target: SqlType,
    reads: Callable[[str], str],
    convert: Callable[[str], str],
) -> CastPrint:
    """Texts that `reads` accepts go through `convert`; others are tried again trimmed, then fail.

    Trimming takes off all characters up to space, and comes second because it is rarely needed.
    """
    refuse = f"cast to {target}"

    def trimmed(x: str) -> str:
        return once(
            f"regexp_replace({x}, '^{_BLANK}+|{_BLANK}+$', '', 'g')",
            lambda y: f"CASE WHEN {reads(y)} THEN {convert(y)} ELSE {cannot(refuse, x, target.duckdb)} END",
        )

    return CastPrint(
        once(
            sql,
            lambda x: (
                f"CASE WHEN {reads(x)} THEN {convert(x)} WHEN {x} IS NOT NULL THEN {trimmed(x)}"
                f" ELSE CAST(NULL AS {target.duckdb}) END"
            ),
        ),
        (FAIL,),
        True,
    )


def _matches(pattern: str) -> Callable[[str], str]:
    return lambda x: f"regexp_full_match({x}, {duckdb_string(pattern)})"


def text_to_integer(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Sign and digits only."""
    return _reading(sql, target, _matches("[+-]?[0-9]+"), lambda x: f"CAST({x} AS {target.duckdb})")


def text_to_double(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Digits with a point and an exponent, finite."""
    return _reading(
        sql,
        target,
        lambda x: f"coalesce(isfinite(TRY_CAST({x} AS DOUBLE)), FALSE) AND NOT contains({x}, '_')",
        lambda x: f"CAST({x} AS DOUBLE)",
    )


def text_to_decimal(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Digits with a point in DuckDB; an exponent or blanks by `plain_number`.

    DuckDB's cast of a text with an exponent does not check that the number fits.
    """
    t = target.duckdb
    plain = "regexp_full_match({x}, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)')"
    return CastPrint(
        once(
            sql,
            lambda x: (
                f"CASE WHEN {plain.format(x=x)} THEN CAST({x} AS {t}) ELSE CAST(plain_number({x}) AS {t}) END"
            ),
        ),
        (_PLAIN_NUMBER,),
        True,
    )


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?", re.ASCII)


def plain_number(text: str) -> str:
    """A number without blanks around it and without an exponent.

    >>> plain_number(" 1.5e2 ")
    '150'

    raises  DataError if the text is no number, or has more than 38 digits before the point
    """
    number = text.strip(_JAVA_BLANKS)
    if not _NUMBER.fullmatch(number):
        raise DataError(f"cannot cast to DECIMAL: '{text}'")
    value = decimal.Decimal(number)
    if value.adjusted() > 38:
        raise DataError(f"number {number} is too large for any DECIMAL")
    return f"{value:f}" if value.adjusted() > -100 else "0"


def _plain_numbers(texts: Column) -> Vector:
    return each_distinct(plain_number, pa.string(), texts)


_PLAIN_NUMBER = ArrowFunction("plain_number", ("VARCHAR",), "VARCHAR", _plain_numbers)


def text_to_boolean(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """TRUE for `true`, `yes` and their first letters, in any case; all else is FALSE."""
    return CastPrint(f"regexp_full_match({sql}, '(?i){_BLANK}*(t|tr|tru|true|y|ye|yes){_BLANK}*')")


def text_to_bytes(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Base64, its padding optional."""
    return _reading(
        sql,
        target,
        _matches("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?"),
        lambda x: f"from_base64({x} || repeat('=', (4 - length({x}) % 4) % 4))",
    )


def text_to_date(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """yyyy-MM-dd, where the day, or month and day, may be missing."""
    filled = "{x} || CASE length({x}) WHEN 4 THEN '-01-01' WHEN 7 THEN '-01' ELSE '' END"
    return _reading(
        sql,
        target,
        _matches(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?"),
        lambda x: f"CAST({filled.format(x=x)} AS DATE)",
    )


def text_to_time(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """HH:mm, HH:mm:ss or with a fraction, of which milliseconds are kept."""
    return _reading(
        sql,
        target,
        _matches(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{0,9})?)?"),
        lambda x: f"CAST(left({x}, 12) AS TIME)",
    )


_FULL_TIMESTAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{3})?)?Z?)?"


def text_to_timestamp(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """The common forms in DuckDB; partial ones, zones and days past a month's end by `read_timestamp`."""
    return CastPrint(
        once(
            sql,
            lambda x: (
                f"coalesce(CASE WHEN regexp_full_match({x}, {duckdb_string(_FULL_TIMESTAMP)})"
                f" THEN TRY_CAST({x} AS TIMESTAMP) END, read_timestamp({x}))"
            ),
        ),
        (_READ_TIMESTAMP,),
        True,
    )


_TIMESTAMP = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:T([\d:.]*)(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d{3})", re.ASCII)
_MIDNIGHT = "00:00:00.000"


def read_timestamp(text: str) -> datetime:
    """`yyyy[-MM[-dd]][T[time][zone]]` in UTC; the time is any beginning of HH:mm:ss.SSS.

    A day past the end of its month is its last day and 24:00 is the next midnight, as java.time's
    SMART resolver has it.

    >>> read_timestamp("2020-02-31T10:3+0100")
    datetime.datetime(2020, 2, 29, 9, 30)

    raises  DataError if the text reads as no timestamp
    """
    try:
        match = _TIMESTAMP.fullmatch(text.strip(_JAVA_BLANKS))
        if match is None:
            raise ValueError("no timestamp")
        year, month, day = (int(part or 1) for part in match.group(1, 2, 3))
        clock = match[4] or ""
        time = _TIME.fullmatch(clock + _MIDNIGHT[len(clock) :])
        if time is None or day > 31:
            raise ValueError("no timestamp")
        hour, minute, second, milli = map(int, time.groups())
        midnight = datetime(year, month, min(day, monthrange(year, month)[1]))
        if hour == 24 and minute == second == milli == 0:
            return midnight + timedelta(days=1) - _offset(match[5])
        return midnight.replace(hour=hour, minute=minute, second=second, microsecond=milli * 1000) - _offset(
            match[5]
        )
    except (ValueError, OverflowError) as error:
        raise DataError(f"cannot cast to TIMESTAMP: '{text}'") from error


_JAVA_BLANKS = "".join(map(chr, range(0x21)))


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59 or hours * 60 + minutes > 18 * 60:
        raise ValueError("no zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def _read_timestamps(texts: Column) -> Vector:
    return each_distinct(read_timestamp, pa.timestamp("us"), texts)


_READ_TIMESTAMP = ArrowFunction("read_timestamp", ("VARCHAR",), "TIMESTAMP", _read_timestamps)

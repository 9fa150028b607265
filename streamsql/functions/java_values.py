"""Java's date and time patterns over values: read and write one, or the distinct ones of a column.

Milliseconds are kept, further digits are dropped. A zone in the text wins over the zone asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError, PlanError
from streamsql.functions.java_format import Moment, format_moment
from streamsql.functions.java_parse import Parsed, check_ranges, day_of, nanos_of, parse
from streamsql.functions.java_pattern import (
    DATE_FIELDS,
    TIME_FIELDS,
    Element,
    compile_fast,
    compile_pattern,
    fields_of,
)
from streamsql.functions.zones import Microseconds, Zone, zone_of
from streamsql.tolerance import reject

DEFAULT_ZONE = "GMT"
_DAY_MICROS = 86_400_000_000


@dataclass(frozen=True, slots=True)
class TimePattern:
    """A compiled pattern: its text, its elements, the fields it names."""

    text: str
    elements: tuple[Element, ...]
    fields: frozenset[str]


@lru_cache(maxsize=1024)
def parse_format(pattern: str) -> TimePattern:
    """A DateTimeFormatter pattern, compiled.

    raises  PlanError (PLAN-TIME-PATTERN) naming the pattern if it is none
    """
    elements = compile_pattern(pattern)
    return TimePattern(pattern, elements, fields_of(elements))


@lru_cache(maxsize=1024)
def parse_fast_format(pattern: str) -> TimePattern:
    """A SimpleDateFormat pattern, compiled.

    raises  PlanError (PLAN-TIME-PATTERN)
    """
    elements = compile_fast(pattern)
    return TimePattern(pattern, elements, fields_of(elements))


# One value -----------------------------------------------------------------------------------------------


def read_timestamp(text: str, pattern: str, zone: str = DEFAULT_ZONE) -> int:
    """Microseconds since the epoch; what the text does not say is taken from 1970-01-01T00:00:00.

    >>> read_timestamp("02/Jan/1970:00:00:01 +0100", "dd/MMM/yyyy:HH:mm:ss Z")
    82801000000

    raises  DataError if the text does not fit
    """
    parsed = parse(parse_format(pattern).elements, text)
    check_ranges(parsed)
    day = day_of(_with_default_date(parsed))
    nanos = nanos_of(parsed, lenient=True)
    if day is None or nanos is None:
        raise DataError(f"the text '{text}' makes no date with the pattern '{pattern}'")
    local = day * _DAY_MICROS + nanos // 1_000_000 * 1000
    # An instant needs an offset; the text's own is surer than that of a region.
    found = parsed.offset or parsed.zone or zone_of(zone)
    return local - found.offset_at(local, local=True)


def _with_default_date(parsed: Parsed) -> Parsed:
    """The fields with 1970-01-01 where they leave out year, month or day."""
    fields = dict(parsed.fields)
    if "week_based_year" not in fields:
        if not {"year", "year_of_era"} & fields.keys():
            fields["year"] = 1970
        if "day_of_year" not in fields:
            fields = {"month": 1, "day": 1} | fields
    return Parsed(fields, parsed.zone, parsed.offset)


def read_date(text: str, pattern: str) -> int:
    """Days since the epoch by a SimpleDateFormat pattern; missing fields from 1970-01-01.

    As there, what stands behind the date is not looked at.

    raises  DataError if the text does not fit, or has a time of day
    """
    parsed = parse(parse_fast_format(pattern).elements, text, whole=False)
    check_ranges(parsed)
    day = day_of(_with_default_date(parsed))
    if day is None:
        raise DataError(f"the text '{text}' makes no date with the pattern '{pattern}'")
    if nanos_of(parsed, lenient=True):
        raise DataError(f"the text '{text}' has a time of day; use PARSE_TIMESTAMP")
    return day


def read_full_date(text: str, pattern: str) -> int:
    """Days since the epoch by a DateTimeFormatter pattern that names a whole date.

    raises  DataError if the text does not fit or is no whole date
    """
    parsed = parse(parse_format(pattern).elements, text)
    check_ranges(parsed)
    day = day_of(parsed)
    if day is None:
        raise DataError(f"the text '{text}' makes no whole date with the pattern '{pattern}'")
    return day


def read_time(text: str, pattern: str) -> int:
    """Microseconds since midnight; a pattern with the hour, the minutes after it.

    raises  DataError if the text does not fit or the fields make no time
    """
    format_ = parse_format(pattern)
    refuse_fields(format_, DATE_FIELDS | {"zone", "offset"}, "a TIME")
    parsed = parse(format_.elements, text)
    check_ranges(parsed)
    nanos = nanos_of(parsed, lenient=False)
    if nanos is None:
        raise DataError(f"the text '{text}' makes no time with the pattern '{pattern}'")
    return nanos // 1_000_000 * 1000 % _DAY_MICROS


def write_timestamp(micros: int, pattern: str, zone: str = DEFAULT_ZONE) -> str:
    """An instant on the clock of a zone.

    >>> write_timestamp(0, "EEE d MMM uuuu HH:mm VV", "Europe/Paris")
    'Thu 1 Jan 1970 01:00 Europe/Paris'
    """
    where = zone_of(zone)
    offset = where.offset_at(micros, local=False)
    return format_moment(parse_format(pattern).elements, Moment(micros + offset, offset // 1_000_000, where))


def write_date(day: int, pattern: str) -> str:
    """A day since the epoch."""
    format_ = parse_format(pattern)
    refuse_fields(format_, TIME_FIELDS | {"zone", "offset"}, "a DATE")
    return format_moment(format_.elements, Moment(day * _DAY_MICROS))


def write_time(micros: int, pattern: str) -> str:
    """A time, in microseconds since midnight."""
    format_ = parse_format(pattern)
    refuse_fields(format_, DATE_FIELDS | {"zone", "offset"}, "a TIME")
    return format_moment(format_.elements, Moment(micros))


def refuse_fields(pattern: TimePattern, unwanted: frozenset[str], what: str) -> None:
    if pattern.fields & unwanted:
        has = ", ".join(sorted(name.replace("_", " ") for name in pattern.fields & unwanted))
        raise PlanError(
            f"the pattern '{pattern.text}' has {has}, which {what} has not", code="PLAN-TIME-PATTERN"
        )


# Columns -------------------------------------------------------------------------------------------------


def _parse_timestamps(texts: Column, patterns: Column, zones: Column) -> Vector:
    return each_distinct(read_timestamp, pa.timestamp("us"), texts, patterns, zones)


def _parse_dates(texts: Column, patterns: Column) -> Vector:
    return each_distinct(read_date, pa.int32(), texts, patterns).cast(pa.date32())


def _parse_full_dates(texts: Column, patterns: Column) -> Vector:
    return each_distinct(read_full_date, pa.int32(), texts, patterns).cast(pa.date32())


def _parse_times(texts: Column, patterns: Column) -> Vector:
    return each_distinct(read_time, pa.int64(), texts, patterns).cast(pa.time64("us"))


def _format_timestamps(moments: Column, patterns: Column, zones: Column) -> Vector:
    return each_distinct(write_timestamp, pa.string(), moments.cast(pa.int64()), patterns, zones)


def _format_dates(days: Column, patterns: Column) -> Vector:
    return each_distinct(write_date, pa.string(), days.cast(pa.int32()), patterns)


def _format_times(times: Column, patterns: Column) -> Vector:
    return each_distinct(write_time, pa.string(), times.cast(pa.int64()), patterns)


def _moved(moments: Column, zones: Column, to_utc: bool) -> Vector:
    """Local times to instants, or back: by whole vectors for each zone that occurs."""
    column = moments.combine_chunks() if isinstance(moments, pa.ChunkedArray) else moments
    present = column.is_valid().to_numpy(zero_copy_only=False)
    micros = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    moved = micros.copy()
    names_ = np.array(zones.to_pylist(), object)
    for name in set(names_.tolist()):
        rows = np.flatnonzero(names_ == name)
        zone = None
        try:
            zone = name and zone_of(name)
        except PlanError as error:
            reject(rows.tolist(), error)
        if zone is None:
            present[rows] = False
        else:
            rows = rows[present[rows]]
            moved[rows] += _shift(zone, micros[rows], to_utc)
    return pa.array(moved, pa.int64(), mask=~present).cast(pa.timestamp("us"))


def _shift(zone: Zone, micros: Microseconds, to_utc: bool) -> Microseconds:
    return -zone.offsets_of_local(micros) if to_utc else zone.offsets_at(micros)


def _to_utc(moments: Column, zones: Column) -> Vector:
    return _moved(moments, zones, to_utc=True)


def _to_local(moments: Column, zones: Column) -> Vector:
    return _moved(moments, zones, to_utc=False)


PARSE_TIMESTAMP = ArrowFunction("java_parse_timestamp", ("VARCHAR",) * 3, "TIMESTAMP", _parse_timestamps)
PARSE_DATE = ArrowFunction("java_parse_date", ("VARCHAR",) * 2, "DATE", _parse_dates)
PARSE_FULL_DATE = ArrowFunction("java_parse_full_date", ("VARCHAR",) * 2, "DATE", _parse_full_dates)
PARSE_TIME = ArrowFunction("java_parse_time", ("VARCHAR",) * 2, "TIME", _parse_times)
FORMAT_TIMESTAMP = ArrowFunction(
    "java_format_timestamp", ("TIMESTAMP", "VARCHAR", "VARCHAR"), "VARCHAR", _format_timestamps
)
FORMAT_DATE = ArrowFunction("java_format_date", ("DATE", "VARCHAR"), "VARCHAR", _format_dates)
FORMAT_TIME = ArrowFunction("java_format_time", ("TIME", "VARCHAR"), "VARCHAR", _format_times)
TO_UTC = ArrowFunction("zone_to_utc", ("TIMESTAMP", "VARCHAR"), "TIMESTAMP", _to_utc)
TO_LOCAL = ArrowFunction("zone_to_local", ("TIMESTAMP", "VARCHAR"), "TIMESTAMP", _to_local)

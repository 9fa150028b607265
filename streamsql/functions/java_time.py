"""Java's date and time patterns over columns: parsing and formatting, printed as DuckDB SQL.

A pattern is compiled once. Where it means the same in DuckDB's strptime, a text goes that way if a
regular expression finds exactly the digits that Java wants (strptime is more lenient); whatever is left,
and patterns that strptime cannot say, take the exact reader of java_values.py, an Arrow function over
distinct values. Formatting goes through strftime for the years 1000 to 9999, in which both agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import PlanError
from streamsql.functions.java_format import Moment, format_moment
from streamsql.functions.java_pattern import (
    DATE_FIELDS,
    MONTHS,
    TIME_FIELDS,
    Element,
    Fraction,
    Literal,
    Number,
    Offset,
    Text,
    TwoDigitYear,
    fields_of,
    names,
)
from streamsql.functions.java_values import (
    DEFAULT_ZONE,
    FORMAT_DATE,
    FORMAT_TIME,
    FORMAT_TIMESTAMP,
    PARSE_DATE,
    PARSE_FULL_DATE,
    PARSE_TIME,
    PARSE_TIMESTAMP,
    TO_LOCAL,
    TO_UTC,
    TimePattern,
    parse_fast_format,
    parse_format,
    refuse_fields,
)
from streamsql.functions.registry import Fragment
from streamsql.functions.zones import Zone, zone_of
from streamsql.sqltext import literal_text
from streamsql.types import duckdb_string

# Parsing -------------------------------------------------------------------------------------------------


def timestamp_sql(text: str, pattern: str, zone: str = DEFAULT_ZONE) -> Fragment:
    """BIGINT milliseconds since the epoch of a text column, as TIMESTAMP_FORMAT has it.

    text  SQL that may be repeated: a column or a name

    raises  PlanError (PLAN-TIME-PATTERN, PLAN-TIME-ZONE)
    """
    printed = parse_timestamp_sql(text, duckdb_string(pattern), duckdb_string(zone))
    return Fragment(f"epoch_ms({printed.sql})", printed.functions, True)


def parse_timestamp_sql(text: str, pattern: str, zone: str | None = None) -> Fragment:
    """A TIMESTAMP of a text; all arguments are SQL, literals are checked at once.

    raises  PlanError (PLAN-TIME-PATTERN, PLAN-TIME-ZONE)
    """
    zone = zone or duckdb_string(DEFAULT_ZONE)
    exact = f"java_parse_timestamp({text}, {pattern}, {zone})"
    known, known_zone = literal_text(pattern), literal_text(zone)
    where = zone_of(known_zone) if known_zone is not None else None
    functions: tuple[ArrowFunction, ...] = (PARSE_TIMESTAMP,)
    if known is None:
        return Fragment(exact, functions, True)
    tries = []
    for reading in _readings(parse_format(known)):
        if not reading.makes_timestamp:
            break
        moment = reading.sql(text)
        if not reading.is_zoned:
            if where is None:
                break
            if where.offset:
                moment = f"({moment} - to_seconds({where.offset}))"
            elif where.offset is None:
                moment = f"zone_to_utc({moment}, {zone})"
                functions = (PARSE_TIMESTAMP, TO_UTC)
        tries.append(moment)
    else:
        return Fragment(f"coalesce({', '.join([*tries, exact])})" if tries else exact, functions, True)
    return Fragment(exact, functions, True)


def parse_date_sql(text: str, pattern: str, full: bool = False) -> Fragment:
    """A DATE of a text.

    full    False: the letters of SimpleDateFormat, missing fields from 1970-01-01; True: those of
            DateTimeFormatter, and a whole date
    raises  PlanError (PLAN-TIME-PATTERN)
    """
    function = PARSE_FULL_DATE if full else PARSE_DATE
    exact = f"{function.name}({text}, {pattern})"
    known = literal_text(pattern)
    if known is None:
        return Fragment(exact, (function,), True)
    # In the patterns that strptime knows, both kinds of letters mean the same.
    if not full:
        parse_fast_format(known)
        readings = [] if re.search(r"[^yMdD\W\d_]|M{3}|(?<!y)y(?!y)", known) else _readings_or_none(known)
    else:
        readings = _readings(parse_format(known))
    if len(readings) == 1 and readings[0].makes_date and not readings[0].is_zoned:
        return Fragment(f"coalesce(CAST({readings[0].sql(text)} AS DATE), {exact})", (function,), True)
    return Fragment(exact, (function,), True)


def _readings_or_none(pattern: str) -> list[_Reading]:
    try:
        return _readings(parse_format(pattern))
    except PlanError:
        return []


def parse_time_sql(text: str, pattern: str) -> Fragment:
    """A TIME of a text.

    raises  PlanError (PLAN-TIME-PATTERN)
    """
    exact = f"java_parse_time({text}, {pattern})"
    known = literal_text(pattern)
    if known is None:
        return Fragment(exact, (PARSE_TIME,), True)
    format_ = parse_format(known)
    refuse_fields(format_, DATE_FIELDS | {"zone", "offset"}, "a TIME")
    readings = _readings(format_)
    if len(readings) == 1 and readings[0].makes_time:
        return Fragment(f"coalesce(CAST({readings[0].sql(text)} AS TIME), {exact})", (PARSE_TIME,), True)
    return Fragment(exact, (PARSE_TIME,), True)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A pattern as strptime reads it, for the texts that match a regular expression from end to end.

    is_zoned  the text says its offset; the value is an instant
    """

    regex: str
    format: str
    fields: frozenset[str]
    is_zoned: bool
    has_micros: bool

    @property
    def makes_date(self) -> bool:
        year = len(self.fields & {"year", "year_of_era"}) == 1
        rest = self.fields & (DATE_FIELDS - {"year", "year_of_era"})
        return year and rest in ({"month", "day"}, {"day_of_year"})

    @property
    def makes_time(self) -> bool:
        hours = self.fields & {"hour", "clock_hour_of_am_pm", "am_pm"}
        whole = hours in ({"hour"}, {"clock_hour_of_am_pm", "am_pm"})
        gap = ("second" in self.fields and "minute" not in self.fields) or (
            "nano" in self.fields and "second" not in self.fields
        )
        return whole and not gap

    @property
    def makes_timestamp(self) -> bool:
        return self.makes_date and (self.makes_time or not self.fields & TIME_FIELDS)

    def sql(self, text: str) -> str:
        """A TIMESTAMP, or NULL where the text does not match; years count from 1900 if there are none."""
        moment = f"try_strptime({text}, {duckdb_string(self.format)})"
        if "%z" in self.format:
            moment = f"CAST({moment} AS TIMESTAMP)"
        if self.has_micros:
            moment = f"date_trunc('millisecond', {moment})"
        return f"CASE WHEN regexp_full_match({text}, {duckdb_string(self.regex)}) THEN {moment} END"


_FIXED = {
    **{"month": "%m", "day": "%d", "hour": "%H", "clock_hour_of_am_pm": "%I", "minute": "%M"},
    **{"second": "%S", "day_of_year": "%j"},
}
_HOURS_MINUTES = r"[+-](?:0[0-9]|1[0-7])"


def _readings(pattern: TimePattern) -> list[_Reading]:
    """How strptime reads a pattern: not at all, in one way, or in one for Z and one for an offset."""
    parts: list[list[tuple[str, str]]] = []
    named = [name for e in pattern.elements for name in fields_of((e,))]
    if len(named) != len(set(named)) or "zone" in named:
        return []
    for place, element in enumerate(pattern.elements):
        following = pattern.elements[place + 1] if place + 1 < len(pattern.elements) else Literal(".")
        ways = _ways(element, following)
        if not ways:
            return []
        parts.append(ways)
    zoned = "offset" in pattern.fields
    micros = any(isinstance(e, Fraction) and e.digits > 3 for e in pattern.elements)
    count = max((len(ways) for ways in parts), default=0)
    return [
        _Reading(
            "".join(ways[min(way, len(ways) - 1)][0] for ways in parts),
            "".join(ways[min(way, len(ways) - 1)][1] for ways in parts),
            pattern.fields - {"offset"},
            zoned,
            micros,
        )
        for way in range(count)
    ]


def _ways(element: Element, following: Element) -> list[tuple[str, str]]:
    """Pairs of regular expression and strptime format for one element; none if there is no equal."""
    match element:
        case Literal(text) if text.isascii() and text.isprintable():
            return [(re.sub(r"([^\w\s])", r"\\\1", text), text.replace("%", "%%"))]
        case Number("year" | "year_of_era", 4, _, "pad"):
            return [("[1-9][0-9]{3}", "%Y")] if not _takes_digits(following) else []
        case Number(name, low, high, _) if name in _FIXED:
            if low == high:
                return [(f"[0-9]{{{low}}}", _FIXED[name])]
            separate = isinstance(following, Literal) and not following.text[:1].isdigit()
            return [("[0-9]{1,2}", "%-" + _FIXED[name][1])] if low == 1 and separate else []
        case Fraction(digits) if digits <= 6:
            return [(f"[0-9]{{{digits}}}", "%g" if digits == 3 else "%f")]
        case Text("month", texts):
            if texts == MONTHS or texts == names("month", 3).texts:
                return [(f"(?i:{'|'.join(texts)})", "%B" if texts == MONTHS else "%b")]
        case Text("am_pm"):
            return [("(?i:am|pm)", "%p")]
        case Offset(minutes, "no", colons, zero):
            rest = ":[0-5][0-9]" if colons else "[0-5][0-9]"
            offset = _HOURS_MINUTES + (f"(?:{rest})?" if minutes == "may" else rest)
            return [("Z", "Z")] * (zero == "Z") + [(offset, "%z")]
    return []


def _takes_digits(element: Element) -> bool:
    """Whether an element takes as many digits as there are, so that a year before it is open too."""
    return isinstance(element, Number) and not element.is_fixed


# Formatting ----------------------------------------------------------------------------------------------


def format_timestamp_sql(moment: str, pattern: str, zone: str | None = None) -> Fragment:
    """The text of a TIMESTAMP on the clock of a zone; all arguments are SQL, literals are checked at once.

    raises  PlanError (PLAN-TIME-PATTERN, PLAN-TIME-ZONE)
    """
    zone = zone or duckdb_string(DEFAULT_ZONE)
    exact = f"java_format_timestamp({moment}, {pattern}, {zone})"
    known, known_zone = literal_text(pattern), literal_text(zone)
    if known_zone is not None:
        zone_of(known_zone)
    if known is None:
        return Fragment(exact, (FORMAT_TIMESTAMP,), True)
    printed = _strftime(parse_format(known), zone_of(known_zone) if known_zone is not None else None)
    if printed is None or known_zone is None:
        return Fragment(exact, (FORMAT_TIMESTAMP,), True)
    where = zone_of(known_zone)
    functions: tuple[ArrowFunction, ...] = (FORMAT_TIMESTAMP,)
    local = moment
    if where.offset is None:
        functions, local = (FORMAT_TIMESTAMP, TO_LOCAL), f"zone_to_local({moment}, {zone})"
    elif where.offset:
        local = f"({moment} + to_seconds({where.offset}))"
    quick = _guarded(moment, f"strftime({local}, {duckdb_string(printed)})", exact)
    coarse = None if where.offset != 0 else _coarse(moment, printed)
    return Fragment(quick, functions, True, coarse)


_UNITS = {"Ymd": "day", "YmdH": "hour", "YmdHM": "minute", "YmdHMS": "second"}


def _coarse(moment: str, printed: str) -> str | None:
    """What tells apart moments that strftime writes differently, and no others; None if no unit of time does.

    Digits of fixed width, for all years that strftime and Java write alike; outside of them it raises.
    """
    fields = re.findall("%(.)", printed)
    unit = next((unit for all_, unit in _UNITS.items() if sorted(all_) == sorted(fields)), None)
    if unit is None:
        return None
    return _guarded(moment, f"date_trunc('{unit}', {moment})", "error('a year out of range')::TIMESTAMP")


def format_date_sql(day: str, pattern: str) -> Fragment:
    """The text of a DATE.

    raises  PlanError (PLAN-TIME-PATTERN)
    """
    exact = f"java_format_date({day}, {pattern})"
    known = literal_text(pattern)
    if known is None:
        return Fragment(exact, (FORMAT_DATE,), True)
    format_ = parse_format(known)
    refuse_fields(format_, TIME_FIELDS | {"zone", "offset"}, "a DATE")
    printed = _strftime(format_, None)
    if printed is None:
        return Fragment(exact, (FORMAT_DATE,), True)
    return Fragment(_guarded(day, f"strftime({day}, {duckdb_string(printed)})", exact), (FORMAT_DATE,), True)


def format_time_sql(time: str, pattern: str) -> Fragment:
    """The text of a TIME.

    raises  PlanError (PLAN-TIME-PATTERN)
    """
    exact = f"java_format_time({time}, {pattern})"
    known = literal_text(pattern)
    if known is None:
        return Fragment(exact, (FORMAT_TIME,), True)
    format_ = parse_format(known)
    refuse_fields(format_, DATE_FIELDS | {"zone", "offset"}, "a TIME")
    printed = _strftime(format_, None)
    if printed is None:
        return Fragment(exact, (FORMAT_TIME,), True)
    moment = f"(DATE '1970-01-01' + {time})"
    return Fragment(f"strftime({moment}, {duckdb_string(printed)})", (), False)


def _guarded(moment: str, quick: str, exact: str) -> str:
    """`quick` for the years in which strftime and Java write a year alike, a day off the ends for zones."""
    in_range = f"{moment} >= DATE '1000-01-02' AND {moment} < DATE '9999-12-31'"
    return f"CASE WHEN {in_range} THEN {quick} WHEN {moment} IS NOT NULL THEN {exact} END"


def _strftime(pattern: TimePattern, zone: Zone | None) -> str | None:
    """The strftime format that writes what the pattern does, or None if there is none."""
    formats = [_strftime_part(element, zone) for element in pattern.elements]
    return None if None in formats else "".join(f for f in formats if f is not None)


def _strftime_part(element: Element, zone: Zone | None) -> str | None:
    match element:
        case Literal(text) if text.isprintable():
            return text.replace("%", "%%")
        case Number("year" | "year_of_era", 4):
            return "%Y"
        case TwoDigitYear("year" | "year_of_era"):
            return "%y"
        case Number(name, low, high) if name in _FIXED:
            if name == "day_of_year":
                return {1: "%-j", 3: "%j"}.get(low)
            return _FIXED[name] if low == high else "%-" + _FIXED[name][1] if low == 1 else None
        case Fraction(digits):
            return {3: "%g", 6: "%f", 9: "%f000"}.get(digits)
        case Text(name, texts):
            # The last name of each field tells how long its names are written.
            return {"December": "%B", "Dec": "%b", "Sunday": "%A", "Sun": "%a", "PM": "%p"}.get(texts[-1])
        case Offset() if zone is not None and zone.offset is not None:
            return format_moment((element,), Moment(0, zone.offset, zone)).replace("%", "%%")
    return None

"""Reading a text by the elements of a date and time pattern, and making dates and times of the fields.

The rules are those of java.time with the SMART resolver: a day past the end of its month is the last
day, 24:00 is the next midnight, a field written twice must agree, a day of week must be right.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from streamsql.errors import DataError
from streamsql.functions.java_pattern import (
    Element,
    Fraction,
    Literal,
    LocalOffset,
    Number,
    Offset,
    Optional,
    Padded,
    Text,
    TwoDigitYear,
    ZoneId,
    ZoneName,
)
from streamsql.functions.zones import NAMES, Zone, find_zone, region_names

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_NANOS = 86_400_000_000_000
_RANGES = {
    **{"era": (0, 1), "quarter": (1, 4), "month": (1, 12), "day": (1, 31), "day_of_year": (1, 366)},
    **{"day_of_week": (1, 7), "local_day_of_week": (1, 7), "week_of_year": (1, 54), "week_of_month": (0, 6)},
    **{"aligned_week": (1, 5), "am_pm": (0, 1), "hour": (0, 24), "clock_hour": (1, 24)},
    **{"hour_of_am_pm": (0, 11), "clock_hour_of_am_pm": (1, 12), "minute": (0, 59), "second": (0, 59)},
    **{"milli": (0, 999), "nano": (0, 999_999_999), "milli_of_day": (0, 86_399_999)},
    **{"nano_of_day": (0, _DAY_NANOS - 1), "year": (-9998, 9999), "year_of_era": (1, 9999)},
    **{"week_based_year": (1, 9999)},
}


@dataclass(slots=True)
class Parsed:
    """The fields read from a text.

    zone  the zone or offset written there; an offset wins over a region
    """

    fields: dict[str, int] = field(default_factory=dict)
    zone: Zone | None = None
    offset: Zone | None = None


class _Mismatch(Exception):
    """The text does not continue as the element wants."""


def parse(elements: tuple[Element, ...], text: str, any_case: bool = True, whole: bool = True) -> Parsed:
    """The fields of a text that the elements describe from its first to its last character.

    whole   False: the text may go on after them
    raises  DataError with the place where text and pattern part
    """
    parsed = Parsed()
    reader = _Reader(text, any_case)
    try:
        end = reader.sequence(elements, 0, parsed)
    except _Mismatch as mismatch:
        raise DataError(f"the text '{text}' does not fit the pattern at character {mismatch}") from None
    if whole and end < len(text):
        raise DataError(f"the text '{text}' goes on after the pattern, from character {end + 1}")
    return parsed


class _Reader:
    """One text being read; every method takes a position and gives the one after what it read."""

    def __init__(self, text: str, any_case: bool) -> None:
        self.text = text
        self.any_case = any_case

    def sequence(self, elements: tuple[Element, ...], at: int, parsed: Parsed) -> int:
        for element in elements:
            at = self._element(element, at, parsed)
        return at

    def _element(self, element: Element, at: int, parsed: Parsed) -> int:
        match element:
            case Literal(text):
                return self._literal(text, at)
            case Number():
                return self._number(element, at, parsed)
            case TwoDigitYear(name, base):
                value = self._digits(at, 2)
                value += base - base % 100
                return self._set(parsed, name, value + 100 if value < base else value, at, at + 2)
            case Fraction(digits):
                value = self._digits(at, digits) * 10 ** (9 - digits)
                return self._set(parsed, "nano", value, at, at + digits)
            case Text():
                return self._text(element, at, parsed)
            case Optional(inner):
                return self._optional(inner, at, parsed)
            case Padded(width, inner):
                return self._padded(width, inner, at, parsed)
            case Offset():
                return self._offset(element, at, parsed)
            case LocalOffset():
                return self._zone_id(at, parsed)
            case ZoneId():
                return self._zone_id(at, parsed)
            case ZoneName():
                return self._zone_name(at, parsed)
        raise AssertionError(element)

    def _equal(self, wanted: str, at: int) -> bool:
        found = self.text[at : at + len(wanted)]
        return found == wanted or (self.any_case and found.casefold() == wanted.casefold())

    def _literal(self, wanted: str, at: int) -> int:
        if not self._equal(wanted, at):
            raise _Mismatch(at + 1)
        return at + len(wanted)

    def _digits(self, at: int, count: int) -> int:
        found = self.text[at : at + count]
        if len(found) < count or not (found.isascii() and found.isdigit()):
            raise _Mismatch(at + 1)
        return int(found)

    def _number(self, number: Number, at: int, parsed: Parsed) -> int:
        start = at
        sign = self.text[at : at + 1]
        if sign in ("+", "-"):
            allowed = {"never": "", "minus": "-", "pad": "+-"}[number.sign]
            if sign not in allowed:
                raise _Mismatch(at + 1)
            at += 1
        end = at
        while end < len(self.text) and "0" <= self.text[end] <= "9":
            end += 1
        available = min(end - at, number.max_width + number.reserved)
        width = min(max(available - number.reserved, number.min_width), number.max_width, available)
        if width < number.min_width:
            raise _Mismatch(at + 1)
        value = int(self.text[at : at + width])
        if number.sign == "pad" and (width > number.min_width) != (sign == "+") and sign != "-":
            raise _Mismatch(start + 1)
        if sign == "-":
            if value == 0:
                raise _Mismatch(start + 1)
            value = -value
        return self._set(parsed, number.field, value, start, at + width)

    def _set(self, parsed: Parsed, name: str, value: int, start: int, end: int) -> int:
        if parsed.fields.setdefault(name, value) != value:
            raise _Mismatch(start + 1)
        return end

    def _text(self, element: Text, at: int, parsed: Parsed) -> int:
        # Longest first: "June" before "Jun".
        candidates = sorted(zip(element.texts, element.values, strict=True), key=lambda pair: -len(pair[0]))
        for text, value in candidates:
            if self._equal(text, at):
                return self._set(parsed, element.field, value, at, at + len(text))
        raise _Mismatch(at + 1)

    def _optional(self, inner: tuple[Element, ...], at: int, parsed: Parsed) -> int:
        trial = Parsed(dict(parsed.fields), parsed.zone, parsed.offset)
        try:
            end = self.sequence(inner, at, trial)
        except _Mismatch:
            return at
        parsed.fields, parsed.zone, parsed.offset = trial.fields, trial.zone, trial.offset
        return end

    def _padded(self, width: int, inner: Element, at: int, parsed: Parsed) -> int:
        if at + width > len(self.text):
            raise _Mismatch(at + 1)
        start = at
        while start < at + width and self.text[start] == " ":
            start += 1
        part = _Reader(self.text[: at + width], self.any_case)
        end = part._element(inner, start, parsed)
        if end != at + width:
            raise _Mismatch(end + 1)
        return end

    def _offset(self, offset: Offset, at: int, parsed: Parsed) -> int:
        if offset.zero and self._equal(offset.zero, at):
            return self._set_offset(parsed, 0, at, at + len(offset.zero))
        colon = ":" if offset.colons else ""
        optional = {"must": "", "may": "?", "no": "{0}"}
        minutes = f"(?:{colon}([0-5][0-9]))"
        seconds = f"(?:{colon}([0-5][0-9]))"
        pattern = f"([+-])([01][0-9]){minutes}{optional[offset.minutes]}{seconds}{optional[offset.seconds]}"
        match = re.compile(pattern).match(self.text, at)
        if match is None:
            raise _Mismatch(at + 1)
        total = sum(
            int(part or 0) * size for part, size in zip(match.groups()[1:], (3600, 60, 1), strict=True)
        )
        if total > 18 * 3600:
            raise _Mismatch(at + 1)
        return self._set_offset(parsed, -total if match[1] == "-" else total, at, match.end())

    def _set_offset(self, parsed: Parsed, seconds: int, at: int, end: int) -> int:
        if parsed.offset is not None and parsed.offset.offset != seconds:
            raise _Mismatch(at + 1)
        parsed.offset = Zone("Z", seconds)
        return end

    def _zone_id(self, at: int, parsed: Parsed) -> int:
        match = _ZONE_ID.match(self.text, at)
        candidate = match[0] if match else ""
        # The longest beginning that is a zone: "Europe/Paris" of "Europe/Parisian".
        for length in range(len(candidate), 0, -1):
            text = candidate[:length]
            if self.any_case:
                text = _regions_by_folded_name().get(text.casefold(), text.upper())
            zone = find_zone(text)
            if zone is not None:
                return self._set_zone(parsed, zone, at, at + length)
        raise _Mismatch(at + 1)

    def _zone_name(self, at: int, parsed: Parsed) -> int:
        for name in _NAMES_LONGEST_FIRST:
            if self._equal(name, at) and not self.text[at + len(name) : at + len(name) + 1].isalpha():
                following = self.text[at + len(name) : at + len(name) + 1]
                if following not in ("+", "-", "/"):
                    return self._set_zone(parsed, find_zone(NAMES[name]), at, at + len(name))
        return self._zone_id(at, parsed)

    def _set_zone(self, parsed: Parsed, zone: Zone | None, at: int, end: int) -> int:
        if zone is None or (parsed.zone is not None and parsed.zone != zone):
            raise _Mismatch(at + 1)
        parsed.zone = zone
        return end


_ZONE_ID = re.compile(r"[A-Za-z][A-Za-z0-9~/._+:-]*|[+-][0-9:]+", re.ASCII)


@lru_cache(maxsize=1)
def _regions_by_folded_name() -> dict[str, str]:
    return {name.casefold(): name for name in region_names()}


_NAMES_LONGEST_FIRST = tuple(sorted(NAMES, key=lambda name: -len(name)))


# Fields to dates and times -------------------------------------------------------------------------------


def check_ranges(parsed: Parsed) -> None:
    """raises  DataError for a field that no date or time has"""
    for name, value in parsed.fields.items():
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise DataError(f"{name.replace('_', ' ')} cannot be {value}, only {low} to {high}")


def day_of(parsed: Parsed) -> int | None:
    """Days since the epoch, or None if the fields do not make a date.

    raises  DataError if they contradict each other
    """
    fields = parsed.fields
    year = _year(fields)
    day: int | None = None
    if year is not None and "month" in fields and "day" in fields:
        day = _ordinal(year, fields["month"], min(fields["day"], _month_days(year, fields["month"])))
    elif year is not None and "day_of_year" in fields:
        day = _ordinal(year, 1, 1) + fields["day_of_year"] - 1
        if fields["day_of_year"] == 366 and not _is_leap(year):
            raise DataError(f"the year {year} has no day 366")
    elif "week_based_year" in fields and "week_of_year" in fields:
        weekday = fields.get("day_of_week")
        local = fields.get("local_day_of_week", weekday % 7 + 1 if weekday else None)
        if local is not None:
            start = week_year_start(fields["week_based_year"])
            day = start + (fields["week_of_year"] - 1) * 7 + local - 1
    if day is not None:
        _check_day(fields, day)
    return day


def _year(fields: dict[str, int]) -> int | None:
    if "year" in fields:
        return fields["year"]
    if "year_of_era" in fields:
        return fields["year_of_era"] if fields.get("era", 1) == 1 else 1 - fields["year_of_era"]
    return None


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_days(year: int, month: int) -> int:
    return monthrange(2000 if _is_leap(year) else 2001, month)[1]


def _ordinal(year: int, month: int, day: int) -> int:
    """Days since the epoch; years before 1 are moved by whole 400-year cycles to where `date` can count."""
    cycles = 0 if year >= 1 else (400 - year) // 400
    return date(year + cycles * 400, month, day).toordinal() - _EPOCH_DAY - cycles * 146_097


def weekday_of(day: int) -> int:
    """Monday 1 to Sunday 7 of a day since the epoch, which was a Thursday."""
    return (day + 3) % 7 + 1


def week_year_start(year: int) -> int:
    """The day on which a week-based year starts: weeks start on Sunday, the first one holds January 1."""
    first = _ordinal(year, 1, 1)
    return first - weekday_of(first) % 7


def _check_day(fields: dict[str, int], day: int) -> None:
    """What is written beside the date must agree with it."""
    weekday = weekday_of(day)
    for name, true in (
        ("day_of_week", weekday),
        ("local_day_of_week", weekday % 7 + 1),
        ("quarter", (date.fromordinal(day + _EPOCH_DAY).month + 2) // 3 if day > -_EPOCH_DAY else None),
    ):
        if true is not None and fields.get(name, true) != true:
            raise DataError(f"{name.replace('_', ' ')} {fields[name]} is not that of the date, {true}")


def nanos_of(parsed: Parsed, lenient: bool) -> int | None:
    """Nanoseconds since midnight, 24 h for 24:00, or None if the fields do not make a time.

    lenient  fill up what is missing: hour 0, the first half of the day
    """
    fields = parsed.fields
    if "nano_of_day" in fields:
        return fields["nano_of_day"]
    if "milli_of_day" in fields:
        return fields["milli_of_day"] * 1_000_000
    hour = _hour(fields, lenient)
    if hour is None:
        if not lenient:
            return None
        hour = 0
    if not lenient and (
        ("second" in fields and "minute" not in fields) or ("nano" in fields and "second" not in fields)
    ):
        return None
    minute, second = fields.get("minute", 0), fields.get("second", 0)
    nano = fields.get("nano", fields.get("milli", 0) * 1_000_000)
    nanos = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nano
    if nanos > _DAY_NANOS or (nanos == _DAY_NANOS and hour != 24):
        raise DataError("hour 24 is only midnight, 24:00")
    return nanos


def _hour(fields: dict[str, int], lenient: bool) -> int | None:
    if "hour" in fields:
        return fields["hour"]
    if "clock_hour" in fields:
        return fields["clock_hour"] % 24
    half = fields.get("hour_of_am_pm")
    if half is None and "clock_hour_of_am_pm" in fields:
        half = fields["clock_hour_of_am_pm"] % 12
    if half is None:
        # With the half of the day alone, a lenient reading is its first moment.
        return fields["am_pm"] * 12 if lenient and "am_pm" in fields else None
    if "am_pm" not in fields and not lenient:
        return None
    return fields.get("am_pm", 0) * 12 + half

"""Writing a moment by the elements of a date and time pattern, as java.time does in English."""

from __future__ import annotations

from dataclasses import dataclass

from streamsql.errors import DataError, NotSupportedError
from streamsql.functions.java_parse import week_year_start, weekday_of
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
from streamsql.functions.zones import Zone, full_name, offset_text

_DAY_MICROS = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A local date and time and where it was.

    local   microseconds since 1970-01-01T00:00 on the local clock
    offset  seconds east of UTC
    zone    None for a date or time without one
    """

    local: int
    offset: int = 0
    zone: Zone | None = None

    @property
    def instant(self) -> int:
        """Microseconds since the epoch."""
        return self.local - self.offset * 1_000_000


def format_moment(elements: tuple[Element, ...], moment: Moment) -> str:
    """The moment as text.

    raises  DataError if a number does not fit its width; NotSupportedError for the full name of a zone
            that streamsql has no name for
    """
    return "".join(_print(element, moment) for element in elements)


def _print(element: Element, moment: Moment) -> str:
    match element:
        case Literal(text):
            return text
        case Number():
            return _number(element, field_value(element.field, moment))
        case TwoDigitYear(name):
            return f"{abs(field_value(name, moment)) % 100:02}"
        case Fraction(digits):
            return f"{field_value('nano', moment):09}"[:digits]
        case Text():
            return element.texts[element.values.index(field_value(element.field, moment))]
        case Optional(inner):
            return format_moment(inner, moment)
        case Padded(width, inner):
            text = _print(inner, moment)
            if len(text) > width:
                raise DataError(f"'{text}' is longer than the {width} characters of its pad")
            return text.rjust(width)
        case Offset(minutes, seconds, colons, zero):
            return offset_text(moment.offset, minutes, seconds, colons, zero)
        case LocalOffset(full):
            return _local_offset(moment.offset, full)
    assert moment.zone is not None
    if isinstance(element, ZoneId):
        return moment.zone.id
    assert isinstance(element, ZoneName)
    short = moment.zone.name_at(moment.instant)
    if not element.full:
        return short
    in_full = full_name(moment.zone, short)
    if in_full is None:
        raise NotSupportedError(
            f"zzzz has no full name for the time zone {moment.zone.id} yet", hint="use z or VV"
        )
    return in_full


def _local_offset(offset: int, full: bool) -> str:
    if offset == 0:
        return "GMT"
    if full:
        return "GMT" + offset_text(offset, seconds="may")
    total = abs(offset)
    text = f"GMT{'-' if offset < 0 else '+'}{total // 3600}"
    if total % 3600:
        text += f":{total // 60 % 60:02}"
    return text + (f":{total % 60:02}" if total % 60 else "")


def _number(number: Number, value: int) -> str:
    digits = str(abs(value))
    if len(digits) > number.max_width or (value < 0 and number.sign == "never"):
        raise DataError(
            f"{number.field.replace('_', ' ')} {value} does not fit into {number.max_width} digits"
        )
    sign = "-" if value < 0 else ""
    if number.sign == "pad" and value >= 0 and len(digits) > number.min_width:
        sign = "+"
    return sign + digits.zfill(number.min_width)


def field_value(field: str, moment: Moment) -> int:
    """The number of a field at a moment."""
    day, micro = divmod(moment.local, _DAY_MICROS)
    hour = micro // 3_600_000_000
    match field:
        case "hour":
            return hour
        case "clock_hour":
            return hour or 24
        case "am_pm":
            return hour // 12
        case "hour_of_am_pm":
            return hour % 12
        case "clock_hour_of_am_pm":
            return hour % 12 or 12
        case "minute":
            return micro // 60_000_000 % 60
        case "second":
            return micro // 1_000_000 % 60
        case "nano":
            return micro % 1_000_000 * 1000
        case "milli_of_day":
            return micro // 1000
        case "nano_of_day":
            return micro * 1000
        case "day_of_week":
            return weekday_of(day)
        case "local_day_of_week":
            return weekday_of(day) % 7 + 1
        case "week_based_year" | "week_of_year":
            return _week(field, day)
    year, month, month_day, year_day = civil(day)
    match field:
        case "year":
            return year
        case "year_of_era":
            return year if year > 0 else 1 - year
        case "era":
            return int(year > 0)
        case "quarter":
            return (month + 2) // 3
        case "month":
            return month
        case "day":
            return month_day
        case "day_of_year":
            return year_day
        case "aligned_week":
            return (month_day - 1) // 7 + 1
        case "week_of_month":
            first = day - month_day + 1
            return (day - (first - weekday_of(first) % 7)) // 7 + 1
    raise AssertionError(field)


def _week(field: str, day: int) -> int:
    year = civil(day)[0]
    if day >= week_year_start(year + 1):
        year += 1
    return year if field == "week_based_year" else (day - week_year_start(year)) // 7 + 1


def civil(day: int) -> tuple[int, int, int, int]:
    """Year, month, day and day of the year of a day since the epoch, at any distance.

    after  Howard Hinnant, chrono-Compatible Low-Level Date Algorithms
    """
    era, of_era = divmod(day + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    from_march = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * from_march + 2) // 153
    month_day = from_march - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    year_day = from_march + 60 + leap if shifted < 10 else from_march - 305
    return year, month, month_day, year_day

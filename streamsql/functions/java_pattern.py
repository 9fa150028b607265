"""Patterns of java.time.format.DateTimeFormatter, read into elements.

The rules for letters and their counts are those of DateTimeFormatterBuilder.appendPattern (JDK 17):

    G era · u year · y year of era · Q q quarter · M L month · d day · D day of year · E e c day of week
    Y week-based year · w W week of year, of month · F week of month, aligned · a am-pm
    H k hour 0-23, 1-24 · K h hour of am-pm 0-11, 1-12 · m s minute, second · S fraction
    A n N milli of day, nano, nano of day · V z O zone · X x Z offset · p pad · '' [ ] literal, optional

`compile_fast` reads the older letters of SimpleDateFormat, which PARSE_DATE takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from streamsql.errors import PlanError

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TWO_DIGIT_BASE, _WIDEST = 2000, 19

DATE_FIELDS = frozenset(
    "era year year_of_era quarter month day day_of_year day_of_week local_day_of_week"
    " week_based_year week_of_year week_of_month aligned_week".split()
)
TIME_FIELDS = frozenset(
    "am_pm hour clock_hour hour_of_am_pm clock_hour_of_am_pm minute second nano"
    " milli_of_day nano_of_day".split()
)


@dataclass(frozen=True, slots=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True)
class Number:
    """A field in digits.

    sign      `never`; `minus`: a minus only; `pad`: a plus if there are more digits than min_width
    reserved  digits at the end that belong to the fixed-width fields right after this one
    """

    field: str
    min_width: int = 1
    max_width: int = _WIDEST
    sign: str = "minus"
    reserved: int = 0

    @property
    def is_fixed(self) -> bool:
        return self.min_width == self.max_width and self.sign == "never"


@dataclass(frozen=True, slots=True)
class TwoDigitYear:
    """A year as its last two digits; read as the year from `base` to base + 99 that ends so."""

    field: str
    base: int = _TWO_DIGIT_BASE


@dataclass(frozen=True, slots=True)
class Fraction:
    """The first `digits` digits of the second's fraction."""

    digits: int


@dataclass(frozen=True, slots=True)
class Text:
    """A field by name; texts[i] stands for the value values[i], several texts may mean one value."""

    field: str
    texts: tuple[str, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offset:
    """An offset from UTC: hours, minutes (`must`, `may`, `no`), seconds (the same), colons or none.

    zero  what stands for +00:00 instead
    """

    minutes: str
    seconds: str
    colons: bool
    zero: str


@dataclass(frozen=True, slots=True)
class LocalOffset:
    """GMT, GMT+8 or, in full, GMT+08:00."""

    full: bool


@dataclass(frozen=True, slots=True)
class ZoneId:
    """A zone by its id."""


@dataclass(frozen=True, slots=True)
class ZoneName:
    """A zone by its English name, short (CET) or full."""

    full: bool


@dataclass(frozen=True, slots=True)
class Padded:
    """An element filled up with spaces on the left."""

    width: int
    inner: Element


@dataclass(frozen=True, slots=True)
class Optional:
    inner: tuple[Element, ...]


Element = (
    Literal
    | Number
    | TwoDigitYear
    | Fraction
    | Text
    | Offset
    | LocalOffset
    | ZoneId
    | ZoneName
    | Padded
    | Optional
)

_NUMBERS = {
    **{"d": "day", "H": "hour", "k": "clock_hour", "h": "clock_hour_of_am_pm", "K": "hour_of_am_pm"},
    **{"m": "minute", "s": "second", "w": "week_of_year"},
}
_WIDE_NUMBERS = {"A": "milli_of_day", "n": "nano", "N": "nano_of_day"}
_YEARS = {"u": "year", "y": "year_of_era", "Y": "week_based_year"}
_NAMED = {"M": "month", "L": "month", "Q": "quarter", "q": "quarter", "E": "day_of_week"}
_NAMED |= {"e": "local_day_of_week", "c": "local_day_of_week"}
_OFFSETS = {
    1: ("may", "no", False),
    2: ("must", "no", False),
    3: ("must", "no", True),
    4: ("must", "may", False),
    5: ("must", "may", True),
}


def names(field: str, count: int) -> Text:
    """The English names of a field's values: three letters, in full (4) or the first letter (5)."""
    if field == "era":
        eras = {4: ("Before Christ", "Anno Domini"), 5: ("B", "A")}.get(count, ("BC", "AD"))
        return Text(field, eras, (0, 1))
    if field == "am_pm":
        return Text(field, ("AM", "PM"), (0, 1))
    if field == "quarter":
        full = ("1st quarter", "2nd quarter", "3rd quarter", "4th quarter")
        texts = full if count == 4 else ("1", "2", "3", "4") if count == 5 else ("Q1", "Q2", "Q3", "Q4")
        return Text(field, texts, (1, 2, 3, 4))
    long = MONTHS if field == "month" else DAYS
    cut = {4: None, 5: 1}.get(count, 3)
    return Text(field, tuple(name[:cut] for name in long), tuple(range(1, len(long) + 1)))


def compile_pattern(pattern: str) -> tuple[Element, ...]:
    """The elements of a DateTimeFormatter pattern.

    raises  PlanError (PLAN-TIME-PATTERN) naming the pattern and what is wrong with it
    """
    stack: list[list[Element]] = [[]]
    pad = 0
    for kind, text in _tokens(pattern):
        if kind == "open":
            stack.append([])
        elif kind == "close":
            if len(stack) == 1:
                raise bad_pattern(pattern, "] stands without [")
            inner = stack.pop()
            stack[-1].append(Optional(tuple(_with_reserved_digits(inner))))
        elif kind == "letters" and text[0] == "p":
            pad = len(text)
            continue
        elif pad and kind != "letters":
            raise bad_pattern(pattern, "a pad p must stand before a letter")
        else:
            element = Literal(text) if kind == "literal" else _element(pattern, text[0], len(text))
            stack[-1].append(Padded(pad, element) if pad else element)
            pad = 0
    if pad:
        raise bad_pattern(pattern, "a pad p must stand before a letter")
    # An optional section may stay open: the end of the pattern closes it.
    while len(stack) > 1:
        inner = stack.pop()
        stack[-1].append(Optional(tuple(_with_reserved_digits(inner))))
    return tuple(_with_reserved_digits(stack[0]))


def bad_pattern(pattern: str, why: str) -> PlanError:
    return PlanError(
        f"{pattern!r} is not a date and time pattern: {why}",
        code="PLAN-TIME-PATTERN",
        hint="letters are those of Java's DateTimeFormatter; other text goes between single quotes",
    )


_TOKEN = re.compile(r"([A-Za-z])\1*|'((?:[^']|'')*)'|(['\[\]{}#])|([^A-Za-z'\[\]{}#]+)", re.DOTALL)


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(pattern):
        quoted, special, plain = match[2], match[3], match[4]
        if match[1]:
            yield "letters", match[0]
        elif quoted is not None:
            yield "literal", quoted.replace("''", "'") or "'"
        elif plain is not None:
            yield "literal", plain
        elif special in "[]":
            yield ("open" if special == "[" else "close"), special
        elif special == "'":
            raise bad_pattern(pattern, "a quote is not closed")
        else:
            raise bad_pattern(pattern, f"{special} is reserved")


def _element(pattern: str, letter: str, count: int) -> Element:
    """What `count` equal letters mean."""

    def at_most(limit: int) -> None:
        if count > limit:
            raise bad_pattern(pattern, f"there are too many letters {letter}")

    if letter in _YEARS:
        field = _YEARS[letter]
        if count == 2:
            return TwoDigitYear(field)
        return Number(field, count) if count < 4 else Number(field, count, sign="pad")
    if letter in _NUMBERS:
        at_most(2)
        return _number(_NUMBERS[letter], count)
    if letter in _NAMED:
        at_most(5)
        field = _NAMED[letter]
        if letter == "c" and count == 2:
            raise bad_pattern(pattern, "cc has no meaning")
        if count <= 2 and letter != "E":
            return _number(field, count)
        return names("day_of_week" if letter in "ec" else field, count)
    if letter in _WIDE_NUMBERS:
        at_most(_WIDEST)
        return Number(_WIDE_NUMBERS[letter], count, _WIDEST, "never")
    match letter:
        case "G":
            at_most(5)
            return names("era", count)
        case "a":
            at_most(1)
            return names("am_pm", count)
        case "D":
            at_most(3)
            return Number("day_of_year") if count == 1 else Number("day_of_year", count, 3, "never")
        case "F" | "W":
            at_most(1)
            return Number("aligned_week" if letter == "F" else "week_of_month")
        case "S":
            at_most(9)
            return Fraction(count)
    return _zone_element(pattern, letter, count)


def _zone_element(pattern: str, letter: str, count: int) -> Element:
    match letter, count:
        case "V", 2:
            return ZoneId()
        case "V", _:
            raise bad_pattern(pattern, "a zone id is written VV")
        case "z", 1 | 2 | 3 | 4:
            return ZoneName(full=count == 4)
        case "v", 1 | 4:
            return ZoneName(full=count == 4)
        case "O", 1 | 4:
            return LocalOffset(full=count == 4)
        case "X", 1 | 2 | 3 | 4 | 5:
            return Offset(*_OFFSETS[count], zero="Z")
        case "x", 1 | 2 | 3 | 4 | 5:
            return Offset(*_OFFSETS[count], zero="+00" if count == 1 else "+00:00" if count % 2 else "+0000")
        case "Z", 1 | 2 | 3:
            return Offset(*_OFFSETS[2], zero="+0000")
        case "Z", 4:
            return LocalOffset(full=True)
        case "Z", 5:
            return Offset(*_OFFSETS[5], zero="Z")
        case "z" | "v" | "O" | "X" | "x" | "Z", _:
            raise bad_pattern(pattern, f"the letter {letter} cannot stand {count} times")
    raise bad_pattern(pattern, f"the letter {letter} has no meaning")


def _number(field: str, count: int) -> Number:
    return Number(field) if count == 1 else Number(field, count, count, "never")


def _with_reserved_digits(elements: list[Element]) -> list[Element]:
    """Tell each number of open width how many digits the fixed ones right behind it need."""
    found = list(elements)
    active: int | None = None
    for place, element in enumerate(elements):
        width = _fixed_width(element)
        if width is not None and active is not None:
            leader = found[active]
            if isinstance(leader, Number) and not leader.is_fixed:
                found[active] = replace(leader, reserved=leader.reserved + width)
        elif isinstance(element, Number | TwoDigitYear):
            active = place
        else:
            active = None
    return found


def _fixed_width(element: Element) -> int | None:
    match element:
        case Number() if element.is_fixed:
            return element.min_width
        case TwoDigitYear():
            return 2
        case Fraction(digits):
            return digits
    return None


def flat(elements: tuple[Element, ...]) -> Iterator[Element]:
    """All elements, those in optional sections too."""
    for element in elements:
        match element:
            case Optional(inner):
                yield from flat(inner)
            case Padded(_, inner):
                yield inner
            case _:
                yield element


def fields_of(elements: tuple[Element, ...]) -> frozenset[str]:
    """The fields that a pattern names; `zone` and `offset` among them."""
    found = set()
    for element in flat(elements):
        match element:
            case Number() | TwoDigitYear() | Text():
                found.add(element.field)
            case Fraction():
                found.add("nano")
            case Offset() | LocalOffset():
                found.add("offset")
            case ZoneId() | ZoneName():
                found.add("zone")
    return frozenset(found)


# SimpleDateFormat, as commons-lang's FastDateFormat reads it ---------------------------------------------

_FAST_NUMBERS = {
    **{"d": "day", "D": "day_of_year", "H": "hour", "k": "clock_hour", "h": "clock_hour_of_am_pm"},
    **{"K": "hour_of_am_pm", "m": "minute", "s": "second", "S": "milli", "w": "week_of_year"},
    **{"W": "week_of_month", "F": "aligned_week", "u": "day_of_week"},
}
_FAST_BASE = 1946
"""FastDateFormat takes two digits for a year from 80 years ago to 19 ahead; here the window is fixed."""


def compile_fast(pattern: str) -> tuple[Element, ...]:
    """The elements of a SimpleDateFormat pattern, for parsing dates.

    A number takes all the digits there are, unless another number follows: then as many as it has
    letters. Names are taken short or in full.

    raises  PlanError (PLAN-TIME-PATTERN)
    """
    elements: list[Element] = []
    tokens = list(_tokens(pattern.replace("[", "'['").replace("]", "']'")))
    for place, (kind, text) in enumerate(tokens):
        if kind != "letters":
            elements.append(Literal(text))
            continue
        letter, count = text[0], len(text)
        following = tokens[place + 1] if place + 1 < len(tokens) else ("", "")
        exact = following[0] == "letters" and _is_fast_number(*_counted(following[1]))
        elements.append(_fast_element(pattern, letter, count, exact))
    return tuple(elements)


def _counted(letters: str) -> tuple[str, int]:
    return letters[0], len(letters)


def _is_fast_number(letter: str, count: int) -> bool:
    return letter in _FAST_NUMBERS or letter in "yY" or (letter in "ML" and count < 3)


def _fast_element(pattern: str, letter: str, count: int, exact: bool) -> Element:
    width = (count, count) if exact else (1, _WIDEST)
    if letter in "yY":
        field = "year_of_era" if letter == "y" else "week_based_year"
        return TwoDigitYear(field, _FAST_BASE) if count == 2 else Number(field, *width, "never")
    if letter in "ML":
        return Number("month", *width, "never") if count < 3 else _any_name("month")
    if letter in _FAST_NUMBERS:
        return Number(_FAST_NUMBERS[letter], *width, "never")
    match letter:
        case "G":
            return names("era", 1)
        case "E":
            return _any_name("day_of_week")
        case "a":
            return names("am_pm", 1)
        case "z":
            return ZoneName(full=False)
        case "Z":
            return Offset(*_OFFSETS[2 if count == 1 else 3], zero="Z")
        case "X" if count <= 3:
            return Offset(*_OFFSETS[count], zero="Z")
    raise bad_pattern(pattern, f"the letter {letter} has no meaning in PARSE_DATE")


def _any_name(field: str) -> Text:
    full, short = names(field, 4), names(field, 3)
    return Text(field, full.texts + short.texts, full.values + short.values)

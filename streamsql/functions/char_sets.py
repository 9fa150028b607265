"""Sets of characters as ranges of code points, and the classes that regular expressions name."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

_LAST = sys.maxunicode
_SURROGATES = (0xD800, 0xDFFF)
_HARMLESS = " \"'_,:;<>=!@%/`"


@dataclass(frozen=True, slots=True)
class CharSet:
    """Code points as ranges: sorted, not touching, both ends inside."""

    ranges: tuple[tuple[int, int], ...]

    @staticmethod
    def of(ranges: Iterable[tuple[int, int]]) -> CharSet:
        """The union of ranges in any order.

        >>> CharSet.of([(5, 9), (1, 2), (3, 4)]).ranges
        ((1, 9),)
        """
        merged: list[tuple[int, int]] = []
        for low, high in sorted(ranges):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return CharSet(tuple(merged))

    @staticmethod
    def chars(text: str) -> CharSet:
        return CharSet.of((ord(c), ord(c)) for c in text)

    def __or__(self, other: CharSet) -> CharSet:
        return CharSet.of(self.ranges + other.ranges)

    def __and__(self, other: CharSet) -> CharSet:
        return ~(~self | ~other)

    def __invert__(self) -> CharSet:
        gaps, start = [], 0
        for low, high in self.ranges:
            if low > start:
                gaps.append((start, low - 1))
            start = high + 1
        if start <= _LAST:
            gaps.append((start, _LAST))
        return CharSet(tuple(gaps))

    def with_other_case(self, ascii_only: bool) -> CharSet:
        """The set and the same letters in the other case."""
        if ascii_only:
            letters = self & ASCII_LETTERS
            swapped = [(low ^ 0x20, high ^ 0x20) for low, high in letters.ranges]
            return self | CharSet.of(swapped)
        extra: list[tuple[int, int]] = []
        for low, high in (self & _cased()).ranges:
            for code in range(low, high + 1):
                for other in (chr(code).lower(), chr(code).upper()):
                    if len(other) == 1:
                        extra.append((ord(other), ord(other)))
        return self | CharSet.of(extra)

    def python(self) -> str:
        """As a class of Python's re."""
        return _printed(lambda code: f"\\U{code:08x}", self.ranges, (~self).ranges)

    def re2(self) -> str:
        """As a class of RE2, which takes no surrogates."""
        return _printed(
            lambda code: f"\\x{{{code:x}}}", _without_surrogates(self), _without_surrogates(~self)
        )


Ranges = tuple[tuple[int, int], ...]


def _without_surrogates(chars: CharSet) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for low, high in chars.ranges:
        if low < _SURROGATES[0]:
            ranges.append((low, min(high, _SURROGATES[0] - 1)))
        if high > _SURROGATES[1]:
            ranges.append((max(low, _SURROGATES[1] + 1), high))
    return tuple(ranges)


def _printed(escape: Callable[[int], str], ranges: Ranges, others: Ranges) -> str:
    """One character, or a class of the ranges or of all but the others, whichever is shorter."""

    def shown(code: int) -> str:
        text = chr(code)
        if not (text.isascii() and text.isprintable()):
            return escape(code)
        return text if text.isalnum() or text in _HARMLESS else "\\" + text

    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return shown(ranges[0][0])
    if not ranges:
        return f"[^{escape(0)}-{escape(_LAST)}]"
    is_negated = 0 < len(others) < len(ranges)
    members = [
        shown(low) if low == high else f"{shown(low)}-{shown(high)}"
        for low, high in (others if is_negated else ranges)
    ]
    return f"[{'^' if is_negated else ''}{''.join(members)}]"


def _span(*pairs: str) -> CharSet:
    return CharSet.of((ord(pair[0]), ord(pair[-1])) for pair in pairs)


ASCII_LETTERS = _span("az", "AZ")
DIGITS = _span("09")
WORD = ASCII_LETTERS | DIGITS | _span("_")
SPACES = _span("\t\r", " ")
HORIZONTAL = CharSet.chars(" \t\xa0\u1680\u180e\u202f\u205f\u3000") | _span("\u2000\u200a")
VERTICAL = CharSet.chars("\n\x0b\f\r\x85\u2028\u2029")
LINE_ENDS = CharSet.chars("\n\r\x85\u2028\u2029")
ANY = CharSet(((0, _LAST),))

_PUNCTUATION = _span("!/", ":@", "[`", "{~")
POSIX = {
    "Lower": _span("az"),
    "Upper": _span("AZ"),
    "ASCII": CharSet(((0, 0x7F),)),
    "Alpha": ASCII_LETTERS,
    "Digit": DIGITS,
    "Alnum": ASCII_LETTERS | DIGITS,
    "Punct": _PUNCTUATION,
    "Graph": ASCII_LETTERS | DIGITS | _PUNCTUATION,
    "Print": ASCII_LETTERS | DIGITS | _PUNCTUATION | _span(" "),
    "Blank": CharSet.chars(" \t"),
    "Cntrl": CharSet(((0, 0x1F), (0x7F, 0x7F))),
    "XDigit": DIGITS | _span("af", "AF"),
    "Space": SPACES,
}


@lru_cache(maxsize=1)
def _categories() -> dict[str, CharSet]:
    """Every general category of Unicode; one pass over all code points, a third of a second."""
    found: dict[str, list[tuple[int, int]]] = {}
    for code in range(_LAST + 1):
        ranges = found.setdefault(unicodedata.category(chr(code)), [])
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return {name: CharSet(tuple(ranges)) for name, ranges in found.items()}


@lru_cache(maxsize=1)
def _cased() -> CharSet:
    return CharSet.of(r for key in ("L", "Nl", "So", "Mn") for r in (category(key) or CharSet(())).ranges)


@lru_cache(maxsize=64)
def category(name: str) -> CharSet | None:
    """A general category (Lu) or a group of them (L), or None if there is none of the name."""
    parts = [chars for key, chars in _categories().items() if key == name or key[0] == name]
    if name == "LC":
        parts = [_categories()[key] for key in ("Lu", "Ll", "Lt")]
    return CharSet.of(r for part in parts for r in part.ranges) if parts else None


@lru_cache(maxsize=64)
def named(name: str) -> CharSet | None:
    r"""What `\p{name}` stands for in Java, or None if the name is not known here.

    POSIX classes are ASCII, `L`, `IsL`, `general_category=L` categories; scripts and blocks are not known.
    """
    if name in POSIX:
        return POSIX[name]
    bare = name.split("=", 1)[1] if name.startswith(("gc=", "general_category=")) else name
    bare = bare.removeprefix("Is")
    if bare in ("L1",):
        return CharSet(((0, 0xFF),))
    binary = {
        "Alphabetic": ("L", "Nl"),
        "Letter": ("L",),
        "Uppercase": ("Lu",),
        "Lowercase": ("Ll",),
        "Titlecase": ("Lt",),
        "Digit": ("Nd",),
        "Punctuation": ("P",),
        "Control": ("Cc",),
        "javaLowerCase": ("Ll",),
        "javaUpperCase": ("Lu",),
        "javaLetter": ("L",),
        "javaDigit": ("Nd",),
        "javaLetterOrDigit": ("L", "Nd"),
        "javaWhitespace": ("Zs", "Zl", "Zp"),
    }.get(bare)
    if binary is not None:
        found = CharSet.of(r for key in binary for r in (category(key) or CharSet(())).ranges)
        if bare == "javaWhitespace":
            found = (found & ~CharSet.chars("\xa0\u2007\u202f")) | CharSet(((9, 13), (0x1C, 0x1F)))
        return found
    if bare in ("White_Space", "WhiteSpace"):
        return SPACES | CharSet.chars("\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | _span("\u2000\u200a")
    return category(bare) if 1 <= len(bare) <= 2 else None

"""Text in cells of a terminal: how wide it is, cutting it to fit, and nothing that drives the screen."""

from __future__ import annotations

import re

from rich.cells import cell_len

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# C0 and C1 controls, line separators, what turns the direction of writing, lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_UNSAFE_IN_JSON = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", ""))


def safe(text: str) -> str:
    """The text with everything that could steer a terminal spelt out.

    >>> safe("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\\\n'
    """
    return text if text.isprintable() else _UNSAFE.sub(_escaped, text)


def safe_lines(text: str) -> str:
    """As `safe`, but line ends stay: for messages of several lines."""
    return "\n".join(safe(line) for line in text.split("\n"))


def safe_json(text: str) -> str:
    """JSON in which what could steer a terminal stands as \\uXXXX, which means the same."""
    return text if text.isascii() else _UNSAFE_IN_JSON.sub(lambda c: f"\\u{ord(c.group()):04x}", text)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def width(text: str) -> int:
    """Cells the text takes on a screen: 2 for CJK and most emoji, 0 for combining marks.

    >>> width("naïve"), width("日本")
    (5, 4)
    """
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, cells: int, ellipsis: str = "…") -> str:
    """The text if it is at most `cells` wide, else its beginning and an ellipsis in that many cells.

    >>> fit("abcdef", 4), fit("日本語", 5)
    ('abc…', '日本…')
    """
    if len(text) <= cells and width(text) <= cells:
        return text
    room = cells - width(ellipsis)
    if room < 0:
        return ellipsis[:cells]
    return text[: _longest(text, room)] + ellipsis


def wrapped(text: str, cells: int) -> list[str]:
    """The text in lines of at most `cells`: broken between words, after `.`, `,` or `_`, else anywhere.

    >>> wrapped("Where a new query starts.", 12), wrapped("ksql.functions.collect", 16)
    (['Where a new', 'query', 'starts.'], ['ksql.functions.', 'collect'])
    """
    lines: list[str] = []
    while width(text) > cells:
        end = _longest(text, cells)
        begun = text[: end + 1]
        place = max(begun.rfind(" "), *(text[:end].rfind(mark) + 1 for mark in ".,_"))
        # Neither is an indentation a place to break at, nor one that leaves most of the line empty.
        if width(text[:place].strip()) * 3 < cells:
            place = max(end, 1)
        lines.append(text[:place].rstrip())
        text = text[place:].lstrip()
    return [*lines, text] if text or not lines else lines


def _longest(text: str, cells: int) -> int:
    """How many characters from the beginning take at most `cells`."""
    # A character may take two cells and combine with the next one, so the cut is found by trying:
    # never more than `cells` characters are looked at beyond those without width.
    end = min(len(text), cells)
    while end and width(text[:end]) > cells:
        end -= 1
    while end < len(text) and width(text[: end + 1]) <= cells:
        end += 1
    return end


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text filled up with blanks to `cells`; to the right edge for numbers."""
    blanks = " " * (cells - width(text))
    return blanks + text if right else text + blanks

"""Cutting a text into statements, without parsing it: at each `;` outside quotes and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from streamsql.grammar.lexer import BACKTICK, COMMENT, DOUBLE_QUOTE, STRING


class Piece(NamedTuple):
    """A statement's text with its `;` (the last may have none), and where it starts, in characters."""

    text: str
    start: int


_PART = re.compile(
    rf"(?P<aside>\s++|{COMMENT})|(?P<quoted>{STRING}|{BACKTICK}|{DOUBLE_QUOTE})|(?P<cut>;)"
    rf"|(?P<open>/\*|['\"`])|(?P<plain>[^\s;'\"`/-]++|[/-])"
)


def parts(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of each run of text; an unclosed quote or comment takes all that is left."""
    position = 0
    while position < len(text):
        found = _PART.match(text, position)
        assert found is not None and found.lastgroup is not None
        end = len(text) if found.lastgroup == "open" else found.end()
        yield found.lastgroup, position, end
        position = end


def split(text: str) -> list[Piece]:
    """The statements of a text, blanks around them left out; time is linear in the length.

    Comments before a statement belong to it; a piece of comments alone is none.

    >>> split("a; /* ; */ b ';' ;c")
    [Piece(text='a;', start=0), Piece(text="/* ; */ b ';' ;", start=3), Piece(text='c', start=18)]
    """
    pieces: list[Piece] = []
    start: int | None = None
    has_content = False
    for kind, begin, end in parts(text):
        if start is None and not (kind == "aside" and text[begin].isspace()):
            start = begin
        if kind == "cut":
            if has_content and start is not None:
                pieces.append(Piece(text[start:end], start))
            start, has_content = None, False
        elif kind != "aside":
            has_content = True
    if has_content and start is not None:
        pieces.append(Piece(text[start:].rstrip(), start))
    return pieces


def is_complete(text: str) -> bool:
    """Whether a shell can run the text: its last word is a `;`, and no quote or comment is open.

    >>> is_complete("SELECT ';"), is_complete("SELECT 1; -- done")
    (False, True)
    """
    last = ""
    for kind, _begin, _end in parts(text):
        if kind != "aside":
            last = kind
    return last == "cut"

"""Where the parts of a statement stand: nodes know it by their span, and so do names, words and numbers.

A name in the tree is a text, and most of those who read it want nothing else. An error about it wants its
place as well, so that what the parser makes is a text that knows where it was written.
"""

from __future__ import annotations

from typing import Any

from streamsql.errors import Span


class PlacedText(str):
    """A name, or the words of a choice, as they mean; `span` is where they were written."""

    __slots__ = ("span",)
    span: Span

    def __new__(cls, text: str, span: Span) -> PlacedText:
        made = super().__new__(cls, text)
        made.span = span
        return made

    def __getnewargs__(self) -> tuple[str, Span]:  # type: ignore[override]
        return str(self), self.span


class PlacedNumber(int):
    """The number of a clause; `span` is where the clause was written."""

    span: Span

    def __new__(cls, number: int, span: Span) -> PlacedNumber:
        made = super().__new__(cls, number)
        made.span = span
        return made

    def __getnewargs__(self) -> tuple[int, Span]:  # type: ignore[override]
        return int(self), self.span


class PlacedNothing(tuple[()]):
    """A list without parts, none of which could tell where it stands; `span` is where it was written."""

    span: Span

    def __new__(cls, span: Span) -> PlacedNothing:
        made = super().__new__(cls)
        made.span = span
        return made

    def __getnewargs__(self) -> tuple[Span]:
        return (self.span,)


def place_of(*parts: Any) -> Span | None:
    """From the first to the last of some nodes, names and numbers; None if none of them has a place.

    >>> place_of(PlacedText("A", Span(3, 4)), None, "B", PlacedText("C", Span(8, 9)))
    Span(start=3, end=9)
    """
    spans = [part.span for part in parts if hasattr(part, "span") and part.span.end > 0]
    return Span(min(s.start for s in spans), max(s.end for s in spans)) if spans else None

"""The tree of errors, positions in a text, and how an error is shown with a caret.

The one leaf that every part of streamsql may import; it imports nothing of ours.

Families, by who must act:

    StatementError     your SQL: ParseError (it does not read), PlanError (it does not mean anything)
    NotSupportedError  your SQL is fine, streamsql cannot run it yet; used for nothing else
    DataError          a record; it goes to the processing log and the query lives on
    ExternalError      disk, lock, network: the message says whether trying again helps
    ConflictError      someone else was first: look again, then decide again
    InternalError      ours: please report
"""

from __future__ import annotations

import copy
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters [start, end) in the text a statement came from."""

    start: int
    end: int

    def line_column(self, text: str) -> tuple[int, int]:
        """Line and column of the start, both from 1.

        >>> Span(9, 10).line_column("SELECT\\n  x;")
        (2, 3)
        """
        before = text[: self.start]
        return before.count("\n") + 1, self.start - (before.rfind("\n") + 1) + 1

    def to(self, other: Span) -> Span:
        """The range from the start of this one to the end of `other`."""
        return Span(self.start, max(self.end, other.end))


class StreamSQLError(Exception):
    """Base of everything streamsql raises on purpose.

    message  one sentence: the thing and its kind, what was found, what was expected
    code     stable upper-case words with dashes, for programs: PLAN-UNKNOWN-COLUMN
    span     where in `source`, or None if no place fits
    hint     something one can type or do next
    source   the whole text the span counts in; `at` fills it in where it is known
    """

    default_code = "ERROR"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        span: Span | None = None,
        hint: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.span = span
        self.hint = hint
        self.source = source

    def at(self, source: str, span: Span | None = None) -> StreamSQLError:
        """The same error, told which text it is about; one that knows its text already stays as it is."""
        if self.source is None:
            self.source = source
            if self.span is None:
                self.span = span
        return self

    def again(self) -> StreamSQLError:
        """The same error for another statement that meets it: it tells of that one's text."""
        found = copy.copy(self)
        found.source = found.span = None
        return found

    def __str__(self) -> str:
        return render(self)


class StatementError(StreamSQLError):
    """A statement that is wrong; nothing was changed."""

    default_code = "STATEMENT"


class ParseError(StatementError):
    """The text does not read as SQL."""

    default_code = "PARSE"


class PlanError(StatementError):
    """The text reads, but names, types or rules forbid it."""

    default_code = "PLAN"


class NotSupportedError(StreamSQLError):
    """Understood, and not built yet. Never used for a statement that is wrong."""

    default_code = "NOT-SUPPORTED"


class DataError(StreamSQLError):
    """A record that cannot be read, converted or stored."""

    default_code = "DATA"


class ExternalError(StreamSQLError):
    """Something outside streamsql failed: a disk, a lock, a network."""

    default_code = "EXTERNAL"


class ConflictError(StreamSQLError):
    """Someone else was first. Nothing was changed: look again, then decide again."""

    default_code = "CONFLICT"


class InternalError(StreamSQLError):
    """A mistake of streamsql's own."""

    default_code = "INTERNAL"


_LONGEST_LINE = 160


def render(error: StreamSQLError) -> str:
    """The error as plain text: code and message, the line with a caret below it, the hint."""
    lines = [f"[{error.code}] {error.message}"]
    if error.span is not None and error.source is not None:
        lines += _excerpt(error.source, error.span)
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    return "\n".join(lines)


def _excerpt(source: str, span: Span) -> list[str]:
    number, column = span.line_column(source)
    begin = span.start - (column - 1)
    end = source.find("\n", begin)
    line = source[begin : len(source) if end < 0 else end]
    # A long line is shown as the part around the mistake, so that the caret stays on screen.
    cut = max(0, column - 1 - _LONGEST_LINE // 2)
    shown = line[cut : cut + _LONGEST_LINE]
    prefix = "…" if cut else ""
    clean = "".join(c if c.isprintable() else " " for c in shown)
    label = f"  LINE {number}: {prefix}"
    place = column - 1 - cut
    indent = len(label) + _cells(clean[:place])
    carets = max(1, _cells(clean[place : place + span.end - span.start]))
    return [label + clean, " " * indent + "^" * carets]


def _cells(text: str) -> int:
    """How many cells of a terminal the text takes: two for CJK and most emoji, none for combining marks."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only an error that has such text pays for the import

    return cell_len(text)

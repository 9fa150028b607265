"""Results as tables: columns that fit the screen, rows that come while one looks, errors with colour."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import TextIO

import numpy as np
import pyarrow as pa

from streamsql.errors import StreamSQLError
from streamsql.repl.layout import SEPARATOR_CELLS, Need, column_widths, listing_widths
from streamsql.repl.terminal import BOLD, CYAN, DIM, RED, YELLOW, Terminal
from streamsql.repl.text import fit, pad, safe, safe_lines, width, wrapped
from streamsql.repl.values import cell_texts, in_small_pieces, is_number
from streamsql.result import Changes, Result

NULL = "NULL"
TOMBSTONE = "<TOMBSTONE>"
_SAMPLE_ROWS = 1000
_LIVE_TEXT_CELLS, _LIVE_NUMBER_CELLS = 20, 13
_LONGEST_VALUE_LINES = 20


class TablePrinter:
    """Prints results for people.

    out         where tables and messages go
    terminal    what `out` can show
    has_timing  the line below a table says how long it took
    most_rows   rows of a finite result that are shown, None for all; the rest is counted
    """

    def __init__(
        self, out: TextIO, terminal: Terminal, *, has_timing: bool = False, most_rows: int | None = None
    ) -> None:
        self._out = out
        self._terminal = terminal
        self._has_timing = has_timing
        self._most_rows = most_rows

    def show(self, result: Result) -> int:
        """Print a result to its end and give the number of its rows."""
        started = time.perf_counter()
        if result.title:
            self._line(self._terminal.paint(safe(result.title), BOLD))
        rows = self._table(result) if result.columns else 0
        if result.kind == "ROWS":
            self._footer(rows, time.perf_counter() - started)
        if result.kind == "CHANGES" and result.status is not None:
            self._line(self._terminal.paint(safe(str(result.status)), DIM))
        if result.message:
            self._line(safe_lines(result.message))
        self._out.flush()
        return rows

    def _table(self, result: Result) -> int:
        names = [column.name for column in result.columns]
        is_live = result.kind == "CHANGES"
        pieces = in_small_pieces(result.changes())
        if is_live:
            sample, rest = _first(pieces), pieces
        else:
            sample, rest = _sample(pieces, _SAMPLE_ROWS)
        types = _types(sample, result)
        blocks = [_cells(piece) for piece in sample]
        needs = _needs(names, types, blocks)
        if is_live:
            needs = _room_for_more(needs, self._terminal)
        widths = (listing_widths if result.is_listing else column_widths)(needs, self._terminal.width)
        if widths is None and is_live:
            widths = column_widths(_needs(names, types, blocks), self._terminal.width)
        if widths is None:
            form: _Form = _Vertical(names, self._terminal)
        else:
            form = _Horizontal(names, types, widths, self._terminal, wraps=result.is_listing)
        for line in form.head():
            self._line(line)
        rows = 0
        for block in chain(blocks, map(_cells, rest)):
            if self._most_rows is not None and not is_live and rows >= self._most_rows:
                rows += len(block)
                continue
            kept = block if self._most_rows is None or is_live else block[: self._most_rows - rows]
            for cells in kept:
                rows += 1
                for line in form.row(rows, cells):
                    self._line(line)
            rows += len(block) - len(kept)
            if is_live:
                self._out.flush()
        return rows

    def _footer(self, rows: int, seconds: float) -> None:
        text = f"{rows:,} row" + ("" if rows == 1 else "s")
        if self._most_rows is not None and rows > self._most_rows:
            text += f", the first {self._most_rows:,} shown"
        if self._has_timing:
            text += f" ({duration_text(seconds)})"
        self._line(self._terminal.paint(text, DIM))

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")


_Cells = list[tuple[str | None, ...]]


class _Form(ABC):
    """How the rows of one table look."""

    def head(self) -> Iterator[str]:
        yield from ()

    @abstractmethod
    def row(self, number: int, cells: tuple[str | None, ...]) -> Iterator[str]:
        """The lines of one row; `number` counts from 1 over the whole table."""


class _Horizontal(_Form):
    """Columns side by side, numbers to the right.

    wraps  a long text goes on in the next line; else it is cut
    """

    def __init__(
        self,
        names: list[str],
        types: list[pa.DataType],
        widths: list[int],
        terminal: Terminal,
        *,
        wraps: bool = False,
    ) -> None:
        self._wraps = wraps and terminal.is_screen
        self._names = names
        self._widths = widths
        self._rights = [is_number(kind) for kind in types]
        self._terminal = terminal
        self._ellipsis = "…" if terminal.has_unicode else "~"
        self._bar = " │ " if terminal.has_unicode else " | "

    def head(self) -> Iterator[str]:
        dash, cross = ("─", "┼") if self._terminal.has_unicode else ("-", "+")
        cells = [
            self._terminal.paint(pad(self._fit(safe(name), size), size, right=right), BOLD)
            for name, size, right in zip(self._names, self._widths, self._rights, strict=True)
        ]
        yield self._join(cells)
        yield self._terminal.paint(cross.join(dash * (size + 2) for size in self._widths), DIM)

    def row(self, number: int, cells: tuple[str | None, ...]) -> Iterator[str]:
        if not self._wraps:
            yield self._line(cells)
            return
        parts = [
            wrapped(safe(text), size)[:_LONGEST_VALUE_LINES] if text is not None else [None]
            for text, size in zip(cells, self._widths, strict=True)
        ]
        for number in range(max(map(len, parts))):
            yield self._line(tuple(part[number] if number < len(part) else "" for part in parts))

    def _line(self, cells: tuple[str | None, ...]) -> str:
        return self._join([self._cell(*cell) for cell in zip(cells, self._widths, self._rights, strict=True)])

    def _cell(self, text: str | None, size: int, right: bool) -> str:
        if text is None or text is TOMBSTONE:
            mark = NULL if text is None else TOMBSTONE
            return self._terminal.paint(pad(self._fit(mark, size), size, right=right), DIM)
        return pad(self._fit(safe(text), size), size, right=right)

    def _fit(self, text: str, size: int) -> str:
        # A file or a pipe gets the whole text, even if the column behind it moves.
        return fit(text, size, self._ellipsis) if self._terminal.is_screen else text

    def _join(self, cells: list[str]) -> str:
        bar = self._terminal.paint(self._bar, DIM)
        return (" " + bar.join(cells)).rstrip()


class _Vertical(_Form):
    """One line per value, for rows that do not fit side by side."""

    def __init__(self, names: list[str], terminal: Terminal) -> None:
        self._names = [safe(name) for name in names]
        self._label_cells = max(map(width, self._names))
        self._terminal = terminal
        self._bar = " │ " if terminal.has_unicode else " | "
        screen = terminal.width or 0
        self._label_cells = min(self._label_cells, max(8, screen // 2))
        room = max(10, screen - self._label_cells - SEPARATOR_CELLS - 1)
        # The terminal wraps a long value; one of many screens would hide all others.
        self._longest = room + (_LONGEST_VALUE_LINES - 1) * screen

    def row(self, number: int, cells: tuple[str | None, ...]) -> Iterator[str]:
        dash = "─" if self._terminal.has_unicode else "-"
        label = f"{dash}[ row {number} ]"
        yield self._terminal.paint(label + dash * ((self._terminal.width or 80) - len(label) - 1), DIM)
        bar = self._terminal.paint(self._bar, DIM)
        for name, text in zip(self._names, cells, strict=True):
            label = self._terminal.paint(pad(fit(name, self._label_cells), self._label_cells), BOLD)
            if text is None or text is TOMBSTONE:
                shown = self._terminal.paint(NULL if text is None else TOMBSTONE, DIM)
            else:
                shown = fit(safe(text), self._longest)
            yield f" {label}{bar}{shown}"


def error_text(error: StreamSQLError, terminal: Terminal) -> str:
    """An error for a screen: its code in red, the caret in red, the hint marked."""
    lines = safe_lines(str(error)).split("\n")
    code, bracket, rest = lines[0].partition("] ")
    if bracket:
        lines[0] = terminal.paint(code + "]", BOLD, RED) + " " + terminal.paint(rest, BOLD)
    for i, line in enumerate(lines[1:], 1):
        bare = line.strip()
        if bare and not bare.strip("^"):
            lines[i] = line[: len(line) - len(bare)] + terminal.paint(bare, BOLD, RED)
        elif bare.startswith("hint:"):
            lines[i] = "  " + terminal.paint("hint:", YELLOW) + bare.removeprefix("hint:")
        elif bare.startswith("LINE "):
            label, colon, text = line.partition(":")
            lines[i] = terminal.paint(label + colon, CYAN) + text
    return "\n".join(lines)


def duration_text(seconds: float) -> str:
    """A length of time as people say it.

    >>> duration_text(0.0123), duration_text(2.5), duration_text(75)
    ('12 ms', '2.50 s', '1 min 15 s')
    """
    if seconds < 1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.001 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _sample(pieces: Iterator[Changes], rows: int) -> tuple[list[Changes], Iterator[Changes]]:
    """The first pieces, `rows` rows or a little more, and the rest."""
    taken: list[Changes] = []
    count = 0
    for piece in pieces:
        taken.append(piece)
        count += piece.rows.num_rows
        if count >= rows:
            break
    return taken, pieces


def _first(pieces: Iterator[Changes]) -> list[Changes]:
    """The first piece with rows, as soon as it comes; none if there is none."""
    return [piece for piece in [next((p for p in pieces if p.rows.num_rows), None)] if piece is not None]


def _types(sample: list[Changes], result: Result) -> list[pa.DataType]:
    if sample:
        return list(sample[0].rows.schema.types)
    return list(result.schema.types)


def _cells(piece: Changes) -> _Cells:
    """Rows of texts; None for null, TOMBSTONE in the empty cells of a deleted row."""
    columns = [cell_texts(column) for column in piece.rows.columns]
    if piece.tombstones is not None:
        deleted = np.flatnonzero(piece.tombstones.to_numpy(zero_copy_only=False))
        for texts in columns:
            for row in deleted:
                if texts[row] is None:
                    texts[row] = TOMBSTONE
    return list(zip(*columns, strict=True))


def _needs(names: list[str], types: list[pa.DataType], blocks: list[_Cells]) -> list[Need]:
    contents = [0] * len(names)
    for block in blocks:
        for column, texts in enumerate(zip(*block, strict=True)):
            widest = max((width(safe(t)) if t is not None else len(NULL) for t in texts), default=0)
            contents[column] = max(contents[column], widest)
    return [
        Need(width(safe(name)), content, is_number(kind))
        for name, content, kind in zip(names, contents, types, strict=True)
    ]


def _room_for_more(needs: list[Need], terminal: Terminal) -> list[Need]:
    """What the columns of a push query ask for: later rows may be wider than the first ones."""
    wider = [
        Need(need.header, max(need.content, _LIVE_NUMBER_CELLS), True)
        if need.rigid
        else Need(need.header, max(need.content * 5 // 4, _LIVE_TEXT_CELLS), False)
        for need in needs
    ]
    if not wider[-1].rigid and terminal.width is not None:
        # Nothing stands behind the last column, so it may have what the others leave.
        taken = sum(need.natural for need in wider[:-1]) + SEPARATOR_CELLS * len(wider)
        room = max(wider[-1].content, terminal.width - taken)
        wider[-1] = Need(wider[-1].header, room, False)
    return wider

"""A line that says how far something is, drawn over itself on a screen and left out elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from streamsql.repl.terminal import Terminal, terminal_of
from streamsql.repl.text import fit, safe

_SECONDS_BETWEEN = 0.1
_BAR_CELLS = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class ProgressLine:
    """One line of a screen; nothing is written if `out` is none, or before something takes a while."""

    def __init__(self, out: TextIO, *, patience_seconds: float = 0.2) -> None:
        self.terminal = terminal_of(out)
        self._out = out
        self._next = time.monotonic() + patience_seconds
        self._is_drawn = False

    def update(self, text: str) -> None:
        """Show a text in place of the last one, at most ten times a second."""
        if not self.terminal.is_screen or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS_BETWEEN
        assert self.terminal.width is not None
        self._out.write("\r" + fit(safe(text), self.terminal.width - 1) + "\x1b[K")
        self._out.flush()
        self._is_drawn = True

    def clear(self) -> None:
        """Take the line away."""
        if self._is_drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._is_drawn = False

    @contextmanager
    def over(self, so_far: Callable[[], str]) -> Iterator[None]:
        """While what it tells of goes on; then it is gone, and after Ctrl-C it says how far that came."""
        try:
            yield
        except KeyboardInterrupt:
            self.clear()
            self._out.write(f"ended by Ctrl-C: {so_far()}\n")
            raise
        finally:
            self.clear()


def bar(done: float, total: float, terminal: Terminal, cells: int = _BAR_CELLS) -> str:
    """A bar and a percentage.

    >>> bar(1, 4, Terminal(has_unicode=False), 8)
    '##------  25 %'
    """
    share = min(1.0, done / total) if total else 1.0
    return f"{blocks(share, terminal, cells)} {share * 100:3.0f} %"


def blocks(share: float, terminal: Terminal, cells: int) -> str:
    """A bar of `cells` characters, filled to a share of 0 to 1."""
    if not terminal.has_unicode:
        full = round(share * cells)
        return "#" * full + "-" * (cells - full)
    eighths = round(share * cells * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(cells)


def rate_text(count: float, seconds: float, unit: str) -> str:
    """How many a second, in three digits.

    >>> rate_text(2_500_000, 2, "rows"), rate_text(30, 2, "rows")
    ('1.25 M rows/s', '15 rows/s')
    """
    rate = count / seconds if seconds > 0 else 0.0
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g} {letter} {unit}/s"
    return f"{rate:.3g} {unit}/s"


def bytes_text(count: float) -> str:
    """A size as people say it.

    >>> bytes_text(999), bytes_text(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"

"""What the other end of an output can show, and the few colours in use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

BOLD, DIM, RED, YELLOW, CYAN = "1", "2", "31", "33", "36"


@dataclass(frozen=True, slots=True)
class Terminal:
    """How to write for one output.

    width        columns of the screen; None for a file or a pipe, where nothing is cut
    has_colours  escape sequences for colours are understood and wanted
    has_unicode  lines and bars may be drawn with characters outside ASCII
    """

    width: int | None = None
    has_colours: bool = False
    has_unicode: bool = True

    @property
    def is_screen(self) -> bool:
        """Whether a person is looking at it."""
        return self.width is not None

    def paint(self, text: str, *codes: str) -> str:
        """The text in a colour (ECMA-48 SGR codes), or as it is where there are no colours."""
        if not self.has_colours or not text:
            return text
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"


def terminal_of(out: TextIO, environment: Mapping[str, str] = os.environ) -> Terminal:
    """What `out` can show. NO_COLOR (https://no-color.org) and TERM=dumb turn colours off."""
    has_unicode = _can_encode(out, "─│█…·")
    if not out.isatty():
        return Terminal(has_unicode=has_unicode)
    colours = not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"
    width = shutil.get_terminal_size((80, 24)).columns
    return Terminal(max(20, width), colours, has_unicode)


def _can_encode(out: TextIO, sample: str) -> bool:
    try:
        sample.encode(getattr(out, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

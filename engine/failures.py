"""Which expressions fail in which rows: what a stage's safe twin tells while it runs.

The twin never raises. Where an expression fails it goes on with NULL, and calls a function of Python that
notes the row and the number of the expression (see the twin's text in plan/noting.py). Nothing is
evaluated a second time to find the rows out, and rows that a filter drops later are known as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

NOTE = "note_failure"
"""(row BIGINT, expression INTEGER) -> BOOLEAN, true: the DuckDB function that notes."""


class Failed(NamedTuple):
    """One expression that failed in one row; the reason is "" where what failed did not give it."""

    row: int
    expression: int
    reason: str


class Failures:
    """What was noted in one workspace; a row and expression once, however often they are evaluated."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], str] = {}

    def note(self, rows: Sequence[int], expression: int, reasons: Mapping[int, str] | None = None) -> None:
        """These rows; reasons by row, where there are some."""
        # A Python loop over rows that failed, which are the exception.
        for row in rows:
            reason = reasons[row] if reasons else ""
            if reason or (row, expression) not in self._found:
                self._found[row, expression] = reason

    def note_columns(self, rows: Any, expressions: Any) -> Any:
        """The function NOTE, over columns; a call from SQL is always of one expression."""
        self.note(rows.to_pylist(), expressions[0].as_py())
        return pa.array(np.ones(len(rows), dtype=bool))

    def take(self) -> list[Failed]:
        """All of them, by row and then by expression; none is kept."""
        found, self._found = self._found, {}
        return [Failed(*place, found[place]) for place in sorted(found)]

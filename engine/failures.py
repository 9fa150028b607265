"""Which expressions fail in which rows: what a stage's safe twin tells while it runs.

The twin never raises. Where an expression fails it goes on with NULL, and calls a function of Python that
notes the rows and the number of the expression (see the twin's text in plan/noting.py). Nothing is
evaluated a second time to find the rows out, and rows that a filter drops later are known as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.texts import Ints

NOTE = "note_failure"
"""(row BIGINT, expression INTEGER) -> BOOLEAN, true: the DuckDB function that notes."""


@dataclass(frozen=True, slots=True)
class Failed:
    """k expressions that failed, by row and then by number, each of a row once.

    rows         int64[k]
    expressions  int64[k]: their numbers
    reasons      string[k]; null where what failed did not give it
    """

    rows: Ints
    expressions: Ints
    reasons: pa.Array[Any]

    def __len__(self) -> int:
        return len(self.rows)


# Not pa.array, which loads pandas.
NOTHING = Failed(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), pa.nulls(0, pa.string()))


def joined(parts: Sequence[Failed], begins: Sequence[int]) -> Failed:
    """What failed in several parts of a batch, each from the row where it begins; rising."""
    return Failed(
        np.concatenate([part.rows + begin for part, begin in zip(parts, begins, strict=True)]),
        np.concatenate([part.expressions for part in parts]),
        pa.concat_arrays([part.reasons for part in parts]),
    )


class Failures:
    """What was noted in one workspace; a row and expression once, however often they are evaluated."""

    def __init__(self) -> None:
        self._noted: list[Failed] = []

    def note(self, rows: Ints, expression: int, reasons: pa.Array[Any] | None = None) -> None:
        """These rows; reasons, string[k], where there are some."""
        numbers = np.full(len(rows), expression, dtype=np.int64)
        unknown: Any = pa.nulls(len(rows), pa.string())
        self._noted.append(Failed(rows, numbers, unknown if reasons is None else reasons))

    def note_columns(self, rows: Any, expressions: Any) -> Any:
        """The function NOTE, over columns; a call from SQL is always of one expression."""
        self.note(rows.to_numpy(), expressions[0].as_py())
        return pa.array(np.ones(len(rows), dtype=bool))

    def take(self) -> Failed:
        """All of them; none is kept."""
        noted, self._noted = self._noted, []
        if not noted:
            return NOTHING
        every = joined(noted, [0] * len(noted))
        is_known = every.reasons.is_valid().to_numpy(zero_copy_only=False)
        # Of what was noted more than once, the last one that has a reason.
        order = np.lexsort((is_known, every.expressions, every.rows))
        rows, expressions = every.rows[order], every.expressions[order]
        is_last = np.append((np.diff(rows) != 0) | (np.diff(expressions) != 0), True)
        chosen = order[is_last]
        return Failed(rows[is_last], expressions[is_last], every.reasons.take(pa.array(chosen)))

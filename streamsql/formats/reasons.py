"""What is wrong with the rows of a batch, as columns: there may be many of them.

A row has one reason, the first that was noted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded
from streamsql.engine.texts import Ints, Mask, Vector
from streamsql.formats.arrays import one_array, pc


class Reasons:
    """The reason of each row that cannot be read, as far as it is known.

    of  int64[n]: the place of a row's reason among all that were noted, -1 without one
    """

    def __init__(self, rows: int) -> None:
        self.of: Ints = np.full(rows, -1, dtype=np.int64)
        self._noted: list[Vector] = []
        self._count = 0

    @property
    def are_none(self) -> bool:
        """Whether nothing was ever noted."""
        return not self._count

    @property
    def wrong(self) -> Mask:
        """The rows that have a reason."""
        return self.of >= 0

    def note(self, rows: Ints, reasons: str | Vector) -> None:
        """What is wrong with some rows; one that has a reason keeps it.

        rows     each once
        reasons  one for all of them, or string[k], one for each; null: nothing is wrong with it
        """
        if isinstance(reasons, str):
            places = np.full(len(rows), self._count, dtype=np.int64)
            noted = pa.array([reasons], pa.string())
        else:
            places = self._count + np.arange(len(rows), dtype=np.int64)
            noted = reasons
        fresh = self.of[rows] < 0
        if noted.null_count:
            fresh &= noted.is_valid().to_numpy(zero_copy_only=False)
        self.of[rows[fresh]] = places[fresh]
        self._noted.append(noted)
        self._count += len(noted)

    def take_in(self, others: Reasons, before: str) -> None:
        """What else is known to be wrong with the same rows, with a text before it."""
        rows = np.flatnonzero(others.of >= 0)
        if len(rows):
            self.note(rows, pc.binary_join_element_wise(before, others.of_rows(rows), ""))

    def of_rows(self, rows: Ints) -> Vector:
        """The reasons of rows that have one, string[k]."""
        noted = self._noted = [one_array(self._noted, pa.string())]
        return noted[0].take(pa.array(self.of[rows]))

    def put(self, rows: Ints, other: Reasons) -> None:
        """Others' reasons, or none, in place of those of the rows."""
        self.of[rows] = np.where(other.of < 0, -1, other.of + self._count)
        self._noted += other._noted
        self._count += other._count

    def forget(self, rows: Ints) -> None:
        self.of[rows] = -1

    def decoded(self, columns: Sequence[Vector]) -> Decoded:
        """The columns, null where they are to be, and what is wrong with the other rows."""
        rows = np.flatnonzero(self.wrong)
        return Decoded(tuple(columns), rows, self.of_rows(rows)) if len(rows) else Decoded(tuple(columns))

"""Where in a changelog the last records of a store's rows lie: before the first of them, nothing is needed.

The changelog is looked at in stretches of some thousands of records, and for each of them it is known how
many rows have their last record in it. As rows are written again, or go, the first stretches come to have
none. Cost of a drain: by the rows drained and the stretches there are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamsql.engine.state.columns import Int64s

_STRETCH = 1 << 16
_NOWHERE = -1
_RESTORED = 0


class LastRecords:
    """Kept by slot. What was restored counts as one stretch, before all that is drained."""

    def __init__(self) -> None:
        self._home: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._first = _RESTORED
        """The number of the first stretch that is kept."""
        self._rows: Int64s = np.zeros(1, dtype=np.int64)
        self._starts = [0]
        self._drained = 0

    def restored(self, slots: Int64s) -> None:
        """The rows of these slots, each given once, have come back from the changelog."""
        self._leave(slots)
        self._settle(slots, _RESTORED)

    def drained(self, slots: Int64s, records: int) -> None:
        """So many records were drained, the last ones of these slots' rows, each given once, among them."""
        self._leave(slots)
        last = self._first + len(self._rows) - 1
        if last == _RESTORED or self._drained - self._starts[-1] >= _STRETCH:
            last += 1
            self._rows = np.append(self._rows, 0)
            self._starts.append(self._drained)
        self._drained += records
        self._settle(slots, last)

    def gone(self, slots: Int64s) -> None:
        """The rows of these slots, each given once, have gone."""
        slots = slots[slots < len(self._home)]
        self._leave(slots)
        self._home[slots] = _NOWHERE

    def needed(self) -> int | None:
        """As `Store.needed`."""
        empty = len(self._rows) if not self._rows.any() else int(np.argmax(self._rows > 0))
        done = min(empty, len(self._rows) - 1)
        self._first += done
        self._rows, self._starts = self._rows[done:], self._starts[done:]
        return None if self._first == _RESTORED else self._drained - self._starts[0]

    def _leave(self, slots: Int64s) -> None:
        homes = self._home[slots[slots < len(self._home)]]
        homes = homes[homes != _NOWHERE] - self._first
        if len(homes):
            self._rows -= np.bincount(homes, minlength=len(self._rows))

    def _settle(self, slots: Int64s, stretch: int) -> None:
        if not len(slots):
            return
        largest = int(slots.max())
        if largest >= len(self._home):
            grown = np.full(max(64, 1 << largest.bit_length()), _NOWHERE, dtype=np.int32)
            grown[: len(self._home)] = self._home
            self._home = grown
        self._home[slots] = stretch
        self._rows[stretch - self._first] += len(slots)

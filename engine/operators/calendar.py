"""Calendar: which slots are due when stream time reaches a point."""

from __future__ import annotations

import numpy as np

from streamsql.engine.state.columns import Int64s


class Calendar:
    """Slots by due time, as sorted runs that merge geometrically: few, however many slots there are.

    Entering n slots costs n log n, taking out what is due costs what is due and a look at each run.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Int64s, Int64s]] = []

    def __len__(self) -> int:
        return sum(len(due) for due, _ in self._runs)

    def enter(self, due: Int64s, slots: Int64s) -> None:
        """Put slots in; due int64[n], slots int64[n]."""
        if not len(slots):
            return
        run = _sorted(due, slots)
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            last = self._runs.pop()
            run = _sorted(np.concatenate([last[0], run[0]]), np.concatenate([last[1], run[1]]))
        self._runs.append(run)

    def first(self) -> int | None:
        """The earliest due time, None if nothing is entered."""
        return min((int(due[0]) for due, _ in self._runs), default=None)

    def take(self, until: int) -> tuple[Int64s, Int64s]:
        """Take out everything due at `until` or before: slots and their due times, by time."""
        times: list[Int64s] = []
        slots: list[Int64s] = []
        kept: list[tuple[Int64s, Int64s]] = []
        for due, entered in self._runs:
            count = int(np.searchsorted(due, until, side="right"))
            if count:
                times.append(due[:count])
                slots.append(entered[:count])
            if count < len(due):
                kept.append((due[count:], entered[count:]))
        self._runs = kept
        if not slots:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing
        due, taken = _sorted(np.concatenate(times), np.concatenate(slots))
        return taken, due


def _sorted(due: Int64s, slots: Int64s) -> tuple[Int64s, Int64s]:
    # Stable sorting takes ordered stretches as they are, so that merging two runs is linear.
    order = np.argsort(due, kind="stable")
    return due[order], slots[order]

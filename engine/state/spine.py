"""Spine: rows by (slot, time), as sorted runs that merge geometrically.

After the traces of differential dataflow (McSherry et al., CIDR 2013): every batch adds one sorted run, and
a run that is not twice as long as the next one is merged with it, so that there are about log2(rows) runs
and adding a row costs log2(rows) moves over its life. A range of times of one slot is two binary searches
in each run, over one 64-bit key:

    slot * width + (time - base)      base and width are the run's own; where that would not fit into 64 bits,
                                      times are counted by their rank in the run

Rows are forgotten lazily: whoever owns them says which are alive, and dead ones go when runs merge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamsql.engine.state.columns import Bools, Int64s

Alive = Callable[[Int64s, Int64s], Bools]
"""(rows, numbers) -> which of these entries are still what they were when they were added."""

_LARGEST_KEY = 1 << 62
_SMALLEST_REBUILD = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """Entries found, a probe's next to each other; all int64[m].

    probe          the place of the probe that found the entry
    rows, numbers, times  of the entry
    """

    probe: Int64s
    rows: Int64s
    numbers: Int64s
    times: Int64s


@dataclass(frozen=True, slots=True)
class _Run:
    """Entries by (slot, time), then in the order they came."""

    slots: Int64s
    times: Int64s
    rows: Int64s
    numbers: Int64s
    keys: Int64s
    ranks: Int64s | None
    first: int
    last: int
    width: int

    def __len__(self) -> int:
        return len(self.slots)

    def before(self, times: Int64s) -> Int64s:
        """Where in a slot's block of keys entries of `times` and later begin; int64[n] -> int64[n]."""
        if self.ranks is not None:
            return np.searchsorted(self.ranks, times, side="left").astype(np.int64)
        # Clipped first: bounds may be as far away as an int64 reaches.
        return np.clip(times, self.first, self.last + 1) - self.first

    def bounds(self, slots: Int64s, low: Int64s, high: Int64s) -> tuple[Int64s, Int64s]:
        """The places of entries of each slot with low <= time < high."""
        blocks = np.minimum(slots, self.slots[-1] + 1) * self.width
        begin = np.searchsorted(self.keys, blocks + self.before(low), side="left")
        end = np.searchsorted(self.keys, blocks + self.before(high), side="left")
        return begin.astype(np.int64), np.maximum(end, begin).astype(np.int64)


class Spine:
    """Entries (slot, time, row, number), found by ranges of time within a slot.

    alive  a row's place may be used again; its number tells whether it is still the row that was added
    reached  entries that `find` has given so far: the work done, for who wants to count it
    """

    def __init__(self, alive: Alive) -> None:
        self._alive = alive
        self._runs: list[_Run] = []
        self._dead = 0
        self.reached = 0

    def __len__(self) -> int:
        """Entries held, dead ones included."""
        return sum(len(run) for run in self._runs)

    @property
    def bytes(self) -> int:
        return 40 * len(self)

    def clear(self) -> None:
        self._runs, self._dead = [], 0

    def add(self, slots: Int64s, times: Int64s, rows: Int64s, numbers: Int64s) -> None:
        """Add entries; int64[n] each, slots >= 0, times in ms."""
        if not len(slots):
            return
        self._runs.append(_sorted_run(slots, times, rows, numbers))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last, before = self._runs.pop(), self._runs.pop()
            self._add_merged([before, last])

    def find(self, slots: Int64s, low: Int64s, high: Int64s) -> Found:
        """Living entries of each slot with low <= time <= high.

        cost  probes * log2(entries) * runs, plus the entries found
        """
        order = np.lexsort((low, slots))
        slots, low, high = slots[order], low[order], high[order] + 1
        parts: list[tuple[_Run, Int64s, Int64s]] = []
        earliest, latest = (int(low.min()), int(high.max())) if len(slots) else (0, 0)
        for run in self._runs:
            if run.last < earliest or run.first >= latest:
                continue
            begin, end = run.bounds(slots, low, high)
            counts = end - begin
            total = int(counts.sum())
            if total:
                probe = np.repeat(np.arange(len(slots)), counts)
                places = np.arange(total) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
                parts.append((run, order[probe], places))
        if not parts:
            nothing = np.zeros(0, dtype=np.int64)
            return Found(nothing, nothing, nothing, nothing)
        probe = np.concatenate([p for _, p, _ in parts])
        rows = np.concatenate([run.rows[places] for run, _, places in parts])
        numbers = np.concatenate([run.numbers[places] for run, _, places in parts])
        times = np.concatenate([run.times[places] for run, _, places in parts])
        self.reached += len(rows)
        alive = self._alive(rows, numbers)
        if alive.all():
            return Found(probe, rows, numbers, times)
        return Found(probe[alive], rows[alive], numbers[alive], times[alive])

    def forget(self, count: int) -> None:
        """`count` entries have died; memory stays within a factor of what lives."""
        self._dead += count
        if self._dead > _SMALLEST_REBUILD and 2 * self._dead > len(self):
            runs, self._runs, self._dead = self._runs, [], 0
            self._add_merged(runs)

    def _add_merged(self, runs: list[_Run]) -> None:
        slots = np.concatenate([run.slots for run in runs])
        times = np.concatenate([run.times for run in runs])
        rows = np.concatenate([run.rows for run in runs])
        numbers = np.concatenate([run.numbers for run in runs])
        alive = self._alive(rows, numbers)
        if not alive.all():
            self._dead = max(0, self._dead - int(np.count_nonzero(~alive)))
            slots, times, rows, numbers = slots[alive], times[alive], rows[alive], numbers[alive]
        if len(slots):
            self._runs.append(_sorted_run(slots, times, rows, numbers))


def _sorted_run(slots: Int64s, times: Int64s, rows: Int64s, numbers: Int64s) -> _Run:
    first, last, top = int(times.min()), int(times.max()), int(slots.max())
    width = last - first + 2
    ranks = None
    if (top + 2) * width < _LARGEST_KEY:
        keys = slots * width + (times - first)
    else:
        ranks = np.unique(times)
        width = len(ranks) + 1
        keys = slots * width + np.searchsorted(ranks, times)
    if len(keys) > 1:
        order = np.argsort(keys, kind="stable")
        keys, slots, times = keys[order], slots[order], times[order]
        rows, numbers = rows[order], numbers[order]
    return _Run(slots, times, rows, numbers, keys, ranks, first, last, width)

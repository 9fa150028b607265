"""Spine: rows by (slot, time), as sorted runs that merge geometrically.

After the traces of differential dataflow (McSherry et al., CIDR 2013): every batch adds one sorted run, and
four of about one length are merged, so that there are few runs and adding a row costs about log4(rows) moves
over its life. A range of times of one slot is two binary searches
in each run, over one 64-bit key:

    slot << bits | (time - first)     first and bits are the run's own; where that would not fit, times are
                                      counted by their rank in the run

Most slots are not in most runs: a slot's bits say in which it is, and only those are searched. In long runs
a search begins where the key's neighbours do (`begins`), not in the middle.

Who asks for short ranges of time says how short (`span`): runs then stay apart that lie apart in time, since
a range meets few of them anyway. So a row that comes about in order is moved a number of times that depends
on the span, not on the rows held.

Rows are forgotten lazily: a run goes when all its rows have, and where the owner can say which rows are
alive, dead ones go when runs merge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.ordering import places_by
from streamsql.engine.state.tiers import FANOUT, tier

Alive = Callable[[Int64s, Int64s], Bools]
"""(rows, times) -> which of these entries are still what they were when they were added."""

_KEY_BITS = 62
_SMALLEST_REBUILD = 1024
_FEW = 256
"""Fewer keys are found quicker one by one."""
_LONG = 4096
"""A shorter run is in the caches anyway."""
Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Found:
    """Entries found, by run and within it by probe; all int64[m].

    probe  the place of the probe that found the entry
    rows, times  of the entry
    """

    probe: Int64s
    rows: Int64s
    times: Int64s


@dataclass(frozen=True, slots=True)
class Run:
    """Entries by (slot, time), equal ones in the order they came.

    first, last  the earliest and the latest time
    top          the largest slot
    newest       the largest row
    mark         the bit that slots of this run have in its spine; 0 if they have none
    begins       int32[m + 2]: where the keys begin whose bits above `shift` are 0, 1, .. m - 1, and where all
                 end, twice; None in a short run
    """

    keys: Int64s
    rows: Int64s
    ranks: Int64s | None
    first: int
    last: int
    bits: int
    top: int
    newest: int
    begins: Int32s | None = None
    shift: int = 0
    mark: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def shifted(self, by: int) -> Run:
        """The same entries, whose rows have numbers so much larger."""
        return replace(self, rows=self.rows + by, newest=self.newest + by)

    def find(self, slots: Int64s, low: Int64s, high: Int64s) -> Found | None:
        """Entries of each slot with low <= time < high; None if there are none."""
        hits, begin, end = self._bounds(slots, low, high)
        if not len(hits):
            return None
        counts = end - begin
        last = np.cumsum(counts)
        places = np.arange(last[-1]) + np.repeat(begin - (last - counts), counts)
        return Found(np.repeat(hits, counts), self.rows[places], self.times(places))

    def _bounds(self, slots: Int64s, low: Int64s, high: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Which probes find entries of their slot with low <= time < high, and where these begin and end."""
        blocks = np.minimum(slots, self.top + 1) << self.bits
        begin = self._place(blocks + self._offset(low))
        until = blocks + self._offset(high)
        # Whether there is one, the entry that comes next says.
        hits = np.flatnonzero((begin < len(self)) & (self._key(begin) < until))
        begin, until = begin[hits], until[hits]
        # Mostly there is one entry, and the next but one says so.
        end = begin + 1
        more = np.flatnonzero((end < len(self)) & (self._key(end) < until))
        if len(more):
            end[more] = self._place(until[more])
        return hits, begin, end

    def _key(self, places: Int64s) -> Int64s:
        """The key at each place, at the last one for what lies beyond it."""
        return self.keys[np.minimum(places, len(self.keys) - 1)]

    def _place(self, keys: Int64s) -> Int64s:
        """Where the first entry is that does not come before each key; int64[n], all of them >= 0.

        A binary search goes from one cache miss to the next. Looking up where a key's neighbourhood begins
        leaves few steps of it, and each is taken for all keys at once, so that their misses overlap.
        """
        if self.begins is None or len(keys) < _FEW:
            return np.searchsorted(self.keys, keys, side="left").astype(np.int64, copy=False)
        near = np.minimum(keys >> self.shift, len(self.begins) - 2)
        low, high = self.begins[near].astype(np.int64), self.begins[near + 1].astype(np.int64)
        going = np.flatnonzero(low < high)
        while len(going):
            middle = (low[going] + high[going]) >> 1
            is_before = self.keys[middle] < keys[going]
            low[going] = np.where(is_before, middle + 1, low[going])
            high[going] = np.where(is_before, high[going], middle)
            going = going[low[going] < high[going]]
        return low

    def times(self, places: Int64s | None = None) -> Int64s:
        keys = self.keys if places is None else self.keys[places]
        offsets = keys & ((1 << self.bits) - 1)
        return offsets + self.first if self.ranks is None else self.ranks[offsets]

    def slots(self) -> Int64s:
        return self.keys >> self.bits

    def _offset(self, times: Int64s) -> Int64s:
        """Where in a slot's block of keys entries of `times` and later begin; int64[n] -> int64[n]."""
        if self.ranks is not None:
            return np.searchsorted(self.ranks, times, side="left").astype(np.int64)
        # Clipped first: bounds may be as far away as an int64 reaches.
        offsets: Int64s = np.minimum(np.maximum(times, self.first), self.last + 1) - self.first
        return offsets


class Spine:
    """Entries (slot, time, row), found by ranges of time within a slot.

    alive    which entries have not died; None: the owner drops rows in the order of their numbers, and
             knows a dead one when it sees it
    span     how long the ranges of time are that are looked for; None: any length
    reached  entries that `find` has given so far, and
    moved    entries that were written to a run: the work done, for who wants to count it
    """

    def __init__(self, alive: Alive | None = None, span: int | None = None) -> None:
        self._alive = alive
        self._span = span
        self._runs: list[Run] = []
        self._marks: npt.NDArray[np.uint32] = np.zeros(1, dtype=np.uint32)
        """By slot: the marks of the runs that it is in."""
        self._free = [1 << bit for bit in range(32)]
        self._dead = 0
        self.reached = 0
        self.moved = 0

    def __len__(self) -> int:
        """Entries held, dead ones included."""
        return sum(len(run) for run in self._runs)

    @property
    def bytes(self) -> int:
        indexes = sum(run.begins.nbytes for run in self._runs if run.begins is not None)
        return 16 * len(self) + indexes + self._marks.nbytes

    def clear(self) -> None:
        for run in self._runs:
            self._unmark(run)
        self._runs, self._dead = [], 0

    def add(self, run: Run | None) -> None:
        """Add the entries of a sorted run; None is an empty one."""
        if run is None:
            return
        self._push(run)
        while count := self._mergeable():
            self._push_merged(self._take_last(count))

    def find(self, slots: Int64s, low: Int64s, high: Int64s) -> Found:
        """Living entries of each slot with low <= time <= high.

        The probes are best in the order of (slot, low): then neighbours share what the caches hold.

        cost  probes * log2(entries) per run in reach, plus the entries found
        """
        high = high + 1
        earliest, latest = (int(low.min()), int(high.max())) if len(slots) else (0, 0)
        marks = self._marks.take(slots, mode="clip")
        marks[slots >= len(self._marks)] = 0
        parts: list[Found] = []
        for run in self._runs:
            if run.last < earliest or run.first >= latest:
                continue
            asked = np.flatnonzero(marks & np.uint32(run.mark)) if run.mark else np.arange(len(slots))
            if run.last < latest or run.first > earliest:
                asked = asked[(low[asked] <= run.last) & (high[asked] > run.first)]
            found = run.find(slots[asked], low[asked], high[asked]) if len(asked) else None
            if found is not None:
                parts.append(replace(found, probe=asked[found.probe]))
        if not parts:
            nothing = np.zeros(0, dtype=np.int64)
            return Found(nothing, nothing, nothing)
        all_found = joined(parts)
        self.reached += len(all_found.rows)
        if self._alive is None:
            return all_found
        alive = self._alive(all_found.rows, all_found.times)
        if alive.all():
            return all_found
        return Found(all_found.probe[alive], all_found.rows[alive], all_found.times[alive])

    def drop_before(self, row: int) -> None:
        """Rows of smaller numbers have died: runs with no others go."""
        gone = [run for run in self._runs if run.newest < row]
        if gone:
            self._runs = [run for run in self._runs if run.newest >= row]
        for run in gone:
            self._unmark(run)

    def forget(self, count: int) -> None:
        """`count` entries have died; memory stays within a factor of what lives."""
        self._dead += count
        if self._dead > _SMALLEST_REBUILD and 2 * self._dead > len(self):
            self._dead = 0
            self._push_merged(self._take_last(len(self._runs)))

    def _mergeable(self) -> int:
        """How many of the last runs to make one; 0 if none."""
        count = tier([len(run) for run in self._runs])
        while count and self._span is not None:
            runs = self._runs[-count:]
            together = max(run.last for run in runs) - min(run.first for run in runs)
            longest = max(run.last - run.first for run in runs)
            if together <= 4 * self._span or 2 * together <= 3 * longest:
                break
            # Apart in time, and a range of time meets few such runs.
            count = count - 1 if count > FANOUT else 0
        return count

    def _push(self, run: Run) -> None:
        self.moved += len(run)
        if not self._free:
            # The oldest runs are asked least.
            place = next(n for n, older in enumerate(self._runs) if older.mark)
            self._runs[place] = self._unmark(self._runs[place])
        run = replace(run, mark=self._free.pop())
        if run.top >= len(self._marks):
            grown = np.zeros(1 << run.top.bit_length(), dtype=np.uint32)
            grown[: len(self._marks)] = self._marks
            self._marks = grown
        self._marks[run.slots()] |= np.uint32(run.mark)
        self._runs.append(run)

    def _unmark(self, run: Run) -> Run:
        """Take its mark from the slots of a run, for another one."""
        if run.mark:
            self._marks[run.slots()] &= ~np.uint32(run.mark)
            self._free.append(run.mark)
        return replace(run, mark=0)

    def _take_last(self, count: int) -> list[Run]:
        """Take out the last runs, to be merged."""
        runs, self._runs = self._runs[-count:], self._runs[:-count]
        return [self._unmark(run) for run in runs]

    def _push_merged(self, runs: list[Run]) -> None:
        slots = np.concatenate([run.slots() for run in runs])
        times = np.concatenate([run.times() for run in runs])
        rows = np.concatenate([run.rows for run in runs])
        if self._alive is not None:
            alive = self._alive(rows, times)
            if not alive.all():
                self._dead = max(0, self._dead - int(np.count_nonzero(~alive)))
                slots, times, rows = slots[alive], times[alive], rows[alive]
        merged = sorted_run(slots, times, rows)
        if merged is not None:
            self._push(merged)


def sorted_run(slots: Int64s, times: Int64s, rows: Int64s) -> Run | None:
    """A run of entries that are mostly in order; int64[n] each, slots >= 0, times in ms."""
    if not len(slots):
        return None
    found = _keys(slots, times)
    keys = found.keys
    if len(keys) > 1 and not (keys[1:] >= keys[:-1]).all():
        # Stable, and sorted stretches are taken as they are: merging two runs is linear.
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
    return _run(found, keys, rows, int(rows.max()))


def run_of_places(slots: Int64s, times: Int64s) -> Run | None:
    """A run of entries in any order, whose rows are their places."""
    if not len(slots):
        return None
    found = _keys(slots, times)
    order = places_by(found.keys)
    return _run(found, found.keys.take(order), order, len(order) - 1)


class _Keys(NamedTuple):
    """Entries' keys, and what they are made of; as in a run."""

    keys: Int64s
    ranks: Int64s | None
    first: int
    last: int
    bits: int
    top: int


def _keys(slots: Int64s, times: Int64s) -> _Keys:
    first, last, top = int(times.min()), int(times.max()), int(slots.max())
    # One more than is needed for the times: the place after the last of them.
    bits = (last - first + 1).bit_length()
    if top.bit_length() + 1 + bits <= _KEY_BITS:
        keys = slots << bits
        keys += times
        keys -= first
        return _Keys(keys, None, first, last, bits, top)
    ranks = np.unique(times)
    bits = len(ranks).bit_length()
    return _Keys((slots << bits) + np.searchsorted(ranks, times), ranks, first, last, bits, top)


def _run(found: _Keys, keys: Int64s, rows: Int64s, newest: int) -> Run:
    begins, shift = _neighbourhoods(keys) if len(keys) >= _LONG else (None, 0)
    return Run(keys, rows, found.ranks, *found[2:], newest, begins, shift)


def may_be_in(slots: Int64s, run: Run) -> Int64s:
    """The places of those slots that may be in a run: of the others three in four are left out."""
    has = np.zeros(1 << min((4 * len(run) - 1).bit_length(), run.top.bit_length()), dtype=np.bool_)
    has[run.slots() & (len(has) - 1)] = True
    return np.flatnonzero(has[slots & (len(has) - 1)])


def _neighbourhoods(keys: Int64s) -> tuple[Int32s, int]:
    """`begins` and `shift` for a run of these keys: about as many neighbourhoods as entries."""
    shift = max(0, int(keys[-1]).bit_length() - len(keys).bit_length())
    counts = np.bincount(keys >> shift)
    begins = np.zeros(len(counts) + 2, dtype=np.int32)
    np.cumsum(counts, out=begins[1:-1])
    begins[-1] = len(keys)
    return begins, shift


def joined(parts: Sequence[Found]) -> Found:
    """Findings one after another."""
    if len(parts) == 1:
        return parts[0]
    return Found(
        np.concatenate([part.probe for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.times for part in parts]),
    )

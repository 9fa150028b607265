"""The rows of one side that come to a stream-stream join in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME
from streamsql.engine.operators.as_of import is_complete
from streamsql.engine.operators.join_time import TimesInBatch
from streamsql.engine.operators.stream_time import NEVER
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.spine import Run, sorted_run

NONE: Int64s = np.zeros(0, dtype=np.int64)


def _nothing() -> Int64s:
    return NONE


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The rows of one side in a batch; arrays [n] unless said otherwise.

    has_key  no column of the row's key is null
    number   rank in processing, over both sides
    waits    the row's window is open, and the row will come out with nulls if no partner does
    first    rows from this on in the buffer came with this batch, as soon as that is known
    kept     int64[kept]: the places of the rows that are in the buffer, rising
    """

    batch: pa.RecordBatch | None
    first: int
    waits: Bools
    has_key: Bools
    number: Int64s = field(default_factory=_nothing)
    time: Int64s = field(default_factory=_nothing)
    partition: Int64s = field(default_factory=_nothing)
    kept: Int64s = field(default_factory=_nothing)

    def with_key(self) -> Bools | slice:
        """The rows that have a key; all of them as a slice."""
        return slice(None) if self.has_key.all() else self.has_key

    @property
    def are_all_kept(self) -> bool:
        return len(self.kept) == len(self.has_key)

    def rows_of(self, places: Int64s) -> Int64s:
        """Rows of the buffer by place in the batch, -1 for those that are not kept."""
        if self.are_all_kept:
            return places + self.first
        rows = np.full(len(self.has_key), -1)
        rows[self.kept] = self.first + np.arange(len(self.kept))
        return rows[places]


@dataclass(frozen=True, slots=True)
class Ordered:
    """The rows that have a key among those that arrived, by (slot, time); int64[n].

    places       in the batch
    slots, time  what they have there
    run          all of them, to be found by key and time, as their places
    """

    places: Int64s
    slots: Int64s
    time: Int64s
    run: Run | None

    @classmethod
    def of(cls, run: Run | None) -> Ordered:
        """Rows by the run that they are."""
        return cls(NONE, NONE, NONE, None) if run is None else cls(run.rows, run.slots(), run.times(), run)

    def kept(self, arrived: Arrivals) -> Run | None:
        """Those that are in the buffer, as the rows that they are there."""
        if self.run is None:
            return None
        if arrived.are_all_kept:
            return self.run.shifted(arrived.first)
        rows = arrived.rows_of(self.places)
        stay = rows >= 0
        return sorted_run(self.slots[stay], self.time[stay], rows[stay])


def arriving(batch: pa.RecordBatch | None, number: Int64s, keys: Sequence[str]) -> Arrivals:
    """The rows of a batch; none of them kept yet, none waiting.

    keys   names of the key columns
    """
    nothing = np.zeros(len(number), dtype=np.bool_)
    if batch is None:
        return Arrivals(None, 0, nothing, nothing)
    complete = is_complete([batch.column(n) for n in keys])
    time = batch.column(TIME).to_numpy()
    partition = batch.column(PARTITION).to_numpy().astype(np.int64)
    return Arrivals(batch, 0, nothing, complete, number, time, partition)


def numbered(batches: Sequence[pa.RecordBatch | None]) -> tuple[Int64s, list[Int64s]]:
    """Ranks in processing over both sides: `$seq` by rank, and each side's ranks."""
    seqs = [NONE if batch is None else batch.column(SEQ).to_numpy() for batch in batches]
    if not len(seqs[0]) or not len(seqs[1]):
        return np.concatenate(seqs), [np.arange(len(seq)) for seq in seqs]
    both = np.concatenate(seqs)
    order = np.argsort(both, kind="stable")
    number = np.empty(len(both), dtype=np.int64)
    number[order] = np.arange(len(both))
    return both[order], [number[: len(seqs[0])], number[len(seqs[0]) :]]


def times_of(arrivals: Sequence[Arrivals], before: Callable[[int], int]) -> TimesInBatch:
    """Stream time in a batch; rows without a key do not move it."""
    keyed = [arrived.with_key() for arrived in arrivals]
    return TimesInBatch(
        before,
        [a.number[k] for a, k in zip(arrivals, keyed, strict=True)],
        [a.partition[k] for a, k in zip(arrivals, keyed, strict=True)],
        [a.time[k] for a, k in zip(arrivals, keyed, strict=True)],
    )


def reaches_back(time: Int64s, times: TimesInBatch, by_ms: int) -> bool:
    """Whether a time is so early that stream time may have left it behind by so much in this batch."""
    latest = max((times.at_end(p) for p in times.partitions()), default=NEVER)
    return len(time) > 0 and bool(time.min() <= latest - by_ms)

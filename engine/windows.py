"""Windows as arithmetic: which windows a time falls into, and when a window is closed for good.

All times are milliseconds since the epoch, int64 and not negative; windows are aligned to the epoch.
`T` is stream time, the largest time seen so far. Lateness and retention are those of Kafka Streams.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Windows [k * advance, k * advance + size) for k >= 0: tumbling if advance = size, else hopping.

    size_ms       length, > 0
    advance_ms    from one start to the next, 0 < advance <= size
    grace_ms      how long after its end a window still takes rows
    retention_ms  how long after its start a window is kept, >= size + grace
    """

    size_ms: int
    advance_ms: int
    grace_ms: int
    retention_ms: int

    @property
    def is_tumbling(self) -> bool:
        return self.advance_ms == self.size_ms

    @property
    def pane_ms(self) -> int:
        """The longest stretch of time whose rows all fall into the same windows, if aligned to itself."""
        return math.gcd(self.size_ms, self.advance_ms)

    def first_start(self, time: Int64s) -> Int64s:
        """Start of the first window that contains each time; int64[n] -> int64[n].

        >>> hopping(10, 5).first_start(np.array([0, 4, 5, 12, 15]))
        array([ 0,  0,  0,  5, 10])
        """
        start = (time - self.size_ms + self.advance_ms) // self.advance_ms * self.advance_ms
        return np.maximum(start, 0)

    def last_start(self, time: Int64s) -> Int64s:
        """Start of the last window that contains each time; int64[n] -> int64[n]."""
        return time - time % self.advance_ms

    def open_start(self, stream_time: Int64s) -> Int64s:
        """Start of the first window that is not closed at each stream time; int64[n] -> int64[n].

        A window is closed, and rows for it are late, once its end <= T - grace.

        >>> tumbling(10, grace_ms=0).open_start(np.array([0, 9, 10, 19, 20]))
        array([ 0,  0, 10, 10, 20])
        """
        bound = stream_time - self.grace_ms - self.size_ms
        return np.maximum((bound // self.advance_ms + 1) * self.advance_ms, 0)

    def close_time(self, start: Int64s) -> Int64s:
        """The stream time that closes each window."""
        return start + (self.size_ms + self.grace_ms)

    def describe(self) -> str:
        """One line for EXPLAIN."""
        advance = "" if self.is_tumbling else f" every {self.advance_ms} ms"
        return f"windows of {self.size_ms} ms{advance}, grace {self.grace_ms} ms"

    def expiry_time(self, start: Int64s) -> Int64s:
        """The stream time at which each window's retention is over."""
        return start + self.retention_ms


def tumbling(size_ms: int, grace_ms: int | None = None, retention_ms: int | None = None) -> TimeWindow:
    """Back-to-back windows; the language's defaults for what is not given."""
    return hopping(size_ms, size_ms, grace_ms, retention_ms)


def hopping(
    size_ms: int, advance_ms: int, grace_ms: int | None = None, retention_ms: int | None = None
) -> TimeWindow:
    """Overlapping windows; the language's defaults for what is not given."""
    grace = default_grace_ms(size_ms) if grace_ms is None else grace_ms
    return TimeWindow(size_ms, advance_ms, grace, retention_ms or size_ms + grace)


@dataclass(frozen=True, slots=True)
class Session:
    """Rows of a key with no gap longer than `gap_ms` between them; [start, end], both inclusive.

    gap_ms        rows join a session from gap before its start to gap after its end
    grace_ms      how long after end + gap a session still takes rows
    retention_ms  how long after its end a session is kept, >= gap + grace
    """

    gap_ms: int
    grace_ms: int
    retention_ms: int

    def late_bound(self, stream_time: Int64s) -> Int64s:
        """A row is late if the session it would join or make ends before this; int64[n] -> int64[n]."""
        return stream_time - (self.grace_ms + self.gap_ms)

    def close_time(self, end: Int64s) -> Int64s:
        """The first stream time at which each session is final."""
        return end + (self.gap_ms + self.grace_ms + 1)

    def describe(self) -> str:
        """One line for EXPLAIN."""
        return f"sessions with gaps up to {self.gap_ms} ms, grace {self.grace_ms} ms"

    def kept_end(self, stream_time: Int64s) -> Int64s:
        """Sessions that end before this are past their retention: rows no longer join them."""
        return stream_time - self.retention_ms

    def expiry_time(self, end: Int64s) -> Int64s:
        """The stream time at which each session is past its retention."""
        return end + (self.retention_ms + 1)


def session(gap_ms: int, grace_ms: int | None = None, retention_ms: int | None = None) -> Session:
    """A session window; the language's defaults for what is not given."""
    grace = default_grace_ms(gap_ms) if grace_ms is None else grace_ms
    return Session(gap_ms, grace, retention_ms or gap_ms + grace)


_DAY_MS = 24 * 60 * 60 * 1000


def default_grace_ms(length_ms: int) -> int:
    """What the language gives a window without GRACE PERIOD: the rest of 24 hours."""
    return max(0, _DAY_MS - length_ms)


def united(key: Int64s, start: Int64s, end: Int64s, gap_ms: int) -> Int64s:
    """Number the unions of intervals of the same key that lie no further apart than the gap.

    key, start, end  int64[n], sorted by key, then start; intervals inclusive
    gives            int64[n], 0 for the first union, rising by 1
    """
    if not len(key):
        return np.zeros(0, dtype=np.int64)
    key_number = np.cumsum(np.append(False, key[1:] != key[:-1]))
    reach = running_maximum(key_number, end)
    begins = np.append(True, (key[1:] != key[:-1]) | (start[1:] - reach[:-1] > gap_ms))
    numbers: Int64s = np.cumsum(begins) - 1
    return numbers


def running_maximum(group: Int64s, values: Int64s) -> Int64s:
    """Running maximum within each group; groups numbered from 0, rising; int64[n]."""
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span * (int(group[-1]) + 1) < 1 << 62:
        # Lifting each group above the one before makes one running maximum serve all.
        lifted = np.maximum.accumulate(values - low + group * span)
        return lifted - group * span + low
    # Too wide to lift: the same over ranks, which stay below n.
    ordered, ranks = np.unique(values, return_inverse=True)
    lifted = np.maximum.accumulate(ranks + group * len(ordered))
    maximum: Int64s = ordered[lifted - group * len(ordered)]
    return maximum

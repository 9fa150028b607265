"""How many rows the next micro-batch may have.

A batch should take about as long as there may be between two commits: a longer one would hold commits
up, a shorter one pays the fixed costs of a batch more often, and a table that is updated per batch then
says more intermediate states.
"""

from __future__ import annotations

import time

_LEAST_ROWS = 1 << 14
_STEP = 4.0
"""A limit grows or shrinks by this factor at most, so that one odd measurement does little."""


_MOST_CROWDED = 4.0
"""A batch may take so many times as long because other threads have the processors, or what it waits for."""


class Stopwatch:
    """How long work takes, begun when this is made. For one thread."""

    def __init__(self) -> None:
        self._began, self._own = time.perf_counter(), time.thread_time()

    def seconds(self) -> float:
        """The thread's own time, unless it had to wait for most of it.

        Where many queries share few processors, batches that are small enough to be over in time would make
        for more work in all, and so for later results.
        """
        passed = time.perf_counter() - self._began
        return max(time.thread_time() - self._own, passed / _MOST_CROWDED)


class BatchSize:
    """Learns from batches that were full; starts small enough for the slowest query.

    rows  what the next batch should have
    """

    def __init__(self, aim_seconds: float, most_rows: int) -> None:
        self._aim = aim_seconds
        self._most = most_rows
        self._least = min(_LEAST_ROWS, most_rows)
        self.rows = min(most_rows, 4 * _LEAST_ROWS)

    @property
    def limit(self) -> int:
        """Rows of the next batch at most: a frame that is a little larger is not cut in two for it."""
        return min(self._most, self.rows * 5 // 4)

    def learn(self, rows: int, seconds: float) -> None:
        """A batch of this many rows took so long.

        >>> size = BatchSize(0.1, 1_000_000)
        >>> size.learn(size.rows, 0.001)
        >>> size.rows
        262144
        >>> size.learn(10, 1.0)  # it was not full: it says nothing about the limit
        >>> size.rows
        262144
        """
        if rows < self.rows // 2 or seconds <= 0:
            return
        fitting = rows * self._aim / seconds
        bounded = min(max(fitting, self.rows / _STEP), self.rows * _STEP)
        self.rows = min(self._most, max(self._least, int(bounded)))

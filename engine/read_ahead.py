"""Reading and preparing the next micro-batches while the one at hand is processed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Condition
from typing import NamedTuple

from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import Readable, TopicPartition
from streamsql.engine.task import Prepared, Task

Offsets = Mapping[TopicPartition, int]

_LEAST_ROWS = 1 << 15
"""With fewer records to read, a second thread would cost more than it does."""


class _Read(NamedTuple):
    """What one read has found; positions and reached as `Inputs` had them after it.

    batch    None if there was nothing to read
    was_all  whether there was nothing after it
    """

    batch: Prepared | None
    was_all: bool
    positions: Offsets
    reached: Offsets


class ReadAhead:
    """The inputs of a task, whose next batches are read in threads of their own. The owner takes turns.

    Batches are read one after the other, but prepared at the same time: so each is worked on by one thread
    from its records to its rows, and nobody waits for parts of it. There are as many of them as threads.

    open       makes inputs that begin where positions and times say
    positions  next offset to process of each partition, and
    reached    the largest timestamp of each, as `Inputs` has them after the batches that `poll` has given
    threads    with one, nothing is read ahead
    was_all    whether the last batch was all there was when it was read
    """

    def __init__(
        self,
        task: Task,
        log: Readable,
        open: Callable[[Offsets, Offsets], Inputs],
        positions: Offsets,
        reached: Offsets,
        *,
        name: str,
        threads: int,
    ) -> None:
        self._task = task
        self._log = log
        self._open = open
        self._inputs = open(positions, reached)
        self.positions, self.reached = dict(self._inputs.positions), dict(self._inputs.reached)
        self._most = threads
        self._threads = ThreadPoolExecutor(threads, f"read {name}") if threads > 1 else None
        self.was_all = False
        # Reads that were begun and not given, in their order, and how many rows each may have.
        self._begun: deque[tuple[Future[_Read], int]] = deque()
        # Reads are numbered, as threads may come to theirs in any order; `_next` is the one whose turn it is.
        self._turn = Condition()
        self._number = self._next = 0

    def lag(self) -> int:
        """Records that are in the log and have not been given."""
        positions = self.positions
        ends = self._log.end_offsets(positions)
        return sum(ends[place] - offset for place, offset in positions.items())

    def poll(self, max_rows: int) -> Prepared | None:
        """The next micro-batch; None if there is nothing to read.

        raises  DataError for damage, and whatever went wrong when the batch was prepared
        """
        if self._threads is None:
            return self._given(self._read(max_rows, self._new_number(), is_ahead=False))
        if not self._begun:
            # What can be read in one go is shared by all threads.
            share = max(-(-self.lag() // self._most), _LEAST_ROWS // 2)
            self.read_on(min(max_rows, share))
        batch = None
        while batch is None and self._begun:
            batch = self._given(self._begun.popleft()[0].result())
        if batch is None:
            # What has come since the last read was begun is little, or has been compacted away.
            batch = self._given(self._read(max_rows, self._new_number(), is_ahead=False))
        return batch

    def read_on(self, max_rows: int) -> None:
        """Begin with the batches after those that were given, as far as there is much to read."""
        if self._threads is None:
            return
        left = self.lag() - sum(rows for _, rows in self._begun)
        while len(self._begun) < self._most and left >= _LEAST_ROWS:
            read = self._threads.submit(self._read, max_rows, self._new_number(), is_ahead=True)
            self._begun.append((read, max_rows))
            left -= max_rows

    def wait(self) -> None:
        """Wait until nothing is being read; the next `poll` gives what was."""
        wait([read for read, _ in self._begun])

    def give_back(self) -> None:
        """Forget what was read and not given: the next batch begins where the last one has ended."""
        begun = [read for read, _ in self._begun]
        self._begun.clear()
        wait(begun)
        if any(read.result().batch is not None for read in begun):
            self._task.forget_prepared()
            self._inputs = self._open(self.positions, self.reached)

    def close(self) -> None:
        """End the threads when they have read what they are reading. What goes wrong there is not told."""
        if self._threads is not None:
            self._threads.shutdown()

    def _given(self, read: _Read) -> Prepared | None:
        self.positions, self.reached = dict(read.positions), dict(read.reached)
        if read.batch is not None:
            self.was_all = read.was_all
        return read.batch

    def _read(self, max_rows: int, number: int, *, is_ahead: bool) -> _Read:
        """Read when it is this number's turn, and prepare what was read."""
        with self._turn:
            self._turn.wait_for(lambda: self._next == number)
            try:
                raw = self._inputs.poll(max_rows)
                was_all = not self._inputs.lag()
                positions, reached = self._inputs.positions.copy(), self._inputs.reached.copy()
            finally:
                self._next += 1
                self._turn.notify_all()
        batch = None if raw is None else self._task.prepare(raw, is_ahead=is_ahead)
        return _Read(batch, was_all, positions, reached)

    def _new_number(self) -> int:
        number, self._number = self._number, self._number + 1
        return number

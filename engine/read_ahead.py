"""Reading and preparing the next micro-batch while the one at hand is processed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import Readable, TopicPartition
from streamsql.engine.task import Prepared, Task

Offsets = Mapping[TopicPartition, int]
_Read = tuple[Prepared, bool]
"""A batch, and whether it was all there was."""

_LEAST_ROWS = 1 << 15
"""With fewer records to read, a second thread would cost more than it does."""


class ReadAhead:
    """The inputs of a task, whose next batch is read in a thread of its own. The owner takes turns.

    open       makes inputs that begin where positions and times say
    positions  next offset to process of each partition, and
    reached    the largest timestamp of each, as `Inputs` has them after the batches that `poll` has given
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
        is_on: bool,
    ) -> None:
        self._task = task
        self._log = log
        self._open = open
        self._inputs = open(positions, reached)
        self.positions, self.reached = dict(self._inputs.positions), dict(self._inputs.reached)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"read {name}") if is_on else None
        self.was_all = False
        self._begun: Future[_Read | None] | None = None

    def lag(self) -> int:
        """Records that are in the log and have not been given."""
        positions = self.positions
        ends = self._log.end_offsets(positions)
        return sum(ends[place] - offset for place, offset in positions.items())

    def poll(self, max_rows: int) -> Prepared | None:
        """The next micro-batch; None if there is nothing to read.

        raises  DataError for damage, and whatever went wrong when the batch was prepared
        """
        begun, self._begun = self._begun, None
        read = None if begun is None else begun.result()
        if read is None:
            read = self._read(max_rows, is_ahead=False)
        self.positions, self.reached = dict(self._inputs.positions), dict(self._inputs.reached)
        if read is None:
            return None
        prepared, self.was_all = read
        return prepared

    def read_on(self, max_rows: int) -> None:
        """Begin with the batch after the last one that was given, if there is much to read."""
        if self._thread is not None and self.lag() >= _LEAST_ROWS:
            self._begun = self._thread.submit(self._read, max_rows, is_ahead=True)

    def wait(self) -> None:
        """Wait until nothing is being read; the next `poll` gives what was."""
        if self._begun is not None:
            wait([self._begun])

    def give_back(self) -> None:
        """Forget what was read and not given: the next batch begins where the last one has ended."""
        begun, self._begun = self._begun, None
        if begun is not None and begun.result() is not None:
            self._inputs = self._open(self.positions, self.reached)

    def close(self) -> None:
        """End the thread when it has read what it is reading. What goes wrong there is not told any more."""
        if self._thread is not None:
            self._thread.shutdown()

    def _read(self, max_rows: int, *, is_ahead: bool) -> _Read | None:
        raw = self._inputs.poll(max_rows)
        if raw is None:
            return None
        was_all = not self._inputs.lag()
        return self._task.prepare(raw, is_ahead=is_ahead), was_all

"""Many small sends, few appends: rows are collected and appended in batches, from a thread of their own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.log.log import Log, ProducerId, Stamp
from streamsql.errors import InternalError, PlanError, StreamSQLError

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

Place = Callable[[pa.RecordBatch, Int64Array], tuple[pa.RecordBatch, Int32Array]]
"""Rows of many sends, and the turn of each -> their records, row by row, and the partition of each.

A turn counts the rows, for going round the partitions. With a name it is the sequence of the send plus
the row's place in it, so that a send that is repeated goes to the same partitions.
"""

# Sends wait when this many batches have not been appended yet.
_MOST_BATCHES = 8
# A batch goes to so many partitions at once.
_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """Where the rows of one send are, durably.

    partitions  int32[rows]
    offsets     int64[rows]; -1 for a row that an earlier send with this sequence has stored
    """

    partitions: Int32Array
    offsets: Int64Array

    @property
    def partition(self) -> int:
        """Of the first row."""
        return int(self.partitions[0])

    @property
    def offset(self) -> int:
        """Of the first row."""
        return int(self.offsets[0])


@dataclass(slots=True)
class _Pending:
    rows: pa.RecordBatch
    sequence: int
    due: float
    done: Future[Sent] = field(default_factory=Future)


class Sender:
    """Appends to one topic. `send` may be called from any thread; sends arrive in the order of the calls.

    place       what turns rows into records; called by the sender's own thread only
    linger_ms   rows wait this long for others before they are appended; 0 appends at once what is there
    batch_rows  ... or until there are so many. A send is never cut
    name        a producer with a name: sends have a sequence, and one that was stored is not stored again

    After an error of a producer with a name all sends that wait, and all later ones, fail with it: rows
    behind it must not be stored before it. Open the name again and go on with the first send that failed.
    Without a name each batch fails for itself; its rows in other partitions may be stored.
    """

    def __init__(
        self, log: Log, topic: str, place: Place, *, linger_ms: float, batch_rows: int, name: str | None
    ) -> None:
        if batch_rows < 1 or linger_ms < 0:
            raise PlanError(
                f"batch_rows must be 1 or more and linger_ms 0 or more, not {batch_rows} and {linger_ms}",
                code="PRODUCER-SETTING",
            )
        self._log = log
        self._topic = topic
        self._place = place
        self._linger_s = linger_ms / 1000
        self._batch_rows = batch_rows
        self._producer: ProducerId | None = None
        self.stored: dict[int, int] = {}
        """Partition -> sequence of the last send of this name that is stored in it."""
        if name is not None:
            self._producer = log.open_producer(name)
            for partition in range(log.topic_config(topic).partitions):
                self.stored[partition] = log.last_sequence(topic, partition, self._producer)
        self._stored_before = max(self.stored.values(), default=0)
        self._last_sequence = 0
        self._rows = 0
        self._turn = threading.Condition()
        self._pending: deque[_Pending] = deque()
        self._pending_rows = 0
        self._in_flight = 0
        self._flushes = 0
        self._error: StreamSQLError | None = None
        self._failure: StreamSQLError | None = None
        self._is_closed = False
        self._pool: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._run, name=f"producer {topic}", daemon=True)
        self._thread.start()

    def send(self, rows: pa.RecordBatch, sequence: int | None = None) -> Future[Sent]:
        """Hand rows over; waits while very many are on their way.

        sequence  of a producer with a name: above that of the send before; None counts on
        gives     what is done when the rows are stored as durably as the log promises, or have failed
        raises    PlanError PRODUCER-SEQUENCE, InternalError PRODUCER-CLOSED, or what has failed this name
        """
        with self._turn:
            self._check_open()
            number = self._number(sequence)
            while self._pending_rows >= _MOST_BATCHES * self._batch_rows:
                self._turn.wait()
                self._check_open()
            self._last_sequence = number
            sent = _Pending(rows, number, time.monotonic() + self._linger_s)
            sent.done.set_running_or_notify_cancel()  # what is sent cannot be called back
            if not rows.num_rows:
                sent.done.set_result(Sent(np.zeros(0, np.int32), np.zeros(0, np.int64)))
                return sent.done
            self._pending.append(sent)
            self._pending_rows += rows.num_rows
            self._turn.notify_all()
        return sent.done

    def flush(self) -> None:
        """Return when all that was sent is stored. Raises the first error since the last flush."""
        with self._turn:
            self._flushes += 1
            self._turn.notify_all()
            while self._pending or self._in_flight:
                self._turn.wait()
            self._flushes -= 1
            error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Flush, and take no more. A second call does nothing."""
        with self._turn:
            self._is_closed = True
            self._turn.notify_all()
        self._thread.join()
        self.flush()

    # -- inside

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise InternalError("the producer was used after it was closed", code="PRODUCER-CLOSED")

    def _number(self, sequence: int | None) -> int:
        if self._producer is None:
            if sequence is not None:
                raise PlanError(
                    "a sequence needs a producer with a name", code="PRODUCER-SEQUENCE", hint="give it a name"
                )
            return 0
        if sequence is None:
            return max(self._last_sequence, self._stored_before) + 1
        if sequence <= self._last_sequence:
            raise PlanError(
                f"sequence {sequence} is not above {self._last_sequence}, that of the send before",
                code="PRODUCER-SEQUENCE",
                hint="to send again what may be stored already, open the producer again",
            )
        return sequence

    def _run(self) -> None:
        while sends := self._take():
            try:
                self._append(sends)
            except StreamSQLError as error:
                self._fail(sends, error)
            except Exception as cause:
                failure = InternalError(f"a batch for topic {self._topic} failed: {cause}")
                failure.__cause__ = cause
                self._fail(sends, failure)
            with self._turn:
                self._in_flight = 0
                self._turn.notify_all()
        if self._pool is not None:
            self._pool.shutdown()

    def _take(self) -> list[_Pending]:
        """The sends of the next batch, when it is due; [] at the end."""
        with self._turn:
            while not self._is_due():
                if self._is_closed and not self._pending:
                    return []
                self._turn.wait(self._pending[0].due - time.monotonic() if self._pending else None)
            taken: list[_Pending] = []
            rows = 0
            while self._pending and rows < self._batch_rows:
                taken.append(self._pending.popleft())
                rows += taken[-1].rows.num_rows
            self._pending_rows -= rows
            self._in_flight = rows
            self._turn.notify_all()
        return taken

    def _is_due(self) -> bool:
        if not self._pending:
            return False
        is_full = self._pending_rows >= self._batch_rows
        return is_full or self._is_closed or self._flushes > 0 or self._pending[0].due <= time.monotonic()

    def _append(self, sends: list[_Pending]) -> None:
        """Append a batch and tell its sends."""
        if self._failure is not None:
            raise self._failure
        rows = pa.Table.from_batches([sent.rows for sent in sends]).combine_chunks().to_batches()[0]
        counts = np.array([sent.rows.num_rows for sent in sends])
        ends = np.cumsum(counts)
        sequences = np.repeat([sent.sequence for sent in sends], counts)
        if self._producer is None:
            turns = self._rows + np.arange(rows.num_rows)
            self._rows += rows.num_rows
        else:
            turns = sequences + np.arange(rows.num_rows) - np.repeat(ends - counts, counts)
        batch, partitions = self._place(rows, turns)
        offsets = np.full(len(partitions), -1, np.int64)

        def append(partition: int) -> None:
            chosen = np.flatnonzero(partitions == partition)
            stamp = None
            if self._producer is not None:
                chosen = chosen[sequences[chosen] > self.stored.get(partition, 0)]
                if not len(chosen):
                    return
                stamp = Stamp(self._producer, int(sequences[chosen[-1]]))
            records = batch if len(chosen) == batch.num_rows else batch.take(pa.array(chosen))
            base = self._log.append(self._topic, partition, records, stamp=stamp)
            offsets[chosen] = np.arange(base, base + len(chosen))
            if stamp is not None:
                self.stored[partition] = stamp.sequence

        self._each(append, np.unique(partitions).tolist())
        for sent, count, end in zip(sends, counts.tolist(), ends.tolist(), strict=True):
            sent.done.set_result(Sent(partitions[end - count : end], offsets[end - count : end]))

    def _each(self, append: Callable[[int], None], partitions: list[int]) -> None:
        """Append to partitions at once, so that they wait for the disk together; raises the first error."""
        if len(partitions) == 1:
            append(partitions[0])
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MOST_THREADS, f"producer {self._topic}")
        jobs = [self._pool.submit(append, partition) for partition in partitions]
        errors = [job.exception() for job in jobs]
        for error in errors:
            if error is not None:
                raise error

    def _fail(self, sends: list[_Pending], error: StreamSQLError) -> None:
        with self._turn:
            self._error = self._error or error
            if self._producer is not None:
                self._failure = error
        for sent in sends:
            if not sent.done.done():
                sent.done.set_exception(error)

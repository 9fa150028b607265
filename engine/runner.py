"""A runner: one persistent query's loop over the log, in a thread of its own.

    read a micro-batch · run it through the task · commit · wait for new data

The batch is whatever has come, up to what can be processed between two commits (`batch_size.py`): it
grows with the backlog and shrinks to single records when the query has caught up. Of all queries as many
work at a time as there are processors (`admission.py`). A commit makes the
sink's records, the changes of the state and the consumed offsets visible at once; it happens after a
batch that was all there was to read, else every `commit_interval_ms`, and then beside the next batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa

from streamsql.engine.admission import LARGE_BATCHES, SMALL_BATCHES
from streamsql.engine.batch_size import BatchSize, Stopwatch
from streamsql.engine.committer import Committer
from streamsql.engine.failpoints import fail_point
from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs, reached_as_metadata, reached_of_metadata
from streamsql.engine.log.log import Append, Log, TopicPartition
from streamsql.engine.log.until import LogUntil
from streamsql.engine.read_ahead import ReadAhead
from streamsql.engine.restore import changelog_topic, restore
from streamsql.engine.shared import SharedDecoding
from streamsql.engine.status import RunnerStatus, StoreStatus
from streamsql.engine.task import Task
from streamsql.errors import DataError, ExternalError, InternalError, StreamSQLError

RUNNING, PAUSED, FAILED, STOPPED = "RUNNING", "PAUSED", "ERROR", "STOPPED"

_LARGE_ROWS = 1 << 14
"""With so many to read, a query takes turns with those that have as much; with less, with the others."""
_LEAST_AIM_MS = 20
"""A batch may take this long even if commits are to come more often."""


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """How often and how much.

    commit_interval_ms  at most this long between commits while there is a backlog
    max_batch_rows      rows of a micro-batch, at most
    max_pending_rows    output rows that may wait for a commit before one is made at once; twice as many
                        while the one before is still being written
    threads             how many work on a large batch; more than one makes small batches slower
    """

    commit_interval_ms: int = 100
    max_batch_rows: int = 1 << 20
    max_pending_rows: int = 1 << 20
    threads: int = 1


class Runner:
    """Owns a task from `start` to `stop`; every method may be called from any thread.

    state     RUNNING, PAUSED, ERROR (see `error`) or STOPPED
    problem_records  the problems since the last commit as records, which become part of the next one
    restored  told how many rows of state have come back, several times while the runner is made
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        log: Log,
        settings: RunnerSettings | None = None,
        problem_records: Callable[[pa.RecordBatch], Sequence[Append]] = lambda problems: (),
        from_latest: bool = False,
        restored: Callable[[int], None] = lambda rows: None,
        shared: SharedDecoding | None = None,
    ) -> None:
        self.name = name
        self.graph = graph
        self.state = PAUSED
        self.error: StreamSQLError | None = None
        self._log = log
        self._settings = settings or RunnerSettings()
        self._problem_records = problem_records
        self.task = Task(graph, self._settings.threads, shared)
        self._stores = [(changelog_topic(name, store), kept) for store, kept in self.task.stores()]
        committed = log.committed(name)
        start = dict(committed.offsets) if committed else {}
        metadata = committed.metadata if committed else {}
        self.last_commit_ms: int | None = metadata.get("time")
        positions: Mapping[TopicPartition, int] = {}
        try:
            for topic, store in self._stores:
                restore(log, topic, store, restored)
            positions = start_positions(log, graph, start, from_latest)
        except (DataError, ExternalError) as error:
            # A topic is damaged: the query is there, to be looked at and to be ended, but does not run.
            self.error, self.state = error, FAILED
        fail_point("restore.after")
        self._view = LogUntil(log)
        reset = "latest" if from_latest else "earliest"
        self._inputs = ReadAhead(
            self.task,
            self._view,
            lambda positions, reached: Inputs(self._view, graph, positions, reached, reset),
            positions,
            reached_of_metadata(metadata),
            name=name,
            threads=self._settings.threads,
        )
        self._committed = dict(self._inputs.positions)
        # Of the latest commit that was begun; it may still be on its way to the disk.
        self._drained = self._committed
        self._committer = Committer(name)
        if committed is None and from_latest and self.error is None:
            # Where the end was when the query was made is nowhere else to be found after a crash.
            log.commit(name, (), self._committed)
        self._batch_size = BatchSize(
            max(self._settings.commit_interval_ms, _LEAST_AIM_MS) / 1000, self._settings.max_batch_rows
        )
        self._lock = threading.RLock()
        self._wake = threading.Event()
        # Set when it is admitted, and by `stop`, so that it waits for that no longer.
        self._called = threading.Event()
        self._moved = threading.Condition()
        self._stopping = False
        self._has_caught_up = False
        self._thread: threading.Thread | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to run; nothing happens if it runs already, or has failed."""
        if self.state == FAILED:
            return
        if self._thread is not None:
            self.resume()
            return
        topics = frozenset(self.graph.topics())
        self._unsubscribe = self._log.subscribe(lambda topic: self._wake.set() if topic in topics else None)
        self.state = RUNNING
        self._thread = threading.Thread(target=self._run, name=f"query {self.name}", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop reading after the batch at hand; state and offsets stay."""
        if self.state == RUNNING:
            self.state = PAUSED

    def resume(self) -> None:
        if self.state == PAUSED:
            self.state = RUNNING
            self._wake.set()

    def stop(self) -> None:
        """Commit what is done and end the thread."""
        self._stopping = True
        self._called.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._committer.close()
        self._inputs.close()
        self._unsubscribe()
        if self.state != FAILED:
            self.state = STOPPED
        with self._moved:
            self._moved.notify_all()
        self.task.close()

    def lag(self) -> int:
        """Records that are in the log and not processed yet."""
        return self._inputs.lag()

    def status(self) -> RunnerStatus:
        """One moment of it, between two batches."""
        with self._lock:
            stores = [
                StoreStatus(name, store.rows, store.bytes, store.bound) for name, store in self.task.stores()
            ]
            return RunnerStatus(
                self.state,
                self.error.message if self.error else None,
                dict(self._committed),
                self._log.end_offsets(self._committed),
                self.last_commit_ms,
                replace(self.task.problems.counters),
                stores,
            )

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """Committed offsets."""
        return dict(self._committed)

    def wait_for(self, targets: Mapping[TopicPartition, int], timeout: float | None = None) -> bool:
        """Wait until everything before `targets` is processed and committed; False after `timeout` seconds.

        raises  the query's own error if it has failed
        """
        if self.error is not None and not self._committed:
            raise self._failure()
        deadline = None if timeout is None else time.monotonic() + timeout
        own = {place: target for place, target in targets.items() if place in self._committed}
        with self._moved:
            while not all(self._committed[place] >= target for place, target in own.items()):
                if self.error is not None:
                    raise self._failure()
                if self.state in (PAUSED, STOPPED):
                    return False
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._moved.wait(left)
        return True

    @contextmanager
    def still(self) -> Iterator[Task]:
        """The task, committed and not moving, for as long as the context lasts.

        raises  the query's own error if it has failed, or fails to commit
        """
        with self._lock:
            with self._turn():
                self._commit_all()
            self._inputs.wait()
            yield self.task

    def advance(self, ends: Mapping[TopicPartition, int]) -> None:
        """Process and commit what lies before some ends, in the caller's thread, and nothing after them.

        For whoever has the task `still`: several queries so come to one place of what they all read. A
        query that is not running stays where it is.
        """
        if self.state != RUNNING:
            return
        with self._turn():
            self._inputs.give_back()
            with self._view.until(ends):
                while self._step():
                    pass
                self._commit_all()

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            last_commit = time.monotonic()
            while not self._stopping:
                self._wake.clear()
                with self._admitted() as is_admitted:
                    if not is_admitted:
                        continue
                    with self._turn():
                        has_read = self.state == RUNNING and self._step()
                        if has_read and not self._is_commit_due(last_commit):
                            continue
                with self._turn():
                    if has_read and not self._has_caught_up:
                        self._begin_commit()
                    else:
                        self._commit_all()
                last_commit = time.monotonic()
                if not has_read:
                    self._wake.wait()
            with self._turn():
                self._commit_all()
        except StreamSQLError:
            return  # `error` says it

    @contextmanager
    def _admitted(self) -> Iterator[bool]:
        """Have a place among the queries that work, and the lock. False: begin anew, if it is not to stop.

        Nobody who waits for a place holds the lock: whoever asks for the state need not wait for it. And
        nobody who waits for the lock has a place: those who have the task still may have it for long.
        """
        with self._turn():
            has_much = self._inputs.lag() >= _LARGE_ROWS
        admission = LARGE_BATCHES if has_much else SMALL_BATCHES
        with admission.place(self._called) as has_place:
            is_admitted = has_place and self._lock.acquire(blocking=False)
            try:
                yield is_admitted
            finally:
                if is_admitted:
                    self._lock.release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have the task to oneself. What goes wrong inside is the end of the query, whoever did it.

        A batch that was processed in part, or drained for a commit that failed, is in no later commit:
        there must not be one. The next open begins where the last commit was.
        """
        with self._lock:
            if self.error is not None:
                raise self._failure()
            try:
                yield
            except StreamSQLError as error:
                self._fail(error)
                raise
            except Exception as error:
                failure = InternalError(f"query {self.name} stopped: {type(error).__name__}: {error}")
                failure.__cause__ = error
                self._fail(failure)
                raise failure from error

    def _step(self) -> bool:
        """Process one micro-batch; False if there was nothing to read."""
        batch = self._inputs.poll(self._batch_size.limit)
        if batch is None:
            return False
        self._has_caught_up = self._inputs.was_all
        self._inputs.read_on(self._batch_size.limit)
        watch = Stopwatch()
        self.task.apply(batch)
        applied = watch.seconds()
        # What was prepared beside the batch before takes no time of its own.
        seconds = max(batch.seconds, applied) if batch.is_ahead else batch.seconds + applied
        self._batch_size.learn(batch.rows, seconds)
        return True

    def _is_commit_due(self, last_commit: float) -> bool:
        """Whether the batch just processed was all there was when it was read, or it is time anyway.

        What came in meanwhile is the next batch: while records keep coming there may never be a moment
        with none left to read, and whoever reads the output would wait for the interval every time.

        While the commit before is being written there is better to do than to wait for it.
        """
        if not self._has_caught_up and self._committer.is_busy:
            return self.task.pending_rows >= 2 * self._settings.max_pending_rows
        waited_ms = (time.monotonic() - last_commit) * 1000
        return (
            self._has_caught_up
            or waited_ms >= self._settings.commit_interval_ms
            or self.task.pending_rows >= self._settings.max_pending_rows
        )

    def _begin_commit(self) -> None:
        """Commit everything that was processed, beside what comes next."""
        if self._inputs.positions != self._drained:
            self._committer.begin(self._drain())

    def _commit_all(self) -> None:
        """Commit everything that was processed, and be done with it."""
        self._committer.finish()
        if self._inputs.positions != self._drained:
            self._drain()()

    def _drain(self) -> Callable[[], None]:
        """Take what has come of the batches since the last commit; gives the way to commit it."""
        fail_point("query.before_commit")
        appends = list(self.task.take_records())
        for topic, store in self._stores:
            changes = store.drain()
            if changes is not None:
                appends.append((topic, 0, changes))
        appends += self._problem_records(self.task.problems.drain())
        needed = {topic: store.needed() for topic, store in self._stores}
        positions = self._drained = dict(self._inputs.positions)
        now = time.time_ns() // 1_000_000
        metadata = {"time": now, **reached_as_metadata(self._inputs.reached)}

        def commit() -> None:
            self._log.commit(self.name, appends, positions, metadata)
            fail_point("query.after_commit")
            for topic, count in needed.items():
                if count is not None:
                    # Nobody else writes to a changelog: it ends with what was drained last.
                    self._log.trim(topic, 0, self._log.end_offset(topic, 0) - count)
            self.last_commit_ms = now
            with self._moved:
                self._committed = positions
                self._moved.notify_all()

        return commit

    def _failure(self) -> StreamSQLError:
        """What stopped the query, for those who ask for what it makes."""
        assert self.error is not None
        error = self.error.again()
        error.message = f"query {self.name} has failed: {error.message}"
        return error

    def _fail(self, error: StreamSQLError) -> None:
        self.error = error.again()
        self.state = FAILED
        with self._moved:
            self._moved.notify_all()


def start_positions(
    log: Log, graph: Graph, committed: Mapping[TopicPartition, int], from_latest: bool
) -> dict[TopicPartition, int]:
    """Where to read on: after the last commit, else at the start (of a table always) or the end."""
    positions: dict[TopicPartition, int] = {}
    for _, source in graph.sources():
        for partition in range(log.topic_config(source.topic).partitions):
            place = TopicPartition(source.topic, partition)
            if place in committed:
                positions[place] = committed[place]
            elif from_latest and not source.is_table:
                positions[place] = log.end_offset(*place)
            else:
                positions[place] = log.start_offset(*place)
    return positions

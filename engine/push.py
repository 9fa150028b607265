"""A push query: a task driven by the one who reads its rows, with no thread and no commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa

from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import Log
from streamsql.engine.problems import Problems
from streamsql.engine.runner import start_positions
from streamsql.engine.task import Task

_FIRST_ROWS = 1 << 10
_MAX_ROWS = 1 << 17


class PushQuery:
    """Iterate over `batches`; `close` ends the iteration from any thread."""

    def __init__(
        self,
        graph: Graph,
        log: Log,
        *,
        from_latest: bool = False,
        max_batch_rows: int = _MAX_ROWS,
    ) -> None:
        self._log = log
        self._max_rows = max_batch_rows
        self._task = Task(graph)
        self._inputs = Inputs(log, graph, start_positions(log, graph, {}, from_latest))
        self._wake = threading.Event()
        self._closed = False
        topics = frozenset(graph.topics())
        self._unsubscribe = log.subscribe(lambda topic: self._wake.set() if topic in topics else None)

    @property
    def problems(self) -> Problems:
        return self._task.problems

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows as they come, until the query is closed."""
        rows = min(_FIRST_ROWS, self._max_rows)
        try:
            while not self._closed:
                self._wake.clear()
                batch = self._inputs.poll(rows)
                if batch is None:
                    self._wake.wait()
                    continue
                rows = min(rows * 4, self._max_rows)
                self._task.feed(batch)
                # Its reader is told how many and the first reason; the processing log is for what stays.
                self._task.problems.drain()
                for found in self._task.take_rows():
                    if found.num_rows:
                        yield found
        finally:
            self._unsubscribe()
            self._task.close()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

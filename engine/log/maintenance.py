"""The thread that keeps a log tidy: retention and compaction, beside readers and writers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from streamsql.engine.log.log import Log

_logger = logging.getLogger(__name__)

INTERVAL_MS = 15_000


class Maintenance:
    """Calls `Log.maintain` every so often, from `start` to `stop`.

    now_ms       the wall clock
    interval_ms  between two rounds, in real time
    """

    def __init__(self, log: Log, now_ms: Callable[[], int], interval_ms: int = INTERVAL_MS) -> None:
        self._log = log
        self._now_ms = now_ms
        self._interval_ms = interval_ms
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._reported: set[str] = set()

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-maintenance", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the round at hand."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_ms / 1000):
            self.round()

    def round(self) -> None:
        """Maintain the log once. What goes wrong is logged, each thing once, and tried again next time."""
        for problem in self._log.maintain(self._now_ms()):
            if problem.message not in self._reported:
                self._reported.add(problem.message)
                _logger.warning("%s", problem.message)

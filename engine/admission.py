"""Admission: how many queries of a process work on a batch at the same time.

With more of them than processors nothing is done sooner. Each wants Python's lock for some microseconds at
a time, and so many threads spend more time on handing it over than on anything else; large batches, which
then take longer, are made smaller, and so there are more of them. Those who wait hold no memory of a batch
either, and come to what they share with others one soon after the other, while it is kept.

Queries that follow what comes in and those with a backlog have places of their own: a large batch may take
as long as there is between two commits, and nobody with a few rows shall wait for that.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Admission:
    """Places, given to those who want one in the order in which they came.

    From a semaphore who has just left would often get the place again, before all who wait.

    patience  seconds: if nothing has moved for so long while somebody waits, one who works does not work but
              waits, as a function of the user's may for a network. There is then a place more, until one
              who has been in for so long leaves
    """

    def __init__(self, places: int, patience: float = 60) -> None:
        self._free = places
        self._patience = patience
        self._lock = Lock()
        self._waiting: deque[Event] = deque()
        self._added = 0
        self._moved = time.monotonic()

    @contextmanager
    def place(self, called: Event) -> Iterator[bool]:
        """Have a place, or none if somebody has set `called`, which ends the wait; gives which of them.

        called  one's own, for every call the same; it is not waited for if it is set before
        """
        is_admitted = self._enter(called) or self._wait(called)
        since = time.monotonic()
        try:
            yield is_admitted
        finally:
            if is_admitted:
                self._leave(since)

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def _enter(self, called: Event) -> bool:
        """Take a place that is free, or queue up."""
        with self._lock:
            if self._free:
                self._free -= 1
                self._moved = time.monotonic()
                return True
            self._waiting.append(called)
            return False

    def _wait(self, called: Event) -> bool:
        while not called.wait(self._patience):
            with self._lock:
                is_next = self._waiting and self._waiting[0] is called
                if is_next and time.monotonic() - self._moved >= self._patience:
                    self._added += 1
                    self._call_next()
        with self._lock:
            if called in self._waiting:
                self._waiting.remove(called)
                return False
            called.clear()
            return True

    def _leave(self, since: float) -> None:
        with self._lock:
            if self._added and time.monotonic() - since >= self._patience:
                self._added -= 1
            elif self._waiting:
                # The place goes on to the next: it is never free for one who comes just now.
                self._call_next()
            else:
                self._free += 1

    def _call_next(self) -> None:
        self._waiting.popleft().set()
        self._moved = time.monotonic()


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_PLACES = max(2, processors())
"""Two at least, as one may wait for the disk."""
SMALL_BATCHES, LARGE_BATCHES = Admission(_PLACES, patience=0.2), Admission(_PLACES, patience=2)
"""For all queries of this process; large batches may take as long as there is between two commits."""

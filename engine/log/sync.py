"""Group commit: many writers of one file, few waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

_REMEMBERED_FAULTS = 16


class Mark(NamedTuple):
    """How far a partition has got: an offset, and where that is. Marks are ordered by it.

    segment   base offset of the segment file
    position  bytes into that file
    """

    offset: int
    segment: int
    position: int


class GroupSync:
    """Whoever comes first syncs for all who have written by then; the others find it done.

    A writer, holding the lock under which it wrote, calls `wrote` and gets a ticket; with or without
    that lock it then calls `wait`. If a sync fails, everything not yet synced is in doubt: all its
    writers, and all later ones, get the error, until someone holding the writers' lock has cut the file
    back to a mark that is on the disk, and says so to `rewind`.
    """

    def __init__(self, sync: Callable[[], None], start: Mark) -> None:
        self._sync = sync
        self._lock = threading.Lock()
        self._written = (0, start)
        self._done = 0
        self._durable = start
        self._lost: list[tuple[int, int, OSError]] = []
        self._fault: OSError | None = None

    @property
    def durable(self) -> Mark:
        """All before this is on the disk."""
        return self._durable

    @property
    def written(self) -> Mark:
        """All before this is in the file."""
        return self._written[1]

    @property
    def fault(self) -> OSError | None:
        """What the last sync failed of, while the file has not been cut back."""
        return self._fault

    def wrote(self, mark: Mark) -> int:
        """Take note that the file now reaches to `mark`; gives the ticket to wait with."""
        ticket = self._written[0] + 1
        self._written = (ticket, mark)
        return ticket

    def wait(self, ticket: int | None = None) -> None:
        """Return when what the ticket stands for, or all that is in the file now, is on the disk.

        raises  OSError if the sync that would have covered it failed
        """
        with self._lock:
            if ticket is not None:
                for first, last, fault in self._lost:
                    if first < ticket <= last:
                        raise fault
            if (self._written[0] if ticket is None else ticket) <= self._done:
                return
            if self._fault is not None:
                raise self._fault
            upto, mark = self._written
            try:
                self._sync()
            except OSError as fault:
                self._fault = fault
                raise
            self._done, self._durable = upto, mark

    def rewind(self, mark: Mark) -> None:
        """Take note that the file was cut back to `mark`, durably. The writers' lock is held."""
        with self._lock:
            last = self._written[0]
            if self._fault is not None:
                self._lost = [*self._lost[-_REMEMBERED_FAULTS:], (self._done, last, self._fault)]
                self._fault = None
                self._done = last
            self._written = (last, mark)
            self._durable = min(self._durable, mark)

    def move(self, mark: Mark) -> None:
        """Take note that writing goes on in another file, at `mark`; all of the old one was synced."""
        with self._lock:
            self._written = (self._written[0], mark)
            self._durable = mark

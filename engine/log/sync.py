"""Group commit: many writers of one file, few waits for the disk.

One writer at a time syncs, for all that have written by then; the others write on meanwhile, and the
next sync is for all of them. Those that find theirs done are all woken at once: if they had to take a
lock one by one, the first to come back with a new record would sync it alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        # Guards what follows; it is not held during a sync, so that writers go on and queue up for the next.
        self._turn = threading.Condition()
        self._is_syncing = False
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
        with self._turn:
            target = self._written[0] if ticket is None else ticket
            while not self._is_settled(target, is_own=ticket is not None):
                if not self._is_syncing:
                    self._is_syncing = True
                    break
                self._turn.wait()
            else:
                return
            upto, mark = self._written
        try:
            self._sync()
        except OSError as fault:
            self._fault = fault
            raise
        else:
            self._done, self._durable = upto, mark
        finally:
            with self._turn:
                self._is_syncing = False
                self._turn.notify_all()

    def _is_settled(self, target: int, *, is_own: bool) -> bool:
        """Whether all up to this ticket is on the disk; OSError if it is known to be lost."""
        for first, last, fault in self._lost if is_own else ():
            if first < target <= last:
                raise fault
        if target > self._done and self._fault is not None:
            raise self._fault
        return target <= self._done

    @contextmanager
    def _between_syncs(self) -> Iterator[None]:
        with self._turn:
            while self._is_syncing:
                self._turn.wait()
            yield

    def rewind(self, mark: Mark) -> None:
        """Take note that the file was cut back to `mark`, durably. The writers' lock is held."""
        with self._between_syncs():
            last = self._written[0]
            if self._fault is not None:
                self._lost = [*self._lost[-_REMEMBERED_FAULTS:], (self._done, last, self._fault)]
                self._fault = None
                self._done = last
            self._written = (last, mark)
            self._durable = min(self._durable, mark)

    def move(self, mark: Mark) -> None:
        """Take note that writing goes on in another file, at `mark`; all of the old one was synced."""
        with self._between_syncs():
            self._written = (self._written[0], mark)
            self._durable = mark

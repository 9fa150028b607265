"""State that is read ahead: by many threads at a time, or changed by its owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Readers:
    """Keeps changes and readers apart.

    version  how many changes there have been: what was read is still so while it stays the same
    """

    def __init__(self) -> None:
        self._condition = Condition()
        self._reading = 0
        self.version = 0

    @contextmanager
    def reading(self) -> Iterator[int]:
        """Others may read meanwhile, nothing changes; gives the version."""
        with self._condition:
            self._reading += 1
        try:
            yield self.version
        finally:
            with self._condition:
                self._reading -= 1
                self._condition.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody reads meanwhile but who changes."""
        with self._condition:
            self._condition.wait_for(lambda: not self._reading)
            self.version += 1
            yield

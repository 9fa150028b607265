"""Commits beside the work: while one is written and waits for the disk, the next batch is processed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Committer:
    """At most one commit at a time, in a thread of its own. For one owner, who takes turns."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"commit {name}")
        self._begun: Future[None] | None = None

    def begin(self, commit: Callable[[], None]) -> None:
        """Have a commit made, after the one before has been finished."""
        self.finish()
        self._begun = self._thread.submit(commit)

    @property
    def is_busy(self) -> bool:
        """Whether whoever begins a commit now has to wait for the one before."""
        return self._begun is not None and not self._begun.done()

    def finish(self) -> None:
        """Wait for the commit that was begun, if there is one; raises what it raised."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.result()

    def close(self) -> None:
        """End the thread, when the commit that was begun is done. What that raised is not told any more."""
        self._thread.shutdown()

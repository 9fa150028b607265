"""Who is told when a topic has new records."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from streamsql.engine.log.log import Listener

_logger = logging.getLogger(__name__)


class Listeners:
    """A set of callbacks that may change while it is being called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Take a listener in; gives the way to take it out again, which may be called twice."""
        # A fresh callable per subscription, so that subscribing one function twice makes two entries.
        entry: Listener = lambda topic: listener(topic)  # noqa: E731
        with self._lock:
            self._listeners = (*self._listeners, entry)

        def remove() -> None:
            with self._lock:
                self._listeners = tuple(kept for kept in self._listeners if kept is not entry)

        return remove

    def tell(self, topics: Iterable[str]) -> None:
        """Call everyone, once per topic. A listener that fails is logged: the records are in already."""
        for topic in topics:
            for listener in self._listeners:
                try:
                    listener(topic)
                except Exception:
                    _logger.exception("a listener failed on new records of topic %s", topic)

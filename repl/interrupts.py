"""Ctrl-C while something runs: it ends that thing, not the program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(end: Callable[[], None]) -> Iterator[None]:
    """Inside, the first Ctrl-C calls `end`, another one raises KeyboardInterrupt.

    `end` runs in a thread of its own: the main thread may be holding the very lock that it needs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_second = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_second
        if is_second:
            raise KeyboardInterrupt
        is_second = True
        threading.Thread(target=end, name="interrupt", daemon=True).start()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

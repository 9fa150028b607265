"""Reading state ahead, and changing it: never both at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

from streamsql.engine.state.readers import Readers


def test_readers_read_at_the_same_time_and_see_no_change() -> None:
    readers, both = Readers(), Barrier(2, timeout=10)

    def read() -> tuple[int, int]:
        with readers.reading() as version:
            both.wait()
            return version, readers.version

    with ThreadPoolExecutor(2) as threads:
        assert [read.result() for read in (threads.submit(read), threads.submit(read))] == [(0, 0), (0, 0)]


def test_a_change_waits_for_who_is_reading_and_is_seen_by_who_comes_after() -> None:
    readers, is_reading, may_end = Readers(), Event(), Event()
    order: list[str] = []

    def read() -> None:
        with readers.reading():
            is_reading.set()
            may_end.wait(10)
            order.append("read")

    def change() -> None:
        with readers.changing():
            order.append("changed")

    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(read)
        is_reading.wait(10)
        changing = threads.submit(change)
        assert not changing.done()
        may_end.set()
        for task in (reading, changing):
            task.result(10)
    assert order == ["read", "changed"]
    with readers.reading() as version:
        assert version == 1

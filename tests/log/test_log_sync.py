"""Group commit: one wait for the disk serves many, and one failure fails them all."""

from __future__ import annotations

import errno
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from log_samples import batch, values

from streamsql.engine.failpoints import armed
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition
from streamsql.engine.log.sync import GroupSync, Mark
from streamsql.errors import ExternalError


def mark(offset: int) -> Mark:
    return Mark(offset, 0, offset * 10)


def test_writers_that_wait_together_share_one_sync() -> None:
    syncs: list[Mark] = []
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        syncs.append(group.written)
        begun.set()
        assert may_end.wait(10)

    group = GroupSync(slow, mark(0))
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(group.wait, group.wrote(mark(1)))
        assert begun.wait(10)
        others = [pool.submit(group.wait, group.wrote(mark(n))) for n in range(2, 6)]
        may_end.set()
        for job in (first, *others):
            job.result(10)
    assert syncs == [mark(1), mark(5)]
    assert group.durable == mark(5)


def test_during_a_sync_everyone_else_gets_on_and_queues_up_for_the_next() -> None:
    threads, turns = 5, 10
    queue = threading.Condition()
    alive, syncs, written = [threads], [0], itertools.count(1)

    def slow() -> None:
        """A disk so slow that all who are there have written by the time it is done."""
        syncs[0] += 1
        with queue:
            assert queue.wait_for(lambda: group.written.offset - group.durable.offset == alive[0], 10)

    def work(_: int) -> None:
        for _ in range(turns):
            with queue:
                ticket = group.wrote(mark(next(written)))
                queue.notify_all()
            group.wait(ticket)
        with queue:
            alive[0] -= 1
            queue.notify_all()

    group = GroupSync(slow, mark(0))
    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(work, number) for number in range(threads)]:
            job.result(30)
    assert group.durable == mark(threads * turns)
    assert syncs[0] <= 2 * turns + 1


def test_a_failed_sync_fails_all_it_would_have_covered_and_later_ones_until_the_file_is_cut() -> None:
    fails = [False]

    def sync() -> None:
        if fails[0]:
            raise OSError(errno.EIO, "broken")

    group = GroupSync(sync, mark(0))
    kept = group.wrote(mark(1))
    group.wait(kept)
    lost = [group.wrote(mark(2)), group.wrote(mark(3))]
    fails[0] = True
    with pytest.raises(OSError, match="broken"):
        group.wait(lost[0])
    fails[0] = False
    after = group.wrote(mark(4))
    for ticket in (*lost, after):
        with pytest.raises(OSError, match="broken"):
            group.wait(ticket)
    assert (group.durable, group.fault is None) == (mark(1), False)
    group.rewind(mark(1))
    for ticket in (*lost, after):
        with pytest.raises(OSError, match="broken"):
            group.wait(ticket)
    group.wait(kept)
    group.wait()  # what is in the file now is on the disk, whatever became of the lost
    group.wait(group.wrote(mark(2)))
    assert (group.durable, group.fault) == (mark(2), None)


@pytest.mark.parametrize("every", [5, 7, 16])
def test_threads_on_a_disk_that_fails_now_and_then_keep_what_was_acknowledged_and_no_more(
    tmp_path: Path, every: int
) -> None:
    passes = itertools.count(1)
    in_doubt: list[str] = []

    def shaky() -> None:
        if next(passes) % every == 0:
            raise OSError(errno.ENOSPC, "full")

    def work(name: str, is_commit: bool) -> list[str]:
        kept = []
        for turn in range(20):
            value = f"{name}-{turn}"
            try:
                if is_commit:
                    writes = [("t", part, batch(value)) for part in (0, 1)]
                    log.commit(name, writes, {TopicPartition("in", 0): turn})
                else:
                    log.append("t", 0, batch(value))
            except ExternalError as error:
                assert error.code in ("LOG-DISK-FULL", "LOG-IN-DOUBT")
                if is_commit and error.code == "LOG-IN-DOUBT":
                    in_doubt.append(value)
            else:
                kept.append(value)
        return kept

    with DiskLog(tmp_path) as log:
        log.create_topic("t", TopicConfig(partitions=2, segment_bytes=5000))
        with armed("file.sync", shaky), armed("file.write", shaky), ThreadPoolExecutor(4) as pool:
            jobs = {name: pool.submit(work, name, name[0] == "c") for name in ("a1", "a2", "c1", "c2")}
            kept = {name: job.result(60) for name, job in jobs.items()}
    assert sum(map(len, kept.values())) < 80
    with DiskLog(tmp_path) as log:
        both = [[v for v in values(log, "t", part) if v and v not in in_doubt] for part in (0, 1)]
        for name, expected in kept.items():
            mine = [[value for value in found if value.startswith(name)] for found in both]
            assert mine == [expected, expected if name[0] == "c" else []]
        for value in in_doubt:
            assert (value in values(log, "t", 0)) == (value in values(log, "t", 1))

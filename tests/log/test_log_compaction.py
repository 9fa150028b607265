"""Compaction: what stays of a topic, what readers see, and that a crash between any two steps changes nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from compacted_topic import DAY, TINY, said, upserts
from log_samples import rows, segments

from streamsql.engine.failpoints import armed
from streamsql.engine.log import records
from streamsql.engine.log.compacted import MOST_OFFSETS, CompactedFile
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.topic_files import read_topic
from streamsql.errors import DataError


@pytest.mark.parametrize("typed", [False, True], ids=["bytes", "typed"])
def test_of_each_key_the_last_record_stays_at_its_offset(data: Path, typed: bool) -> None:
    log = DiskLog(data)
    log.create_topic("t", TINY)
    log.append("t", 0, upserts(("a", "1"), ("b", "1"), ("a", "2"), typed=typed, at=0))
    log.append("t", 0, upserts(("c", "1"), ("b", None), ("a", "3"), typed=typed, at=10))
    log.append("t", 0, upserts((None, "x"), typed=typed, at=20))
    log.append("t", 0, upserts(("b", "2"), typed=typed, at=30))
    before = log.read("t", 0, 0, 2)
    assert log.maintain(0) == []
    # The segment being written is left alone, and not looked at either: the tombstone of b stays.
    kept = ["3 c1", "4 b-", "5 a3", "6 x", "7 b2"]
    assert said(log) == kept
    assert (log.start_offset("t", 0), log.end_offset("t", 0)) == (0, 8)
    assert [got.num_rows for got in before] == [2], "what was read stays valid"
    for offset in range(9):
        for step in (1, 2, 5):
            assert said(log, offset, step) == [line for line in kept if int(line[0]) >= offset]
    assert [log.offset_for_time("t", 0, time) for time in (0, 11, 20, 21, 31)] == [3, 4, 6, 7, 8]
    assert [file.name for file in segments(data)] == [f"{0:020d}-{7:020d}-000001.log", f"{7:020d}.log"]
    assert log.append("t", 0, upserts(("d", "1"), typed=typed, at=40)) == 8
    log.close()
    for file in data.rglob("*.index"):
        file.unlink()
    with DiskLog(data) as again:
        assert (again.recovery_notes, said(again)) == ([], [*kept, "8 d1"])


def test_tombstones_stay_for_a_while_after_they_first_came_through(data: Path) -> None:
    config = TopicConfig(cleanup="compact", segment_ms=1, delete_retention_ms=DAY)
    with DiskLog(data) as log:
        log.create_topic("t", config)
        for turn, pair in enumerate([("a", "1"), ("a", None), ("b", "1"), ("c", "1")]):
            log.append("t", 0, upserts(pair, at=turn))
        log.maintain(DAY)
        assert said(log) == ["1 a-", "2 b1", "3 c1"]
        log.append("t", 0, upserts(("d", None), at=10))
        log.append("t", 0, upserts(("e", "1"), at=11))
        log.maintain(2 * DAY - 1)
        assert said(log) == ["1 a-", "2 b1", "3 c1", "4 d-", "5 e1"]
        log.append("t", 0, upserts(("f", "1"), at=12))
        log.append("t", 0, upserts(("g", "1"), at=13))
        log.append("t", 0, upserts(("h", "1"), at=14))
        log.maintain(2 * DAY)
        # a went as its day is over, that of d has just begun.
        assert said(log) == ["2 b1", "3 c1", "4 d-", "5 e1", "6 f1", "7 g1", "8 h1"]


def test_a_record_with_neither_key_nor_value_is_no_tombstone(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(cleanup="compact", segment_ms=1, delete_retention_ms=0))
        for turn in range(4):
            log.append("t", 0, upserts((None, None), ("a", None), at=10 * turn))
            log.maintain(DAY * turn)
        assert said(log) == ["0 -", "2 -", "4 -", "5 a-", "6 -", "7 a-"]


def test_the_last_record_of_all_stays_so_that_the_end_comes_after_a_record(data: Path) -> None:
    config = TopicConfig(cleanup="compact,delete", segment_ms=1, delete_retention_ms=0)
    with DiskLog(data) as log:
        log.create_topic("t", config)
        log.append("t", 0, upserts(("a", "1")))
        log.append("t", 0, upserts(("a", None), at=5))
        log.append("t", 0, upserts(("b", "1"), at=10))
        log.maintain(0)
        log.append("t", 0, upserts(("b", None), at=15))
        log.append("t", 0, upserts(("c", "1"), at=20))
        for _ in range(3):
            log.maintain(DAY)
        assert said(log) == ["3 b-", "4 c1"]
        assert rows(log, "t", 0, 0, 1) == rows(log, "t", 0, 0, 100)


def test_little_is_copied_twice(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(cleanup="compact", segment_bytes=4096))
        for turn in range(200):
            log.append("t", 0, upserts(*((f"k{turn % 50}-{n}", str(turn)) for n in range(10))))
            if turn % 3 == 0:
                log.maintain(0)
        # 50 x 10 keys: what is closed holds each once, and at most as much again that is new.
        assert len(said(log)) <= 2 * 500 + 200
        assert len(segments(data)) < 20
        latest = {line.split()[1].split("-")[0] for line in said(log)}
        assert len(latest) == 50


def test_damage_in_a_closed_segment_stops_its_compaction_and_nothing_else(data: Path) -> None:
    with DiskLog(data) as log:
        for topic in ("t", "u"):
            log.create_topic(topic, TINY)
            for turn in range(4):
                log.append(topic, 0, upserts(("a", "1"), at=turn))
    file = data / "topics" / "t" / "0" / f"{1:020d}.log"
    wrong = bytearray(file.read_bytes())
    wrong[-20] ^= 1
    file.write_bytes(wrong)
    with DiskLog(data) as log:
        (problem,) = log.maintain(0)
        assert isinstance(problem, DataError)
        assert problem.code == "LOG-CORRUPT"
        assert len(segments(data)) == 4
        assert [place for place, *_ in rows(log, "u")] == [2, 3]


def test_a_disk_that_is_full_leaves_the_log_as_it_was(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TINY)
        for n in range(4):
            log.append("t", 0, upserts(("a", str(n)), at=n))

        def full() -> None:
            raise OSError(28, "No space left on device")

        for point in ("compact.before_write", "compact.before_sync", "compact.before_swap", "file.write"):
            with armed(point, full):
                (problem,) = log.maintain(0)
            assert problem.code == "LOG-DISK-FULL", point
            assert said(log) == ["0 a0", "1 a1", "2 a2", "3 a3"]
            assert not list(data.rglob("*.tmp"))
        log.maintain(0)
        assert said(log) == ["2 a2", "3 a3"]


def test_a_topic_that_is_deleted_meanwhile_is_no_problem(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TINY)
        for n in range(4):
            log.append("t", 0, upserts(("a", str(n)), at=n))
        with armed("compact.before_sync", lambda: log.delete_topic("t")):
            assert log.maintain(0) == []
        assert log.topics() == []


def test_readers_and_writers_go_on_while_a_topic_is_compacted(data: Path) -> None:
    """A reader that follows sees the last record of every key, and offsets only rise."""
    log = DiskLog(data, flush="never")
    log.create_topic("t", TopicConfig(cleanup="compact", segment_bytes=3000))
    done = threading.Event()
    failures: list[BaseException] = []
    views: list[dict[bytes, int]] = [{}, {}]

    def write() -> None:
        for turn in range(100):
            log.append("t", 0, upserts(*((f"k{n}", str(turn)) for n in range(5))))
        done.set()

    def read(seen: dict[bytes, int]) -> None:
        try:
            offset = 0
            while True:
                finished = done.is_set()
                for got in log.read("t", 0, offset, 40):
                    for place, key, value in zip(
                        *(got.column(c).to_pylist() for c in ("offset", "key", "value")), strict=True
                    ):
                        assert place >= offset
                        offset = place + 1
                        assert int(value) >= seen.get(key, -1)
                        seen[key] = int(value)
                if finished and offset == log.end_offset("t", 0):
                    return
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=write),
        *(threading.Thread(target=read, args=[view]) for view in views),
    ]
    for thread in threads:
        thread.start()
    while not done.is_set():
        assert log.maintain(0) == []
    for thread in threads:
        thread.join()
    assert failures == []
    assert views == [{f"k{n}".encode(): 99 for n in range(5)}] * 2
    log.close()


def test_stretches_of_which_nothing_is_left_are_stepped_over(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TINY)
        log.append("t", 0, upserts(("a", "1")))
        log.append("t", 0, upserts(("b", "1"), at=5))
    directory = data / "topics" / "t" / "0"
    seed = read_topic(data / "topics" / "t").seed(0)
    writer = CompactedFile(directory / f"{0:020d}-{2:020d}-000001.log", 0, seed)
    # More offsets than a frame can cover, so that there are several empty ones in a row.
    end = 5 * MOST_OFFSETS
    writer.add(records.with_offsets(upserts(("z", "9")), 1), 0)
    writer.finish(end)
    writer.close()
    (directory / f"{0:020d}-{2:020d}-000001.log").rename(directory / f"{0:020d}-{end:020d}-000001.log")
    with DiskLog(data) as log:
        assert log.end_offset("t", 0) == end
        assert said(log) == ["1 z9"]
        assert log.read("t", 0, 2, 10) == []
        assert log.append("t", 0, upserts(("new", "1"))) == end
        assert said(log, 2) == [f"{end} new1"]

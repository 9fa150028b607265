"""Retention: which segments go, when, and what readers see of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from log_samples import segments, timed, values

from streamsql.engine.failpoints import armed
from streamsql.engine.log import disk
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.maintenance import Maintenance
from streamsql.engine.log.partition import Partition
from streamsql.engine.log.retention import expire
from streamsql.errors import DataError, StreamSQLError

HOUR = 3_600_000


def filled(data: Path, config: TopicConfig, times: list[int]) -> DiskLog:
    """A log with a topic t: one segment per time given, of one record."""
    log = DiskLog(data)
    log.create_topic("t", config)
    for place, time in enumerate(times):
        log.append("t", 0, timed([time], f"r{place}-"))
    return log


def one_per_segment(**settings: object) -> TopicConfig:
    return TopicConfig(segment_bytes=1, **settings)  # type: ignore[arg-type]


def test_by_age_segments_go_when_their_latest_record_is_too_old(data: Path) -> None:
    #            r0    r1    r2    r3         one hour is kept
    # time       0     5 h   1 h   6 h        r1 keeps r2 from going, as only the oldest ones go
    log = filled(data, one_per_segment(retention_ms=HOUR), [0, 5 * HOUR, HOUR, 6 * HOUR])
    assert log.maintain(HOUR) == []
    assert log.start_offset("t", 0) == 0
    log.maintain(HOUR + 1)
    assert (log.start_offset("t", 0), log.end_offset("t", 0)) == (1, 4)
    log.maintain(6 * HOUR)
    assert log.start_offset("t", 0) == 1
    log.maintain(6 * HOUR + 1)
    assert [log.start_offset("t", 0), values(log, "t")] == [3, ["r3-0"]]
    assert len(segments(data)) == 1
    log.close()
    with DiskLog(data) as again:
        assert again.recovery_notes == []
        assert [again.start_offset("t", 0), values(again, "t")] == [3, ["r3-0"]]


def test_when_all_is_too_old_the_segment_being_written_goes_too_and_offsets_go_on(data: Path) -> None:
    log = filled(data, TopicConfig(retention_ms=HOUR), [0, 1])
    log.maintain(2 * HOUR)
    assert (log.start_offset("t", 0), log.end_offset("t", 0)) == (2, 2)
    assert values(log, "t") == []
    log.maintain(3 * HOUR)
    assert len(segments(data)) == 1
    log.close()
    with DiskLog(data) as again:
        assert again.recovery_notes == []
        assert again.append("t", 0, timed([5])) == 2


def test_a_clock_that_goes_back_drops_nothing(data: Path) -> None:
    with filled(data, one_per_segment(retention_ms=HOUR), [10 * HOUR, 11 * HOUR]) as log:
        for now in (11 * HOUR, 0, -HOUR, 11 * HOUR):
            log.maintain(now)
            assert log.start_offset("t", 0) == 0
        assert log.append("t", 0, timed([3 * HOUR])) == 2


def test_windows_are_kept_by_stream_time(data: Path) -> None:
    # A history of long ago is worked through: nothing of it is old by its own time ..
    config = one_per_segment(retention_ms=HOUR, cleanup="compact,delete")
    with filled(data, config, [0, HOUR // 2, HOUR]) as log:
        log.maintain(1000 * HOUR)
        assert log.start_offset("t", 0) == 0
        # .. until its time moves on; but no record from the future can take the rest away.
        log.append("t", 0, timed([5 * HOUR]))
        log.maintain(HOUR)
        assert log.start_offset("t", 0) == 0
        log.maintain(1000 * HOUR)
        assert log.start_offset("t", 0) == 3


def test_by_size_the_oldest_go_while_the_rest_still_holds_the_limit(data: Path) -> None:
    with filled(data, one_per_segment(), [0] * 5) as log:
        size = sum(path.stat().st_size for path in segments(data)) // 5
        log.maintain(HOUR)
        assert log.start_offset("t", 0) == 0
        log.alter_topic("t", one_per_segment(retention_bytes=2 * size + 1))
        log.maintain(HOUR)
        assert log.start_offset("t", 0) == 2
        log.alter_topic("t", one_per_segment(retention_bytes=0))
        log.maintain(HOUR)
        assert values(log, "t") == ["r4-0"], "the segment being written stays"


@pytest.mark.parametrize("cleanup", ["delete", "compact"])
def test_what_nobody_needs_goes_in_whole_segments(data: Path, cleanup: str) -> None:
    log = filled(data, one_per_segment(cleanup=cleanup), [0] * 3)
    log.trim("t", 0, 2)
    assert log.start_offset("t", 0) == 0, "maintenance drops it"
    log.maintain(0)
    assert values(log, "t") == ["r2-0"]
    log.trim("t", 0, 1)
    log.trim("t", 0, 3)
    log.maintain(0)
    assert values(log, "t") == ["r2-0"], "the segment being written stays"
    log.append("t", 0, timed([0], "r3-"))
    log.maintain(0)
    assert values(log, "t") == ["r3-0"]
    log.close()
    with DiskLog(data) as again:
        assert [again.recovery_notes, again.start_offset("t", 0)] == [[], 3]
        again.append("t", 0, timed([0], "r4-"))
        again.maintain(0)
        assert again.start_offset("t", 0) == 3


def test_what_was_read_stays_valid_and_a_position_that_is_gone_is_named(data: Path) -> None:
    with filled(data, one_per_segment(retention_ms=HOUR), [0, 1, 2, 5 * HOUR]) as log:
        batches = log.read("t", 0, 0, 100)
        log.maintain(5 * HOUR)
        assert [b.column("value")[0].as_py() for b in batches] == [b"r0-0", b"r1-0", b"r2-0", b"r3-0"]
        with pytest.raises(DataError, match="it holds offsets 3 to 4") as found:
            log.read("t", 0, 1, 100)
        assert found.value.code == "LOG-OFFSET-OUT-OF-RANGE"


def test_the_thread_works_by_the_clock_it_is_given(data: Path) -> None:
    now = [0]
    with filled(data, one_per_segment(retention_ms=HOUR), [0, 1]) as log:
        maintenance = Maintenance(log, lambda: now[0])
        maintenance.round()
        assert log.start_offset("t", 0) == 0
        now[0] = 2 * HOUR
        maintenance.round()
        assert log.start_offset("t", 0) == 2
        maintenance.start()
        maintenance.stop()


def test_a_topic_that_is_being_deleted_is_no_problem(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are gone before it refuses: whoever misses them waits to see."""
    has_missed = threading.Event()

    def missing(partition: Partition, now_ms: int) -> int:
        try:
            return expire(partition, now_ms)
        finally:
            has_missed.set()

    monkeypatch.setattr(disk, "expire", missing)
    with filled(data, one_per_segment(retention_bytes=1), [0, 1, 2]) as log:
        problems: list[StreamSQLError] = []
        maintenance = threading.Thread(target=lambda: problems.extend(log.maintain(0)))

        def maintain_meanwhile() -> None:
            maintenance.start()
            assert has_missed.wait(60)

        with armed("topic.after_burial", maintain_meanwhile):
            log.delete_topic("t")
        maintenance.join()
        assert problems == []

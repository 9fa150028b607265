"""What the log on disk does besides: files, segments, locks, a disk that fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from log_samples import batch, numbered, rows, segments, timed, values

from streamsql.engine.log import partition, segment
from streamsql.engine.log.disk import DiskLog, Flush
from streamsql.engine.log.log import CommitRecord, TopicConfig, TopicPartition
from streamsql.errors import DataError, PlanError

IN = TopicPartition("in", 0)


def test_everything_is_there_again_after_a_clean_stop(data: Path) -> None:
    config = TopicConfig(2, "compact", 1, 2, 3000, 4, {"a": "b"})
    with DiskLog(data) as log:
        log.create_topic("Ü/t", config)
        log.append("Ü/t", 0, numbered(3))
        log.commit("q", [("Ü/t", 1, batch("x", None, at=9))], {IN: 5}, {"m": [1]})
        log.append("Ü/t", 1, numbered(1))
        before = [rows(log, "Ü/t", part) for part in (0, 1)]
    with DiskLog(data) as log:
        assert log.recovery_notes == []
        assert (log.topics(), log.topic_config("Ü/t")) == (["Ü/t"], config)
        assert [rows(log, "Ü/t", part) for part in (0, 1)] == before
        assert log.committed("q") == CommitRecord("q", 1, {IN: 5}, {"m": [1]})
        assert log.append("Ü/t", 0, numbered(1, 3)) == 3
        log.commit("q", [], {IN: 6})
        found = log.committed("q")
        assert found is not None and (found.sequence, found.metadata) == (2, {"m": [1]})


def test_topic_names_become_safe_names_of_directories(data: Path) -> None:
    with DiskLog(data) as log:
        for name in ("a b", "../up", "A", "Ü", "100%"):
            log.create_topic(name, TopicConfig())
    found = sorted(path.name for path in (data / "topics").iterdir())
    assert found == sorted(["a%20b", "%2E.%2Fup", "A", "%C3%9C", "100%25"])


def test_a_segment_is_closed_when_it_is_full_and_read_across(data: Path) -> None:
    config = TopicConfig(segment_bytes=2000, segment_ms=None)
    with DiskLog(data) as log:
        log.create_topic("t", config)
        for first in range(0, 40, 2):
            log.append("t", 0, numbered(2, first))
        assert len(segments(data)) > 3
        assert all(path.stat().st_size <= 2000 for path in segments(data))
        expected = rows(log, "t", step=1000)
        assert [row[2] for row in expected] == [b"v%d" % n for n in range(40)]
    for lost in ([], segments(data)[:1], segments(data)[-1:], segments(data)):
        for path in lost:
            path.with_suffix(".index").unlink(missing_ok=True)
        with DiskLog(data) as log:
            assert rows(log, "t", step=1000) == rows(log, "t", step=3) == expected
            assert rows(log, "t", offset=17) == expected[17:]
            assert [log.offset_for_time("t", 0, time) for time in (0, 13, 39, 40)] == [0, 13, 39, 40]
            assert log.recovery_notes == []


def test_a_segment_is_closed_when_records_come_much_later(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(segment_ms=100))
        for time in (0, 99, 100, 150, 200, 50):
            log.append("t", 0, timed([time]))
        log.create_topic("wide", TopicConfig(segment_ms=100))
        for _ in range(5):
            log.append("wide", 0, timed([0, 1000]))
    assert [int(path.stem) for path in segments(data)] == [0, 2, 4]
    assert len(segments(data, "wide")) == 1


def test_a_transaction_never_spans_segments(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(segment_bytes=1000, segment_ms=None))
        log.append("t", 0, numbered(1))
        log.commit("q", [("t", 0, numbered(1, n)) for n in range(1, 6)])
        log.append("t", 0, numbered(1, 6))
        assert [int(path.stem) for path in segments(data)] == [0, 1, 6]
        assert values(log, "t") == [f"v{n}" for n in range(7)]


def test_batches_that_were_read_outlive_the_log_and_the_topic(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.append("t", 0, batch(*("x" * 1000 for _ in range(500))))
        kept = log.read("t", 0, 0, 500)
        log.delete_topic("t")
    shutil.rmtree(data)
    assert kept[0].column("value").to_pylist() == [b"x" * 1000] * 500


def test_reading_keeps_no_files_open_and_writing_only_so_many(data: Path) -> None:
    with DiskLog(data, flush="never", open_files=4) as log:
        before = len(os.listdir("/proc/self/fd"))
        log.create_topic("t", TopicConfig(partitions=30))
        for turn in range(2):
            for part in range(30):
                log.append("t", part, batch("x" * 400_000, at=turn))
        kept = [log.read("t", part, 0, 10) for part in range(30)]
        assert len(os.listdir("/proc/self/fd")) <= before + 4
        assert {got.num_rows for found in kept for got in found} == {1}


# -- the directory


def test_frames_of_a_topic_are_nothing_to_another_of_its_name(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.append("t", 0, numbered(3))
        old = segments(data)[0].read_bytes()
        log.delete_topic("t")
        log.create_topic("t", TopicConfig())
        log.append("t", 0, numbered(1))
        log.append("t", 0, batch(None, at=1))
        (data / "old").write_bytes(old)
    path = segments(data)[0]
    shutil.copy(data / "old", path)
    path.with_suffix(".index").unlink(missing_ok=True)
    with DiskLog(data) as log:
        # It was closed properly, so that it is known how many there were.
        with pytest.raises(DataError, match="from offset 0 on are damaged"):
            rows(log, "t")
        assert any("from offset 0 to 2 are damaged" in note for note in log.recovery_notes)


def test_a_value_that_holds_a_log_is_not_taken_for_one(data: Path) -> None:
    # A torn frame whose value is a good segment file of another partition, at the right alignment.
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(partitions=2))
        for first in range(3):
            log.append("t", 1, numbered(1, first))
        segment = segments(data, partition=1)[0].read_bytes()
        for shift in range(8):
            log.append("t", 0, batch("a"))
            end = segments(data)[0].stat().st_size
            big = batch("b").set_column(1, "value", [b"#" * shift + segment])
            log.append("t", 0, big)
            copy = data.with_name(f"copy{shift}")
            shutil.copytree(data, copy)
            os.truncate(segments(copy)[0], segments(copy)[0].stat().st_size - 8)
            with DiskLog(copy) as found:
                assert segments(copy)[0].stat().st_size == end
                assert found.end_offset("t", 0) == 2 * shift + 1


def test_partitions_cannot_be_taken_away_even_on_disk(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(partitions=1))
        log.alter_topic("t", TopicConfig(partitions=3))
        log.append("t", 2, numbered(1))
    with DiskLog(data) as log:
        assert values(log, "t", 2) == ["v0"]
        with pytest.raises(PlanError):
            log.alter_topic("t", TopicConfig(partitions=2))


# -- the file of commits


def test_the_file_of_commits_is_replaced_when_it_has_grown(data: Path) -> None:
    with DiskLog(data, flush="never") as log:
        log.create_topic("t", TopicConfig())
        said = {"text": "x" * 100_000}
        sizes = []
        for turn in range(60):
            log.commit("q", [("t", 0, numbered(1, turn))], {IN: turn}, said)
            sizes.append((data / "commits.log").stat().st_size)
        assert max(sizes) < 4.5 * 1024 * 1024
        assert sizes[-1] < max(sizes)
        log.commit("other", [], {IN: 1})
    with DiskLog(data) as log:
        assert log.committed("q") == CommitRecord("q", 60, {IN: 59}, said)
        assert log.end_offset("t", 0) == 60


def test_records_of_a_forgotten_writer_stay_through_reopening(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.commit("q", [("t", 0, batch("a"))], {IN: 1})
        log.forget("q")
    for lost in (False, True):
        if lost:
            segments(data)[0].with_suffix(".index").unlink()
        with DiskLog(data) as log:
            assert (values(log, "t"), log.committed("q")) == (["a"], None)


def test_an_index_is_saved_now_and_then(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "_SAVE_INDEX_FRAMES", 10)
    log = DiskLog(data)
    log.create_topic("t", TopicConfig())
    for turn in range(35):
        log.append("t", 0, numbered(1, turn))
    copy = data.with_name("copy")
    shutil.copytree(data, copy)
    log.close()
    assert segments(copy)[0].with_suffix(".index").exists()
    with DiskLog(copy) as found:
        assert values(found, "t") == [f"v{n}" for n in range(35)]


@pytest.mark.parametrize(("flush", "begins"), [("always", True), ("never", False)])
def test_the_disk_begins_with_large_frames_of_a_commit_before_all_are_written(
    data: Path, monkeypatch: pytest.MonkeyPatch, flush: Flush, begins: bool
) -> None:
    begun: list[tuple[int, int]] = []
    begin_sync = segment.begin_sync

    def noted(handle: int, start: int, end: int) -> None:
        begin_sync(handle, start, end)
        begun.append((start, end))

    monkeypatch.setattr(segment, "begin_sync", noted)
    large = "x" * partition._LARGE_FRAME_BYTES
    with DiskLog(data, flush=flush) as log:
        log.create_topic("t", TopicConfig())
        log.commit("w", [("t", 0, batch(large)), ("t", 0, batch("small")), ("t", 0, batch(large))])
    (file,) = segments(data)
    if begins:
        (_, first_end), (second, second_end) = begun
        assert first_end < second < second_end == file.stat().st_size
    else:
        assert not begun
    with DiskLog(data) as log:
        assert values(log, "t") == [large, "small", large]

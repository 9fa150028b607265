"""What the log on disk does besides: files, segments, locks, a disk that fails."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from log_samples import batch, numbered, rows, timed, values

from streamsql.engine.failpoints import armed
from streamsql.engine.log import partition
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.files import write_json
from streamsql.engine.log.log import CommitRecord, TopicConfig, TopicPartition
from streamsql.errors import DataError, ExternalError, PlanError

IN = TopicPartition("in", 0)


def segments(data: Path, topic: str = "t", partition: int = 0) -> list[Path]:
    return sorted((data / "topics" / topic / str(partition)).glob("*.log"))


def failing(code: int, at: int = 1) -> Callable[[], None]:
    """Fails the `at`th time with this errno, and never again."""
    passes = iter(range(1, 1000))

    def action() -> None:
        if next(passes) == at:
            raise OSError(code, os.strerror(code))

    return action


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


def test_a_second_owner_is_told_who_the_first_is(data: Path) -> None:
    with DiskLog(data) as log:
        log.tell({"address": "http://localhost:8088"})
        with pytest.raises(ExternalError) as found:
            DiskLog(data)
        assert found.value.code == "LOG-LOCKED"
        assert f"in use by process {os.getpid()} on " in found.value.message
        assert "http://localhost:8088" in found.value.message
        script = f"from streamsql.engine.log.disk import DiskLog\nDiskLog({str(data)!r})"
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "LOG-LOCKED" in other.stderr
    with DiskLog(data):
        pass


@pytest.mark.parametrize(
    ("spoil", "error", "code"),
    [
        pytest.param(lambda d: (d / "version.json").unlink(), DataError, "LOG-CORRUPT", id="version missing"),
        pytest.param(lambda d: (d / "commits.log").unlink(), DataError, "LOG-CORRUPT", id="commits missing"),
    ],
)
def test_a_directory_that_lacks_something_is_refused_and_let_go(
    data: Path, spoil: Callable[[Path], object], error: type[Exception], code: str
) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.append("t", 0, numbered(1))
    spoil(data)
    for _ in range(2):  # the second time would say LOG-LOCKED if the first kept the lock
        with pytest.raises(error) as found:
            DiskLog(data)
        assert found.value.code == code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spoil", "topic", "said"),
    [
        pytest.param(
            lambda d: (d / "topics/t/topic.json").unlink(), "t", "topic.json is missing", id="no settings"
        ),
        pytest.param(
            lambda d: shutil.rmtree(d / "topics/t/0"), "t", "partition 0 is missing", id="no partition"
        ),
        pytest.param(
            lambda d: (d / "topics/t").rename(d / "topics/u"), "u", "belong to topic t", id="another name"
        ),
        pytest.param(
            lambda d: write_json(d / "topics/t/0/start.json", {"offset": "x"}),
            "t",
            "names no offset",
            id="start",
        ),
    ],
)
def test_a_topic_that_lacks_something_is_closed_until_it_is_mended_or_given_up(
    data: Path, spoil: Callable[[Path], object], topic: str, said: str
) -> None:
    with DiskLog(data) as log:
        for name in ("t", "whole"):
            log.create_topic(name, TopicConfig())
        log.commit("q", [(name, 0, numbered(1)) for name in ("t", "whole")])
    shutil.copytree(data / "topics", data / "copy")
    spoil(data)
    with DiskLog(data) as log:
        assert [len(log.topics()), len(rows(log, "whole"))] == [2, 1]
        problem = log.topic_problem(topic)
        assert problem is not None
        assert said in problem.message
        assert any(said in note for note in log.recovery_notes)
        for use in (
            lambda: log.topic_config(topic),
            lambda: log.read(topic, 0, 0, 1),
            lambda: log.append(topic, 0, numbered(1)),
            lambda: log.commit("q", [("whole", 0, numbered(1)), (topic, 0, numbered(1))]),
        ):
            with pytest.raises(DataError) as found:
                use()
            assert found.value.code == "LOG-CORRUPT"
        assert len(rows(log, "whole")) == 1
    shutil.rmtree(data / "topics")
    shutil.copytree(data / "copy", data / "topics")
    with DiskLog(data) as log:
        assert (log.recovery_notes, [len(rows(log, name)) for name in ("t", "whole")]) == ([], [1, 1])
    spoil(data)
    with DiskLog(data) as log:
        log.delete_topic(topic)
        log.create_topic(topic, TopicConfig())
        assert rows(log, topic) == []


def test_a_format_from_the_future_is_refused(data: Path) -> None:
    DiskLog(data).close()
    path = data / "version.json"
    said = json.loads(path.read_text())
    write_json(path, {"format": said["format"] + 1})
    with pytest.raises(ExternalError, match="has format 2; this version of streamsql reads 1") as found:
        DiskLog(data)
    assert found.value.code == "LOG-NEWER-FORMAT"


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExternalError, match="cannot make the data directory"):
        DiskLog(tmp_path / "file")


def test_what_a_crash_left_of_making_or_deleting_a_topic_is_removed(data: Path) -> None:
    DiskLog(data).close()
    for name in (".making-1", ".gone-2"):
        (data / "topics" / name / "0").mkdir(parents=True)
    with DiskLog(data) as log:
        assert log.topics() == []
    assert list((data / "topics").iterdir()) == []


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


# -- a disk that fails


@pytest.mark.parametrize("point", ["file.write", "file.sync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failed_append_leaves_the_partition_as_it_was(data: Path, point: str, code: int) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.append("t", 0, numbered(2))
        size = segments(data)[0].stat().st_size
        with armed(point, failing(code)), pytest.raises(ExternalError) as found:
            log.append("t", 0, numbered(5, 2))
        assert found.value.code == {errno.ENOSPC: "LOG-DISK-FULL", errno.EIO: "LOG-DISK-FAILED"}[code]
        assert found.value.hint
        assert (segments(data)[0].stat().st_size, log.end_offset("t", 0)) == (size, 2)
        assert log.append("t", 0, numbered(2, 2)) == 2
        assert values(log, "t") == ["v0", "v1", "v2", "v3"]
    with DiskLog(data) as log:
        assert (values(log, "t"), log.recovery_notes) == (["v0", "v1", "v2", "v3"], [])


@pytest.mark.parametrize("point", ["file.write", "file.sync"])
@pytest.mark.parametrize("at", range(1, 4))
def test_a_failed_commit_leaves_everything_as_it_was(data: Path, point: str, at: int) -> None:
    # Three writes and three syncs a commit: two partitions, then the record.
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(partitions=2))
        log.commit("q", [("t", part, numbered(1)) for part in (0, 1)], {IN: 1})
        with armed(point, failing(errno.ENOSPC, at)), pytest.raises(ExternalError) as found:
            log.commit("q", [("t", part, batch("no")) for part in (0, 1)], {IN: 2})
        assert found.value.code == "LOG-DISK-FULL"
        state = log.committed("q")
        assert state is not None and state.offsets == {IN: 1}
        assert [values(log, "t", part) for part in (0, 1)] == [["v0"], ["v0"]]
        log.append("t", 0, batch("a"))
        log.commit("q", [("t", part, batch("yes")) for part in (0, 1)], {IN: 3})
        expected = [["v0", "a", "yes"], ["v0", "yes"]]
        assert [values(log, "t", part) for part in (0, 1)] == expected
    with DiskLog(data) as log:
        assert [values(log, "t", part) for part in (0, 1)] == expected
        assert log.recovery_notes == []


def test_a_commit_nobody_can_be_sure_of_stops_all_writing_until_the_next_open(data: Path) -> None:
    def broken() -> None:
        raise OSError(errno.EIO, "broken")

    def from_now_on() -> None:
        hooks.enter_context(armed("file.sync", broken))

    log = DiskLog(data)
    log.create_topic("t", TopicConfig())
    log.commit("q", [("t", 0, batch("a"))], {IN: 1})
    with ExitStack() as hooks:
        with armed("commit.before_record_sync", from_now_on), pytest.raises(ExternalError) as found:
            log.commit("q", [("t", 0, batch("b"))], {IN: 2})
        assert found.value.code == "LOG-IN-DOUBT"
    for write in (lambda: log.append("t", 0, batch("c")), lambda: log.commit("q", [], {IN: 3})):
        with pytest.raises(ExternalError, match="whether the last commit was kept is not known"):
            write()
    assert values(log, "t") == ["a"]
    log.close()
    with DiskLog(data) as log:
        state = log.committed("q")
        assert state is not None
        assert (state.offsets[IN], values(log, "t")) in [(1, ["a"]), (2, ["a", "b"])]
        log.append("t", 0, batch("d"))


LIMITED = """
import resource, sys
sys.path.insert(0, {tests!r})
from log_samples import batch, values
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig
from streamsql.errors import ExternalError
import os
log = DiskLog({data!r})
log.create_topic("t", TopicConfig(partitions=40))
log.append("t", 0, batch("first"))
soft, hard = resource.getrlimit(resource.{limit})
resource.setrlimit(resource.{limit}, ({value}, hard))
failed = []
for part in range(40):
    try:
        log.append("t", part, batch("x" * {size}))
    except ExternalError as error:
        failed.append(error.code)
resource.setrlimit(resource.{limit}, (soft, hard))
print(sorted(set(failed)), values(log, "t")[:1])
"""


@pytest.mark.parametrize(
    ("limit", "value", "size", "codes"),
    [
        # The file may grow to half of the frame: the write stops in the middle.
        pytest.param("RLIMIT_FSIZE", "60_000", 100_000, ["LOG-DISK-FULL"], id="file size"),
        pytest.param("RLIMIT_NOFILE", "20", 10, [], id="few open files"),
        pytest.param("RLIMIT_NOFILE", "3", 10, ["LOG-TOO-MANY-FILES"], id="no open files"),
    ],
)
def test_limits_of_the_system_are_named_and_survived(
    data: Path, limit: str, value: str, size: int, codes: list[str]
) -> None:
    tests = str(Path(__file__).parent)
    script = LIMITED.format(tests=tests, data=str(data), limit=limit, value=value, size=size)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (f"{codes} ['first']", "")
    with DiskLog(data) as log:
        assert values(log, "t")[0] == "first"
        assert log.recovery_notes == []
        log.append("t", 0, batch("later"))


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

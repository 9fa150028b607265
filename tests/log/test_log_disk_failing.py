"""A disk that fails or is full, and limits of the system: what was there before stays, and writing goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from log_samples import batch, numbered, segments, values

from streamsql.engine.failpoints import armed
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition
from streamsql.errors import ExternalError

IN = TopicPartition("in", 0)


def failing(code: int, at: int = 1) -> Callable[[], None]:
    """Fails the `at`th time with this errno, and never again."""
    passes = iter(range(1, 1000))

    def action() -> None:
        if next(passes) == at:
            raise OSError(code, os.strerror(code))

    return action


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
from log_samples import batch, numbered, segments, values
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig
from streamsql.errors import ExternalError
import os
from collections.abc import Callable
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

"""Opening a directory: one owner, what it lacks, formats of the future, what a crash left of topics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from log_samples import numbered, rows

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.files import write_json
from streamsql.engine.log.log import TopicConfig
from streamsql.errors import DataError, ExternalError


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

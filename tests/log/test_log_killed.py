"""A process that dies in the midst of appends and commits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from log_samples import batch, values

from streamsql.engine.failpoints import arm_from
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicPartition

IN = TopicPartition("in", 0)

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from log_samples import batch
from streamsql.engine.failpoints import arm_from
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition
log = DiskLog({data!r})
log.create_topic("t", TopicConfig(partitions=2))
arm_from({point!r})
for turn in range(1, 6):
    log.append("t", 0, batch(f"a{{turn}}"))
    print("a", turn, flush=True)
    pair = [("t", part, batch(f"c{{turn}}", f"c{{turn}}")) for part in (1, 0)]
    log.commit("q", pair, {{TopicPartition("in", 0): turn}}, {{"turn": turn}})
    print("c", turn, flush=True)
"""

POINTS = [
    "commit.before_write=kill:3",
    "commit.before_write=kill:4",
    "commit.before_sync=kill:2",
    "commit.before_record=kill:2",
    "commit.before_record_sync=kill:2",
    "commit.after_record=kill:2",
    "commit.before_listeners=kill:2",
    "file.write=kill:6",
    "file.sync=kill:6",
    "file.sync=kill:8",
]


@pytest.fixture
def data(unsynced_data: Path) -> Path:
    return unsynced_data


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_leaves_whole_commits_and_all_that_was_acknowledged(data: Path, point: str) -> None:
    script = CHILD.format(tests=str(Path(__file__).parent), data=str(data), point=point)
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    said = child.stdout.split("\n")
    acknowledged = {kind: max([0, *(int(s[2:]) for s in said if s.startswith(kind))]) for kind in "ac"}
    with DiskLog(data) as log:
        state = log.committed("q")
        turn = state.offsets[IN] if state else 0
        assert turn in (acknowledged["c"], acknowledged["c"] + 1)
        assert (state.metadata if state else {}) == ({"turn": turn} if turn else {})
        assert values(log, "t", 1) == [f"c{n}" for n in range(1, turn + 1) for _ in (1, 2)]
        both = values(log, "t", 0)
        assert [value for value in both if value and value[0] == "c"] == values(log, "t", 1)
        appended = [value for value in both if value and value[0] == "a"]
        assert appended == [f"a{n}" for n in range(1, len(appended) + 1)]
        assert len(appended) in (acknowledged["a"], acknowledged["a"] + 1)
        log.commit("q", [("t", 1, batch("after"))], {IN: turn + 1})
        assert values(log, "t", 1)[-1] == "after"


def test_fail_points_are_read_from_text() -> None:
    with pytest.raises(ValueError, match="'a=explode' is not name=kill"):
        arm_from("a=explode")

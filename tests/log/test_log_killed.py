"""A process that dies in the midst of appends and commits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from killed import killed_at
from log_samples import batch, values

from streamsql.engine.failpoints import arm_from
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition

IN = TopicPartition("in", 0)

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


def work(data: str, told: int, arm: Callable[[], None]) -> None:
    """Appends to one partition and commits to two, five times; for a process that is to be killed."""
    log = DiskLog(data)
    log.create_topic("t", TopicConfig(partitions=2))
    arm()
    for turn in range(1, 6):
        log.append("t", 0, batch(f"a{turn}"))
        os.write(told, f"a{turn} ".encode())
        log.commit(
            "q", [("t", part, batch(f"c{turn}", f"c{turn}")) for part in (1, 0)], {IN: turn}, {"turn": turn}
        )
        os.write(told, f"c{turn} ".encode())


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """Per fail point the directory, and what was acknowledged: a1, c1, .."""
    return killed_at(POINTS, "test_log_killed", tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_leaves_whole_commits_and_all_that_was_acknowledged(
    killed: dict[str, tuple[Path, list[str]]], point: str
) -> None:
    data, said = killed[point]
    acknowledged = {kind: max([0, *(int(s[1:]) for s in said if s.startswith(kind))]) for kind in "ac"}
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

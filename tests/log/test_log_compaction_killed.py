"""Compaction and retention in a process that is killed between any two of their steps: nothing changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from compacted_topic import TINY, upserts
from killed import killed_at
from log_samples import rows

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig

POINTS = [
    *(f"compact.{step}=kill" for step in ("before_write", "before_sync", "before_swap", "after_swap")),
    "compact.before_remove=kill:1",
    "compact.before_remove=kill:2",
    "compact.after_remove=kill",
    "compact.before_write=kill:2",
    "compact.before_swap=kill:2",
    "compact.before_remove=kill:5",
    *(f"retention.{step}=kill" for step in ("before_start", "before_remove", "after_remove")),
    "retention.before_remove=kill:2",
    *(f"roll.{step}=kill:3" for step in ("before_sync", "before_index", "before_segment", "after_segment")),
]


def work(data: str, told: int, arm: Callable[[], None]) -> None:
    """Appends to a compacted topic, and maintenance now and then; for a process that is to be killed."""
    arm()
    log = DiskLog(data)
    log.create_topic("t", TINY)
    log.create_topic("old", TopicConfig(retention_ms=5, segment_bytes=1))
    for turn in range(12):
        log.append("t", 0, upserts((f"k{turn % 3}", str(turn)), at=turn))
        log.append("old", 0, upserts(("k", str(turn)), at=turn))
        os.write(told, f"{turn} ".encode())
        if turn % 5 == 4:
            log.maintain(turn)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """Per fail point the directory, and the turns acknowledged."""
    return killed_at(POINTS, "test_log_compaction_killed", tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_between_any_two_steps_loses_nothing_that_counts(
    killed: dict[str, tuple[Path, list[str]]], point: str
) -> None:
    data, turns = killed[point]
    reached = max([-1, *map(int, turns)])
    with DiskLog(data) as log:
        assert log.recovery_notes == []
        found = rows(log, "t")
        assert len(found) and found[-1][0] in (reached, reached + 1)
        for place, key, value, time in found:
            assert (key, value, time) == (f"k{place % 3}".encode(), str(place).encode(), place)
        # The last record of each key is there.
        assert {row[0] for row in found} >= set(range(max(0, reached - 2), reached + 1))
        old = [row[0] for row in rows(log, "old")]
        assert old == list(range(log.start_offset("old", 0), log.end_offset("old", 0)))
        assert log.start_offset("old", 0) <= max(0, reached - 5)
        assert not list(data.rglob("*.tmp"))
        log.maintain(20)
        assert log.append("t", 0, upserts(("new", "1"))) == log.end_offset("t", 0) - 1
    with DiskLog(data) as log:
        assert log.recovery_notes == []
        assert rows(log, "t")[-1][1:3] == (b"new", b"1")

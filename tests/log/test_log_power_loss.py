"""Loss of power: what the disk was not told to keep is partly gone, in any order of its pages.

What was acknowledged is there; a commit is there with all it wrote, or nothing of it.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from log_samples import batch, values

from streamsql.engine.failpoints import armed
from streamsql.engine.log.check import check
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Stamp, TopicConfig, TopicPartition

IN = TopicPartition("in", 0)


@pytest.fixture
def data(unsynced_data: Path) -> Path:
    return unsynced_data


@dataclass
class Disk:
    """What each file is sure to hold: what it had at its last sync. Names are durable at once."""

    root: Path
    synced: dict[int, int]

    def image(self, target: Path, chance: random.Random) -> None:
        """A copy in which what was not synced is partly lost."""
        shutil.copytree(self.root, target)
        for file in sorted(self.root.rglob("*.log")):
            copy = target / file.relative_to(self.root)
            size = file.stat().st_size
            safe = min(size, self.synced.get(file.stat().st_ino, 0))
            kept = bytearray(copy.read_bytes())
            match chance.randrange(4):
                case 0:
                    del kept[safe:]
                case 1:
                    del kept[chance.randint(safe, size) :]
                case 2:
                    kept[safe:] = bytes(size - safe)
                case _ if size > safe:
                    # Pages reach the disk in any order.
                    hole = chance.randint(safe, size - 1)
                    kept[hole : hole + 64] = bytes(len(kept[hole : hole + 64]))
            copy.write_bytes(kept)


@pytest.fixture
def disk(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    watched = Disk(data, {})

    def remember(handle: int) -> None:
        status = os.fstat(handle)
        watched.synced[status.st_ino] = status.st_size

    monkeypatch.setattr(os, "fdatasync", remember)
    yield watched


@pytest.mark.parametrize("seed", range(8))
def test_a_machine_that_loses_power_keeps_what_was_acknowledged(data: Path, disk: Disk, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged = {"a": 0, "c": 0}
    images = 0
    is_looking = False

    def crash() -> None:
        nonlocal images, is_looking
        # Opening an image passes through fail points itself.
        if is_looking or chance.random() < 0.7:
            return
        is_looking = True
        images += 1
        image = data.with_name(f"image{images}")
        disk.image(image, chance)
        check_image(image, acknowledged["a"], acknowledged["c"], is_named=me is not None)
        shutil.rmtree(image)
        is_looking = False

    log = DiskLog(data)
    log.create_topic("t", TopicConfig(partitions=2, segment_bytes=1500, segment_ms=None))
    me = log.open_producer("me") if seed % 2 else None
    points = ["before_write", "before_sync", "before_record", "before_record_sync", "after_record"]
    with ExitStack() as hooks:
        for point in [*(f"commit.{name}" for name in points), "file.sync", "file.write"]:
            hooks.enter_context(armed(point, crash))
        for turn in range(1, 16):
            log.append("t", 0, batch(f"a{turn}"), stamp=Stamp(me, turn) if me else None)
            acknowledged["a"] = turn
            crash()
            log.commit("q", [("t", part, batch(f"c{turn}")) for part in (0, 1)], {IN: turn})
            acknowledged["c"] = turn
            crash()
    log.close()
    assert images > 10


def check_image(image: Path, appended: int, committed: int, *, is_named: bool) -> None:
    assert check(image).damage == []
    with DiskLog(image) as log:
        state = log.committed("q")
        turn = state.offsets[IN] if state else 0
        assert turn in (committed, committed + 1)
        assert values(log, "t", 1) == [f"c{n}" for n in range(1, turn + 1)]
        both = values(log, "t", 0)
        commits = [value for value in both if value and value[0] == "c"]
        appends = [value for value in both if value and value[0] == "a"]
        assert commits == values(log, "t", 1)
        assert appends in ([f"a{n}" for n in range(1, count + 1)] for count in (appended, appended + 1))
        if is_named:
            # A producer that sends all of it again, and one more, finds it stored once.
            me = log.open_producer("me")
            assert log.last_sequence("t", 0, me) == len(appends)
            for n in range(1, appended + 3):
                log.append("t", 0, batch(f"a{n}"), stamp=Stamp(me, n))
            appends = [value for value in values(log, "t", 0) if value and value[0] == "a"]
            assert appends == [f"a{n}" for n in range(1, appended + 3)]


@pytest.mark.parametrize(("flush", "is_promised"), [("never", False), ("always", True)])
def test_a_hole_is_damage_where_something_was_promised(data: Path, flush: str, is_promised: bool) -> None:
    """Else opening cuts off what never counted, however much of what came after it is there."""
    image = data.with_name("image")
    with DiskLog(data, flush=flush) as log:  # type: ignore[arg-type]
        log.create_topic("t", TopicConfig())
        ends = []
        for name in ("a", "b", "c"):
            log.append("t", 0, batch(name))
            ends.append(data.joinpath("topics/t/0/00000000000000000000.log").stat().st_size)
        shutil.copytree(data, image)
    file = image / "topics/t/0/00000000000000000000.log"
    holed = bytearray(file.read_bytes())
    holed[ends[0] + 100 : ends[1]] = bytes(ends[1] - ends[0] - 100)
    file.write_bytes(holed)
    (finding,) = check(image).findings
    assert (finding.is_damage, finding.position) == (is_promised, ends[0])
    assert finding.offsets == ((1, 2) if is_promised else None)
    with DiskLog(image) as found:
        assert found.end_offset("t", 0) == (3 if is_promised else 1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("flush", ["interval", "never"])
def test_without_waiting_for_the_disk_a_crash_takes_the_last_commits_but_never_half_of_one(
    data: Path, seed: int, flush: str, disk: Disk
) -> None:
    chance = random.Random(seed)
    log = DiskLog(data, flush=flush, flush_interval_ms=1_000_000)  # type: ignore[arg-type]
    log.create_topic("t", TopicConfig(partitions=2))
    for turn in range(1, 11):
        log.append("t", 0, batch(f"a{turn}"))
        log.commit("q", [("t", part, batch(f"c{turn}")) for part in (0, 1)], {IN: turn})
        image = data.with_name(f"image{turn}")
        disk.image(image, chance)
        assert check(image).damage == [], "nothing that was promised is gone"
        with DiskLog(image) as found:
            state = found.committed("q")
            reached = state.offsets[IN] if state else 0
            assert reached <= turn
            assert values(found, "t", 1) == [f"c{n}" for n in range(1, reached + 1)]
            both = [value for value in values(found, "t", 0) if value and value[0] == "c"]
            assert both == values(found, "t", 1)
        shutil.rmtree(image)
    log.close()

"""Campaigns: many lives of one directory, and the judgement."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from streamsql.engine.failpoints import POINTS
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicPartition
from tests.crash.compare import contents, differences
from tests.crash.life import BROKEN, Life, acknowledged, live

_LIFE_LIMIT_S = 600

# Each life is a fresh process, forked from a server that has everything imported.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.crash.life"])


class Broken(Exception):
    """Something was lost, doubled or wrong; says what, and where the directories are."""


@dataclass(slots=True)
class Tally:
    """What a campaign did: lives by how they ended, and kills by fail point ("" at a random moment)."""

    closed: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    records: int = 0

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


def run(
    directory: Path,
    seed: int,
    kills: int,
    *,
    rounds: int = 4,
    report: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Live until `kills` lives have been killed, finish, and compare.

    raises  Broken
    """
    chance = Random(f"{seed}/campaign")
    tally = Tally()
    killed = directory / "killed"
    killed.mkdir(parents=True)
    points: list[str] = []
    while tally.killed < kills:
        points = points or chance.sample(list(POINTS), len(POINTS))
        point = points.pop() if chance.random() < 0.8 else ""
        life = Life(
            str(killed),
            seed,
            tally.killed + tally.closed,
            rounds=rounds,
            fail_points=f"{point}=kill:{_passes(point, chance)}" if point else "",
            batch_rows=chance.choice([1, 3, 7, 50]),
            threads=chance.choice([1, 2, 3]),
        )
        if _end_of(life, None if point else 2 ** chance.uniform(-4, 0.5)):
            tally.kills[point] = tally.kills.get(point, 0) + 1
        else:
            tally.closed += 1
        report(tally)
    ends = _ends(killed)
    _end_of(Life(str(killed), seed, -1, upto=ends), None)
    whole = directory / "whole"
    whole.mkdir()
    _end_of(Life(str(whole), seed, -1, upto=ends, batch_rows=1, is_tidy=False), None)
    found = contents(killed / "data")
    tally.records = sum(map(len, found.records.values()))
    wrong = list(differences(seed, found, contents(whole / "data")))
    if wrong:
        raise Broken(f"seed {seed}, {directory}:\n" + "\n".join(wrong))
    return tally


def _passes(point: str, chance: Random) -> int:
    """At which pass of a fail point to die: some are passed a few times in a life, some hundreds."""
    is_rare = point.startswith(("command", "open", "restore", "retention", "topic"))
    return int(2 ** chance.uniform(0, 2 if is_rare else 7))


def _end_of(life: Life, kill_after_s: float | None) -> bool:
    """Whether the life was killed: by its fail point, or after that many seconds.

    raises  Broken if it ended in another way
    """
    process = _processes.Process(target=live, args=(life,), daemon=True)
    process.start()
    process.join(kill_after_s if kill_after_s is not None else _LIFE_LIMIT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        if kill_after_s is None:
            raise Broken(f"seed {life.seed}, {life.directory}: life {life.number} hung ({life.fail_points})")
    if process.exitcode == -signal.SIGKILL:
        return True
    if process.exitcode != 0:
        said = life.problem.read_text() if process.exitcode == BROKEN else f"exit code {process.exitcode}"
        raise Broken(f"seed {life.seed}, {life.directory}: life {life.number} ({life.fail_points}): {said}")
    return False


def _ends(killed: Path) -> dict[TopicPartition, int]:
    """How much of each input there is: what was acknowledged, and perhaps a little more."""
    ends = dict(acknowledged(Life(str(killed), 0, 0)))
    with DiskLog(killed / "data") as log:
        return {place: log.end_offset(*place) for place in ends}

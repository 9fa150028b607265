"""Every file of a log damaged in every way: the answer is right, or what is wrong is named; `check` finds it,
and a repaired log opens with all the rest."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from log_samples import batch, timed

from streamsql.engine.log.check import Report, check
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Stamp, TopicConfig, TopicPartition
from streamsql.engine.log.repair import repair
from streamsql.errors import DataError, ExternalError

IN = TopicPartition("in", 0)
# Every so many bytes, as each takes opening a log or three; `make check-long` takes every one.
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
STRIDE = 1 if IS_LONG else 61
# Of the damaged logs every so many is repaired, which takes as long as ten others.
REPAIRED = 11 if IS_LONG else 3
Records = dict[TopicPartition, dict[int, tuple[object, object]]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here depends on what a disk has kept."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)


def write_sample(log: DiskLog) -> None:
    """One of everything: segments appended, compacted, and dropped; commits; a producer with a name."""
    log.create_topic("kept", TopicConfig(cleanup="compact", segment_ms=1))
    log.create_topic("old", TopicConfig(segment_ms=1, retention_ms=20))
    for turn in range(4):
        log.append("kept", 0, batch(f"a{turn}", at=10 * turn, key=f"k{turn % 2}"))
    log.maintain(0)
    producer = log.open_producer("p")
    for turn in range(5):
        log.append("old", 0, timed([10 * turn], f"r{turn}-"), stamp=Stamp(producer, turn + 1))
    log.commit("q", [("kept", 0, batch("c", at=50, key="k3")), ("old", 0, timed([50], "c"))], {IN: 1})
    log.maintain(50)
    log.append("kept", 0, batch("z", at=60, key="k4"))
    log.commit("q", [("old", 0, timed([60], "d"))], {IN: 2})


def contents(log: DiskLog) -> Records:
    """All records, by partition and offset; over damage too."""
    found: Records = {}
    for topic in ("kept", "old"):
        mine = found[TopicPartition(topic, 0)] = {}
        if log.topic_problem(topic) is not None:
            continue
        offset, end = log.start_offset(topic, 0), log.end_offset(topic, 0)
        while offset < end:
            try:
                batches = log.read(topic, 0, offset, 100)
            except (DataError, ExternalError):
                offset += 1
                continue
            if not batches:
                break
            for got in batches:
                columns = (got.column(name).to_pylist() for name in ("offset", "key", "value"))
                for place, key, value in zip(*columns, strict=True):
                    assert place >= offset
                    mine[place] = key, value
                    offset = place + 1
    return found


@dataclass
class Sample:
    """A log as a clean stop, or a crash, leaves it."""

    files: dict[str, bytes] = field(default_factory=dict)
    records: Records = field(default_factory=dict)

    def lay_out(self, target: Path, name: str = "", data: bytes | None = None) -> None:
        """Make `target` hold these files and no others, one of them with other bytes, or missing."""
        for directory, _, files in os.walk(target):
            for file in files:
                if file != "lock":
                    os.unlink(f"{directory}/{file}")
        for file, right in self.files.items():
            written = data if file == name else right
            os.makedirs(os.path.dirname(f"{target}/{file}"), exist_ok=True)
            if written is not None:
                with open(f"{target}/{file}", "wb") as made:
                    made.write(written)


@pytest.fixture(scope="module")
def samples(home: Path) -> dict[str, Sample]:
    def taken(path: Path) -> Sample:
        return Sample({
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != "lock"
        })  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(os, "fdatasync", lambda handle: None)
        log = DiskLog(home / "sample")
        write_sample(log)
        made = {"crashed": taken(home / "sample")}
        records = contents(log)
        log.close()
        made["stopped"] = taken(home / "sample")
    for sample in made.values():
        sample.records = records
    return made


def judge(path: Path, sample: Sample) -> tuple[str, Report | None]:
    """Look through and open a log that was tampered with: it must be right, or say what is wrong."""
    try:
        report = check(path)
    except ExternalError as error:
        assert error.code in ("LOG-NEWER-FORMAT", "LOG-NO-DATA")
        return "refused", None
    try:
        log = DiskLog(path)
    except (DataError, ExternalError) as error:
        assert error.hint
        assert report.damage, error
        return "refused", report
    with log:
        found = contents(log)
        state = log.committed("q")
        committed = state.offsets[IN] if state else 0
        for place, mine in found.items():
            right = sample.records[place]
            assert {offset: right.get(offset) for offset in mine} == mine, "a wrong record"
        # Half a commit is never shown.
        if found == sample.records and committed == 2:
            assert (
                not report.damage
                or log.recovery_notes
                or any(log.topic_problem(t) for t in log.topics())
                or (_is_harmless(report))
            ), report.damage
            return "whole", report
        assert log.recovery_notes or report.damage, "something is missing without a word"
        return "named", report


def _is_harmless(report: Report) -> bool:
    """Damage that opening gets over: what is lost is not needed, or is there twice."""
    return all(finding.file.endswith((".index", "producers.json")) for finding in report.damage)


def mended(path: Path, report: Report, sample: Sample) -> None:
    """Repair a log: it opens, nothing is damaged any more, and what is there is right."""
    before: Records = {}
    if not any(finding.file in ("commits.log", "version.json") for finding in report.damage):
        with DiskLog(path) as log:
            before = contents(log)
        report = check(path)
        if not report.damage:
            return
    backup = path.with_name("backup")
    repair(path, report, backup)
    shutil.rmtree(backup)
    left = check(path).damage
    assert all("DROP the topic" in f.says or "topic.json" in f.says for f in left), left
    with DiskLog(path) as log:
        found = contents(log)
        for place, mine in found.items():
            right = sample.records[place]
            assert {offset: right.get(offset) for offset in mine} == mine
            assert before.get(place, {}).keys() <= mine.keys(), "a record that could be read is gone"
        for topic in ("kept", "old"):
            if log.topic_problem(topic) is None:
                offset = log.append(topic, 0, batch("new", at=70, key="n"))
                assert log.read(topic, 0, offset, 1)[0].column("value")[0].as_py() == b"new"


@pytest.mark.parametrize("state", ["crashed", "stopped"])
def test_no_flipped_byte_gives_a_wrong_answer(samples: dict[str, Sample], home: Path, state: str) -> None:
    sample = samples[state]
    chance = random.Random(state)
    outcomes: dict[str, int] = {}
    for name, right in sample.files.items():
        for number, place in enumerate(range(chance.randrange(STRIDE), len(right), STRIDE)):
            wrong = bytearray(right)
            wrong[place] ^= 1 << chance.randrange(8)
            sample.lay_out(home / "victim", name, bytes(wrong))
            try:
                outcome, report = judge(home / "victim", sample)
                if report is not None and report.damage and number % REPAIRED == 0:
                    sample.lay_out(home / "victim", name, bytes(wrong))
                    mended(home / "victim", check(home / "victim"), sample)
            except AssertionError as error:
                raise AssertionError(f"{name}, byte {place}: {error}") from error
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes.keys() == {"whole", "named", "refused"}, outcomes


@pytest.mark.parametrize("state", ["crashed", "stopped"])
def test_no_file_cut_short_or_missing_gives_a_wrong_answer(
    samples: dict[str, Sample], home: Path, state: str
) -> None:
    sample = samples[state]
    chance = random.Random(state)
    for name, right in sample.files.items():
        for number, length in enumerate([None, *range(chance.randrange(STRIDE), len(right), STRIDE)]):
            torn = None if length is None else right[:length]
            sample.lay_out(home / "victim", name, torn)
            try:
                _, report = judge(home / "victim", sample)
                if report is not None and report.damage and number % REPAIRED == 0:
                    sample.lay_out(home / "victim", name, torn)
                    mended(home / "victim", check(home / "victim"), sample)
            except AssertionError as error:
                raise AssertionError(f"{name}, cut at {length}: {error}") from error

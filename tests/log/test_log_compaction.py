"""Compaction: what stays of a topic, what readers see, and that a crash between any two steps changes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from log_samples import rows

from streamsql.engine.failpoints import armed
from streamsql.engine.log import compaction, records
from streamsql.engine.log.compacted import MOST_OFFSETS, CompactedFile
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Log, TopicConfig
from streamsql.engine.log.topic_files import read_topic
from streamsql.errors import DataError

DAY = 24 * 3_600_000
# Every batch that is later than the one before begins a segment.
TINY = TopicConfig(cleanup="compact", segment_ms=1)


def upserts(*pairs: tuple[str | None, str | None], at: int = 0, typed: bool = False) -> pa.RecordBatch:
    """Records (key, value), one ms apart from `at` on; typed: keys and values as format ARROW has them."""
    keys, texts = zip(*pairs, strict=True)
    if typed:
        key = pa.array([None if k is None else {"k": k} for k in keys], pa.struct([("k", pa.string())]))
        value = pa.array([None if v is None else {"v": v} for v in texts], pa.struct([("v", pa.string())]))
    else:
        key = pa.array([None if k is None else k.encode() for k in keys], pa.binary())
        value = pa.array([None if v is None else v.encode() for v in texts], pa.binary())
    times = pa.array(range(at, at + len(pairs)), pa.int64())
    return pa.RecordBatch.from_arrays([key, value, times], names=["key", "value", "timestamp"])


def said(log: Log, offset: int | None = None, step: int = 1000) -> list[str]:
    """All records from an offset on, as "<offset> <key><value>"; a tombstone has a dash for its value."""

    def text(side: Any) -> str:
        if isinstance(side, dict):
            (side,) = side.values()
        return side.decode() if isinstance(side, bytes) else side

    return [
        f"{place} {'' if key is None else text(key)}{'-' if value is None else text(value)}"
        for place, key, value, _ in rows(log, "t", 0, offset, step)
    ]


def names(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "topics" / "t" / "0").glob("*.log"))


@pytest.mark.parametrize("typed", [False, True], ids=["bytes", "typed"])
def test_of_each_key_the_last_record_stays_at_its_offset(data: Path, typed: bool) -> None:
    log = DiskLog(data)
    log.create_topic("t", TINY)
    log.append("t", 0, upserts(("a", "1"), ("b", "1"), ("a", "2"), typed=typed, at=0))
    log.append("t", 0, upserts(("c", "1"), ("b", None), ("a", "3"), typed=typed, at=10))
    log.append("t", 0, upserts((None, "x"), typed=typed, at=20))
    log.append("t", 0, upserts(("b", "2"), typed=typed, at=30))
    before = log.read("t", 0, 0, 2)
    assert log.maintain(0) == []
    # The segment being written is left alone, and not looked at either: the tombstone of b stays.
    kept = ["3 c1", "4 b-", "5 a3", "6 x", "7 b2"]
    assert said(log) == kept
    assert (log.start_offset("t", 0), log.end_offset("t", 0)) == (0, 8)
    assert [got.num_rows for got in before] == [2], "what was read stays valid"
    for offset in range(9):
        for step in (1, 2, 5):
            assert said(log, offset, step) == [line for line in kept if int(line[0]) >= offset]
    assert [log.offset_for_time("t", 0, time) for time in (0, 11, 20, 21, 31)] == [3, 4, 6, 7, 8]
    assert names(data) == [f"{0:020d}-{7:020d}-000001.log", f"{7:020d}.log"]
    assert log.append("t", 0, upserts(("d", "1"), typed=typed, at=40)) == 8
    log.close()
    for file in data.rglob("*.index"):
        file.unlink()
    with DiskLog(data) as again:
        assert (again.recovery_notes, said(again)) == ([], [*kept, "8 d1"])


def test_tombstones_stay_for_a_while_after_they_first_came_through(data: Path) -> None:
    config = TopicConfig(cleanup="compact", segment_ms=1, delete_retention_ms=DAY)
    with DiskLog(data) as log:
        log.create_topic("t", config)
        for turn, pair in enumerate([("a", "1"), ("a", None), ("b", "1"), ("c", "1")]):
            log.append("t", 0, upserts(pair, at=turn))
        log.maintain(DAY)
        assert said(log) == ["1 a-", "2 b1", "3 c1"]
        log.append("t", 0, upserts(("d", None), at=10))
        log.append("t", 0, upserts(("e", "1"), at=11))
        log.maintain(2 * DAY - 1)
        assert said(log) == ["1 a-", "2 b1", "3 c1", "4 d-", "5 e1"]
        log.append("t", 0, upserts(("f", "1"), at=12))
        log.append("t", 0, upserts(("g", "1"), at=13))
        log.append("t", 0, upserts(("h", "1"), at=14))
        log.maintain(2 * DAY)
        # a went as its day is over, that of d has just begun.
        assert said(log) == ["2 b1", "3 c1", "4 d-", "5 e1", "6 f1", "7 g1", "8 h1"]


def test_a_record_with_neither_key_nor_value_is_no_tombstone(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(cleanup="compact", segment_ms=1, delete_retention_ms=0))
        for turn in range(4):
            log.append("t", 0, upserts((None, None), ("a", None), at=10 * turn))
            log.maintain(DAY * turn)
        assert said(log) == ["0 -", "2 -", "4 -", "5 a-", "6 -", "7 a-"]


def test_the_last_record_of_all_stays_so_that_the_end_comes_after_a_record(data: Path) -> None:
    config = TopicConfig(cleanup="compact,delete", segment_ms=1, delete_retention_ms=0)
    with DiskLog(data) as log:
        log.create_topic("t", config)
        log.append("t", 0, upserts(("a", "1")))
        log.append("t", 0, upserts(("a", None), at=5))
        log.append("t", 0, upserts(("b", "1"), at=10))
        log.maintain(0)
        log.append("t", 0, upserts(("b", None), at=15))
        log.append("t", 0, upserts(("c", "1"), at=20))
        for _ in range(3):
            log.maintain(DAY)
        assert said(log) == ["3 b-", "4 c1"]
        assert rows(log, "t", 0, 0, 1) == rows(log, "t", 0, 0, 100)


def test_little_is_copied_twice(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(cleanup="compact", segment_bytes=4096))
        for turn in range(200):
            log.append("t", 0, upserts(*((f"k{turn % 50}-{n}", str(turn)) for n in range(10))))
            if turn % 3 == 0:
                log.maintain(0)
        # 50 x 10 keys: what is closed holds each once, and at most as much again that is new.
        assert len(said(log)) <= 2 * 500 + 200
        assert len(names(data)) < 20
        latest = {line.split()[1].split("-")[0] for line in said(log)}
        assert len(latest) == 50


def test_damage_in_a_closed_segment_stops_its_compaction_and_nothing_else(data: Path) -> None:
    with DiskLog(data) as log:
        for topic in ("t", "u"):
            log.create_topic(topic, TINY)
            for turn in range(4):
                log.append(topic, 0, upserts(("a", "1"), at=turn))
    file = data / "topics" / "t" / "0" / f"{1:020d}.log"
    wrong = bytearray(file.read_bytes())
    wrong[-20] ^= 1
    file.write_bytes(wrong)
    with DiskLog(data) as log:
        (problem,) = log.maintain(0)
        assert isinstance(problem, DataError)
        assert problem.code == "LOG-CORRUPT"
        assert len(names(data)) == 4
        assert [place for place, *_ in rows(log, "u")] == [2, 3]


def test_a_disk_that_is_full_leaves_the_log_as_it_was(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TINY)
        for n in range(4):
            log.append("t", 0, upserts(("a", str(n)), at=n))

        def full() -> None:
            raise OSError(28, "No space left on device")

        for point in ("compact.before_write", "compact.before_sync", "compact.before_swap", "file.write"):
            with armed(point, full):
                (problem,) = log.maintain(0)
            assert problem.code == "LOG-DISK-FULL", point
            assert said(log) == ["0 a0", "1 a1", "2 a2", "3 a3"]
            assert not list(data.rglob("*.tmp"))
        log.maintain(0)
        assert said(log) == ["2 a2", "3 a3"]


def test_a_topic_that_is_deleted_meanwhile_is_no_problem(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TINY)
        for n in range(4):
            log.append("t", 0, upserts(("a", str(n)), at=n))
        with armed("compact.before_sync", lambda: log.delete_topic("t")):
            assert log.maintain(0) == []
        assert log.topics() == []


def test_readers_and_writers_go_on_while_a_topic_is_compacted(data: Path) -> None:
    """A reader that follows sees the last record of every key, and offsets only rise."""
    log = DiskLog(data, flush="never")
    log.create_topic("t", TopicConfig(cleanup="compact", segment_bytes=3000))
    done = threading.Event()
    failures: list[BaseException] = []
    views: list[dict[bytes, int]] = [{}, {}]

    def write() -> None:
        for turn in range(100):
            log.append("t", 0, upserts(*((f"k{n}", str(turn)) for n in range(5))))
        done.set()

    def read(seen: dict[bytes, int]) -> None:
        try:
            offset = 0
            while True:
                finished = done.is_set()
                for got in log.read("t", 0, offset, 40):
                    for place, key, value in zip(
                        *(got.column(c).to_pylist() for c in ("offset", "key", "value")), strict=True
                    ):
                        assert place >= offset
                        offset = place + 1
                        assert int(value) >= seen.get(key, -1)
                        seen[key] = int(value)
                if finished and offset == log.end_offset("t", 0):
                    return
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=write),
        *(threading.Thread(target=read, args=[view]) for view in views),
    ]
    for thread in threads:
        thread.start()
    while not done.is_set():
        assert log.maintain(0) == []
    for thread in threads:
        thread.join()
    assert failures == []
    assert views == [{f"k{n}".encode(): 99 for n in range(5)}] * 2
    log.close()


def test_stretches_of_which_nothing_is_left_are_stepped_over(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TINY)
        log.append("t", 0, upserts(("a", "1")))
        log.append("t", 0, upserts(("b", "1"), at=5))
    directory = data / "topics" / "t" / "0"
    seed = read_topic(data / "topics" / "t").seed(0)
    writer = CompactedFile(directory / f"{0:020d}-{2:020d}-000001.log", 0, seed)
    # More offsets than a frame can cover, so that there are several empty ones in a row.
    end = 5 * MOST_OFFSETS
    writer.add(records.with_offsets(upserts(("z", "9")), 1), 0)
    writer.finish(end)
    writer.close()
    (directory / f"{0:020d}-{2:020d}-000001.log").rename(directory / f"{0:020d}-{end:020d}-000001.log")
    with DiskLog(data) as log:
        assert log.end_offset("t", 0) == end
        assert said(log) == ["1 z9"]
        assert log.read("t", 0, 2, 10) == []
        assert log.append("t", 0, upserts(("new", "1"))) == end
        assert said(log, 2) == [f"{end} new1"]


# -- crashes

# One process imports everything and makes a child for each fail point: importing takes longer than all of them.
PARENT = """
import os, sys
sys.path.insert(0, {tests!r})
from streamsql.engine.failpoints import arm_from
from test_log_compaction import POINTS, work
os.fsync = os.fdatasync = lambda handle: None  # a killed process loses nothing that it wrote
for number, point in enumerate(POINTS):
    said, wrote = os.pipe()
    child = os.fork()
    if not child:
        arm_from(point)
        work(f"{data}/{{number}}", wrote)
        os._exit(0)
    os.close(wrote)
    _, status = os.waitpid(child, 0)
    with open(said) as turns:
        print(point, os.waitstatus_to_exitcode(status), *turns.read().split(), flush=True)
"""
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


def work(data: str, told: int) -> None:
    """Appends to a compacted topic, and maintenance now and then; for a process that is to be killed."""
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
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[int]]]:
    """Directories by number of the fail point; per fail point the exit status and the turns acknowledged."""
    data = tmp_path_factory.mktemp("killed")
    script = PARENT.format(tests=str(Path(__file__).parent), data=data)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return data, {point: [int(number) for number in numbers] for point, *numbers in lines}


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_between_any_two_steps_loses_nothing_that_counts(
    killed: tuple[Path, dict[str, list[int]]], point: str
) -> None:
    status, *turns = killed[1][point]
    assert status == -signal.SIGKILL
    data = killed[0] / str(POINTS.index(point))
    reached = max([-1, *turns])
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


# -- anything in any order


class CompactedAgainstModel(RuleBasedStateMachine):
    """A compacted topic with small segments, and every record that was ever appended to it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.log = DiskLog(self.home, flush="never")
        self.records: list[tuple[str | None, str | None, int]] = []
        self.now = 1000

    @initialize(segment_bytes=st.sampled_from([1, 1500, 4000]), typed=st.booleans())
    def begin(self, segment_bytes: int, typed: bool) -> None:
        self.typed = typed
        self.log.create_topic(
            "t", TopicConfig(cleanup="compact", segment_bytes=segment_bytes, delete_retention_ms=50)
        )

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.home)

    @rule(
        pairs=st.lists(
            st.tuples(st.sampled_from(["a", "b", "c", None]), st.booleans()), min_size=1, max_size=4
        )
    )
    def append(self, pairs: list[tuple[str | None, bool]]) -> None:
        new = [(key, None if gone else str(len(self.records) + n)) for n, (key, gone) in enumerate(pairs)]
        assert self.log.append("t", 0, upserts(*new, at=self.now, typed=self.typed)) == len(self.records)
        self.records += [(key, value, self.now + n) for n, (key, value) in enumerate(new)]
        self.now += 10

    @rule(later=st.integers(0, 60))
    def maintain(self, later: int) -> None:
        self.now += later
        assert self.log.maintain(self.now) == []

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = DiskLog(self.home, flush="never")
        assert self.log.recovery_notes == []

    @rule(offset=st.integers(0, 40), step=st.integers(1, 5))
    def read(self, offset: int, step: int) -> None:
        offset = min(offset, len(self.records))
        assert rows(self.log, "t", 0, offset, step) == [
            row for row in rows(self.log, "t") if row[0] >= offset
        ]

    @rule(time=st.integers(900, 2000))
    def look_up_time(self, time: int) -> None:
        reached = [row[0] for row in rows(self.log, "t") if row[3] >= time]
        expected = reached[0] if reached else len(self.records)
        assert self.log.offset_for_time("t", 0, time) == expected

    @invariant()
    def what_is_there_was_written_and_what_counts_is_there(self) -> None:
        assert self.log.topics() == [] or self.log.end_offset("t", 0) == len(self.records)
        if not self.records:
            return
        found = {}
        for place, key, value, time in rows(self.log, "t"):
            if self.typed:
                key, value = (next(iter(s.values())) if s is not None else None for s in (key, value))  # type: ignore[attr-defined]
            else:
                key, value = (None if s is None else s.decode() for s in (key, value))  # type: ignore[misc]
            found[place] = (key, value, time)
            assert found[place] == self.records[place]
        last = {key: place for place, (key, _, _) in enumerate(self.records)}
        for place, (key, value, _) in enumerate(self.records):
            counts = key is None or (last[key] == place and value is not None)
            assert not counts or place in found
        assert max(found) == len(self.records) - 1


TestCompactedAgainstModel = CompactedAgainstModel.TestCase
TestCompactedAgainstModel.settings = settings(
    max_examples=max(40, settings.default.max_examples // 5), stateful_step_count=25, deadline=None
)


@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", None])), min_size=1, max_size=4
        ),
        min_size=1,
        max_size=12,
    ),
    segment_bytes=st.sampled_from([1, 700, 1 << 20]),
)
@settings(max_examples=max(30, settings.default.max_examples // 5), deadline=None)
def test_pass_by_pass_every_key_keeps_its_last_record(
    batches: list[list[tuple[str, str | None]]], segment_bytes: int
) -> None:
    """A pass that takes a part of a backlog says nothing of the records after it.

    What was compacted before may lie in several segments, which are looked at in groups.
    """
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder,
        pytest.MonkeyPatch.context() as patched,
        DiskLog(Path(folder) / "data", flush="never") as log,
    ):
        patched.setattr(compaction, "_PASS_BYTES", 1)
        log.create_topic("t", replace(TINY, segment_bytes=segment_bytes))
        written: list[str] = []
        for number, batch in enumerate(batches):
            written += [f"{len(written) + i} {key}{value or '-'}" for i, (key, value) in enumerate(batch)]
            log.append("t", 0, upserts(*batch, at=10 * number))
            if number % 3 == 2:
                assert not log.maintain(DAY)
        assert not log.maintain(DAY)
        found = said(log)
        assert set(found) <= set(written)
        assert {line.split()[1][0]: line for line in found} == {line.split()[1][0]: line for line in written}
        compacted = [
            line.split()[1][0] for line in found if int(line.split()[0]) < log.compacted_offset("t", 0)
        ]
        assert len(compacted) == len(set(compacted)), "of all that was compacted, each key once"

"""Crashes: torn files, flipped bytes, processes killed. Machines that lose power: `test_log_power_loss.py`.

What was acknowledged is there, or its loss is named; what is there is what was written; a commit is there
with all it wrote, or nothing of it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from log_samples import batch, numbered, rows, timed, values

from streamsql.engine.failpoints import arm_from
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition
from streamsql.errors import ConflictError, DataError, ExternalError

IN = TopicPartition("in", 0)


@pytest.fixture
def data(unsynced_data: Path) -> Path:
    return unsynced_data


def write_sample(log: DiskLog) -> None:
    """Appends and two commits over two partitions, the last frame of each of another kind."""
    log.create_topic("t", TopicConfig(partitions=2))
    log.append("t", 0, numbered(2))
    log.commit("q", [("t", 0, batch("c1", "c1")), ("t", 1, batch("c1"))], {IN: 1})
    log.append("t", 0, numbered(1, 2))
    log.commit("q", [("t", 1, batch("c2"))], {IN: 2})


def samples(data: Path) -> dict[str, Path]:
    """The sample as it is after a clean stop, and as a crash leaves it."""
    log = DiskLog(data / "stopped")
    write_sample(log)
    shutil.copytree(data / "stopped", data / "crashed")
    log.close()
    return {"crashed": data / "crashed", "stopped": data / "stopped"}


EXPECTED = [["v0", "v1", "c1", "c1", "v2"], ["c1", "c2"]]


def survey(log: DiskLog) -> tuple[list[list[str | None]], list[DataError]]:
    """What can be read of both partitions, over damage too, and the errors on the way."""
    found: list[list[str | None]] = []
    errors: list[DataError] = []
    for part in (0, 1):
        mine: dict[int, bytes | None] = {}
        offset, end = log.start_offset("t", part), log.end_offset("t", part)
        while offset < end:
            try:
                for got in log.read("t", part, offset, end):
                    for place, value in zip(
                        *map(_list, (got.column("offset"), got.column("value"))), strict=True
                    ):
                        assert place == offset
                        mine[offset] = value
                        offset += 1
            except DataError as error:
                assert error.code == "LOG-CORRUPT"
                assert f"topic t partition {part}" in error.message
                errors.append(error)
                offset += 1
        expected = EXPECTED[part]
        for place, value in mine.items():
            assert value == (expected[place] or "").encode(), "a wrong record"
        found.append([expected[place] for place in mine])
    return found, errors


def _list(column: pa.Array[Any]) -> list[Any]:
    return column.to_pylist()


def check_survivor(path: Path) -> str:
    """Open a log that was tampered with; it must be right, or say what is wrong."""
    try:
        log = DiskLog(path)
    except (DataError, ExternalError) as error:
        assert error.message and error.hint
        return "refused"
    with log:
        if "t" not in log.topics():
            raise AssertionError("a topic is gone without a word")
        problem = log.topic_problem("t")
        if problem is not None:
            assert problem.message in "".join(log.recovery_notes)
            return "refused"
        found, errors = survey(log)
        state = log.committed("q")
        committed = state.offsets[IN] if state else 0
        if found == EXPECTED and committed == 2:
            outcome = "whole"
        else:
            assert log.recovery_notes or errors, "something is missing without a word"
            outcome = "named"
        # No commit shows that is not on record; none on record is missing without an error.
        assert ("c2" in found[1]) <= (committed == 2)
        if not errors:
            assert ("c2" in found[1]) == (committed == 2)
            assert found[0].count("c1") == 2 * (committed >= 1)
            assert found[1].count("c1") == (committed >= 1)
        # It can be used on.
        if outcome == "named":
            part = len(found[0]) % 2
            offset = log.append("t", part, batch("new"))
            assert rows(log, "t", part, offset)[0][2] == b"new"
        return outcome


def files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != "lock")


def lay_out(target: Path, contents: dict[str, bytes]) -> None:
    """Make a directory hold these files and no others; its folders stay."""
    for file in files(target):
        file.unlink()
    for name, data in contents.items():
        (target / name).write_bytes(data)


@pytest.mark.parametrize(
    ("state", "stride", "expected"),
    [
        pytest.param("crashed", 2, {"named", "refused", "whole"}, id="after a crash"),
        # Its index files, and the closing record, can be lost without harm.
        pytest.param("stopped", 5, {"named", "refused", "whole"}, id="after a clean stop"),
    ],
)
def test_no_flipped_byte_gives_a_wrong_answer(
    data: Path, state: str, stride: int, expected: set[str]
) -> None:
    original = samples(data)[state]
    contents = {str(file.relative_to(original)): file.read_bytes() for file in files(original)}
    chance = random.Random(state)
    outcomes = set()
    victim = data / "victim"
    shutil.copytree(original, victim)
    # Every so many bytes, as each takes opening a log; test_log_frame.py flips every bit of a segment.
    for name, right in contents.items():
        for place in range(0, len(right), stride):
            wrong = bytearray(right)
            wrong[place] ^= 1 << chance.randrange(8)
            lay_out(victim, {**contents, name: bytes(wrong)})
            outcome = check_survivor(victim)
            outcomes.add(outcome)
            assert outcome != "whole" or name.endswith((".index", "commits.log", "-copy.json")), (name, place)
    assert outcomes == expected


def test_after_a_clean_stop_a_flip_never_cuts_records_off(data: Path) -> None:
    original = samples(data)["stopped"]
    for part in (0, 1):
        file = original / "topics" / "t" / str(part) / f"{0:020d}.log"
        size = file.stat().st_size
        for place in range(0, size, 11):
            copy = data / "copy"
            shutil.copytree(original, copy)
            with open(copy / file.relative_to(original), "r+b") as opened:
                opened.seek(place)
                byte = opened.read(1)[0]
                opened.seek(place)
                opened.write(bytes([byte ^ 0x10]))
            with DiskLog(copy) as log:
                assert [log.end_offset("t", p) for p in (0, 1)] == [5, 2]
                found, errors = survey(log)
                assert found[1 - part] == EXPECTED[1 - part]
                assert errors
                assert log.append("t", part, batch("x")) == len(EXPECTED[part])
            # The same file, the same answer, the next time.
            with DiskLog(copy) as log:
                again, errors_again = survey_but_last(log, part)
                assert (again, [e.code for e in errors_again]) == (found[part], [e.code for e in errors])
            shutil.rmtree(copy)


def survey_but_last(log: DiskLog, part: int) -> tuple[list[str | None], list[DataError]]:
    found: list[str | None] = []
    errors = []
    for offset in range(len(EXPECTED[part])):
        try:
            (got,) = log.read("t", part, offset, 1)
            found.append(got.column("value")[0].as_py().decode())
        except DataError as error:
            errors.append(error)
    return found, errors


@pytest.mark.parametrize("tail", ["short", "zeros", "noise"])
def test_a_segment_torn_at_any_length_is_cut_at_its_last_good_frame(data: Path, tail: str) -> None:
    log = DiskLog(data / "sample")
    log.create_topic("t", TopicConfig(partitions=2))
    file = data / "sample" / "topics" / "t" / "0" / f"{0:020d}.log"
    ends = []
    for first in (0, 2, 4):
        log.append("t", 0, numbered(2, first))
        ends.append(file.stat().st_size)
    shutil.copytree(data / "sample", data / "crashed")
    log.close()
    whole = (data / "crashed" / file.relative_to(data / "sample")).read_bytes()
    noise = random.Random(1).randbytes(len(whole))
    # The last append is in flight: what came before was acknowledged, and is called settled by it.
    # Less the last eight bytes: they are zeros, so that a tail of zeros can make the frame whole.
    for length in range(ends[1], ends[2] - 8, 1 if tail == "short" else 3):
        copy = data / "copy"
        shutil.copytree(data / "crashed", copy)
        torn = whole[:length]
        if tail == "zeros":
            torn += bytes(len(whole) - length)
        elif tail == "noise":
            torn += noise[length:]
        path = copy / file.relative_to(data / "sample")
        path.write_bytes(torn)
        with DiskLog(copy) as found:
            assert values(found, "t") == ["v0", "v1", "v2", "v3"], length
            assert bool(found.recovery_notes) == (len(torn) > ends[1])
            if found.recovery_notes:
                assert f"topic t partition 0: cut off {len(torn) - ends[1]} bytes" in found.recovery_notes[0]
            assert path.stat().st_size == ends[1]
            assert found.append("t", 0, numbered(2, 4)) == 4
        with DiskLog(copy) as found:
            assert (values(found, "t"), found.recovery_notes) == ([f"v{n}" for n in range(6)], [])
        shutil.rmtree(copy)


@pytest.mark.parametrize("cut", ["all", "all but the schema"])
def test_a_segment_that_lost_its_only_append_is_not_taken_for_a_new_one(data: Path, cut: str) -> None:
    log = DiskLog(data / "sample")
    log.create_topic("t", TopicConfig(segment_bytes=1))
    for turn in range(2):
        log.append("t", 0, numbered(1, turn))
    shutil.copytree(data / "sample", data / "crashed")
    log.close()
    last = max((data / "crashed" / "topics" / "t" / "0").glob("*.log"))
    frames = last.read_bytes()
    last.write_bytes(frames[: 0 if cut == "all" else frames.index(b"sQLf", 1)])
    with DiskLog(data / "crashed") as found:
        (note,) = found.recovery_notes
        assert ("if acknowledged, they are lost" if cut == "all" else "cut off") in note
        assert str(last) in note
        assert values(found, "t") == ["v0"]
        assert found.append("t", 0, numbered(1, 1)) == 1
    with DiskLog(data / "crashed") as found:
        assert (found.recovery_notes, values(found, "t")) == ([], ["v0", "v1"])


def test_a_segment_that_was_just_begun_is_empty_without_a_word(data: Path) -> None:
    log = DiskLog(data / "sample")
    log.create_topic("t", TopicConfig(retention_ms=10))
    log.append("t", 0, timed([0]))
    log.maintain(now_ms := 100)
    assert [file.stat().st_size for file in (data / "sample").rglob("*.log") if file.parent.name == "0"] == [
        0
    ]
    with pytest.raises(ConflictError):
        log.append("t", 0, timed([now_ms]), expected_offset=7)
    shutil.copytree(data / "sample", data / "crashed")
    log.close()
    for state in ("crashed", "sample"):
        with DiskLog(data / state) as found:
            assert (found.recovery_notes, found.end_offset("t", 0)) == ([], 1)


def test_the_file_of_commits_torn_at_any_length_loses_the_last_commit_as_a_whole(data: Path) -> None:
    log = DiskLog(data / "sample")
    log.create_topic("t", TopicConfig(partitions=2))
    log.commit("q", [("t", part, batch("c1")) for part in (0, 1)], {IN: 1})
    before = (data / "sample" / "commits.log").stat().st_size
    log.commit("q", [("t", part, batch("c2")) for part in (0, 1)], {IN: 2})
    shutil.copytree(data / "sample", data / "crashed")
    log.close()
    whole = (data / "crashed" / "commits.log").read_bytes()
    for length in range(before, len(whole)):
        copy = data / "copy"
        shutil.copytree(data / "crashed", copy)
        (copy / "commits.log").write_bytes(whole[:length])
        with DiskLog(copy) as found:
            state = found.committed("q")
            assert state is not None and state.offsets == {IN: 1}
            assert [values(found, "t", part) for part in (0, 1)] == [["c1"], ["c1"]]
            assert (
                sum("cut off 1 records of an unfinished commit" in note for note in found.recovery_notes) == 2
            )
        shutil.rmtree(copy)


def test_a_lost_commit_that_later_records_build_on_is_not_cut_off(data: Path) -> None:
    log = DiskLog(data / "sample")
    log.create_topic("t", TopicConfig())
    before = (data / "sample" / "commits.log").stat().st_size
    log.commit("q", [("t", 0, batch("c"))], {IN: 1})
    log.append("t", 0, batch("acknowledged"))
    shutil.copytree(data / "sample", data / "crashed")
    log.close()
    os.truncate(data / "crashed" / "commits.log", before)
    with pytest.raises(DataError, match="records of a commit, from offset 0 on, that the file of commits"):
        DiskLog(data / "crashed")


def test_damage_in_the_middle_is_reported_with_its_place_and_what_is_around_it_is_read(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        ends = []
        for first in range(0, 10, 2):
            log.append("t", 0, batch(*(f"v{n}" * 10_000 for n in (first, first + 1)), at=first))
            ends.append((data / "topics" / "t" / "0" / f"{0:020d}.log").stat().st_size)
    file = data / "topics" / "t" / "0" / f"{0:020d}.log"
    changed = bytearray(file.read_bytes())
    changed[ends[1] + 5000] ^= 1
    file.write_bytes(changed)
    for index_lost in (False, True):
        if index_lost:
            file.with_suffix(".index").unlink()
        with DiskLog(data) as log:
            assert [got.num_rows for got in log.read("t", 0, 1, 100)] == [1, 2]
            with pytest.raises(DataError) as found:
                log.read("t", 0, 4, 100)
            assert found.value.code == "LOG-CORRUPT"
            assert "topic t partition 0: the records from offset 4 on" in found.value.message
            assert f"{file}, near byte {ends[1]}" in found.value.message
            assert sum(got.num_rows for got in log.read("t", 0, 6, 100)) == 4
            with pytest.raises(DataError):
                log.offset_for_time("t", 0, 5)
            assert log.offset_for_time("t", 0, 6) == 6


def test_a_segment_that_lost_its_end_or_is_missing_is_damage_too(data: Path) -> None:
    config = TopicConfig(segment_bytes=1500, segment_ms=None)
    with DiskLog(data / "a") as log:
        log.create_topic("t", config)
        for first in range(12):
            log.append("t", 0, numbered(1, first))
    segments = sorted((data / "a" / "topics" / "t" / "0").glob("*.log"))
    assert len(segments) >= 3
    lost, after = int(segments[1].stem), int(segments[2].stem)
    shutil.copytree(data / "a", data / "b")
    segments[1].unlink()
    short = data / "b" / segments[1].relative_to(data / "a")
    os.truncate(short, short.stat().st_size - 16)
    for path, first_lost in ((data / "a", lost), (data / "b", after - 1)):
        with DiskLog(path) as log:
            with pytest.raises(DataError, match=f"from offset {first_lost} on are damaged"):
                log.read("t", 0, first_lost, 100)
            assert [got.num_rows for got in log.read("t", 0, 0, 100)] == [int(segments[1].stem)] * (
                first_lost == lost
            ) + [lost, after - 1 - lost] * (first_lost != lost)
            assert rows(log, "t", 0, after)[0][2] == b"v%d" % after
            assert log.append("t", 0, numbered(1, 12)) == 12


def test_a_lost_end_that_is_known_to_have_been_there_is_not_given_out_again(data: Path) -> None:
    # After a clean stop the file loses its last frame: the offset stays taken.
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.append("t", 0, numbered(1))
        size = (data / "topics" / "t" / "0" / f"{0:020d}.log").stat().st_size
        log.append("t", 0, numbered(1, 1))
    os.truncate(data / "topics" / "t" / "0" / f"{0:020d}.log", size)
    for turn in range(3):
        with DiskLog(data) as log:
            assert log.append("t", 0, batch(f"n{turn}")) == 2 + turn
            with pytest.raises(DataError):
                log.read("t", 0, 1, 1)
            assert [row[2] for row in rows(log, "t", 0, 2)] == [b"n%d" % n for n in range(turn + 1)]


# -- a process that dies

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

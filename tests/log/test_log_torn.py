"""Files that a crash has torn, cut short or lost. Machines that lose power: `test_log_power_loss.py`.

What was acknowledged is there, or its loss is named; what is there is what was written; a commit is there
with all it wrote, or nothing of it.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from log_samples import batch, numbered, rows, segments, timed, values

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition
from streamsql.errors import ConflictError, DataError

IN = TopicPartition("in", 0)


@pytest.fixture
def data(unsynced_data: Path) -> Path:
    return unsynced_data


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
    last = segments(data / "crashed")[-1]
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
    files = segments(data / "a")
    assert len(files) >= 3
    lost, after = int(files[1].stem), int(files[2].stem)
    shutil.copytree(data / "a", data / "b")
    files[1].unlink()
    short = data / "b" / files[1].relative_to(data / "a")
    os.truncate(short, short.stat().st_size - 16)
    for path, first_lost in ((data / "a", lost), (data / "b", after - 1)):
        with DiskLog(path) as log:
            with pytest.raises(DataError, match=f"from offset {first_lost} on are damaged"):
                log.read("t", 0, first_lost, 100)
            assert [got.num_rows for got in log.read("t", 0, 0, 100)] == [int(files[1].stem)] * (
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

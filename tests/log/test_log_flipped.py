"""Flipped bytes: no answer is wrong, and what is missing is named."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from log_samples import batch, numbered, rows

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig, TopicPartition
from streamsql.errors import DataError, ExternalError

IN = TopicPartition("in", 0)
# Each byte takes opening a log; test_log_frame.py flips every bit of a segment.
STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 7


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
        pytest.param("crashed", STRIDE, {"named", "refused", "whole"}, id="after a crash"),
        # Its index files, and the closing record, can be lost without harm.
        pytest.param("stopped", 2 * STRIDE, {"named", "refused", "whole"}, id="after a clean stop"),
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
        for place in range(0, size, 3 * STRIDE):
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

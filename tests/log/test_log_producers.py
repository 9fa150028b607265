"""Producers with a name, and appends that say where they expect the end: whoever comes twice is stored once."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from log_samples import batch, numbered, values

from streamsql.engine.failpoints import armed
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Log, Stamp, TopicConfig
from streamsql.errors import ConflictError, DataError, ExternalError

SMALL = TopicConfig(segment_bytes=1500, segment_ms=None)


# -- expected offsets


def test_an_append_at_the_end_that_was_expected_is_taken(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    assert log.append("t", 0, batch("a", "b"), expected_offset=0) == 0
    assert log.append("t", 0, batch("c"), expected_offset=2) == 2
    assert values(log, "t") == ["a", "b", "c"]


@pytest.mark.parametrize("expected", [0, 1, 3, 100])
def test_an_append_at_another_place_is_refused_and_told_the_end(log: Log, expected: int) -> None:
    log.create_topic("t", TopicConfig())
    log.append("t", 0, batch("a", "b"))
    with pytest.raises(ConflictError) as found:
        log.append("t", 0, batch("c"), expected_offset=expected)
    assert found.value.code == "LOG-OFFSET-CONFLICT"
    assert found.value.message == (
        f"topic t partition 0 ends at offset 2, not at {expected} as expected: nothing was appended"
    )
    assert values(log, "t") == ["a", "b"]


def test_of_threads_that_expect_the_same_end_one_wins(log: Log) -> None:
    log.create_topic("t", TopicConfig())

    def count_up(_: int) -> None:
        """Twenty times: read the end, append there, and again from the start if somebody was first."""
        won = 0
        while won < 20:
            end = log.end_offset("t", 0)
            try:
                log.append("t", 0, batch(f"{end}"), expected_offset=end)
                won += 1
            except ConflictError:
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(4)))
    assert values(log, "t") == [str(n) for n in range(80)]


# -- producers with a name


def test_a_batch_that_is_sent_again_is_stored_once_and_gets_its_offset(log: Log) -> None:
    log.create_topic("t", TopicConfig(partitions=2))
    me = log.open_producer("me")
    assert log.append("t", 0, numbered(2), stamp=Stamp(me, 1)) == 0
    assert log.append("t", 0, batch("x"), stamp=Stamp(me, 2)) == 2
    assert log.append("t", 0, batch("other")) == 3
    assert log.append("t", 0, batch("x"), stamp=Stamp(me, 2)) == 2
    assert log.append("t", 0, numbered(2), stamp=Stamp(me, 1)) == 0
    assert log.append("t", 1, batch("x"), stamp=Stamp(me, 2)) == 0
    assert [values(log, "t", part) for part in (0, 1)] == [["v0", "v1", "x", "other"], ["x"]]
    assert [log.last_sequence("t", part, me) for part in (0, 1)] == [2, 2]


def test_sequences_may_have_gaps_and_old_ones_are_known_without_their_place(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    me = log.open_producer("me")
    for sequence in (3, 7, 8, 20, 21, 22, 30):
        log.append("t", 0, batch(str(sequence)), stamp=Stamp(me, sequence))
    assert log.append("t", 0, batch("30"), stamp=Stamp(me, 30)) == 6
    assert log.append("t", 0, batch("3"), stamp=Stamp(me, 3)) == -1
    assert log.append("t", 0, batch("5"), stamp=Stamp(me, 5)) == -1
    assert log.end_offset("t", 0) == 7


def test_a_retry_is_no_conflict(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    me = log.open_producer("me")
    for _ in range(2):
        assert log.append("t", 0, batch("a"), expected_offset=0, stamp=Stamp(me, 1)) == 0
    with pytest.raises(ConflictError, match="ends at offset 1"):
        log.append("t", 0, batch("b"), expected_offset=0, stamp=Stamp(me, 2))
    assert log.append("t", 0, batch("b"), expected_offset=1, stamp=Stamp(me, 2)) == 1


def test_opening_a_name_again_fences_the_one_before(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    first, other = log.open_producer("me"), log.open_producer("other")
    log.append("t", 0, batch("a"), stamp=Stamp(first, 1))
    second = log.open_producer("me")
    assert (second.number, second.epoch) == (first.number, first.epoch + 1)
    for sequence in (1, 2):
        with pytest.raises(ConflictError) as found:
            log.append("t", 0, batch("late"), stamp=Stamp(first, sequence))
        assert found.value.code == "LOG-PRODUCER-FENCED"
        assert "producer me was opened again since (epoch 2, this one has 1)" in found.value.message
    assert log.last_sequence("t", 0, second) == 1
    log.append("t", 0, batch("b"), stamp=Stamp(second, 2))
    log.append("t", 0, batch("c"), stamp=Stamp(other, 1))
    assert values(log, "t") == ["a", "b", "c"]


def test_while_names_are_taken_over_nothing_of_an_older_owner_comes_after_a_newer_one(log: Log) -> None:
    log.create_topic("t", TopicConfig())

    def work(_: int) -> None:
        for _ in range(5):
            me = log.open_producer("me")
            try:
                for _ in range(5):
                    sequence = log.last_sequence("t", 0, me) + 1
                    log.append("t", 0, batch(f"{me.epoch}"), stamp=Stamp(me, sequence))
            except ConflictError as error:
                assert error.code == "LOG-PRODUCER-FENCED"

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    epochs = [int(value or 0) for value in values(log, "t")]
    assert epochs and epochs == sorted(epochs)


@pytest.mark.parametrize("is_clean", [True, False], ids=["stopped", "crashed"])
@pytest.mark.parametrize("config", [TopicConfig(), SMALL], ids=["one segment", "many segments"])
def test_what_was_stored_is_known_after_a_restart(data: Path, is_clean: bool, config: TopicConfig) -> None:
    log = DiskLog(data)
    log.create_topic("t", config)
    log.append("t", 0, batch("before"))
    first = log.open_producer("me")
    for sequence in range(1, 11):
        log.append("t", 0, batch(f"m{sequence}"), stamp=Stamp(first, sequence))
        log.commit("query", [("t", 0, batch(f"q{sequence}"))])
    expected = values(log, "t")
    if not is_clean:
        shutil.copytree(data, crashed := data.with_name("crashed"))
    log.close()
    with DiskLog(data if is_clean else crashed) as log:
        me = log.open_producer("me")
        assert (me.number, me.epoch) == (first.number, 2)
        assert log.last_sequence("t", 0, me) == 10
        assert log.append("t", 0, batch("m10"), stamp=Stamp(me, 10)) == 19
        assert values(log, "t") == expected
        with pytest.raises(ConflictError):
            log.append("t", 0, batch("late"), stamp=Stamp(first, 11))


def test_what_a_failed_sync_took_back_may_be_sent_again(data: Path) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        me = log.open_producer("me")
        log.append("t", 0, batch("a"), stamp=Stamp(me, 1))
        with armed("file.sync", fail), pytest.raises(ExternalError):
            log.append("t", 0, batch("b"), stamp=Stamp(me, 2))
        assert log.last_sequence("t", 0, me) == 1
        assert log.append("t", 0, batch("b"), stamp=Stamp(me, 2)) == 1
        assert values(log, "t") == ["a", "b"]


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from log_samples import batch
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Stamp, TopicConfig
with DiskLog(sys.argv[1]) as log:
    if not log.has_topic("t"):
        log.create_topic("t", TopicConfig(segment_bytes=3000, segment_ms=None))
    me = log.open_producer("me")
    for sequence in range(1, 61):
        log.append("t", 0, batch(f"m{sequence}"), stamp=Stamp(me, sequence))
"""


def test_killed_and_sent_again_from_the_start_every_batch_is_there_once(data: Path) -> None:
    chance = random.Random(3)
    codes = []
    for kill in (
        f"file.{point}=kill:{chance.randrange(10, 60)}" for point in ("write", "sync", "write", "sync")
    ):
        environment = {**os.environ, "STREAMSQL_FAILPOINTS": kill}
        command = [sys.executable, "-c", CHILD, str(data), str(Path(__file__).parent)]
        codes.append(subprocess.run(command, env=environment).returncode)
    with DiskLog(data) as log:
        me = log.open_producer("me")
        for sequence in range(1, 61):
            log.append("t", 0, batch(f"m{sequence}"), stamp=Stamp(me, sequence))
        assert values(log, "t") == [f"m{sequence}" for sequence in range(1, 61)]
    assert codes.count(-signal.SIGKILL) >= 2


def test_what_is_known_of_producers_outlives_compaction_and_retention(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig(cleanup="compact", segment_bytes=1500, segment_ms=None))
        me = log.open_producer("me")
        for sequence in range(1, 31):
            log.append("t", 0, batch(f"m{sequence}", key=f"k{sequence % 2}"), stamp=Stamp(me, sequence))
        assert log.maintain(10**13) == []
        assert len(values(log, "t")) < 30
    with DiskLog(data) as log:
        me = log.open_producer("me")
        assert log.last_sequence("t", 0, me) == 30
        assert log.append("t", 0, batch("again"), stamp=Stamp(me, 29)) == 28


def test_a_damaged_file_of_producers_stops_them_and_nobody_else(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", TopicConfig())
        log.append("t", 0, batch("a"), stamp=Stamp(log.open_producer("me"), 1))
    (file,) = data.rglob("producers.json")
    good = file.read_bytes()
    file.write_bytes(good.replace(b"end_offset", b"end_offsex"))
    with DiskLog(data) as log:
        me = log.open_producer("me")
        for act in (
            lambda: log.last_sequence("t", 0, me),
            lambda: log.append("t", 0, batch("b"), stamp=Stamp(me, 2)),
        ):
            with pytest.raises(DataError, match=r"producers\.json is damaged") as found:
                act()
            assert "or remove it: then a retry may be stored twice" in (found.value.hint or "")
        log.append("t", 0, batch("b"))
        assert values(log, "t") == ["a", "b"]
    file.write_bytes(good)
    with DiskLog(data) as log:
        assert log.last_sequence("t", 0, log.open_producer("me")) == 1


def test_without_producers_that_have_a_name_nothing_is_kept_of_them(data: Path) -> None:
    with DiskLog(data) as log:
        log.create_topic("t", SMALL)
        for number in range(20):
            log.append("t", 0, numbered(2, number))
        log.commit("query", [("t", 0, batch("q"))])
    assert list(data.rglob("producers.json")) == []

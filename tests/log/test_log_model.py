"""Anything done to a log in any order, against lists in memory."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from log_samples import rows, timed

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import ProducerId, Stamp, TopicConfig, TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.errors import ConflictError
from tests.examples import tried

PARTITIONS = st.integers(0, 1)
TIMES = st.lists(st.integers(0, 30), max_size=5)
PRODUCERS = st.sampled_from(["p1", "p2"])
WRITERS = st.sampled_from(["q1", "q2"])


class LogAgainstModel(RuleBasedStateMachine):
    """Two logs, one in memory and one on disk with small segments, and what they should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.count = 0
        self.records: list[list[tuple[str, int]]] = [[], []]
        self.offsets: dict[str, dict[TopicPartition, int]] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.sequences: dict[tuple[int, str], list[int]] = {}
        self.producers: tuple[dict[str, ProducerId], dict[str, ProducerId]] = ({}, {})

    @initialize(flush=st.sampled_from(["always", "never"]), segment_bytes=st.sampled_from([1, 3000]))
    def begin(self, flush: Any, segment_bytes: int) -> None:
        self.flush = flush
        self.disk = DiskLog(self.home.name, flush=flush)
        self.logs = (self.disk, MemoryLog())
        for log in self.logs:
            log.create_topic("t", TopicConfig(partitions=2, segment_bytes=segment_bytes, segment_ms=25))

    def teardown(self) -> None:
        if hasattr(self, "disk"):
            self.disk.close()
        self.home.cleanup()

    def name(self) -> str:
        self.count += 1
        return f"b{self.count}-"

    @rule(partition=PARTITIONS, times=TIMES)
    def append(self, partition: int, times: list[int]) -> None:
        name = self.name()
        for log in self.logs:
            assert log.append("t", partition, timed(times, name)) == len(self.records[partition])
        self.records[partition] += [(f"{name}{n}", time) for n, time in enumerate(times)]

    @rule(partition=PARTITIONS, times=TIMES, off_by=st.sampled_from([0, 0, -1, 1]))
    def append_as_expected(self, partition: int, times: list[int], off_by: int) -> None:
        name, end = self.name(), len(self.records[partition])
        for log in self.logs:
            try:
                log.append("t", partition, timed(times, name), expected_offset=end + off_by)
            except ConflictError:
                assert off_by and times
            else:
                assert not off_by or not times
        if not off_by:
            self.records[partition] += [(f"{name}{n}", time) for n, time in enumerate(times)]

    @rule(partition=PARTITIONS, producer=PRODUCERS, sequence=st.integers(1, 8), times=TIMES)
    def send(self, partition: int, producer: str, sequence: int, times: list[int]) -> None:
        name, stored = self.name(), self.sequences.setdefault((partition, producer), [])
        is_new = not stored or sequence > stored[-1]
        for place, log in enumerate(self.logs):
            if producer not in self.producers[place]:
                self.producers[place][producer] = log.open_producer(producer)
            me = self.producers[place][producer]
            offset = log.append("t", partition, timed(times, name), stamp=Stamp(me, sequence))
            assert not times or (offset == len(self.records[partition])) == is_new
            if times and is_new:
                assert log.last_sequence("t", partition, me) == sequence
        if times and is_new:
            stored.append(sequence)
            self.records[partition] += [(f"{name}{n}", time) for n, time in enumerate(times)]

    @rule(producer=PRODUCERS)
    def take_over(self, producer: str) -> None:
        for place, log in enumerate(self.logs):
            before = self.producers[place].get(producer)
            self.producers[place][producer] = log.open_producer(producer)
            if before is not None:
                with pytest.raises(ConflictError):
                    log.append("t", 0, timed([0]), stamp=Stamp(before, 1000))

    @rule(
        writer=WRITERS,
        writes=st.lists(st.tuples(PARTITIONS, TIMES), max_size=3),
        offsets=st.none()
        | st.dictionaries(st.builds(TopicPartition, st.just("in"), PARTITIONS), st.integers(0, 9)),
        metadata=st.none() | st.dictionaries(st.text(max_size=2), st.none() | st.integers(0, 9), max_size=2),
    )
    def commit(
        self,
        writer: str,
        writes: list[tuple[int, list[int]]],
        offsets: dict[TopicPartition, int] | None,
        metadata: dict[str, Any] | None,
    ) -> None:
        named = [(partition, times, self.name()) for partition, times in writes]
        appends = [("t", partition, timed(times, name)) for partition, times, name in named]
        expected = {TopicPartition("t", p): len(self.records[p]) for p, times, _ in named if times}
        for log in self.logs:
            assert log.commit(writer, appends, offsets, metadata) == expected
        for partition, times, name in named:
            self.records[partition] += [(f"{name}{n}", time) for n, time in enumerate(times)]
        self.offsets[writer] = {**self.offsets.get(writer, {}), **(offsets or {})}
        self.metadata[writer] = self.metadata.get(writer, {}) if metadata is None else metadata

    @rule(writer=WRITERS)
    def forget(self, writer: str) -> None:
        for log in self.logs:
            log.forget(writer)
        self.offsets.pop(writer, None)
        self.metadata.pop(writer, None)

    @rule()
    def reopen(self) -> None:
        self.disk.close()
        self.disk = DiskLog(self.home.name, flush=self.flush)
        assert self.disk.recovery_notes == []
        self.logs = (self.disk, self.logs[1])

    @rule(partition=PARTITIONS, offset=st.integers(0, 60), step=st.integers(1, 7))
    def read(self, partition: int, offset: int, step: int) -> None:
        expected = self.records[partition]
        offset = min(offset, len(expected))
        for log in self.logs:
            found = rows(log, "t", partition, offset, step)
            assert [(value, time) for _, _, value, time in found] == [
                (value.encode(), time) for value, time in expected[offset:]
            ]

    @rule(partition=PARTITIONS, time=st.integers(0, 31))
    def look_up_time(self, partition: int, time: int) -> None:
        reached = [place for place, (_, t) in enumerate(self.records[partition]) if t >= time]
        expected = reached[0] if reached else len(self.records[partition])
        for log in self.logs:
            assert log.offset_for_time("t", partition, time) == expected

    @invariant()
    def ends_and_commits_agree(self) -> None:
        if not hasattr(self, "logs"):
            return
        for log in self.logs:
            assert [log.end_offset("t", part) for part in (0, 1)] == [len(part) for part in self.records]
            for writer in ("q1", "q2"):
                state = log.committed(writer)
                assert (dict(state.offsets) if state else None) == self.offsets.get(writer)
                assert (state.metadata if state else None) == self.metadata.get(writer)


TestLogAgainstModel = LogAgainstModel.TestCase
TestLogAgainstModel.settings = tried(40, share=5, stateful_step_count=25)

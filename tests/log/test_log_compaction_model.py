"""Compaction in any order of appends, passes and openings, against every record that was ever appended."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from compacted_topic import DAY, TINY, said, upserts
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from log_samples import rows

from streamsql.engine.log import compaction
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig
from tests.examples import tried


class CompactedAgainstModel(RuleBasedStateMachine):
    """A compacted topic with small segments, and every record that was ever appended to it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp()
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
TestCompactedAgainstModel.settings = tried(40, share=5, stateful_step_count=25)


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
@tried(30, share=5)
def test_pass_by_pass_every_key_keeps_its_last_record(
    batches: list[list[tuple[str, str | None]]], segment_bytes: int
) -> None:
    """A pass that takes a part of a backlog says nothing of the records after it.

    What was compacted before may lie in several segments, which are looked at in groups.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
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

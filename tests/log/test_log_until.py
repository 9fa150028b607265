"""A log cut off at given ends: what lies before them is seen, whatever gaps there are, and nothing after."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql.engine.log.log import TopicPartition
from streamsql.engine.log.until import LogUntil

PLACE = TopicPartition("t", 0)


class Offsets:
    """A log of one partition with records at some offsets only, as compaction leaves them."""

    def __init__(self, offsets: list[int], batch_rows: int) -> None:
        self._offsets = offsets
        self._batch_rows = batch_rows

    def read(self, topic: str, partition: int, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        found = [o for o in self._offsets if o >= offset][:max_rows]
        step = self._batch_rows
        parts = [found[i : i + step] for i in range(0, len(found), step)]
        return [pa.record_batch({"offset": pa.array(part, pa.int64())}) for part in parts]

    def start_offset(self, topic: str, partition: int) -> int:
        return 0

    def end_offset(self, topic: str, partition: int) -> int:
        return self._offsets[-1] + 1 if self._offsets else 0

    def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.end_offset(*place) for place in places}


@st.composite
def cut_off(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Offsets with gaps, where reading starts, and an end among them or a little later."""
    steps = draw(st.lists(st.integers(1, 4), min_size=3, max_size=20))
    offsets = list(accumulate(steps))
    end = draw(st.integers(0, offsets[-1] + 2))
    return offsets, draw(st.integers(0, end)), end


@given(case=cut_off(), batch_rows=st.integers(1, 5), max_rows=st.integers(1, 50))
@example(case=([], 0, 3), batch_rows=1, max_rows=1)
@example(case=([1, 2], 3, 2), batch_rows=1, max_rows=1)
def test_reading_stops_at_the_end(case: tuple[list[int], int, int], batch_rows: int, max_rows: int) -> None:
    offsets, start, end = case
    whole = Offsets(offsets, batch_rows)
    log = LogUntil(whole)
    assert log.end_offset(*PLACE) == whole.end_offset(*PLACE)
    with log.until({PLACE: end}):
        assert log.end_offset(*PLACE) == min(end, whole.end_offset(*PLACE))
        assert log.end_offsets([PLACE]) == {PLACE: log.end_offset(*PLACE)}
        seen: list[int] = []
        place = start
        while batches := log.read(*PLACE, place, max_rows):
            part = [offset for batch in batches for offset in batch.column("offset").to_pylist()]
            assert len(part) <= max_rows and all(batch.num_rows for batch in batches)
            seen += part
            place = part[-1] + 1
        assert seen == [offset for offset in offsets if start <= offset < end]
    assert log.end_offset(*PLACE) == whole.end_offset(*PLACE)

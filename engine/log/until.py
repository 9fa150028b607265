"""A log as readers see it: all of it, or as it was when its partitions ended at given offsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from streamsql.engine.log.log import Readable, TopicPartition


class LogUntil:
    """What readers need of a log, cut off at an end that may be moved.

    ends  offset after the last record to be seen, of the partitions that are cut off
    """

    def __init__(self, log: Readable, ends: Mapping[TopicPartition, int] | None = None) -> None:
        self._log = log
        self._ends = ends or {}

    @contextmanager
    def until(self, ends: Mapping[TopicPartition, int]) -> Iterator[None]:
        """Cut the log off at other ends for as long as the context lasts."""
        before, self._ends = self._ends, ends
        try:
            yield
        finally:
            self._ends = before

    def read(self, topic: str, partition: int, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        """As `Log.read`."""
        end = self._ends.get(TopicPartition(topic, partition))
        if end is None:
            return self._log.read(topic, partition, offset, max_rows)
        if offset >= end:
            return []
        batches = self._log.read(topic, partition, offset, min(max_rows, end - offset))
        # Where offsets have gaps, fewer rows than that lie before the end.
        while batches and batches[-1].column("offset")[-1].as_py() >= end:
            last = batches.pop()
            rows = int(np.searchsorted(last.column("offset").to_numpy(), end))
            if rows:
                batches.append(last.slice(0, rows))
        return batches

    def start_offset(self, topic: str, partition: int) -> int:
        """As `Log.start_offset`."""
        return self._log.start_offset(topic, partition)

    def end_offset(self, topic: str, partition: int) -> int:
        """As `Log.end_offset`, and not past the end given."""
        place = TopicPartition(topic, partition)
        end = self._log.end_offset(topic, partition)
        return min(end, self._ends.get(place, end))

    def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """As `Log.end_offsets`, and not past the ends given."""
        ends = self._log.end_offsets(places)
        if not self._ends:
            return ends
        return {place: min(end, self._ends.get(place, end)) for place, end in ends.items()}

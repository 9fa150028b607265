"""One partition in memory: batches in order. What a segment is on disk, a batch is here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.log import records
from streamsql.engine.log.idempotence import ProducerStates
from streamsql.engine.log.keys import are_tombstones, last_offsets
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.retention import horizon

_LEAST_ROWS = 10_000
"""Fewer new rows than this are not worth compacting."""


@dataclass(slots=True)
class Stored:
    """A batch with its offsets, and what is asked of it often.

    base          every record from here on is in this batch or a later one
    latest        largest timestamp, ms
    since_ms      when its tombstones first came through compaction; 0 if it never did
    """

    base: int
    batch: pa.RecordBatch
    latest: int
    since_ms: int = 0


class MemoryPartition:
    """start, end  the smallest offset that can be read, and the one after the last record"""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self.producers = ProducerStates()
        self._trimmed = 0
        self._stored: list[Stored] = []

    def append(self, batch: pa.RecordBatch) -> int:
        """Add a batch and give the offset of its first record."""
        base = self.end
        if batch.num_rows:
            latest = records.time_range(batch)[1]
            self._stored.append(Stored(base, records.with_offsets(batch, base), latest))
            self.end = base + batch.num_rows
        return base

    def read(self, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        """At most so many records from `offset` on."""
        found: list[pa.RecordBatch] = []
        place = max(0, bisect_right(self._stored, offset, key=lambda one: one.base) - 1)
        while max_rows > 0 and place < len(self._stored):
            batch = self._stored[place].batch
            first = int(np.searchsorted(batch.column("offset").to_numpy(), offset))
            batch = batch.slice(first, max_rows)
            if batch.num_rows:
                found.append(batch)
            max_rows -= batch.num_rows
            place += 1
        return found

    def offset_for_time(self, timestamp_ms: int) -> int:
        """Offset of the first record with this timestamp or a later one; else the end."""
        for one in self._stored:
            if one.latest >= timestamp_ms:
                row = int(np.argmax(records.timestamps(one.batch) >= timestamp_ms))
                return int(one.batch.column("offset")[row].as_py())
        return self.end

    def trim(self, offset: int) -> None:
        """As `Log.trim`."""
        self._trimmed = max(self._trimmed, offset)

    def expire(self, config: TopicConfig, now_ms: int) -> None:
        """Drop the first batches as retention says (retention.py)."""
        count = max(0, bisect_right(self._stored, self._trimmed, key=lambda one: one.base) - 1)
        if "delete" in config.cleanup:
            count = max(count, self._too_much(config, now_ms))
        if count:
            del self._stored[:count]
            self.start = self._stored[0].base if self._stored else self.end

    def _too_much(self, config: TopicConfig, now_ms: int) -> int:
        """How many of the first batches are too old, or too many."""
        oldest = horizon(config, now_ms, [one.latest for one in self._stored])
        left = sum(one.batch.nbytes for one in self._stored)
        for count, one in enumerate(self._stored):
            left -= one.batch.nbytes
            is_old = oldest is not None and one.latest < oldest
            is_too_much = config.retention_bytes is not None and left >= config.retention_bytes
            if not is_old and not (is_too_much and one is not self._stored[-1]):
                return count
        return len(self._stored)

    def full_batches(self, config: TopicConfig) -> list[Stored]:
        """The batches but the last one if compacting them is worth it, else nothing."""
        full = self._stored[:-1]
        new = sum(one.batch.num_rows for one in full if not one.since_ms)
        is_due = new >= _LEAST_ROWS and 2 * new >= sum(one.batch.num_rows for one in full)
        return full if is_due and "compact" in config.cleanup else []

    def compacted(self, full: Sequence[Stored], config: TopicConfig, now_ms: int) -> list[Stored]:
        """What stays of some batches: the last record of each key (compaction.py). Needs no lock."""
        kept = last_offsets([one.batch for one in full])
        groups: list[Stored] = []
        for one in full:
            offsets = one.batch.column("offset").to_numpy()
            stays = kept[np.searchsorted(kept, offsets)] == offsets
            if one.since_ms and one.since_ms <= now_ms - config.delete_retention_ms:
                stays &= ~are_tombstones(one.batch) | (offsets == kept[-1])
            if stays.any():
                batch = one.batch.filter(pa.array(stays))
                since_ms = one.since_ms or max(1, now_ms)
                groups.append(Stored(one.base, batch, records.time_range(batch)[1], since_ms))
        return _joined(groups)

    def replace(self, count: int, stored: Sequence[Stored]) -> None:
        """Put batches in the place of the first `count`."""
        self._stored[:count] = stored


def _joined(groups: Sequence[Stored]) -> list[Stored]:
    """Neighbours of one schema and one age as one batch."""
    joined: list[list[Stored]] = []
    for one in groups:
        before = joined[-1][0] if joined else None
        is_alike = before is not None and before.since_ms == one.since_ms
        if before is not None and is_alike and before.batch.schema.equals(one.batch.schema):
            joined[-1].append(one)
        else:
            joined.append([one])
    return [
        Stored(
            some[0].base,
            pa.concat_batches([one.batch for one in some]),
            max(one.latest for one in some),
            some[0].since_ms,
        )
        for some in joined
    ]

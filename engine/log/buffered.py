"""What a reader has read of a partition and not yet given."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import one_batch
from streamsql.engine.log import records
from streamsql.engine.log.log import Readable, TopicPartition
from streamsql.engine.log.wanted import Shape, common, widened
from streamsql.errors import DataError

_logger = logging.getLogger(__name__)

LARGE_BATCH_ROWS = 16_384
# Batches of fewer rows are joined.
_SMALL_ROWS = 4096
# Rows that are taken of one frame, however few are wanted.
_FRAME_ROWS = 1 << 18

Int64Array = np.ndarray[tuple[int], np.dtype[np.int64]]
NO_TIME = int(np.iinfo(np.int64).min)
"""Before every timestamp."""


class Chunk(NamedTuple):
    """Records that follow each other in one partition.

    batch    as `Shape` gives it
    schema   of the batch
    times    int64[rows], ms: where partitions are merged, with each row the largest timestamp its partition
             had reached, else its own
    offsets  int64[rows]
    bytes    of the batch, about
    """

    batch: pa.RecordBatch
    schema: pa.Schema
    times: Int64Array
    offsets: Int64Array
    bytes: int

    def slice(self, begin: int, end: int) -> Chunk:
        """Some of the rows; nothing is copied."""
        rows = len(self.times)
        return Chunk(
            self.batch.slice(begin, end - begin),
            self.schema,
            self.times[begin:end],
            self.offsets[begin:end],
            self.bytes * (end - begin) // rows,
        )


@dataclass(slots=True)
class Buffered:
    """One partition: what was read of it and not yet given.

    next_read   offset to read next
    next_given  offset to give next
    reached     largest timestamp given so far, ms, if the partition
    is_merged   with others
    """

    place: TopicPartition
    next_read: int
    next_given: int
    reached: int
    is_merged: bool
    chunks: deque[Chunk] = field(default_factory=deque)
    rows: int = 0

    def fill(self, log: Readable, rows: int, end: int, shape: Shape, reset: str) -> None:
        """Have `rows` buffered, unless there are no more.

        end  of the partition, lately

        What is read at a time is some more than that, since small reads cost more than they bring; of the
        only partition large frames are read to their ends.
        """
        while self.rows < rows and self.next_read != end:
            try:
                batches = self._read(log, 2 * rows - self.rows)
            except DataError as problem:
                if problem.code != "LOG-OFFSET-OUT-OF-RANGE":
                    raise
                self._reset(log, reset)
                end = log.end_offset(*self.place)
                continue
            if not batches:
                # Compaction may have left nothing up to the end.
                self.next_read = max(self.next_read, end)
                break
            for batch in _joined(batches):
                self._add(batch, shape)
            if self.next_read > end:
                break  # it has grown meanwhile
        if not self.rows:
            self.next_given = self.next_read

    def _read(self, log: Readable, rows: int) -> list[pa.RecordBatch]:
        if self.is_merged:
            return log.read(*self.place, self.next_read, rows)
        batches = log.read(*self.place, self.next_read, max(rows, LARGE_BATCH_ROWS))
        if batches and batches[-1].num_rows >= LARGE_BATCH_ROWS:
            # It may have been cut, and nothing wants it cut there: reading copies nothing.
            begin = batches[-1].column("offset")[0].as_py()
            batches[-1:] = log.read(*self.place, begin, _FRAME_ROWS)[:1] or batches[-1:]
        return batches

    def _add(self, batch: pa.RecordBatch, shape: Shape) -> None:
        given, schema = shape.given(batch, self.place.partition)
        times = records.timestamps(batch)
        if self.is_merged:
            before = self.chunks[-1].times[-1] if self.chunks else self.reached
            times = np.maximum(np.maximum.accumulate(times), before)
        offsets = batch.column("offset").to_numpy()
        self.chunks.append(Chunk(given, schema, times, offsets, given.nbytes))
        self.rows += batch.num_rows
        self.next_read = int(offsets[-1]) + 1

    def _reset(self, log: Readable, reset: str) -> None:
        """Go on where there are records: the next ones were dropped, or the last ones were lost."""
        start, end = log.start_offset(*self.place), log.end_offset(*self.place)
        # Past the end, nothing is read twice.
        position = start if self.next_read < start and reset == "earliest" else end
        _logger.warning(
            "topic %s partition %d: offset %d is out of range, reading goes on at %d",
            *(*self.place, self.next_read, position),
        )
        self.next_read = position

    def first_time(self) -> int:
        """The time the first buffered row is ordered by."""
        return int(self.chunks[0].times[0])

    def fitting(
        self, schema: pa.Schema, max_bytes: int, until: int | None = None
    ) -> tuple[list[Chunk], pa.Schema, bool]:
        """What is buffered, as far as one schema and `max_bytes` can hold it, and that schema.

        until  ms: only rows up to this time
        gives  last, whether that is all there is up to this time
        """
        taken: list[Chunk] = []
        for chunk in self.chunks:
            if until is not None and chunk.times[0] > until:
                break
            wider = common(schema, chunk.schema)
            if wider is None or max_bytes <= 0:
                return taken, schema, False
            schema = wider
            if until is not None and chunk.times[-1] > until:
                chunk = chunk.slice(0, int(np.searchsorted(chunk.times, until, side="right")))
            if chunk.bytes > max_bytes:
                taken.append(chunk.slice(0, max(1, len(chunk.times) * max_bytes // chunk.bytes)))
                return taken, schema, False
            taken.append(chunk)
            max_bytes -= chunk.bytes
        return taken, schema, True

    def take(self, rows: int, schema: pa.Schema) -> Iterable[pa.RecordBatch]:
        """The first rows in a schema they fit into; they are given, and forgotten."""
        self.rows -= rows
        while rows:
            chunk = self.chunks.popleft()
            count = len(chunk.times)
            if count > rows:
                self.chunks.appendleft(chunk.slice(rows, count))
                chunk = chunk.slice(0, rows)
            rows -= len(chunk.times)
            self.next_given = int(chunk.offsets[-1]) + 1
            self.reached = int(chunk.times[-1])
            yield chunk.batch if chunk.schema is schema else widened(chunk.batch, schema)


def _joined(batches: list[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Small neighbours of one schema as one: each batch costs more than some rows are copied for."""
    if len(batches) == 1:
        return batches
    joined: list[pa.RecordBatch] = []
    alike: list[pa.RecordBatch] = []
    for batch in batches:
        if alike and not (_is_small(batch) and batch.schema.equals(alike[0].schema)):
            joined.append(one_batch(alike[0].schema, alike))
            alike = []
        if _is_small(batch):
            alike.append(batch)
        else:
            joined.append(batch)
    return [*joined, one_batch(alike[0].schema, alike)] if alike else joined


def _is_small(batch: pa.RecordBatch) -> bool:
    return batch.num_rows < _SMALL_ROWS

"""What topics say of the past: a stream's records, and a table folded from its changes.

A history is read as DuckDB asks for it, some batches at a time, so that memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.engine.batch import OFFSET, PARTITION, SEQ, TIME
from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.log.until import LogUntil
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.sink import Collect
from streamsql.engine.task import Task
from streamsql.errors import StreamSQLError
from streamsql.formats.format import SchemaStore
from streamsql.plan.scope import physical
from streamsql.plan.sources import Needs, build_source

_BATCH_ROWS = 1 << 17
_FIRST_ROWS = 1 << 14
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a topic: offsets [start, end) of the partitions that are in it, and times, ms, inclusive."""

    start: Mapping[TopicPartition, int]
    end: Mapping[TopicPartition, int]
    first_time: int = -_FOREVER
    last_time: int = _FOREVER

    def inputs(self, log: Log, graph: Graph) -> Inputs:
        """Reads it, from the beginning."""
        return Inputs(LogUntil(log, self.end), graph, self.start)


@dataclass(slots=True)
class LeftOut:
    """Records that could not be read: how many, and why the first of them."""

    records: int = 0
    reason: str = ""

    def note(self, entries: pa.RecordBatch) -> None:
        """Count entries of the processing log (see `problems.ENTRIES`)."""
        if entries.num_rows and not self.records:
            self.reason = entries.column("reason")[0].as_py()
        self.records += entries.num_rows


class Decoder:
    """Decodes some columns of a stream's records; may be used again and again."""

    def __init__(self, info: SourceInfo, columns: frozenset[str], schemas: SchemaStore) -> None:
        self.info = info
        self.graph = Graph()
        source = build_source(info, Needs(columns), schemas)
        self.schema = source.output
        self.graph.add(Collect(source.output), self.graph.add(source))
        self._task = Task(self.graph)

    def decode(self, raw: Mapping[int, pa.RecordBatch], left_out: LeftOut) -> list[pa.RecordBatch]:
        """The rows of a micro-batch. Records that cannot be read are noted in `left_out`."""
        self._task.feed(raw)
        left_out.note(self._task.problems.drain())
        return self._task.take_rows()

    def close(self) -> None:
        self._task.close()


class History:
    """The records of a stretch of a stream, as often as they are asked for.

    error     what broke the last reading off: on its way through DuckDB it becomes a mere text
    left_out  records that could not be read, as far as it was read the last time
    """

    def __init__(self, log: Log, decoder: Decoder, stretch: Stretch) -> None:
        self.error: StreamSQLError | None = None
        self.left_out = LeftOut()
        self._log = log
        self._decoder = decoder
        self._stretch = stretch

    @property
    def schema(self) -> pa.Schema:
        return self._decoder.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._read()
        except StreamSQLError as error:
            self.error = error
            raise

    def _read(self) -> Iterator[pa.RecordBatch]:
        stretch, graph = self._stretch, self._decoder.graph
        self.left_out = LeftOut()
        # With a time column of its own, what a record was stamped with says nothing.
        is_stamped = self._decoder.info.timestamp is None
        if not stretch.start:
            return
        inputs = stretch.inputs(self._log, graph)
        count, rows_at_once = 0, min(_FIRST_ROWS, _BATCH_ROWS)
        while (raw := inputs.poll(rows_at_once)) is not None:
            # A LIMIT may be content with the first few.
            rows_at_once = min(2 * rows_at_once, _BATCH_ROWS)
            if is_stamped:
                raw = {node: _within(batch, "timestamp", stretch) for node, batch in raw.items()}
            for rows in self._decoder.decode(raw, self.left_out):
                rows = _within(rows, TIME, stretch)
                # In one order over all batches.
                seq = pa.array(np.arange(count, count + rows.num_rows))
                count += rows.num_rows
                yield rows.set_column(rows.schema.get_field_index(SEQ), SEQ, seq)


class FoldedTable:
    """A table as its topic's records make it, brought forward by reading on.

    later     of each partition the first offset of a record that is later than the stretch
    left_out  records that could not be read, since the beginning
    """

    def __init__(
        self, log: Log, info: SourceInfo, columns: frozenset[str], schemas: SchemaStore, stretch: Stretch
    ) -> None:
        """Begins at the start of the stretch, and holds nothing before the first `advance`."""
        self.info = info
        self.start = dict(stretch.start)
        self.later: dict[TopicPartition, int] = {}
        self.left_out = LeftOut()
        self._stretch = stretch
        graph = Graph()
        source = build_source(info, Needs(columns), schemas)
        self.schema = source.output
        keys = tuple(physical(c.name) for c in info.schema.key) + (("$start", "$end") if info.window else ())
        self.node = graph.add(Materialise(source.output, keys, emit_old=False), graph.add(source))
        self.task = Task(graph)
        self._source, self._table = self.task.operators
        self._view = LogUntil(log)
        self._inputs = Inputs(self._view, graph, stretch.start)

    def advance(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take in the records before some ends that are within the stretch's times."""
        with self._view.until(ends):
            while (raw := self._inputs.poll(_BATCH_ROWS)) is not None:
                (records,) = raw.values()
                if self._stretch.last_time < _FOREVER:
                    self._note_later(records)
                rows = self._source.process(records)
                if rows is not None:
                    self._table.process(_within(rows, TIME, self._stretch))
                self.left_out.note(self.task.problems.drain())

    def _note_later(self, records: pa.RecordBatch) -> None:
        late = records.column("timestamp").to_numpy() > self._stretch.last_time
        partitions, offsets = (records.column(name).to_numpy()[late] for name in (PARTITION, OFFSET))
        for number in np.unique(partitions):
            place = TopicPartition(self.info.topic, int(number))
            first = int(offsets[partitions == number].min())
            self.later[place] = min(first, self.later.get(place, first))

    def rows(self) -> list[pa.RecordBatch]:
        """The table now."""
        found = self.task.snapshot(self.node)
        return [] if found is None else [found]

    def close(self) -> None:
        self.task.close()


def _within(batch: pa.RecordBatch, column: str, stretch: Stretch) -> pa.RecordBatch:
    """The rows whose time is within a stretch's."""
    if not batch.num_rows or (stretch.first_time == -_FOREVER and stretch.last_time == _FOREVER):
        return batch
    times = batch.column(column).to_numpy()
    kept = (times >= stretch.first_time) & (times <= stretch.last_time)
    return batch if kept.all() else batch.filter(pa.array(kept))

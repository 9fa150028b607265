"""Reading a topic as one stream of micro-batches, its partitions merged by time.

The order of a partition is never changed. Between partitions, rows are ordered by the largest timestamp
their partition had reached, and at equal times by partition: a late record comes where its neighbours
are. A partition that has more to read holds the others back until its next record is known; one that
has been read to its end does not. So a backlog is read in the same order however it is cut, and live
records are read as they come.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.log import records
from streamsql.engine.log.log import Log, Readable, TopicPartition
from streamsql.errors import DataError, InternalError

_logger = logging.getLogger(__name__)

PARTITION = "$partition"
OFFSET = "$offset"

# A batch of this many rows that is half of what could be given, or whose rows are long, is given as it is:
# joining copies.
_LARGE_BATCH_ROWS = 16_384
_COSTLY_ROW_BYTES = 96
# Rows that are taken of one frame, however few are wanted.
_FRAME_ROWS = 1 << 18
# Rows of all partitions together that are looked at, at first and at most, as multiples of those to give.
_AHEAD, _MOST_AHEAD = 2, 32
# A micro-batch stays well below the 2 GiB that the offsets of one Arrow array can count, and small enough
# that what is made of it fits into memory several times.
_BATCH_BYTES = 256 * 1024 * 1024

Int64Array = np.ndarray[tuple[int], np.dtype[np.int64]]
NO_TIME = int(np.iinfo(np.int64).min)
"""Before every timestamp."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The columns of typed keys and values that a reader needs, and whether it needs headers.

    key, value  names of struct fields; None for all. Bytes are read as they are
    """

    key: frozenset[str] | None = None
    value: frozenset[str] | None = None
    headers: bool = True

    def __or__(self, other: Wanted) -> Wanted:
        """What either of two readers needs."""
        return Wanted(
            None if self.key is None or other.key is None else self.key | other.key,
            None if self.value is None or other.value is None else self.value | other.value,
            self.headers or other.headers,
        )

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without the columns that are not wanted; nothing is copied."""
        columns, names = [], []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name == "headers" and not self.headers:
                continue
            fields = self.key if name == "key" else self.value if name == "value" else None
            columns.append(column if fields is None else _with_fields(column, fields))
            names.append(name)
        return pa.RecordBatch.from_arrays(columns, names=names)


EVERYTHING = Wanted()


@dataclass(slots=True)
class _Source:
    """One partition: what was read of it and not yet given.

    next_read   offset to read next
    next_given  offset to give next
    reached     largest timestamp given so far, ms
    """

    partition: int
    next_read: int
    next_given: int
    reached: int = NO_TIME
    buffered: deque[pa.RecordBatch] = field(default_factory=deque)
    rows: int = 0

    def fill(self, log: Readable, topic: str, rows: int, wanted: Wanted, reset: str, *, whole: bool) -> None:
        """Read on until `rows` are buffered, with `whole` large frames to their ends, or there is no more."""
        while self.rows < rows:
            end = log.end_offset(topic, self.partition)
            try:
                wanting = max(rows - self.rows, _LARGE_BATCH_ROWS if whole else 1)
                batches = log.read(topic, self.partition, self.next_read, wanting)
                if whole and batches and batches[-1].num_rows >= _LARGE_BATCH_ROWS:
                    # It may have been cut, and nothing wants it cut there: reading copies nothing.
                    begin = batches[-1].column("offset")[0].as_py()
                    batches[-1:] = log.read(topic, self.partition, begin, _FRAME_ROWS)[:1] or batches[-1:]
            except DataError as problem:
                if problem.code != "LOG-OFFSET-OUT-OF-RANGE":
                    raise
                self._reset(log, topic, reset)
                continue
            if not batches:
                # Compaction may have left nothing up to the end.
                self.next_read = max(self.next_read, end)
                break
            for batch in batches:
                self.buffered.append(batch if wanted == EVERYTHING else wanted.of(batch))
                self.rows += batch.num_rows
            self.next_read = int(batches[-1].column("offset")[-1].as_py()) + 1
        if not self.rows:
            self.next_given = self.next_read

    def _reset(self, log: Readable, topic: str, reset: str) -> None:
        """Go on where there are records: the next ones were dropped, or the last ones were lost."""
        place = TopicPartition(topic, self.partition)
        start, end = log.start_offset(*place), log.end_offset(*place)
        # Past the end, nothing is read twice.
        position = start if self.next_read < start and reset == "earliest" else end
        _logger.warning(
            "topic %s partition %d: offset %d is out of range, reading goes on at %d",
            *(topic, self.partition, self.next_read, position),
        )
        self.next_read = position

    def first_time(self) -> int:
        """The time the first buffered row is ordered by."""
        return max(self.reached, int(self.buffered[0].column("timestamp")[0].as_py()))

    def fitting(self, schema: pa.Schema, max_bytes: int) -> tuple[list[pa.RecordBatch], pa.Schema]:
        """The buffered batches, as far as one schema and `max_bytes` can hold them, and that schema."""
        taken: list[pa.RecordBatch] = []
        for batch in self.buffered:
            wider = _common(schema, batch.schema)
            if wider is None or max_bytes <= 0:
                break
            schema = wider
            size = batch.nbytes
            if size > max_bytes:
                batch = batch.slice(0, max(1, batch.num_rows * max_bytes // size))
                size = max_bytes
            taken.append(batch)
            max_bytes -= size
        return taken, schema

    def drop(self, rows: int) -> None:
        """Forget the first rows: they are given."""
        self.rows -= rows
        while rows:
            batch = self.buffered.popleft()
            if batch.num_rows > rows:
                self.buffered.appendleft(batch.slice(rows))
                batch = batch.slice(0, rows)
            rows -= batch.num_rows
            self.next_given = int(batch.column("offset")[-1].as_py()) + 1
            self.reached = max(self.reached, records.time_range(batch)[1])


class TopicReader:
    """A position in every partition it was given, and the way onwards. For one thread.

    log, topic  what to read
    positions   offset to begin at, for every partition that is to be read; other topics are left out
    reached     the largest timestamp before it, ms, of the partitions where it is known: with it, what
                follows is given in the order in which whoever read until then would have been given it
    wanted      the columns that batches must have; others may be missing
    reset       "earliest" or "latest": where to go on if the next records were dropped meanwhile
    """

    def __init__(
        self,
        log: Readable,
        topic: str,
        positions: Mapping[TopicPartition, int],
        reached: Mapping[TopicPartition, int] | None = None,
        wanted: Wanted = EVERYTHING,
        reset: str = "earliest",
    ) -> None:
        self._log = log
        self._reset = reset
        self._topic = topic
        self._wanted = wanted
        self._ahead = _AHEAD
        own = {place[1]: offset for place, offset in positions.items() if place[0] == topic}
        times = {place[1]: time for place, time in (reached or {}).items() if place[0] == topic}
        self._sources = {
            number: _Source(number, offset, offset, times.get(number, NO_TIME))
            for number, offset in sorted(own.items())
        }

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of every partition: all before has been given. This is what to commit."""
        return {TopicPartition(self._topic, part): own.next_given for part, own in self._sources.items()}

    def lag(self) -> int:
        """Offsets between the positions and the ends of the partitions."""
        ends = self._log.end_offsets(self.positions)
        return sum(ends[place] - offset for place, offset in self.positions.items())

    def poll(self, max_rows: int) -> pa.RecordBatch | None:
        """The next micro-batch, at most `max_rows` rows; None if there is nothing new.

        Columns key, value, timestamp, headers (if a record has them), `$partition` int32 and `$offset`
        int64. A batch ends where the schema of keys or values changes: only a column without any value
        (type null), and headers, may come and go inside one.

        A position that is out of range is set anew, and logged: before the start as `reset` says, past the
        end to the end.

        raises  DataError for damage
        """
        if max_rows < 1:
            raise InternalError(f"a poll wants one row at least, not {max_rows}")
        sources = list(self._sources.values())
        share = max_rows if len(sources) == 1 else self._ahead * max_rows // len(sources) + 1
        for source in sources:
            source.fill(self._log, self._topic, share, self._wanted, self._reset, whole=len(sources) == 1)
        waiting = [source for source in sources if source.rows]
        if not waiting:
            return None
        leader = min(waiting, key=_Source.first_time)
        schema = leader.buffered[0].schema
        if len(waiting) == 1:
            return self._give(leader, schema, max_rows)
        return self._merge(waiting, schema, max_rows)

    def _give(self, source: _Source, schema: pa.Schema, max_rows: int) -> pa.RecordBatch:
        """The next rows of one partition."""
        batches, schema = source.fitting(schema, _BATCH_BYTES)
        rows = min(max_rows, sum(batch.num_rows for batch in batches))
        first = batches[0].num_rows
        is_costly = batches[0].nbytes >= first * _COSTLY_ROW_BYTES
        if first >= _LARGE_BATCH_ROWS and (is_costly or 2 * first >= rows):
            # In parts of one size, so that no small one is left over.
            rows = -(-first // -(-first // rows))
        given = _joined(schema, [(source.partition, batches, rows)])
        source.drop(rows)
        return given

    def _merge(self, waiting: list[_Source], schema: pa.Schema, max_rows: int) -> pa.RecordBatch:
        """The next rows of several partitions; `schema` is that of the very first row."""
        ends = self._log.end_offsets(self.positions)
        taken: list[list[pa.RecordBatch]] = []
        for source in waiting:
            batches, schema = source.fitting(schema, _BATCH_BYTES // len(waiting))
            taken.append(batches)
        times = [_running_times(source, batches) for source, batches in zip(waiting, taken, strict=True)]
        bounds = np.cumsum([0, *map(len, times)])
        # Rows stand by partition, and the sort is stable: equal times stay in order of partition.
        order = np.argsort(np.concatenate(times), kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        known = min(max_rows, len(order))
        for place, source in enumerate(waiting):
            is_open = ends[TopicPartition(self._topic, source.partition)] > source.next_read
            if len(times[place]) == source.rows and not is_open:
                continue  # all of it is here: it holds nobody back
            if len(times[place]):
                known = min(known, int(rank[bounds[place + 1] - 1]) + 1)
            else:
                known = min(known, _rows_before(source.first_time(), place, times))
        if known < min(max_rows, len(order)) // 2:
            # Until the time of a partition has moved on, the others wait for it, and what was appended
            # together often has one time: look further ahead from now on.
            self._ahead = min(2 * self._ahead, _MOST_AHEAD)
        chosen = order[:known]
        owners = np.searchsorted(bounds, chosen, side="right") - 1
        counts = np.bincount(owners, minlength=len(waiting))
        parts = [
            (source.partition, batches, count)
            for source, batches, count in zip(waiting, taken, counts.tolist(), strict=True)
        ]
        skipped = bounds[:-1] - (np.cumsum(counts) - counts)
        given = _joined(schema, parts)
        rows = chosen - skipped[owners]
        if not np.array_equal(rows, np.arange(known)):
            given = given.take(rows)
        for source, count in zip(waiting, counts.tolist(), strict=True):
            source.drop(count)
        return given


def earliest(log: Log, topic: str) -> dict[TopicPartition, int]:
    """Positions before every record of a topic."""
    return {place: log.start_offset(*place) for place in _places(log, topic)}


def latest(log: Log, topic: str) -> dict[TopicPartition, int]:
    """Positions after every record of a topic, at one moment."""
    return log.end_offsets(_places(log, topic))


def at_time(log: Log, topic: str, timestamp_ms: int) -> dict[TopicPartition, int]:
    """Positions of the first record of each partition at or after a time."""
    return {place: log.offset_for_time(*place, timestamp_ms) for place in _places(log, topic)}


def _places(log: Log, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(log.topic_config(topic).partitions)]


def _running_times(source: _Source, batches: list[pa.RecordBatch]) -> Int64Array:
    """int64[rows]: for every row the largest timestamp its partition had reached with it, ms."""
    if not batches:
        return np.zeros(0, dtype=np.int64)
    times = np.concatenate([records.timestamps(batch) for batch in batches])
    running: Int64Array = np.maximum(np.maximum.accumulate(times), source.reached)
    return running


def _rows_before(time: int, place: int, times: list[Int64Array]) -> int:
    """How many rows come before a row of this time in the partition at `place`."""
    return sum(
        int(np.searchsorted(column, time, side="right" if other < place else "left"))
        for other, column in enumerate(times)
    )


def _common(one: pa.Schema, other: pa.Schema) -> pa.Schema | None:
    """A schema both fit into, or None. Only `key`, `value` and whether there are headers can differ."""
    if one is other or one.equals(other):
        return one
    for name in ("key", "value"):
        mine, theirs = one.field(name).type, other.field(name).type
        if pa.types.is_null(mine) and not pa.types.is_null(theirs):
            one = one.set(one.get_field_index(name), other.field(name))
        elif not mine.equals(theirs) and not pa.types.is_null(theirs):
            return None
    if "headers" in other.names and "headers" not in one.names:
        one = one.append(other.field("headers"))
    return one


def _joined(schema: pa.Schema, parts: list[tuple[int, list[pa.RecordBatch], int]]) -> pa.RecordBatch:
    """The first `rows` rows of each (partition, batches, rows), one after the other, in one batch."""
    fields = [pa.field(name, schema.field(name).type) for name in schema.names if name != "offset"]
    given = pa.schema([*fields, pa.field(PARTITION, pa.int32()), pa.field(OFFSET, pa.int64())])
    batches: list[pa.RecordBatch] = []
    for partition, buffered, rows in parts:
        for batch in buffered:
            if rows <= 0:
                break
            batch = batch.slice(0, rows)
            rows -= batch.num_rows
            columns = [_column(batch, field) for field in fields]
            numbers = pa.array(np.full(batch.num_rows, partition, dtype=np.int32))
            columns += [numbers, batch.column("offset")]
            batches.append(pa.RecordBatch.from_arrays(columns, schema=given))
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _with_fields(column: pa.Array[Any], wanted: frozenset[str]) -> pa.Array[Any]:
    """A struct array with the wanted fields only, its nulls kept; other arrays as they are."""
    kind = column.type
    if not pa.types.is_struct(kind) or all(kind.field(i).name in wanted for i in range(kind.num_fields)):
        return column
    # One field stays at least: the length of a struct array is that of its fields.
    chosen: Sequence[int] = [i for i in range(kind.num_fields) if kind.field(i).name in wanted] or [0]
    return pa.StructArray.from_arrays(
        [column.field(i) for i in chosen],
        fields=[kind.field(i) for i in chosen],
        mask=column.is_null() if column.null_count else None,
    )


def _column(batch: pa.RecordBatch, field: pa.Field[Any]) -> pa.Array[Any]:
    """A column of the batch, or what stands for it where the batch has none, or no value in it."""
    if field.name not in batch.schema.names:
        nothing: list[list[Any]] = [[]] * batch.num_rows
        empty: pa.Array[Any] = pa.array(nothing, type=records.HEADERS)
        return empty
    column: pa.Array[Any] = batch.column(field.name)
    if pa.types.is_null(column.type) and not pa.types.is_null(field.type):
        column = pa.nulls(batch.num_rows, field.type)
    return column

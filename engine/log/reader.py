"""Reading a topic as one stream of micro-batches, its partitions merged by time.

The order of a partition is never changed. Between partitions, rows are ordered by the largest timestamp
their partition had reached, and at equal times by partition: a late record comes where its neighbours
are. A partition that has more to read holds the others back until its next record is known; one that
has been read to its end does not. So a backlog is read in the same order however it is cut, and live
records are read as they come.

Whoever needs no order between partitions is given them in turn, as Kafka's consumers are: of each what
was read of it at once. Nothing is sorted then, and a read is large however many partitions there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import one_batch
from streamsql.engine.log.buffered import LARGE_BATCH_ROWS, NO_TIME, Buffered, Chunk, Int64Array
from streamsql.engine.log.log import Log, Readable, TopicPartition
from streamsql.engine.log.pieces import whole_pieces
from streamsql.engine.log.wanted import EVERYTHING, OFFSET, PARTITION, Shape, Wanted
from streamsql.engine.ramps import counting, repeated
from streamsql.errors import InternalError

# A batch of `LARGE_BATCH_ROWS` that is half of what could be given, or whose rows are long, is given as it
# is: joining copies.
_COSTLY_ROW_BYTES = 96
# Rows of all partitions together that are looked at, at first and at most, as multiples of those to give.
_AHEAD, _MOST_AHEAD = 2, 32
# Times looked at, of each stretch of rows, to see which are among the next ones.
_SAMPLES = 32
# So many ordered stretches are merged faster than counted.
_FEW_STRETCHES = 16
# A micro-batch stays well below the 2 GiB that the offsets of one Arrow array can count, and small enough
# that what is made of it fits into memory several times.
_BATCH_BYTES = 256 * 1024 * 1024


class TopicReader:
    """A position in every partition it was given, and the way onwards. For one thread.

    log, topic  what to read
    positions   offset to begin at, for every partition that is to be read; other topics are left out
    reached     the largest timestamp before it, ms, of the partitions where it is known: with it, what
                follows is given in the order in which whoever read until then would have been given it
    wanted      the columns that batches must have; others may be missing
    reset       "earliest" or "latest": where to go on if the next records were dropped meanwhile
    joins       whether large batches are better than copying nothing
    in_order    whether partitions are merged by time; else they come in turn
    """

    def __init__(
        self,
        log: Readable,
        topic: str,
        positions: Mapping[TopicPartition, int],
        reached: Mapping[TopicPartition, int] | None = None,
        wanted: Wanted = EVERYTHING,
        reset: str = "earliest",
        joins: bool = True,
        in_order: bool = True,
    ) -> None:
        self._log = log
        self._reset = reset
        self._topic = topic
        self._wanted = wanted
        self._ahead = _AHEAD
        self._shape = Shape(wanted)
        self._joins = joins
        own = {place[1]: offset for place, offset in positions.items() if place[0] == topic}
        # One partition has one order, and its frames can be joined.
        self._in_order = in_order or len(own) == 1
        times = {place[1]: time for place, time in (reached or {}).items() if place[0] == topic}
        is_merged = in_order and len(own) > 1
        self._sources = [
            Buffered(TopicPartition(topic, number), offset, offset, times.get(number, NO_TIME), is_merged)
            for number, offset in sorted(own.items())
        ]
        self._turns = deque(self._sources)
        self._places = [source.place for source in self._sources]

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of every partition: all before has been given. This is what to commit."""
        return {source.place: source.next_given for source in self._sources}

    @property
    def reached(self) -> dict[TopicPartition, int]:
        """The largest timestamp given of every partition that has had any, ms; if several are merged."""
        if not self._in_order:
            return {}
        return {source.place: source.reached for source in self._sources if source.reached > NO_TIME}

    def lag(self) -> int:
        """Offsets between the positions and the ends of the partitions."""
        ends = self._log.end_offsets(self._places)
        return sum(ends[source.place] - source.next_given for source in self._sources)

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
        if not self._in_order:
            return self._in_turn(max_rows)
        count = len(self._sources)
        share = max_rows if count == 1 else self._ahead * max_rows // count + 1
        ends = self._log.end_offsets(self._places)
        for source in self._sources:
            source.fill(self._log, share, ends[source.place], self._shape, self._reset)
        waiting = [source for source in self._sources if source.rows]
        if not waiting:
            return None
        leader = min(waiting, key=Buffered.first_time)
        schema = leader.chunks[0].schema
        if len(waiting) == 1:
            return _next_of_one(leader, schema, max_rows, self._joins)
        return self._merge(waiting, schema, max_rows)

    def _in_turn(self, max_rows: int) -> pa.RecordBatch | None:
        """The next rows of one partition after the other, until the batch is full."""
        ends = self._log.end_offsets(self._places)
        share = -(-max_rows // len(self._turns))
        schema: pa.Schema | None = None
        max_bytes = _BATCH_BYTES
        given: list[tuple[Buffered, int]] = []
        for source in list(self._turns):
            source.fill(self._log, share, ends[source.place], self._shape, self._reset)
            if source.rows:
                chunks, schema, _ = source.fitting(schema or source.chunks[0].schema, max_bytes)
                rows = _cut(source, chunks, max_rows)
                max_rows -= rows
                max_bytes -= sum(chunk.bytes for chunk in chunks)
                given.append((source, rows))
                if rows < source.rows:
                    break  # the next batch begins with the rest of it
            self._turns.rotate(-1)
            if not max_rows:
                break
        if schema is None:
            return None
        return one_batch(schema, [batch for source, rows in given for batch in source.take(rows, schema)])

    def _merge(self, waiting: list[Buffered], schema: pa.Schema, max_rows: int) -> pa.RecordBatch:
        """The next rows of several partitions; `schema` is that of the very first row."""
        ends = self._log.end_offsets(self._places)
        until = _until(waiting, max_rows)
        parts: list[Int64Array] = []
        lengths: list[int] = []
        wholes: list[bool] = []
        for source in waiting:
            chunks, schema, is_whole = source.fitting(schema, _BATCH_BYTES // len(waiting), until)
            parts += [chunk.times for chunk in chunks]
            lengths.append(sum(len(chunk.times) for chunk in chunks))
            wholes.append(is_whole)
        times = np.concatenate(parts)
        bounds = np.cumsum([0, *lengths])
        # Rows stand by partition, and the sort is stable: equal times stay in order of partition.
        order = _by_time(times, len(parts))
        known = min(max_rows, len(order))
        rank: Int64Array | None = None
        for place, source in enumerate(waiting):
            is_open = lengths[place] == source.rows and ends[source.place] > source.next_read
            if wholes[place] and not is_open:
                continue  # what is left of it comes after all of these: it holds nobody back
            if lengths[place]:
                rank = _inverse(order) if rank is None else rank
                known = min(known, int(rank[bounds[place + 1] - 1]) + 1)
            else:
                known = min(known, _rows_before(source.first_time(), place, np.split(times, bounds[1:-1])))
        if known < min(max_rows, len(order)) // 2:
            # Until the time of a partition has moved on, the others wait for it, and what was appended
            # together often has one time: look further ahead from now on.
            self._ahead = min(2 * self._ahead, _MOST_AHEAD)
        rows, counts = _chosen(order, bounds, known)
        batches = [
            batch
            for source, count in zip(waiting, counts, strict=True)
            for batch in source.take(count, schema)
        ]
        given = one_batch(schema, batches)
        return given if np.array_equal(rows, np.arange(known)) else given.take(pa.array(rows))


def _next_of_one(source: Buffered, schema: pa.Schema, max_rows: int, joins: bool) -> pa.RecordBatch:
    """The next rows of the only partition that has any."""
    chunks, schema, _ = source.fitting(schema, _BATCH_BYTES)
    rows = min(max_rows, sum(len(chunk.times) for chunk in chunks))
    first = len(chunks[0].times)
    is_costly = not joins or chunks[0].bytes >= first * _COSTLY_ROW_BYTES
    if first >= LARGE_BATCH_ROWS and (is_costly or 2 * first >= rows):
        # In parts of one size, so that no small one is left over.
        rows = -(-first // -(-first // rows))
    rows = _cut(source, chunks, rows)
    return _of_one_partition(schema, list(source.take(rows, schema)), source.place.partition)


def _of_one_partition(schema: pa.Schema, batches: list[pa.RecordBatch], partition: int) -> pa.RecordBatch:
    """Batches that follow each other as one; what counts up or stays the same is not copied."""
    if len(batches) == 1:
        return batches[0]
    counted = [PARTITION, OFFSET]
    rows = sum(batch.num_rows for batch in batches)
    first, last = batches[0].column(OFFSET)[0].as_py(), batches[-1].column(OFFSET)[-1].as_py()
    if last - first + 1 != rows:
        return one_batch(schema, batches)  # compaction has left gaps
    kept = pa.schema([field for field in schema if field.name not in counted])
    whole = one_batch(kept, [batch.drop_columns(counted) for batch in batches])
    columns = [*whole.columns, repeated(partition, rows), pa.array(counting(rows).to_numpy() + first)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cut(source: Buffered, chunks: list[Chunk], max_rows: int) -> int:
    """At most so many rows of chunks, ending where whoever else reads cuts too: with a frame, or a piece."""
    ends = list(accumulate(len(chunk.times) for chunk in chunks))
    rows = min(max_rows, ends[-1]) if ends else 0
    if rows in ends:
        return rows
    return whole_pieces(rows, source.place.partition, source.next_given + rows)


def _until(waiting: list[Buffered], rows: int) -> int | None:
    """A time, ms, such that not many fewer than `rows` rows are not after it; None if there are fewer.

    Of every stretch each n-th time is looked at. It is seldom more than `rows`, but where times are equal.
    """
    chunks = [chunk.times for source in waiting for chunk in source.chunks]
    step = max(1, rows // (_SAMPLES * len(chunks)))
    samples = np.concatenate([times[::step] for times in chunks])
    # Each sample stands for the n rows from it on.
    place = rows // step - 1
    return int(np.partition(samples, place)[place]) if place < len(samples) else None


def _by_time(times: Int64Array, stretches: int) -> Int64Array:
    """A stable argsort of times that are so many ordered stretches; int64[n]."""
    least = int(times.min())
    if stretches > _FEW_STRETCHES and int(times.max()) - least < 1 << 16:
        # Numbers of 16 bits are sorted by counting, however many stretches there are.
        return np.argsort((times - least).astype(np.uint16), kind="stable")
    return np.argsort(times, kind="stable")


def _inverse(order: Int64Array) -> Int64Array:
    rank: Int64Array = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank


def _chosen(order: Int64Array, bounds: Int64Array, known: int) -> tuple[Int64Array, list[int]]:
    """The first `known` rows of an order, numbered as they stand when only they are there.

    bounds  where the rows of each part begin and end; gives, too, how many of each part there are
    """
    lengths = np.diff(bounds)
    if known == len(order):
        return order, lengths.tolist()
    chosen = order[:known]
    owners = np.repeat(np.arange(len(lengths)), lengths)[chosen]
    counts = np.bincount(owners, minlength=len(lengths))
    skipped = bounds[:-1] - (np.cumsum(counts) - counts)
    return chosen - skipped[owners], counts.tolist()


def earliest(log: Log, topic: str) -> dict[TopicPartition, int]:
    """Positions before every record of a topic."""
    return {place: log.start_offset(*place) for place in _places(log, topic)}


def latest(log: Log, topic: str) -> dict[TopicPartition, int]:
    """Positions after every record of a topic, at one moment."""
    return log.end_offsets(_places(log, topic))


def _places(log: Log, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(log.topic_config(topic).partitions)]


def _rows_before(time: int, place: int, times: list[Int64Array]) -> int:
    """How many rows come before a row of this time in the partition at `place`."""
    return sum(
        int(np.searchsorted(column, time, side="right" if other < place else "left"))
        for other, column in enumerate(times)
    )

"""Row log: rows in the order they came, numbered from 0, dropped when stream time has left them behind.

Rows are kept in chunks, as they came; small neighbours merge as long as a chunk has at most 262,144 rows, so
that there are few chunks and a row is copied a bounded number of times. Since no row is ahead of its
partition's stream time, the rows of a chunk die close together: a chunk goes when its last row has died, and
is rewritten without its dead partitions where an idle one keeps it from going.

As a durable store it is one record per row: key struct<$row: int64>, value struct<columns>, null when the
row was dropped. Rows that go from the front need no record each: one says what is the first row now. As they
come and go in one order, so do their records, and the changelog is cut off before those that are `needed`,
instead of being compacted. A chunk that stays for long, with rows of an idle partition, would keep all that
comes after it: it is recorded once more when that has become several times as much as all rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, TIME
from streamsql.engine.by_partition import rows_by_partition
from streamsql.engine.state.columns import Bools, Int64s, concatenated, distinct
from streamsql.engine.state.gather import gathered
from streamsql.engine.state.row_records import (
    KEY,
    ROW,
    by_row,
    first_of,
    last_per_row,
    record_of_first,
    records_of,
)
from streamsql.engine.state.tiers import FANOUT, tier
from streamsql.errors import InternalError

_CHUNK_ROWS = 1 << 18
_RESTORED_ROWS = 1 << 20
_NEEDED_PER_ROW = 4
"""A changelog may hold so many records for each row there is .."""
_NEEDED_RECORDS = 1 << 18
""".. or so many in all, before the oldest are written once more to let go of the others."""
_NONE: Int64s = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows next to each other.

    first, end  the numbers are in [first, end)
    numbers     of the rows; None if they are all of those
    columns     as in the schema, without the mark
    tags        int64[n], see `RowLog.append`
    latest      partition -> (latest time, rows)
    since       how many records there were, drained or restored, before those of this chunk; None if none of
                its rows has been drained
    """

    first: int
    end: int
    numbers: Int64s | None
    columns: tuple[pa.Array[Any], ...]
    tags: Int64s
    latest: Mapping[int, tuple[int, int]]
    since: int | None = None

    def __len__(self) -> int:
        return len(self.tags)

    def rows(self) -> Int64s:
        return np.arange(self.first, self.end) if self.numbers is None else self.numbers

    def places(self, rows: Int64s) -> Int64s:
        return rows - self.first if self.numbers is None else np.searchsorted(self.numbers, rows)


class RowLog:
    """Rows by number.

    name    names the changelog among the operator's stores
    schema  what is kept of a row, `$time` (int64, ms) and `$partition` (int32) among it
    mark    a BOOLEAN column of the schema that may be taken from a row later; None if there is none
    bound   what keeps it from growing with every row; whoever drops rows says so
    restorations  how often `restore` was called: who keeps an index over the rows sees that it is stale
    copied  rows written to a chunk: the work done, for who wants to count it
    """

    cleanup = "delete"

    def __init__(self, name: str, schema: pa.Schema, mark: str | None = None) -> None:
        self.name = name
        self.bound: str | None = None
        self.schema = schema
        self.restorations = 0
        self.copied = 0
        self._mark = mark
        self._stored = pa.schema([f for f in schema if f.name != mark])
        self._chunks: list[_Chunk] = []
        self._is_dense = True
        """Whether every number from the first to the end is kept."""
        self._end = 0
        self._marks: Bools = np.zeros(0, dtype=np.bool_)
        self._marks_first = 0
        self._drained = 0
        self._unmarked: list[Int64s] = []
        self._dropped: list[tuple[Int64s, Int64s]] = []
        self._front_time: int | None = None
        """A time among the rows that went from the front since the last drain; None if none were known."""
        self._records = 0
        self._records_restored = 0
        self._restored_first = 0
        self._restored: list[pa.RecordBatch] = []
        self._restored_rows = 0
        self._restored_limit = _RESTORED_ROWS

    @property
    def rows(self) -> int:
        """Rows kept, dead ones included that have not gone yet."""
        self._take_in_restored()
        return sum(len(chunk) for chunk in self._chunks)

    @property
    def bytes(self) -> int:
        arrays = sum(int(column.nbytes) for chunk in self._chunks for column in chunk.columns)
        return arrays + sum(chunk.tags.nbytes for chunk in self._chunks) + self._marks.nbytes

    @property
    def first(self) -> int:
        """No row of a smaller number is kept."""
        return self._chunks[0].first if self._chunks else self._end

    @property
    def end(self) -> int:
        """The number that the next row gets."""
        return self._end

    def append(self, columns: Sequence[pa.Array[Any]], tags: Int64s, marks: Bools | None = None) -> Int64s:
        """Keep rows and give their numbers, rising.

        columns  as in the schema, without the mark; n rows, at least one
        tags     int64[n] that `expire` gives back; not durable
        marks    bool[n], if there is a mark
        """
        count = len(tags)
        first, self._end = self._end, self._end + count
        if marks is not None:
            self._set_marks(first, marks)
        self._push(_Chunk(first, self._end, None, tuple(columns), tags, self._latest(columns)))
        while count := self._mergeable():
            chunks, self._chunks = self._chunks[-count:], self._chunks[:-count]
            self._push(self._merged(chunks))
        return np.arange(first, self._end)

    def take(self, names: Sequence[str], rows: Int64s) -> list[pa.Array[Any]]:
        """Columns of kept rows, in any order and as often as they are named."""
        fields = [self._stored.get_field_index(name) for name in names]
        if len(self._chunks) == 1:
            places = pa.array(self._chunks[0].places(rows))
            return [self._chunks[0].columns[i].take(places) for i in fields]
        homes = self._homes(rows)
        pieces = [[chunk.columns[i] for i in fields] for chunk in self._chunks]
        places = rows - np.array([chunk.first for chunk in self._chunks], dtype=np.int64)[homes]
        for home, chunk in enumerate(self._chunks):
            if chunk.numbers is not None:
                asked = homes == home
                places[asked] = chunk.places(rows[asked])
        return gathered(pieces, homes, places, [self._stored.field(i).type for i in fields])

    def partitions(self, rows: Int64s) -> Int64s:
        """The partition of each of some kept rows."""
        known = {partition for chunk in self._chunks for partition in chunk.latest}
        if len(known) == 1:
            return np.full(len(rows), next(iter(known)))
        (column,) = self.take([PARTITION], rows)
        return column.to_numpy().astype(np.int64)

    def is_kept(self, rows: Int64s) -> Bools:
        """Which rows have not gone; the numbers may be any that were given out, in any order."""
        if self._is_dense:
            dense: Bools = rows >= self.first
            return dense
        kept = np.zeros(len(rows), dtype=np.bool_)
        homes = self._homes(rows)
        for home in distinct(homes[homes >= 0]).tolist():
            chunk, asked = self._chunks[home], np.flatnonzero(homes == home)
            kept[asked] = (
                rows[asked] < chunk.end if chunk.numbers is None else np.isin(rows[asked], chunk.numbers)
            )
        return kept

    def parts(self, names: Sequence[str]) -> Iterator[tuple[Int64s, list[pa.Array[Any]]]]:
        """All rows with some of their columns, part by part."""
        self._take_in_restored()
        for chunk in self._chunks:
            yield chunk.rows(), [chunk.columns[self._stored.get_field_index(name)] for name in names]

    def tag(self, rows: Int64s, tags: Int64s) -> None:
        """Give a part of the rows, as `parts` gave it, other tags."""
        home = int(self._homes(rows[:1])[0])
        self._chunks[home] = replace(self._chunks[home], tags=tags)

    def is_marked(self, rows: Int64s) -> Bools:
        """Whether each of some kept rows still has its mark."""
        marked: Bools = self._marks[rows - self._marks_first]
        return marked

    def unmark(self, rows: Int64s) -> None:
        """Take the mark from rows; they may repeat, and may have lost it already."""
        rows = rows[self.is_marked(rows)] if len(rows) else rows
        if len(rows):
            self._marks[rows - self._marks_first] = False
            self._unmarked.append(rows[rows < self._drained])

    def expire(self, bound: Callable[[int], int]) -> Int64s:
        """Drop chunks of which every row's time is at or before its partition's bound.

        gives  the tags of the rows that went
        cost   by the rows dropped, and a look at each chunk
        """
        gone: list[Int64s] = []
        kept: list[_Chunk] = []
        for chunk in self._chunks:
            dead = {p for p, (latest, _) in chunk.latest.items() if latest <= bound(p)}
            if not dead:
                kept.append(chunk)
            elif len(dead) == len(chunk.latest):
                if kept:
                    self._drop(chunk.rows(), chunk.columns)
                elif chunk.since is not None:
                    self._front_time = max(latest for latest, _ in chunk.latest.values())
                gone.append(chunk.tags)
            elif 2 * sum(chunk.latest[p][1] for p in dead) > len(chunk):
                rest, tags = self._without(chunk, dead)
                kept.append(rest)
                gone.append(tags)
            else:
                kept.append(chunk)
        if not gone:
            return _NONE
        self._chunks = kept
        self._is_dense = _has_no_gaps(kept)
        if self._mark is not None:
            self._marks = self._marks[self.first - self._marks_first :]
            self._marks_first = self.first
        return np.concatenate(gone)

    def drain(self) -> pa.RecordBatch | None:
        """Rows that came, went or lost their mark since the last call, as changelog records."""
        found = [self._drain_first(), self._drain_dropped(), self._drain_unmarked(), *self._drain_new()]
        parts = [part for part in found if part]
        self._drained = self._end
        self._records += sum(part.num_rows for part in parts)
        if again := self._drain_again():
            parts.append(again)
            self._records += again.num_rows
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else pa.concat_batches(parts)

    def needed(self) -> int | None:
        """How many of the records drained last a restore needs; None if it needs some that were restored."""
        self._take_in_restored()
        oldest = min((c.since for c in self._chunks if c.since is not None), default=self._records)
        return None if oldest < self._records_restored else self._records - oldest

    def restore(self, records: pa.RecordBatch) -> None:
        """Apply changelog records; later ones win.

        raises  InternalError if the records have other columns than this store
        """
        self.restorations += 1
        keys, values = records.column("key"), records.column("value")
        for side, schema in ((keys, KEY), (values, self.schema)):
            if not pa.types.is_null(side.type) and side.type != pa.struct(list(schema)):
                raise InternalError(
                    f"the changelog of store {self.name} holds {side.type}, "
                    f"the store {pa.struct(list(schema))}",
                    code="INTERNAL-CHANGELOG",
                )
        if not records.num_rows:
            return
        if pa.types.is_null(values.type):
            values = pa.nulls(len(values), pa.struct(list(self.schema)))
        self._restored.append(by_row(keys, values))
        self._restored_rows += records.num_rows
        self._restored_first = max(self._restored_first, first_of(keys))
        self._records = self._records_restored = self._records + records.num_rows
        # What is dropped from these records must not be in a chunk.
        if self._restored_rows > self._restored_limit and not self._chunks:
            self._restored = last_per_row(self._restored, _CHUNK_ROWS, self._restored_first)
            self._restored_rows = sum(part.num_rows for part in self._restored)
            self._restored_limit = max(_RESTORED_ROWS, 2 * self._restored_rows)

    # --- chunks ---------------------------------------------------------------------------------

    def _homes(self, rows: Int64s) -> Int64s:
        """The place of the chunk of each row, -1 before the first."""
        return np.searchsorted([chunk.first for chunk in self._chunks], rows, side="right") - 1

    def _push(self, chunk: _Chunk) -> None:
        self.copied += len(chunk)
        self._chunks.append(chunk)

    def _latest(self, columns: Sequence[pa.Array[Any]]) -> dict[int, tuple[int, int]]:
        time = columns[self._stored.get_field_index(TIME)].to_numpy()
        partition = columns[self._stored.get_field_index(PARTITION)].to_numpy()
        if (partition == partition[0]).all():
            return {int(partition[0]): (int(time.max()), len(time))}
        return {number: (int(time[rows].max()), len(rows)) for number, rows in rows_by_partition(partition)}

    def _mergeable(self) -> int:
        """How many of the last chunks to make one; 0 if none."""
        lengths = [len(chunk) for chunk in self._chunks]
        count = tier(lengths)
        while count and sum(lengths[-count:]) > _CHUNK_ROWS:
            count = count - 1 if count > FANOUT else 0
        return count

    def _merged(self, chunks: Sequence[_Chunk]) -> _Chunk:
        numbers = None if _has_no_gaps(chunks) else np.concatenate([chunk.rows() for chunk in chunks])
        columns = tuple(
            concatenated([chunk.columns[i] for chunk in chunks], f.type) for i, f in enumerate(self._stored)
        )
        latest: dict[int, tuple[int, int]] = {}
        for chunk in chunks:
            for partition, (time, rows) in chunk.latest.items():
                before = latest.get(partition, (time, 0))
                latest[partition] = max(before[0], time), before[1] + rows
        tags = np.concatenate([chunk.tags for chunk in chunks])
        since = min((chunk.since for chunk in chunks if chunk.since is not None), default=None)
        return _Chunk(chunks[0].first, chunks[-1].end, numbers, columns, tags, latest, since)

    def _without(self, chunk: _Chunk, partitions: set[int]) -> tuple[_Chunk, Int64s]:
        """A chunk without the rows of some partitions, and the tags of those."""
        own = chunk.columns[self._stored.get_field_index(PARTITION)].to_numpy()
        goes = np.isin(own, list(partitions))
        self._drop(chunk.rows()[goes], [column.filter(pa.array(goes)) for column in chunk.columns])
        stays = pa.array(~goes)
        rows = chunk.rows()[~goes]
        rest = _Chunk(
            int(rows[0]),
            chunk.end,
            rows,
            tuple(column.filter(stays) for column in chunk.columns),
            chunk.tags[~goes],
            {p: found for p, found in chunk.latest.items() if p not in partitions},
            chunk.since,
        )
        self.copied += len(rows)
        return rest, chunk.tags[goes]

    def _drop(self, rows: Int64s, columns: Sequence[pa.Array[Any]]) -> None:
        """Rows go: those that the changelog has heard of will be said to be gone."""
        known = int(np.searchsorted(rows, self._drained))
        if known:
            times = columns[self._stored.get_field_index(TIME)].to_numpy()
            self._dropped.append((rows[:known], times[:known]))

    def _set_marks(self, first: int, marks: Bools) -> None:
        begin = first - self._marks_first
        end = begin + len(marks)
        if end > len(self._marks):
            grown = np.zeros(max(64, 1 << (end - 1).bit_length()), dtype=np.bool_)
            grown[: min(begin, len(self._marks))] = self._marks[:begin]
            self._marks = grown
        self._marks[begin:end] = marks

    # --- the changelog ----------------------------------------------------------------------------

    def _drain_first(self) -> pa.RecordBatch | None:
        """Which row is the first, if some that the changelog knows have gone from before it."""
        time_ms, self._front_time = self._front_time, None
        return None if time_ms is None else record_of_first(self.first, self.schema, time_ms)

    def _drain_dropped(self) -> pa.RecordBatch | None:
        """Rows that went from between others."""
        dropped, self._dropped = self._dropped, []
        if not dropped:
            return None
        rows = np.concatenate([part for part, _ in dropped])
        times = pa.array(np.concatenate([part for _, part in dropped]))
        return records_of(rows, pa.nulls(len(rows), pa.struct(list(self.schema))), times)

    def _drain_unmarked(self) -> pa.RecordBatch | None:
        """Rows that lost their mark after they were drained, once more, without it."""
        unmarked, self._unmarked = self._unmarked, []
        rows = distinct(np.concatenate(unmarked)) if unmarked else _NONE
        rows = rows[self.is_kept(rows)]
        if not len(rows):
            return None
        return self._values(rows, self.take(self._stored.names, rows))

    def _drain_new(self) -> list[pa.RecordBatch]:
        parts = []
        for place, chunk in enumerate(self._chunks):
            if chunk.end > self._drained:
                if chunk.since is None:
                    self._chunks[place] = replace(chunk, since=self._records)
                rows = chunk.rows()
                known = int(np.searchsorted(rows, self._drained))
                parts.append(self._values(rows[known:], [column.slice(known) for column in chunk.columns]))
        return [part for part in parts if part.num_rows]

    def _drain_again(self) -> pa.RecordBatch | None:
        """The chunk whose records are the oldest, once more, if they keep too many others from going."""
        if not self._chunks:
            return None
        place, since = min(enumerate(chunk.since or 0 for chunk in self._chunks), key=lambda found: found[1])
        if (needed := self._records - since) <= _NEEDED_RECORDS:
            return None
        if needed <= _NEEDED_PER_ROW * sum(len(chunk) for chunk in self._chunks):
            return None
        chunk = self._chunks[place] = replace(self._chunks[place], since=self._records)
        return self._values(chunk.rows(), chunk.columns)

    def _values(self, rows: Int64s, columns: Sequence[pa.Array[Any]]) -> pa.RecordBatch:
        arrays = list(columns)
        if self._mark is not None:
            arrays.insert(self.schema.get_field_index(self._mark), pa.array(self.is_marked(rows)))
        value = pa.StructArray.from_arrays(arrays, fields=list(self.schema))
        return records_of(rows, value, columns[self._stored.get_field_index(TIME)])

    def _take_in_restored(self) -> None:
        """Make chunks of what the changelog has said."""
        if not self._restored:
            return
        kept = [self._values(chunk.rows(), chunk.columns) for chunk in self._chunks]
        before = [by_row(part.column("key"), part.column("value")) for part in kept]
        parts = last_per_row([*before, *self._restored], _CHUNK_ROWS, self._restored_first)
        self._restored, self._restored_rows = [], 0
        self._chunks, self._end = [], self._restored_first
        self._marks_first = self._end
        for part in parts:
            numbers = part.column(ROW).to_numpy()
            values = dict(zip(self.schema.names, part.column("value").flatten(), strict=True))
            columns = tuple(values[name] for name in self._stored.names)
            first, self._end = int(numbers[0]), int(numbers[-1]) + 1
            if not self._chunks:
                self._marks_first = first
            if self._mark is not None:
                marks = np.zeros(self._end - first, dtype=np.bool_)
                marks[numbers - first] = values[self._mark].to_numpy(zero_copy_only=False)
                self._set_marks(first, marks)
            tags = np.zeros(len(numbers), dtype=np.int64)
            rows = None if len(numbers) == self._end - first else numbers
            self._push(_Chunk(first, self._end, rows, columns, tags, self._latest(columns), since=0))
        self._is_dense = _has_no_gaps(self._chunks)
        self._drained = self._end


def _has_no_gaps(chunks: Sequence[_Chunk]) -> bool:
    return all(chunk.numbers is None for chunk in chunks) and all(
        older.end == newer.first for older, newer in pairwise(chunks)
    )

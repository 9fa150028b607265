"""Row store: slot -> a row of an Arrow schema."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.state.columns import Bools, FixedColumn, Int64s, make_column


class RowStore:
    """Rows by slot, slots being small integers that someone else hands out (a key index, a pool).

    Not thread-safe. What `get` and `table` give shares no memory with what later changes in place.

    touched  rows written, read or removed so far: the work done, for who wants to count it
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.columns = tuple(make_column(f.type) for f in schema)
        self._live: Bools = np.zeros(0, dtype=np.bool_)
        self.rows = 0
        self.touched = 0
        self._end = 0
        """One after the largest slot ever used."""

    def put(self, slots: Int64s, rows: pa.RecordBatch | Sequence[pa.Array]) -> None:
        """Write rows; a slot may be new or in use, and of a repeated slot the last row stays.

        rows  the schema's columns in order
        cost  the rows written, plus growth and compaction spread over many calls
        """
        arrays = rows.columns if isinstance(rows, pa.RecordBatch) else rows
        self.use(slots)
        for column, array in zip(self.columns, arrays, strict=True):
            column.put(slots, array)

    def use(self, slots: Int64s) -> None:
        """Mark slots as live without writing them: for callers that fill the columns themselves."""
        if not len(slots):
            return
        self.touched += len(slots)
        self._end = max(self._end, int(slots.max()) + 1)
        if self._end > len(self._live):
            self._reserve(self._end)
        before = int(np.count_nonzero(self._live[slots]))
        if before != len(slots):
            fresh = slots[~self._live[slots]] if before else slots
            self._live[fresh] = True
            self.rows += _count_distinct(fresh, self._end)

    def get(self, slots: Int64s) -> pa.RecordBatch:
        """The rows of some slots, in that order; slot -1 gives a row of nulls."""
        self.touched += len(slots)
        absent: Bools | None = slots < 0
        if absent is None or not absent.any():
            absent = None
        return pa.RecordBatch.from_arrays(
            [column.get(slots, absent) for column in self.columns], schema=self.schema
        )

    def remove(self, slots: Int64s) -> None:
        """Free the rows of live slots, each given once."""
        self.touched += len(slots)
        self._live[slots] = False
        self.rows -= len(slots)
        for column in self.columns:
            column.remove(slots)

    def is_live(self, slots: Int64s) -> Bools:
        """Whether each slot holds a row; -1 and slots that were never in use hold none."""
        if not len(self._live):
            return np.zeros(len(slots), dtype=np.bool_)
        live: Bools = self._live.take(slots, mode="clip")
        return live & (slots >= 0) & (slots < len(self._live))

    def slots(self) -> Int64s:
        """All live slots, rising."""
        return np.flatnonzero(self._live[: self._end])

    def table(self, slots: Int64s | None = None) -> pa.RecordBatch:
        """All live rows in slot order, or those of the given slots; a copy, cheap for fixed widths."""
        if slots is None:
            if self.rows == self._end:
                self.touched += self.rows
                arrays = [column.head(self._end) for column in self.columns]
                return pa.RecordBatch.from_arrays(arrays, schema=self.schema)
            slots = self.slots()
        return self.get(slots)

    def fixed(self, name: str) -> FixedColumn:
        """A fixed-width column for reading and writing in place with numpy."""
        column = self.columns[self.schema.get_field_index(name)]
        assert isinstance(column, FixedColumn), name
        return column

    @property
    def bytes(self) -> int:
        return self._live.nbytes + sum(column.bytes for column in self.columns)

    def _reserve(self, capacity: int) -> None:
        capacity = max(64, 1 << (capacity - 1).bit_length())
        live = np.zeros(capacity, dtype=np.bool_)
        live[: len(self._live)] = self._live
        self._live = live
        for column in self.columns:
            column.reserve(capacity)


def _count_distinct(slots: Int64s, end: int) -> int:
    """How many different slots there are, all below `end`; without sorting them."""
    if (slots[1:] > slots[:-1]).all():
        return len(slots)
    # Of several writes to one place one stays; what was never written to is never read.
    scratch = np.empty(end, dtype=np.int64)
    places = np.arange(len(slots))
    scratch[slots] = places
    return int(np.count_nonzero(scratch[slots] == places))


class SlotPool:
    """Hands out slots: freed ones first, then the next higher number."""

    def __init__(self) -> None:
        self._free: list[Int64s] = []
        self._next = 0

    def take(self, count: int) -> Int64s:
        """`count` slots that nobody holds."""
        parts: list[Int64s] = []
        wanted = count
        while wanted and self._free:
            freed = self._free.pop()
            if len(freed) > wanted:
                self._free.append(freed[wanted:])
                freed = freed[:wanted]
            parts.append(freed)
            wanted -= len(freed)
        if wanted or not parts:
            parts.append(np.arange(self._next, self._next + wanted))
            self._next += wanted
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def give_back(self, slots: Int64s) -> None:
        if len(slots):
            self._free.append(slots)

    @property
    def end(self) -> int:
        """One after the largest slot ever handed out."""
        return self._next

"""One side of a stream-stream join: rows that may still find a partner, by key and time.

The durable part is a keyed store, row number -> the row; everything else is an index over it and is built
anew after a restore:

    by key        (key slot, time) -> row, for matching
    by partition  (partition, time) -> row, for what stream time does to rows: closing and dropping
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, TIME
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.join_time import TimesInBatch
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import KeyIndex, UInt64s
from streamsql.engine.state.spine import Found, Spine
from streamsql.engine.state.store import KeyedStore

ROW = "$row"
WAITS = "$waits"
"""An outer join still has to say whether the row found a partner."""

_ROW_KEY = pa.schema([pa.field(ROW, pa.int64())])


class JoinKeys:
    """Keys of both sides as slots; a key is forgotten with its last row."""

    def __init__(self, schema: pa.Schema, workspace: Workspace) -> None:
        self._hasher = KeyHasher(workspace, schema)
        self._schema = schema
        self._index = KeyIndex(schema)
        self._rows: Int64s = np.zeros(64, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._index)

    def clear(self) -> None:
        self._index = KeyIndex(self._schema)
        self._rows[:] = 0

    def slots(self, keys: Sequence[pa.Array[Any]]) -> Int64s:
        """The slot of each key, a new one if it has none; no key has a null in it."""
        slots, _ = self._index.find_or_add(self._hasher(keys), keys)
        if len(slots) and int(slots.max()) >= len(self._rows):
            grown = np.zeros(1 << int(slots.max()).bit_length(), dtype=np.int64)
            grown[: len(self._rows)] = self._rows
            self._rows = grown
        return slots

    def hold(self, slots: Int64s) -> None:
        """A row more for each slot given."""
        np.add.at(self._rows, slots, 1)

    def release(self, slots: Int64s) -> None:
        """A row less for each slot given."""
        np.subtract.at(self._rows, slots, 1)

    def forget_unused(self, slots: Int64s) -> None:
        """Drop those of these keys that no row holds."""
        if len(slots):
            once = distinct(slots)
            once = once[self._index.keys.is_live(once)]
            self._index.remove(once[self._rows[once] == 0])


class JoinBuffer:
    """Rows of one side.

    columns  what is kept of a row: key columns and others
    keys     names of the key columns
    """

    def __init__(self, name: str, columns: pa.Schema, keys: Sequence[str], slots: JoinKeys) -> None:
        marks = [
            pa.field(TIME, pa.int64()),
            pa.field(PARTITION, pa.int32()),
            pa.field(WAITS, pa.bool_()),
        ]
        self.store = KeyedStore(name, _ROW_KEY, pa.schema([*columns, *marks]), _spread, time=TIME)
        self.columns = columns
        self._keys = tuple(keys)
        self._slots = slots
        self._slot_of: Int64s = np.zeros(0, dtype=np.int64)
        self._settled: list[Int64s] = []
        self.by_key = Spine(self._is_alive)
        self.by_partition = Spine(self._is_alive)

    def add(
        self,
        columns: Sequence[pa.Array[Any]],
        slots: Int64s,
        numbers: Int64s,
        times: Int64s,
        partitions: Int64s,
        waits: Bools,
    ) -> Int64s:
        """Keep rows, `columns` as in the schema, the other arrays [n] each; gives their places."""
        if not len(slots):
            return slots
        rows, _ = self.store.find_or_add([pa.array(numbers)])
        marks = [pa.array(times), pa.array(partitions.astype(np.int32)), pa.array(waits)]
        self.store.put(rows, [*columns, *marks])
        self._index(rows, slots, numbers, times, partitions)
        return rows

    def between(self, partition: int, low: int, high: int) -> Found:
        """Rows of a partition with low < time <= high."""
        return self.by_partition.find(np.array([partition]), np.array([low + 1]), np.array([high]))

    def waits(self, rows: Int64s) -> Bools:
        waiting: Bools = self.store.values.fixed(WAITS).values[rows]
        return waiting

    def settle(self, rows: Int64s) -> None:
        """These rows have their answer: a partner, or nulls in its place."""
        rows = distinct(rows)
        rows = rows[self.waits(rows)]
        if len(rows):
            self.store.values.fixed(WAITS).values[rows] = False
            self.store.touch(rows)
            self._settled.append(rows)

    def partitions(self, rows: Int64s) -> Int64s:
        return self.store.values.fixed(PARTITION).values[rows].astype(np.int64)

    def numbers(self, rows: Int64s) -> Int64s:
        numbers: Int64s = self.store.index.keys.fixed(ROW).values[rows]
        return numbers

    def times(self, rows: Int64s) -> Int64s:
        times: Int64s = self.store.values.fixed(TIME).values[rows]
        return times

    def take(self, names: Sequence[str], rows: Int64s) -> list[pa.Array[Any]]:
        """Columns of rows; row -1 is null everywhere."""
        absent: Bools | None = rows < 0
        if absent is None or not absent.any():
            absent = None
        schema, columns = self.store.values.schema, self.store.values.columns
        return [columns[schema.get_field_index(name)].get(rows, absent) for name in names]

    def expire(self, before: Callable[[int], int], times: TimesInBatch, retention_ms: int) -> Int64s:
        """Drop rows that the side's stream time has left behind by `retention_ms`; those that wait stay.

        before  stream time of a partition before the batch
        times   in the batch
        gives   the slots of the keys
        cost    by the rows dropped
        """
        parts = [
            self.between(p, before(p) - retention_ms, times.at_end(p) - retention_ms).rows
            for p in times.partitions()
        ]
        # What was left behind while it waited goes when it is settled.
        for rows in self._settled:
            partitions, own = self.partitions(rows), self.times(rows)
            for p in distinct(partitions).tolist():
                parts.append(rows[(partitions == p) & (own <= times.at_end(p) - retention_ms)])
        self._settled = []
        if not parts:
            return np.zeros(0, dtype=np.int64)
        rows = distinct(np.concatenate(parts))
        rows = rows[~self.waits(rows)]
        slots = self._slot_of[rows]
        self._slots.release(slots)
        self.store.remove(rows)
        self.by_key.forget(len(rows))
        self.by_partition.forget(len(rows))
        return slots

    def rebuild(self) -> None:
        """Index the rows of the store again; `slots` has been cleared before."""
        self.by_key.clear()
        self.by_partition.clear()
        rows = self.store.values.slots()
        if not len(rows):
            return
        slots = self._slots.slots(self.take(self._keys, rows))
        numbers = self.store.index.keys.fixed(ROW).values[rows]
        order = np.argsort(numbers)
        rows, slots, numbers = rows[order], slots[order], numbers[order]
        self._index(rows, slots, numbers, self.times(rows), self.partitions(rows))

    def _index(self, rows: Int64s, slots: Int64s, numbers: Int64s, times: Int64s, partitions: Int64s) -> None:
        largest = int(rows.max())
        if largest >= len(self._slot_of):
            grown = np.zeros(max(64, 1 << largest.bit_length()), dtype=np.int64)
            grown[: len(self._slot_of)] = self._slot_of
            self._slot_of = grown
        self._slot_of[rows] = slots
        self._slots.hold(slots)
        self.by_key.add(slots, times, rows, numbers)
        self.by_partition.add(partitions, times, rows, numbers)

    def _is_alive(self, rows: Int64s, numbers: Int64s) -> Bools:
        same: Bools = self.store.index.keys.fixed(ROW).values[rows] == numbers
        return same & self.store.values.is_live(rows)


def _spread(keys: Sequence[pa.Array[Any]]) -> UInt64s:
    """Hashes of row numbers, which are all different: Fibonacci hashing, high bits folded into the low."""
    mixed = keys[0].to_numpy().astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))

"""One side of a stream-stream join: rows that may still find a partner, by key and time.

The durable part is a row log; everything else is an index over it and is built anew after a restore:

    by key    (key slot, time) -> row, for matching
    closing   per partition, time -> row: rows of an outer join that wait for a partner
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, TIME
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.calendar import Calendar
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import KeyIndex
from streamsql.engine.state.ordering import order_of
from streamsql.engine.state.row_log import RowLog
from streamsql.engine.state.spine import Spine, sorted_run

WAITS = "$waits"
"""An outer join still has to say whether the row found a partner."""


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
        slots, _ = self._index.find_or_add(self._hasher, keys)
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

    columns   what is kept of a row: key columns and others
    keys      names of the key columns
    reach_ms  how far apart in time partners can be, from the earliest to the latest
    waits     whether rows may wait for a partner
    """

    def __init__(
        self, name: str, columns: pa.Schema, keys: Sequence[str], slots: JoinKeys, reach_ms: int, waits: bool
    ) -> None:
        marks = [pa.field(TIME, pa.int64()), pa.field(PARTITION, pa.int32())]
        if waits:
            marks.append(pa.field(WAITS, pa.bool_()))
        self.store = RowLog(name, pa.schema([*columns, *marks]), WAITS if waits else None)
        self.columns = columns
        self.by_key = Spine(lambda rows, times: self.store.is_kept(rows), reach_ms)
        self._keys = tuple(keys)
        self._slots = slots
        self._closing: dict[int, Calendar] = {}

    def add(self, columns: Sequence[pa.Array[Any]], slots: Int64s, waits: Bools) -> Int64s:
        """Keep rows and give their numbers, rising; they are found once their run is in `by_key`.

        columns  as in the schema, then `$time` and `$partition`
        slots    of the keys, int64[n]
        waits    bool[n]
        """
        if not len(slots):
            return slots
        self._slots.hold(slots)
        return self.store.append(columns, slots, waits if WAITS in self.store.schema.names else None)

    def wait(self, rows: Int64s, partitions: Int64s, due: Int64s) -> None:
        """These rows wait until stream time reaches what is due."""
        for partition in distinct(partitions).tolist():
            own = partitions == partition
            self._closing.setdefault(partition, Calendar()).enter(due[own], rows[own])

    def due(self, partition: int, until: int) -> tuple[Int64s, Int64s]:
        """Rows that waited until now, and the stream time that ends their waiting; each is given once."""
        calendar = self._closing.get(partition)
        if calendar is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        rows, due = calendar.take(until)
        waiting = self.store.is_marked(rows)
        return rows[waiting], due[waiting]

    def expire(self, stream_time: Callable[[int], int], by_ms: int) -> Int64s:
        """Drop rows, in good time, that the stream time of their partition has left behind by so much.

        gives  the slots of the keys of those that went
        cost   by the rows dropped
        """
        slots = self.store.expire(lambda partition: stream_time(partition) - by_ms)
        if len(slots):
            self._slots.release(slots)
            self.by_key.drop_before(self.store.first)
            self.by_key.forget(len(slots))
        return slots

    def rebuild(self, closing_ms: int) -> None:
        """Index the rows of the store again; the keys' slots have been cleared before.

        closing_ms  how far stream time goes beyond a row before it has waited enough
        """
        self.by_key.clear()
        self._closing = {}
        for rows, columns in self.store.parts((*self._keys, TIME, PARTITION)):
            *keys, time, partition = columns
            slots = self._slots.slots(keys)
            self.store.tag(rows, slots)
            self._slots.hold(slots)
            times = time.to_numpy()
            order = order_of(slots, times)
            self.by_key.add(sorted_run(slots[order], times[order], rows[order]))
            if WAITS in self.store.schema.names:
                waits = self.store.is_marked(rows)
                self.wait(
                    rows[waits], partition.to_numpy()[waits].astype(np.int64), times[waits] + closing_ms + 1
                )

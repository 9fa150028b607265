"""One side of a stream-stream join: rows that may still find a partner, by key and time.

The durable part is a row log; everything else is an index over it and is built anew after a restore: the rows
of an outer join that wait for a partner, here; and how rows are found by key and time, in `join_index.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, TIME
from streamsql.engine.by_partition import rows_by_partition
from streamsql.engine.operators.calendar import Calendar
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.row_log import RowLog

WAITS = "$waits"
"""An outer join still has to say whether the row found a partner."""


Index = Callable[[list[pa.Array], Int64s, Int64s], Int64s]
"""Key columns, times and numbers of rows -> their tags."""


class JoinBuffer:
    """Rows of one side.

    columns  what is kept of a row: key columns and others
    waits    whether rows may wait for a partner
    """

    def __init__(self, name: str, columns: pa.Schema, waits: bool) -> None:
        marks = [pa.field(TIME, pa.int64()), pa.field(PARTITION, pa.int32())]
        if waits:
            marks.append(pa.field(WAITS, pa.bool_()))
        self.store = RowLog(name, pa.schema([*columns, *marks]), WAITS if waits else None)
        self.columns = columns
        self._closing: dict[int, Calendar] = {}

    def __len__(self) -> int:
        """How many rows wait, those that have found a partner since included."""
        return sum(len(calendar) for calendar in self._closing.values())

    def add(self, columns: Sequence[pa.Array[Any]], tags: Int64s, waits: Bools) -> Int64s:
        """Keep rows and give their numbers, rising.

        columns  as in the schema, then `$time` and `$partition`
        tags     int64[n], of the keys; `expire` gives them back
        waits    bool[n]
        """
        if not len(tags):
            return tags
        return self.store.append(columns, tags, waits if WAITS in self.store.schema.names else None)

    def wait(self, rows: Int64s, partitions: Int64s, due: Int64s) -> None:
        """These rows wait until stream time reaches what is due."""
        for partition, own in rows_by_partition(partitions):
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

        gives  the tags of those that went
        cost   by the rows dropped
        """
        return self.store.expire(lambda partition: stream_time(partition) - by_ms)

    def rebuild(
        self,
        keys: Sequence[str],
        closing_ms: int,
        index: Callable[[list[pa.Array[Any]], Int64s, Int64s], Int64s],
    ) -> None:
        """Index the rows of the store again.

        closing_ms  how far stream time goes beyond a row before it has waited enough
        index       finds rows by their keys again
        """
        self._closing = {}
        for rows, columns in self.store.parts((*keys, TIME, PARTITION)):
            *key_columns, time, partition = columns
            times = time.to_numpy()
            self.store.tag(rows, index(key_columns, times, rows))
            if WAITS in self.store.schema.names:
                waits = self.store.is_marked(rows)
                self.wait(
                    rows[waits], partition.to_numpy()[waits].astype(np.int64), times[waits] + closing_ms + 1
                )

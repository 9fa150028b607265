"""Stream time: per partition, the largest time seen so far, row by row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, TIME
from streamsql.engine.by_partition import Partitions, largest_by_partition, rows_by_partition
from streamsql.engine.state.columns import Int64s

NEVER = -(1 << 60)
"""Stream time before any row: far below every time, far from overflow when a grace is taken off."""

_NUMBERED = -1
_KEY = pa.struct([pa.field(PARTITION, pa.int32())])
_VALUE = pa.struct([pa.field(TIME, pa.int64())])


class StreamTime:
    """The stream time of every partition an operator has seen; a durable store, a row per partition.

    Next to it, under partition -1, it keeps how many rows the operator has numbered in its life.
    """

    name = "stream-time"
    bound: str | None = "a row per partition"
    cleanup = "compact"

    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._changed: set[int] = set()

    def of(self, partition: int) -> int:
        """Stream time of a partition, NEVER if no row of it has been seen."""
        return self._times.get(partition, NEVER)

    def partitions(self) -> list[int]:
        return [partition for partition in self._times if partition != _NUMBERED]

    def running(self, partition: Partitions, time: Int64s) -> Int64s:
        """Stream time at each row, itself included, if these rows came now; [n], int64[n] -> int64[n].

        gives  `time` itself if the rows are of one partition and in order
        """
        if not len(time):
            return time
        first = int(partition[0])
        if (partition == first).all():
            if time[0] >= self.of(first) and (time[1:] >= time[:-1]).all():
                return time
            return np.maximum(np.maximum.accumulate(time), self.of(first))
        result = np.empty(len(time), dtype=np.int64)
        for number, rows in rows_by_partition(partition):
            result[rows] = np.maximum(np.maximum.accumulate(time[rows]), self.of(number))
        return result

    def advance(self, partition: Partitions, time: Int64s) -> None:
        """Rows of these partitions and times have been seen; stream time never goes back."""
        for number, latest in largest_by_partition(partition, time):
            if latest > self.of(number):
                self._times[number] = latest
                self._changed.add(number)

    def number(self, rows: int) -> int:
        """Take `rows` numbers that were never given before; gives the first."""
        first = self._times.get(_NUMBERED, 0)
        self._times[_NUMBERED] = first + rows
        self._changed.add(_NUMBERED)
        return first

    @property
    def rows(self) -> int:
        return len(self._times)

    @property
    def bytes(self) -> int:
        return 100 * len(self._times)

    def drain(self) -> pa.RecordBatch | None:
        """The partitions whose stream time moved, as changelog records."""
        if not self._changed:
            return None
        partitions = sorted(self._changed)
        self._changed.clear()
        times = pa.array([self._times[p] for p in partitions], pa.int64())
        key = pa.StructArray.from_arrays([pa.array(partitions, pa.int32())], fields=list(_KEY))
        value = pa.StructArray.from_arrays([times], fields=list(_VALUE))
        return pa.RecordBatch.from_arrays([key, value, times], names=["key", "value", "timestamp"])

    def needed(self) -> int | None:
        """Not known: compaction sees to it."""
        return None

    def restore(self, records: pa.RecordBatch) -> None:
        """Apply changelog records; later ones win."""
        keys, values = records.column("key").to_pylist(), records.column("value").to_pylist()
        # A loop over partitions, not over rows.
        for key, value in zip(keys, values, strict=True):
            self._times[key[PARTITION]] = value[TIME]

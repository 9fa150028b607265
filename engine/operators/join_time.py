"""Stream time inside a micro-batch: what it was when a given row was processed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamsql.engine.by_partition import rows_by_partition
from streamsql.engine.state.columns import Int64s


class TimesInBatch:
    """Stream time per partition, as of any row of a batch.

    before     stream time of a partition before the batch
    number, partition, time  of the batch's rows that advance it, by side; `number` is their rank in
               processing, rising within a side
    """

    def __init__(
        self,
        before: Callable[[int], int],
        number: Sequence[Int64s],
        partition: Sequence[Int64s],
        time: Sequence[Int64s],
    ) -> None:
        self._before = before
        self._steps: dict[int, tuple[Int64s, Int64s]] = {}
        if not any(len(part) for part in number):
            return
        numbers, partitions, times = (_whole(parts) for parts in (number, partition, time))
        if sum(len(part) > 0 for part in number) > 1:
            # Stable sorting takes ordered stretches as they are: merging the sides is linear.
            order = np.argsort(numbers, kind="stable")
            numbers, partitions, times = numbers[order], partitions[order], times[order]
        first = int(partitions[0])
        if (partitions == first).all():
            self._steps[first] = numbers, self._running(first, times)
            return
        for p, own in rows_by_partition(partitions):
            self._steps[p] = numbers[own], self._running(p, times[own])

    def partitions(self) -> list[int]:
        """Those that have rows in the batch."""
        return list(self._steps)

    def at_end(self, partition: int) -> int:
        """Stream time after the batch."""
        step = self._steps.get(partition)
        return self._before(partition) if step is None else int(step[1][-1])

    def as_of(self, number: Int64s, partition: Int64s) -> Int64s:
        """Stream time of a partition when the row `number` was processed, that row included; int64[n]."""
        result = np.empty(len(number), dtype=np.int64)
        for p, asked in rows_by_partition(partition):
            if p not in self._steps:
                result[asked] = self._before(p)
                continue
            numbers, times = self._steps[p]
            place = np.searchsorted(numbers, number[asked], side="right") - 1
            result[asked] = np.where(place >= 0, times[np.maximum(place, 0)], self._before(p))
        return result

    def passed(self, partition: int, time: Int64s) -> Int64s:
        """The number of the first row of a partition that took its stream time beyond `time`; int64[n].

        Stream time after the batch must be beyond all of them.
        """
        numbers, times = self._steps[partition]
        return numbers[np.searchsorted(times, time, side="right")]

    def _running(self, partition: int, times: Int64s) -> Int64s:
        return np.maximum(np.maximum.accumulate(times), self._before(partition))


def _whole(parts: Sequence[Int64s]) -> Int64s:
    filled = [part for part in parts if len(part)]
    return filled[0] if len(filled) == 1 else np.concatenate(parts)

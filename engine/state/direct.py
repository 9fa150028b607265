"""Direct slots: key -> slot by the key itself, for one integer column whose values lie close together.

Identifiers often count up from somewhere: an array over their range finds a slot with a single read, with
no hash and nothing to compare. It stands beside the hash table of a key index, which knows the same keys;
while the range is too long for the number of keys there is none.

Great numbers of equal look-ups make this worth it: a perfect hash, as DuckDB's aggregation has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.state.columns import FixedColumn, Int64s, to_numpy
from streamsql.engine.state.rows import RowStore

_SHORT_RANGE = 1 << 13
"""A range up to here is never too long."""
_RANGE_PER_KEY = 16
_NONE = -1


class DirectSlots:
    """is_on: every key of the index is in here."""

    def __init__(self, schema: pa.Schema) -> None:
        self._is_possible = len(schema) == 1 and pa.types.is_integer(schema.field(0).type)
        self.is_on = self._is_possible
        self._base = 0
        self._slots: npt.NDArray[np.int32] = np.full(0, _NONE, dtype=np.int32)

    @property
    def bytes(self) -> int:
        return self._slots.nbytes

    def find(self, keys: pa.Array[Any]) -> Int64s | None:
        """The slot of each key, -1 where there is none; None if the hash table must say it."""
        if not self.is_on or keys.null_count:
            return None
        places = self._places(to_numpy(keys)[0])
        size = len(self._slots)
        if not size:
            return np.full(len(keys), _NONE, dtype=np.int64)
        # As unsigned numbers, keys below the base lie far beyond the end.
        inside = places < np.uint64(size)
        if inside.all():
            return self._slots.take(places.view(np.int64)).astype(np.int64)
        found = self._slots[np.where(inside, places, np.uint64(0))].astype(np.int64)
        found[~inside] = _NONE
        return found

    def put(self, keys: pa.Array[Any], slots: Int64s, count: int) -> None:
        """Add keys; `count` is how many the index has with them."""
        if not self.is_on or not len(keys):
            return
        values, valid = to_numpy(keys)
        if valid is not None or not self._reach(int(values.min()), int(values.max()), count):
            self._give_up()
            return
        self._slots[self._places(values)] = slots

    def come_back(self, keys: RowStore, slots: Int64s) -> None:
        """Take in the keys of all slots in use, if it was given up and there are enough of them by now.

        Costs what there are, so it is for when the index looks at all of them anyway.
        """
        if self.is_on or not self._is_possible or not len(slots):
            return
        column = keys.columns[0]
        assert isinstance(column, FixedColumn)
        if column.valid is None:
            values = column.values[slots]
            self.is_on = self._reach(int(values.min()), int(values.max()), len(slots))
            if self.is_on:
                self._slots[self._places(values)] = slots

    def remove(self, values: npt.NDArray[Any]) -> None:
        """Forget keys that are here."""
        if self.is_on:
            self._slots[self._places(values)] = _NONE

    def _places(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        return values.astype(np.uint64, copy=False) - np.uint64(self._base % (1 << 64))

    def _reach(self, low: int, high: int, count: int) -> bool:
        """Make the array hold a range, if that is not too long; it grows to both sides by doubling."""
        size = len(self._slots)
        if size and self._base <= low and high < self._base + size:
            return True
        first, end = (min(low, self._base), max(high + 1, self._base + size)) if size else (low, high + 1)
        if end - first > max(_SHORT_RANGE, _RANGE_PER_KEY * count):
            return False
        wider = max(1 << (end - first - 1).bit_length(), 1024)
        # What is over goes to the side that had to grow.
        begin = end - wider if size and low < self._base else first
        grown = np.full(wider, _NONE, dtype=np.int32)
        if size:
            grown[self._base - begin : self._base - begin + size] = self._slots
        self._base, self._slots = begin, grown
        return True

    def _give_up(self) -> None:
        self.is_on = False
        self._slots = np.full(0, _NONE, dtype=np.int32)

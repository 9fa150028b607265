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
    """is_on: every key of the index is in here.

    One thread at a time may change it, and others `find` meanwhile: of a key that is being added they may or
    may not see that it is there.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._is_possible = len(schema) == 1 and pa.types.is_integer(schema.field(0).type)
        self.is_on = self._is_possible
        # The key that the array begins with, and the array: who finds must see two that belong together.
        self._range: tuple[int, npt.NDArray[np.int32]] = (0, _slots(0))

    @property
    def bytes(self) -> int:
        return self._range[1].nbytes

    def find(self, keys: pa.Array[Any]) -> Int64s | None:
        """The slot of each key, -1 where there is none; None if the hash table must say it."""
        if not self.is_on or keys.null_count:
            return None
        base, slots = self._range
        places = _places(to_numpy(keys)[0], base)
        size = len(slots)
        if not size:
            return np.full(len(keys), _NONE, dtype=np.int64)
        # As unsigned numbers, keys below the base lie far beyond the end.
        inside = places < np.uint64(size)
        if inside.all():
            return slots.take(places.view(np.int64)).astype(np.int64)
        found = slots[np.where(inside, places, np.uint64(0))].astype(np.int64)
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
        self._write(values, slots)

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
                self._write(values, slots)

    def remove(self, values: npt.NDArray[Any]) -> None:
        """Forget keys that are here."""
        if self.is_on:
            self._write(values, _NONE)

    def _write(self, values: npt.NDArray[Any], slots: Int64s | int) -> None:
        base, kept = self._range
        kept[_places(values, base)] = slots

    def _reach(self, low: int, high: int, count: int) -> bool:
        """Make the array hold a range, if that is not too long; it grows to both sides by doubling."""
        base, slots = self._range
        size = len(slots)
        if size and base <= low and high < base + size:
            return True
        first, end = (min(low, base), max(high + 1, base + size)) if size else (low, high + 1)
        if end - first > max(_SHORT_RANGE, _RANGE_PER_KEY * count):
            return False
        wider = max(1 << (end - first - 1).bit_length(), 1024)
        # What is over goes to the side that had to grow.
        begin = end - wider if size and low < base else first
        grown = _slots(wider)
        if size:
            grown[base - begin : base - begin + size] = slots
        self._range = begin, grown
        return True

    def _give_up(self) -> None:
        self.is_on = False
        self._range = 0, _slots(0)


def _slots(size: int) -> npt.NDArray[np.int32]:
    return np.full(size, _NONE, dtype=np.int32)


def _places(values: npt.NDArray[Any], base: int) -> npt.NDArray[np.uint64]:
    return values.astype(np.uint64, copy=False) - np.uint64(base % (1 << 64))

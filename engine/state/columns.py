"""One column of a row store: values by slot, in place where their width is fixed.

    FixedColumn   numbers, booleans, dates, times, decimals: a numpy array and, once a null came, a mask
    HeapColumn    text, bytes, lists, maps, structs: rows appended to Arrow arrays, a pointer per slot

A slot of -1 stands for an absent row and reads as null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]

_LARGEST_CHUNK_BYTES = 1 << 30
"""Arrow's 32-bit offsets reach twice as far; chunks are not merged beyond this."""
_COMPACT_ROWS = 1024
"""Below this many dead rows a heap is not worth compacting."""


def numpy_type(t: pa.DataType) -> np.dtype[Any] | None:
    """The numpy type that carries a fixed-width Arrow type; None for the others."""
    if pa.types.is_boolean(t):
        return np.dtype(np.bool_)
    if pa.types.is_decimal128(t):
        # 16 opaque bytes: copying complex numbers is twice as fast as copying numpy's void type.
        return np.dtype(np.complex128)
    if pa.types.is_integer(t) or pa.types.is_floating(t):
        carrier: np.dtype[Any] = np.dtype(t.to_pandas_dtype())
        return carrier
    if pa.types.is_date32(t) or pa.types.is_time32(t):
        return np.dtype(np.int32)
    if pa.types.is_temporal(t):
        return np.dtype(np.int64)
    return None


def to_numpy(array: pa.Array) -> tuple[Values, Bools | None]:
    """A fixed-width Arrow array as values and a mask of those that are not null (None: all).

    Values under a null are arbitrary. The values may be a view of the array's memory.
    """
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    if pa.types.is_boolean(array.type):
        return (array.fill_null(False) if array.null_count else array).to_numpy(zero_copy_only=False), valid
    dtype = numpy_type(array.type)
    assert dtype is not None, array.type
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), dtype), valid
    return np.frombuffer(data, dtype, count=array.offset + len(array))[array.offset :], valid


def from_numpy(values: Values, valid: Bools | None, t: pa.DataType) -> pa.Array:
    """The inverse of `to_numpy`; shares the memory of `values`."""
    mask = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    if pa.types.is_boolean(t):
        data = pa.py_buffer(np.packbits(values, bitorder="little"))
    else:
        data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(t, len(values), [mask, data])


class FixedColumn:
    """Values of a fixed width. `values` and `valid` may be read and written in place.

    valid  None as long as no null was ever put in
    """

    def __init__(self, t: pa.DataType) -> None:
        dtype = numpy_type(t)
        assert dtype is not None, t
        self.type = t
        self.values: Values = np.zeros(0, dtype)
        self.valid: Bools | None = None

    def reserve(self, capacity: int) -> None:
        self.values = _grown(self.values, capacity)
        if self.valid is not None:
            self.valid = _grown(self.valid, capacity)

    def put(self, slots: Int64s, array: pa.Array) -> None:
        values, valid = to_numpy(array)
        self.set(slots, values, valid)

    def set(self, slots: Int64s, values: Values, valid: Bools | None) -> None:
        """Put numpy values; of a slot that occurs more than once the last one stays."""
        self.values[slots] = values
        if valid is not None:
            if self.valid is None:
                self.valid = np.ones(len(self.values), dtype=np.bool_)
            self.valid[slots] = valid
        elif self.valid is not None:
            self.valid[slots] = True

    def get(self, slots: Int64s, absent: Bools | None) -> pa.Array:
        """Values by slot; `absent` marks the slots that are -1, None if none is."""
        if not len(self.values):
            return pa.nulls(len(slots), self.type)
        valid = self.valid[slots] if self.valid is not None else None
        if absent is not None:
            valid = ~absent if valid is None else valid & ~absent
        return from_numpy(self.values[slots], valid, self.type)

    def head(self, count: int) -> pa.Array:
        """The first `count` slots, copied."""
        return from_numpy(
            self.values[:count].copy(), None if self.valid is None else self.valid[:count].copy(), self.type
        )

    def remove(self, slots: Int64s) -> None:
        """Nothing to free: the slot's next row overwrites it."""

    @property
    def bytes(self) -> int:
        return self.values.nbytes + (self.valid.nbytes if self.valid is not None else 0)


class HeapColumn:
    """Values of any width: an append-only Arrow heap and a pointer per slot.

    Chunks merge geometrically, so that there are about log2(rows) of them and appending a batch costs
    the batch times that; when more than half the rows are dead, the living ones move together.
    """

    def __init__(self, t: pa.DataType) -> None:
        self.type = t
        self._pointers: Int64s = np.full(0, -1, dtype=np.int64)
        self._chunks: list[pa.Array] = []
        self._starts: list[int] = []
        self._end = 0
        self._alive = 0

    def reserve(self, capacity: int) -> None:
        self._pointers = _grown(self._pointers, capacity, fill=-1)

    def put(self, slots: Int64s, array: pa.Array) -> None:
        count = len(slots)
        if not count:
            return
        fresh = np.arange(self._end, self._end + count)
        was_set = self._pointers[slots] >= 0
        self._pointers[slots] = fresh
        # A slot may occur more than once; only its last row is alive.
        last = self._pointers[slots] == fresh
        self._alive += int(np.count_nonzero(last & ~was_set))
        self._append(array if array.type.equals(self.type) else array.cast(self.type))
        self._compact_if_half_dead()

    def get(self, slots: Int64s, absent: Bools | None) -> pa.Array:
        if not self._chunks:
            return pa.nulls(len(slots), self.type)
        pointers = self._pointers[slots]
        if absent is not None:
            pointers = np.where(absent, -1, pointers)
        return self._read(pointers)

    def head(self, count: int) -> pa.Array:
        pointers = self._pointers[:count]
        if count == self._end and np.array_equal(pointers, np.arange(count)):
            # Rows were put in once and in slot order, as keys are: the heap is the column.
            return self._chunks[0] if len(self._chunks) == 1 else concatenated(self._chunks, self.type)
        return self._read(pointers)

    def remove(self, slots: Int64s) -> None:
        self._alive -= int(np.count_nonzero(self._pointers[slots] >= 0))
        self._pointers[slots] = -1
        self._compact_if_half_dead()

    @property
    def bytes(self) -> int:
        return self._pointers.nbytes + sum(int(chunk.nbytes) for chunk in self._chunks)

    def _append(self, array: pa.Array) -> None:
        self._starts.append(self._end)
        self._chunks.append(array)
        self._end += len(array)
        while len(self._chunks) > 1 and self._may_merge(self._chunks[-2], self._chunks[-1]):
            last = self._chunks.pop()
            self._starts.pop()
            self._chunks[-1] = concatenated([self._chunks[-1], last], self.type)

    @staticmethod
    def _may_merge(left: pa.Array, right: pa.Array) -> bool:
        return len(left) < 2 * len(right) and left.nbytes + right.nbytes < _LARGEST_CHUNK_BYTES

    def _read(self, pointers: Int64s) -> pa.Array:
        present = pointers >= 0
        if present.all():
            return self._take(pointers)
        found = self._take(pointers[present])
        places = np.cumsum(present) - 1
        return found.take(pa.array(places, mask=~present))

    def _take(self, pointers: Int64s) -> pa.Array:
        if len(self._chunks) == 1:
            return self._chunks[0].take(pa.array(pointers))
        homes = np.searchsorted(self._starts, pointers, side="right") - 1
        touched = distinct(homes)
        if len(touched) == 1:
            home = int(touched[0])
            return self._chunks[home].take(pa.array(pointers - self._starts[home]))
        order = np.argsort(homes, kind="stable")
        ends = np.searchsorted(homes[order], touched, side="right")
        parts, begin = [], 0
        for home, end in zip(touched.tolist(), ends.tolist(), strict=True):
            parts.append(self._chunks[home].take(pa.array(pointers[order[begin:end]] - self._starts[home])))
            begin = end
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return concatenated(parts, self.type).take(pa.array(back))

    def _compact_if_half_dead(self) -> None:
        dead = self._end - self._alive
        if dead < _COMPACT_ROWS or dead < self._alive:
            return
        living = np.flatnonzero(self._pointers >= 0)
        # In the order of the heap, so that each chunk is read from front to back.
        living = living[np.argsort(self._pointers[living], kind="stable")]
        rows = self._take(self._pointers[living]) if len(living) else None
        self._chunks, self._starts, self._end = [], [], 0
        self._pointers[living] = np.arange(len(living))
        if rows is not None:
            self._append(rows)


Column = FixedColumn | HeapColumn


def distinct(numbers: Int64s) -> Int64s:
    """The numbers, rising, each once; several times faster than np.unique, which hashes."""
    if len(numbers) < 2 or (numbers[1:] > numbers[:-1]).all():
        return numbers
    if (numbers == numbers[0]).all():
        return numbers[:1]
    ordered = np.sort(numbers)
    once: Int64s = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return once


def make_column(t: pa.DataType) -> Column:
    return HeapColumn(t) if numpy_type(t) is None else FixedColumn(t)


def concatenated(arrays: list[pa.Array], t: pa.DataType) -> pa.Array:
    """Arrays of one type as one; none at all is an empty array."""
    if not arrays:
        return pa.array([], t)
    if len(arrays) == 1:
        return arrays[0]
    return pa.concat_arrays([a if a.type == t else a.cast(t) for a in arrays])


def _grown(array: Values, capacity: int, fill: int | None = None) -> Values:
    if capacity <= len(array):
        return array
    grown = np.zeros(capacity, array.dtype) if fill is None else np.full(capacity, fill, array.dtype)
    if array.dtype == np.bool_ and fill is None:
        grown[:] = True
    grown[: len(array)] = array
    return grown

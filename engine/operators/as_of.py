"""Which version of a row is the one at a given moment of a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import SEQ, WEIGHT
from streamsql.engine.state.columns import Bools, Int64s, concatenated


def last_before(slots: Int64s, seq: Int64s, change_slots: Int64s, change_seq: Int64s) -> Int64s:
    """For each row the last change of the same slot before it; int64[n], -1 where there is none.

    slots, seq                of the rows; a slot of -1 is never found
    change_slots, change_seq  of the changes, `change_seq` rising; of equal ones the last counts
    cost                      (n + changes) * log(changes)
    """
    if not len(change_slots):
        return np.full(len(slots), -1, dtype=np.int64)
    order = np.lexsort((np.arange(len(change_slots)), change_seq, change_slots))
    width = int(max(change_seq.max(), seq.max() if len(seq) else 0)) + 2
    sorted_keys = change_slots[order] * width + change_seq[order]
    place = np.searchsorted(sorted_keys, slots * width + seq, side="left") - 1
    found = order[np.maximum(place, 0)]
    is_same = (place >= 0) & (slots >= 0) & (change_slots[found] == slots)
    return np.where(is_same, found, -1)


class LastChanges:
    """Finds the last change of a row before a moment by writing rather than by sorting.

    Each change of a batch is written to its slot, where the last one stays. If it was before the moment it is
    the one; if not, and its slot has no other, there is none. What is left is looked for in sorted order.
    """

    def __init__(self) -> None:
        self._at: npt.NDArray[np.int32] = np.zeros(1, dtype=np.int32)
        self.begin(_NONE, _NONE)

    def begin(self, slots: Int64s, seq: Int64s) -> None:
        """Take in the changes of a batch; `seq` rises, of equal ones the last counts."""
        self._slots, self._seq = slots, seq
        if not len(slots):
            return
        largest = int(slots.max())
        if largest >= len(self._at):
            self._at = np.zeros(1 << largest.bit_length(), dtype=np.int32)
        own = np.arange(len(slots), dtype=np.int32)
        # Of several writes to one place numpy keeps the last.
        self._at[slots] = own
        last = self._at[slots]
        self._is_one_of_several = np.zeros(len(slots), dtype=np.bool_)
        self._is_one_of_several[last[last != own]] = True

    def before(self, slots: Int64s, seq: Int64s) -> Int64s:
        """For each row the last change of its slot before it; int64[n], -1 where there is none.

        slots, seq  of the rows; a slot of -1 is never found
        cost        the rows; several threads may ask at the same time
        """
        found = np.full(len(slots), -1, dtype=np.int64)
        if not len(self._slots):
            return found
        # What earlier batches wrote is still there: a place is believed if the change there is of its slot.
        change = self._at[np.minimum(slots, len(self._at) - 1)]
        np.minimum(change, len(self._slots) - 1, out=change)
        rows = np.flatnonzero(self._slots[change] == slots)
        change = change[rows]
        is_before = self._seq[change] < seq[rows]
        found[rows[is_before]] = change[is_before]
        unsure = rows[~is_before & self._is_one_of_several[change]]
        if len(unsure):
            found[unsure] = last_before(slots[unsure], seq[unsure], self._slots, self._seq)
        return found


class Ranks:
    """Numbers the different slots among some, by writing rather than by sorting."""

    def __init__(self) -> None:
        self._at: npt.NDArray[np.int32] = np.zeros(1, dtype=np.int32)

    def of(self, slots: Int64s) -> tuple[Int64s, Int64s]:
        """Each slot once, and for each row which of them is its own.

        >>> Ranks().of(np.array([7, 3, 7, 7, 3]))
        (array([7, 3]), array([0, 1, 0, 0, 1]))
        """
        if not len(slots):
            return slots, slots
        largest = int(slots.max())
        if largest >= len(self._at):
            self._at = np.zeros(1 << largest.bit_length(), dtype=np.int32)
        # Backwards, so that of several writes to one place the first row's stays.
        self._at[slots[::-1]] = np.arange(len(slots) - 1, -1, -1, dtype=np.int32)
        once = slots[self._at[slots] == np.arange(len(slots), dtype=np.int32)]
        self._at[once] = np.arange(len(once), dtype=np.int32)
        return once, self._at[slots].astype(np.int64)


_NONE: Int64s = np.zeros(0, dtype=np.int64)


def pooled(parts: Sequence[Sequence[pa.Array[Any]]], index: Int64s) -> list[pa.Array[Any]]:
    """Rows by their place in the parts put one after another; -1 gives nulls.

    parts  the same columns each
    """
    is_absent = index < 0
    places = pa.array(index, mask=is_absent if is_absent.any() else None)
    columns = []
    for pieces in zip(*parts, strict=True):
        whole = pieces[0] if len(pieces) == 1 else concatenated(list(pieces), pieces[0].type)
        columns.append(whole.take(places) if len(whole) else pa.nulls(len(index), whole.type))
    return columns


def without_replaced(batch: pa.RecordBatch, slots: Int64s) -> tuple[pa.RecordBatch, Int64s]:
    """Changes with one row per upsert: a -1 that a +1 of the same key and `$seq` follows is left out.

    slots  of the rows
    """
    weights = batch.column(WEIGHT).to_numpy()
    if len(weights) < 2 or not (weights < 0).any():
        return batch, slots
    seq = batch.column(SEQ).to_numpy()
    paired: Bools = (weights[:-1] < 0) & (weights[1:] > 0) & (slots[:-1] == slots[1:]) & (seq[:-1] == seq[1:])
    keep = np.append(~paired, True)
    return batch.filter(pa.array(keep)), slots[keep]


def is_complete(keys: Sequence[pa.Array[Any]]) -> Bools:
    """Rows whose key has no null in it; bool[n]."""
    complete = np.ones(len(keys[0]), dtype=np.bool_)
    for key in keys:
        if key.null_count:
            complete &= pc.is_valid(key).to_numpy(zero_copy_only=False)
    return complete

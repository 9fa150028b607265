"""Which version of a row is the one at a given moment of a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
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


def pooled(parts: Sequence[Sequence[pa.Array[Any]]], index: Int64s) -> list[pa.Array[Any]]:
    """Rows by their place in the parts put one after another; -1 gives nulls.

    parts  the same columns each
    """
    places = pa.array(index, mask=index < 0)
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

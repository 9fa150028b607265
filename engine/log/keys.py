"""Which records have the same key, for keys of any type, without looking at them one by one.

Keys are the same if their bytes are: 0.0 and -0.0 are two keys, and so are two numbers of different types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int64s = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]


def codes(keys: pa.ChunkedArray[Any]) -> Codes:
    """int32[n]: equal for equal keys, from 0 up to less than n + 1; -1 for a null.

    keys  fewer than 2^31
    cost  linear in the rows: a hash table per leaf of the type
    """
    kind = keys.type
    if pa.types.is_null(kind):
        return np.full(len(keys), -1, dtype=np.int32)
    if pa.types.is_struct(kind):
        found: Codes | None = None
        for field in keys.flatten():
            # A struct of nulls is a key.
            found = codes(field) + np.int32(1) if found is None else _combined(found, codes(field))
        return _without_nulls(np.zeros(len(keys), dtype=np.int32) if found is None else found, keys)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _of_lists(keys)
    if pa.types.is_floating(kind):
        keys = pa.chunked_array(
            [chunk.view(f"int{kind.bit_width}") for chunk in keys.chunks], f"int{kind.bit_width}"
        )
    return _dense(keys)


def last_of_each(found: Codes) -> npt.NDArray[np.bool_]:
    """bool[n]: whether a row is the last one of its code; true for every row without a key."""
    last = np.full(int(found.max(initial=-1)) + 2, -1, dtype=np.int32)
    # Of a repeated index, the last value stays; -1 is the last place.
    last[found] = np.arange(len(found), dtype=np.int32)
    is_last = found < 0
    is_last[last[last >= 0]] = True
    return is_last


def last_offsets(batches: Iterable[pa.RecordBatch], later: Sequence[pa.RecordBatch] = ()) -> Int64s:
    """Offsets of the records that are the last of their key, or have none; int64[n], rising.

    batches  with a column `offset`, in order
    later    records that come after all of them, whose keys count as theirs do, but not their offsets
    memory   some tens of bytes per record
    """
    keys: dict[pa.DataType, list[pa.Array[Any]]] = {}
    offsets: dict[pa.DataType, list[Int64s]] = {}
    for batch in chain(batches, later):
        key = batch.column("key")
        keys.setdefault(key.type, []).append(key)
        offsets.setdefault(key.type, []).append(batch.column("offset").to_numpy())
    found = [np.zeros(0, dtype=np.int64)]
    # Keys of different types are different keys.
    for kind, chunks in keys.items():
        is_last = last_of_each(codes(pa.chunked_array(chunks, kind)))
        found.append(np.concatenate(offsets[kind])[is_last])
    every = np.sort(np.concatenate(found))
    begin = min((batch.column("offset")[0].as_py() for batch in later if batch.num_rows), default=None)
    return every if begin is None else every[: np.searchsorted(every, begin)]


def are_tombstones(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """bool[n]: which records delete their key; one with neither key nor value deletes nothing."""
    has_no_value = pc.is_null(batch.column("value")).to_numpy(zero_copy_only=False)
    has_key = pc.is_valid(batch.column("key")).to_numpy(zero_copy_only=False)
    return np.logical_and(has_no_value, has_key)


def _dense(values: pa.ChunkedArray[Any]) -> Codes:
    """Codes of values that Arrow can put into a dictionary; its chunks share one."""
    encoded = values.dictionary_encode()
    if not encoded.num_chunks:
        return np.zeros(0, dtype=np.int32)
    return np.concatenate([pc.fill_null(chunk.indices, -1).to_numpy() for chunk in encoded.chunks])


def _combined(one: Codes, other: Codes) -> Codes:
    """Codes of pairs of codes."""
    pairs = one.astype(np.int64)
    pairs *= int(other.max(initial=-1)) + 2
    pairs += other
    pairs += 1
    return _dense(pa.chunked_array([pa.array(pairs)]))


def _of_lists(keys: pa.ChunkedArray[Any]) -> Codes:
    """A list is the text that the codes of its elements spell."""
    lists = keys.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    if not len(lists):
        return np.zeros(0, dtype=np.int32)
    ends = np.asarray(lists.offsets).astype(np.int64)
    if pa.types.is_map(lists.type):
        entries = pa.StructArray.from_arrays([lists.keys, lists.items], names=["key", "value"])
    else:
        entries = lists.values
    spelt = codes(pa.chunked_array([entries]))
    texts = pa.Array.from_buffers(
        pa.large_binary(), len(lists), [None, pa.py_buffer(ends * spelt.itemsize), pa.py_buffer(spelt)]
    )
    return _without_nulls(_dense(pa.chunked_array([texts])), keys)


def _without_nulls(found: Codes, keys: pa.ChunkedArray[Any]) -> Codes:
    if keys.null_count:
        found[~pc.is_valid(keys).to_numpy()] = -1
    return found

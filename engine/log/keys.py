"""Which records have the same key, for keys of any type, without looking at them one by one.

Keys are the same if their bytes are: 0.0 and -0.0 are two keys, and so are two numbers of different types.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int64s = npt.NDArray[np.int64]


def codes(keys: pa.ChunkedArray[Any]) -> Int64s:
    """int64[n]: equal for equal keys, from 0 up to less than n + 1; -1 for a null.

    cost  linear in the rows: a hash table per leaf of the type
    """
    kind = keys.type
    if pa.types.is_null(kind):
        return np.full(len(keys), -1, dtype=np.int64)
    if pa.types.is_struct(kind):
        found = np.zeros(len(keys), dtype=np.int64)
        for field in keys.flatten():
            found = _combined(found, codes(field))
        return _without_nulls(found, keys)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _of_lists(keys)
    if pa.types.is_floating(kind):
        keys = pa.chunked_array(
            [chunk.view(f"int{kind.bit_width}") for chunk in keys.chunks], f"int{kind.bit_width}"
        )
    return _dense(keys)


def last_of_each(found: Int64s) -> npt.NDArray[np.bool_]:
    """bool[n]: whether a row is the last one of its code; true for every row without a key."""
    last = np.full(int(found.max(initial=-1)) + 2, -1, dtype=np.int64)
    rows = np.arange(len(found))
    last[found] = rows  # of a repeated index, the last value stays; -1 is the last place
    is_last: npt.NDArray[np.bool_] = (last[found] == rows) | (found < 0)
    return is_last


def last_offsets(batches: Iterable[pa.RecordBatch]) -> Int64s:
    """Offsets of the records that are the last of their key, or have none; int64[n], rising.

    batches  with a column `offset`, in order
    """
    keys: dict[pa.DataType, list[pa.Array[Any]]] = {}
    offsets: dict[pa.DataType, list[Int64s]] = {}
    for batch in batches:
        key = batch.column("key")
        keys.setdefault(key.type, []).append(key)
        offsets.setdefault(key.type, []).append(batch.column("offset").to_numpy())
    found = [np.zeros(0, dtype=np.int64)]
    # Keys of different types are different keys.
    for kind, chunks in keys.items():
        is_last = last_of_each(codes(pa.chunked_array(chunks, kind)))
        found.append(np.concatenate(offsets[kind])[is_last])
    return np.sort(np.concatenate(found))


def _dense(values: pa.ChunkedArray[Any]) -> Int64s:
    """Codes of values that Arrow can put into a dictionary; its chunks share one."""
    encoded = values.dictionary_encode()
    if not encoded.num_chunks:
        return np.zeros(0, dtype=np.int64)
    parts = [pc.fill_null(chunk.indices.cast(pa.int64()), -1).to_numpy() for chunk in encoded.chunks]
    return np.concatenate(parts)


def _combined(one: Int64s, other: Int64s) -> Int64s:
    """Codes of pairs of codes."""
    width = int(other.max(initial=-1)) + 2
    return _dense(pa.chunked_array([pa.array(one * width + other + 1)]))


def _of_lists(keys: pa.ChunkedArray[Any]) -> Int64s:
    """A list is the text that the codes of its elements spell."""
    lists = keys.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    if not len(lists):
        return np.zeros(0, dtype=np.int64)
    ends = np.asarray(lists.offsets).astype(np.int64)
    if pa.types.is_map(lists.type):
        entries = pa.StructArray.from_arrays([lists.keys, lists.items], names=["key", "value"])
    else:
        entries = lists.values
    spelt = codes(pa.chunked_array([entries]))
    texts = pa.Array.from_buffers(
        pa.large_binary(), len(lists), [None, pa.py_buffer(ends * 8), pa.py_buffer(spelt)]
    )
    return _without_nulls(_dense(pa.chunked_array([texts])), keys)


def _without_nulls(found: Int64s, keys: pa.ChunkedArray[Any]) -> Int64s:
    if keys.null_count:
        found = np.where(pc.is_valid(keys).to_numpy(), found, -1)
    return found

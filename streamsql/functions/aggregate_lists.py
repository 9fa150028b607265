"""What aggregates that keep lists do to them, over whole columns: distinct in order, counting, undoing."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.distinct import Column, Vector
from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.python_values import python_values, with_numbers
from streamsql.types import BIGINT, INTEGER, Array, SqlType, Struct

Int64s = npt.NDArray[np.int64]


def counted(item: SqlType) -> Struct:
    """A value and how often it occurs."""
    return Struct((("item", item), ("n", BIGINT)))


def distinct_in_order(item: SqlType) -> ArrowFunction:
    """ARRAY<item> -> ARRAY<item>: the first of equal elements, in order, one null among them."""
    t = Array(item)

    def run(lists: Column) -> Vector:
        column = _one(lists)
        items, owners = column.flatten(), _owners(column)
        first, _ = _firsts(items, owners)
        return _lists(t, items.take(pa.array(first)), owners[first], len(column))

    return ArrowFunction(_name("distinct_in_order", item), (t.duckdb,), t.duckdb, run)


def counts_settled(item: SqlType) -> ArrowFunction:
    """ARRAY<STRUCT<item, n>>, limit INTEGER -> the same with one entry per item.

    The counts of an item are added, items with none left are dropped, and of what remains the first
    `limit` items stay (0: all), in the order in which they came.
    """
    t = Array(counted(item))

    def run(lists: Column, limits: Column) -> Vector:
        column = _one(lists)
        entries, owners = column.flatten(), _owners(column)
        items, counts = entries.flatten()
        first, places = _firsts(items, owners)
        sums = np.zeros(len(first), dtype=np.int64)
        np.add.at(sums, places, counts.to_numpy(zero_copy_only=False).astype(np.int64))
        kept = sums > 0
        first, sums = first[kept], sums[kept]
        owner = owners[first]
        begins = np.searchsorted(owner, owner)
        limit = _one(limits).to_numpy(zero_copy_only=False)[owner]
        kept = (limit == 0) | (np.arange(len(owner)) - begins < limit)
        first, sums, owner = first[kept], sums[kept], owner[kept]
        fields = [pa.field("item", item.arrow), pa.field("n", pa.int64())]
        values = pa.StructArray.from_arrays([items.take(pa.array(first)), pa.array(sums)], fields=fields)
        return _lists(t, values, owner, len(column))

    return ArrowFunction(_name("counts_settled", item), (t.duckdb, INTEGER.duckdb), t.duckdb, run)


def last_equal_removed(item: SqlType) -> ArrowFunction:
    """ARRAY<item>, ARRAY<STRUCT<item, n>> -> ARRAY<item>: changes applied to a list, one after another.

    n = 1 appends the item; n = -1 removes the last element equal to it, if there is one.
    """
    state, changes = Array(item), Array(counted(item))

    def run(lists: Column, steps: Column) -> Vector:
        results: list[list[Any] | None] = []
        # A loop over changes: each looks at the list that the one before has left.
        before = with_numbers(_one(lists))
        for have, todo in zip(before.to_pylist(), python_values(_one(steps)), strict=True):
            current = list(have or ())
            for step in todo or ():
                if step["n"] > 0:
                    current.append(step["item"])
                    continue
                for place in range(len(current) - 1, -1, -1):
                    if current[place] == step["item"]:
                        del current[place]
                        break
            results.append(current)
        return pa.array(results, before.type).cast(state.arrow)

    return ArrowFunction(_name("last_equal_removed", item), (state.duckdb, changes.duckdb), state.duckdb, run)


def _name(what: str, item: SqlType) -> str:
    """One name per implementation and type."""
    return f"ksql_{what}_{zlib.crc32(item.duckdb.encode()):08x}"


def _one(column: Column) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _owners(lists: Any) -> Int64s:
    """For each element of the flattened lists the row of its list; rising."""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    owners: Int64s = np.repeat(np.arange(len(lists)), lengths)
    return owners


def _firsts(items: Any, owners: Int64s) -> tuple[Int64s, Int64s]:
    """The first places of equal items of one owner, rising; and for each item which of them is its own."""
    if not len(items):
        return owners, owners
    codes = _codes(items)
    _, first, inverse = np.unique(
        owners * (int(codes.max()) + 1) + codes, return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return first[order], ranks[inverse.reshape(-1)]


def _codes(items: Any) -> Int64s:
    """A number per item, the same for equal ones; nulls are equal to each other."""
    if pa.types.is_nested(items.type):
        # Arrow encodes no nested values; their text tells them apart as well.
        items = pa.array([repr(v) for v in python_values(items)])
    encoded = items.dictionary_encode(null_encoding="encode")
    codes: Int64s = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _lists(t: Array, items: Any, owners: Int64s, rows: int) -> Vector:
    offsets = np.zeros(rows + 1, dtype=np.int32)
    np.cumsum(np.bincount(owners, minlength=rows), out=offsets[1:])
    lists: Vector = pa.ListArray.from_arrays(pa.array(offsets), items).cast(t.arrow)
    return lists

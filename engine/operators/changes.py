"""Writing changes of a table: rows with weights, in the order of processing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import SEQ, TIME, WINDOW_START
from streamsql.engine.python_values import python_values
from streamsql.engine.state.columns import Bools, Int64s, Values, concatenated


def weights(count: int, weight: int) -> pa.Array:
    """The `$weight` column of rows that are all put in (1) or all taken back (-1)."""
    return pa.array(np.full(count, weight, dtype=np.int8))


def interleaved(olds: Sequence[pa.Array], news: Sequence[pa.Array], has_old: Bools) -> list[pa.Array]:
    """Columns of updates: before row i of `news` its old row, if it has one.

    olds     columns of the old rows, in the order of the new rows they belong to
    has_old  bool[n], which of the n new rows have one
    """
    old_count = int(np.count_nonzero(has_old))
    if not old_count:
        return list(news)
    ends = np.cumsum(has_old + 1) - 1
    order = np.empty(old_count + len(has_old), dtype=np.int64)
    order[ends] = old_count + np.arange(len(has_old))
    order[ends[has_old] - 1] = np.arange(old_count)
    chosen = pa.array(order)
    return [concatenated([old, new], new.type).take(chosen) for old, new in zip(olds, news, strict=True)]


def with_times(rows: pa.RecordBatch, times: Values) -> pa.RecordBatch:
    """The rows with another `$time`."""
    return rows.set_column(rows.schema.get_field_index(TIME), TIME, pa.array(times))


def by_processing(seq: Int64s, *ties: Int64s) -> Int64s:
    """The order of rows by `$seq`, then by the columns of `ties`; int64[n] row numbers."""
    if not len(seq):
        return seq
    low = int(seq.min())
    span = int(seq.max()) - low + 1
    if span <= _SCATTER * len(seq):
        # Numbers of one batch lie close together; if no two are equal, each has its place at once.
        places = np.full(span, -1, dtype=np.int64)
        places[seq - low] = np.arange(len(seq))
        order = places[places >= 0]
        if len(order) == len(seq):
            return order
    if ties:
        return np.lexsort((*reversed(ties), seq))
    return np.argsort(seq, kind="stable")


_SCATTER = 16
"""How much longer than the rows an array of places may be and still beat sorting."""


def order_of_finals(finals: Sequence[pa.RecordBatch], keys: Sequence[str]) -> Int64s:
    """The order of final rows that follow each other: by `$seq`, the start of the window and the key.

    keys  columns; without any, there is one window of a start
    """
    seq, start = (
        np.concatenate([part.column(name).to_numpy() for part in finals]) for name in (SEQ, WINDOW_START)
    )
    if not keys:
        return by_processing(seq, start)
    columns = [
        concatenated([part.column(n) for part in finals], finals[0].schema.field(n).type) for n in keys
    ]
    return by_processing(seq, start, key_order(columns))


def key_order(keys: Sequence[pa.Array]) -> Int64s:
    """The rank of each row by its key, for an order that does not depend on how keys came in; int64[n]."""
    count = len(keys[0])
    if any(pa.types.is_nested(k.type) for k in keys):
        # Arrow sorts no nested values; their text has an order as fixed as any.
        keys = [
            pa.array([str(v) for v in python_values(k)]) if pa.types.is_nested(k.type) else k for k in keys
        ]
    names = [str(number) for number in range(len(keys))]
    table = pa.RecordBatch.from_arrays(list(keys), names=names)
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in names]).to_numpy()
    ranks = np.empty(count, dtype=np.int64)
    ranks[order] = np.arange(count)
    return ranks

"""The changelog records of a row log: key struct<$row: int64>, value struct<columns> or null.

A negative row -n, without a value, says that all rows before n are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.gather import gathered

ROW = "$row"
KEY = pa.schema([pa.field(ROW, pa.int64())])
_RESTORED = (ROW, "value")


def records_of(rows: Int64s, values: pa.Array[Any], times: pa.Array[Any]) -> pa.RecordBatch:
    """Records of rows: numbers, values and times, n each."""
    key = pa.StructArray.from_arrays([pa.array(rows)], fields=list(KEY))
    return pa.RecordBatch.from_arrays([key, values, times], names=["key", "value", "timestamp"])


def record_of_first(first: int, schema: pa.Schema, time_ms: int) -> pa.RecordBatch:
    """The record which says that no row before `first` is kept; first > 0."""
    return records_of(
        np.array([-first]), pa.nulls(1, pa.struct(list(schema))), pa.array([time_ms], pa.int64())
    )


def first_of(keys: pa.Array[Any]) -> int:
    """The largest first row that records of these keys speak of, 0 if none does."""
    return max(0, -int(keys.field(0).to_numpy().min(initial=0)))


def by_row(keys: pa.Array[Any], values: pa.Array[Any]) -> pa.RecordBatch:
    """Keys and values of records as the columns `$row` and value."""
    return pa.RecordBatch.from_arrays([keys.field(0), values], names=_RESTORED)


def last_per_row(records: Sequence[pa.RecordBatch], part_rows: int, first: int) -> list[pa.RecordBatch]:
    """The last record of each row that is not dropped by it, by number, in parts of at most so many rows.

    first  no row before it is kept; at least 0
    """
    numbers = np.concatenate([part.column(ROW).to_numpy() for part in records])
    present = np.concatenate(
        [part.column("value").is_valid().to_numpy(zero_copy_only=False) for part in records]
    )
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    last = order[np.append(ordered[1:] != ordered[:-1], True)[: len(order)]]
    last = last[np.searchsorted(numbers[last], first) :]
    last = last[present[last]]
    starts = np.cumsum([0, *(part.num_rows for part in records)])[:-1]
    pieces = [part.columns for part in records]
    types = records[0].schema.types
    parts = []
    for begin in range(0, len(last), part_rows):
        chosen = last[begin : begin + part_rows]
        homes = np.searchsorted(starts, chosen, side="right") - 1
        places = chosen - starts[homes]
        columns = gathered(pieces, homes, places, types)
        parts.append(pa.RecordBatch.from_arrays(columns, names=_RESTORED))
    return parts

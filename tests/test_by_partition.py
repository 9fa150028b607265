"""Rows by their partition, held against looking at each row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.by_partition import largest_by_partition, rows_by_partition, split

ROWS = st.lists(st.tuples(st.sampled_from([0, 1, 2, 300, 70_000]), st.integers(-5, 5)), max_size=12)


@given(ROWS)
def test_every_partition_has_its_own_rows_in_their_order(rows: list[tuple[int, int]]) -> None:
    partitions = np.array([partition for partition, _ in rows], np.int64)
    values = np.array([value for _, value in rows], np.int64)
    expected: dict[int, list[int]] = {}
    for place, (partition, _) in enumerate(rows):
        expected.setdefault(partition, []).append(place)
    ordered = sorted(expected.items())
    assert [(number, found.tolist()) for number, found in rows_by_partition(partitions)] == ordered
    assert largest_by_partition(partitions, values) == [
        (number, max(values[places].tolist())) for number, places in ordered
    ]
    records = pa.RecordBatch.from_arrays([pa.array(values)], names=["value"])
    parts = split(records, partitions)
    assert [(number, part.column("value").to_pylist()) for number, part in parts] == [
        (number, values[places].tolist()) for number, places in ordered
    ]

"""Merging numbers into slots: many at once as one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.operators.aggregate_call import Plain
from streamsql.engine.operators.number_merging import merge_numbers
from streamsql.engine.state.columns import FixedColumn
from tests.examples import few

SLOTS = 6
HUGE = 2**62
INTEGERS = st.integers(-5, 5) | st.sampled_from([HUGE, -HUGE, -(2**63), 2**63 - 1])
# Whole ones, so that sums do not depend on the order.
DOUBLES = st.integers(-5, 5).map(float) | st.sampled_from([float("nan"), float("inf"), float("-inf")])
BATCHES = {
    pa.int64(): st.lists(st.tuples(st.integers(0, SLOTS - 1), INTEGERS | st.none()), max_size=30),
    pa.float64(): st.lists(st.tuples(st.integers(0, SLOTS - 1), DOUBLES | st.none()), max_size=30),
}


def started(t: pa.DataType, kind: Plain) -> FixedColumn:
    """A column of which no slot has a value yet."""
    column = FixedColumn(t)
    column.reserve(SLOTS)
    every = np.arange(SLOTS)
    column.set(every, np.zeros(SLOTS, column.values.dtype), None if kind == "sum" else every < 0)
    return column


@pytest.mark.parametrize("t", BATCHES, ids=str)
@pytest.mark.parametrize("kind", ["sum", "min", "max"])
@few
@given(data=st.data())
def test_numbers_are_merged_at_once_as_one_by_one(t: pa.DataType, kind: Plain, data: st.DataObject) -> None:
    at_once, single = started(t, kind), started(t, kind)
    for _ in range(2):
        rows = data.draw(BATCHES[t])
        slots = np.array([slot for slot, _ in rows], dtype=np.int64)
        given_valid = np.array([value is not None for _, value in rows], dtype=np.bool_)
        values = np.array([0 if value is None else value for _, value in rows], dtype=at_once.values.dtype)
        merge_numbers(
            at_once, kind, slots, values, None if given_valid.all() else given_valid, is_distinct=False
        )
        for row in range(len(rows)):
            own = slice(row, row + 1)
            merge_numbers(single, kind, slots[own], values[own], given_valid[own], is_distinct=True)
        assert _shown(at_once) == _shown(single)


def _shown(column: FixedColumn) -> list[str]:
    """As text, in which NaN is like NaN."""
    return [repr(value) for value in column.get(np.arange(SLOTS), None).to_pylist()]

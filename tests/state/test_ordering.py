"""Orders of integers against Python's sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.state import ordering
from streamsql.engine.state.ordering import order_of

small = st.integers(-3, 3)
majors = st.one_of(small, st.integers(-1, 1 << 34))
minors = st.one_of(small, st.integers(-(1 << 59), 1 << 59))


@given(st.lists(st.tuples(majors, minors), max_size=30), st.booleans(), st.booleans())
def test_the_order_is_by_major_then_minor_then_place(rows, has_many, is_nearly) -> None:
    ordering._DIGIT_ROWS, saved = (1 if has_many else 1000), ordering._DIGIT_ROWS
    try:
        major, minor = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        order = order_of(major, minor, is_nearly=is_nearly).tolist()
    finally:
        ordering._DIGIT_ROWS = saved
    assert order == sorted(range(len(rows)), key=lambda i: (*rows[i], i))

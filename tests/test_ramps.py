"""Columns that count up or stay the same, shared by all batches."""

from __future__ import annotations

import pytest

from streamsql.engine.ramps import counting, repeated
from streamsql.engine.state.columns import to_numpy

MANY = (1 << 20) + 1
ROWS = [0, 1, 7, 1024, 1025, MANY - 1, MANY]


@pytest.mark.parametrize("rows", ROWS)
def test_numbers_are_as_many_as_wanted(rows: int) -> None:
    assert counting(rows).equals(counting(MANY).slice(0, rows))
    assert counting(rows).to_numpy().sum() == rows * (rows - 1) // 2
    for number in (0, 3):
        assert len(repeated(number, rows)) == rows
        assert (repeated(number, rows).to_numpy() == number).all()


def test_nobody_can_write_to_what_all_batches_share() -> None:
    for shared in (counting(5), repeated(3, 5)):
        values, _ = to_numpy(shared)
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1

"""The size of micro-batches: it follows what a batch takes."""

from __future__ import annotations

from streamsql.engine.batch_size import BatchSize


def test_batches_grow_until_one_takes_as_long_as_the_aim():
    size = BatchSize(aim_seconds=0.1, most_rows=10_000_000)
    for _ in range(20):
        size.learn(size.rows, seconds=size.rows / 5_000_000)
    assert size.rows == 500_000


def test_batches_of_a_slow_query_shrink_but_not_to_nothing():
    size = BatchSize(aim_seconds=0.1, most_rows=10_000_000)
    for _ in range(20):
        size.learn(size.rows, seconds=size.rows / 1_000)
    assert 1_000 < size.rows < 50_000


def test_the_limit_is_never_passed_even_if_it_is_one_row():
    size = BatchSize(aim_seconds=0.1, most_rows=1)
    for _ in range(5):
        size.learn(1, seconds=0.000001)
        assert size.rows == size.limit == 1


def test_a_batch_may_be_a_little_larger_than_it_should():
    size = BatchSize(aim_seconds=0.1, most_rows=80_000)
    assert (size.rows, size.limit) == (65_536, 80_000)
    size.learn(65_536, seconds=0.2)
    assert (size.rows, size.limit) == (32_768, 40_960)

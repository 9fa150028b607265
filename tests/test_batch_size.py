"""The size of micro-batches: it follows what a batch takes."""

from __future__ import annotations

import pytest

from streamsql.engine import batch_size
from streamsql.engine.batch_size import BatchSize, Stopwatch


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


@pytest.mark.parametrize(
    ("own", "passed", "seconds"),
    [
        (1.0, 1.0, 1.0),
        (1.0, 3.0, 1.0),  # others had the processors
        (1.0, 40.0, 10.0),  # but a batch has to end some time
        (0.0, 4.0, 1.0),  # it waited, for a file or for what another query decodes
    ],
)
def test_waiting_for_a_processor_is_not_held_against_a_batch_until_it_takes_four_times_as_long(
    own: float, passed: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"thread_time": 5.0, "perf_counter": 70.0}
    for name in now:
        monkeypatch.setattr(batch_size.time, name, lambda name=name: now[name])
    watch = Stopwatch()
    now["thread_time"] += own
    now["perf_counter"] += passed
    assert watch.seconds() == seconds

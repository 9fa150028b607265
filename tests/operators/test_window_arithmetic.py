"""Windows as arithmetic, and the two structures that time moves: the calendar and stream time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.operators.calendar import Calendar
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.windows import default_grace_ms, hopping, session, tumbling, united

sizes = st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(size=sizes, time=st.integers(0, 200), now=st.integers(0, 200), grace=st.integers(0, 30))
def test_a_time_falls_into_the_windows_that_contain_it(size, time, now, grace):
    window = hopping(*size, grace_ms=grace)
    starts = range(0, 300, window.advance_ms)
    containing = [s for s in starts if s <= time < s + window.size_ms]
    assert window.first_start(ints(time))[0] == containing[0]
    assert window.last_start(ints(time))[0] == containing[-1]
    pane = time - time % window.pane_ms
    assert window.first_start(ints(pane))[0] == containing[0]
    assert window.last_start(ints(pane))[0] == containing[-1]
    open_ones = [s for s in starts if s + window.size_ms > now - grace]
    assert window.open_start(ints(now))[0] == open_ones[0]


def test_what_is_not_given_follows_the_language():
    day = 24 * 60 * 60 * 1000
    assert default_grace_ms(1000) == day - 1000
    assert default_grace_ms(2 * day) == 0
    assert (tumbling(1000).grace_ms, tumbling(1000).retention_ms) == (day - 1000, day)
    assert (session(1000).grace_ms, session(1000, 5).retention_ms) == (day - 1000, 1005)


def unions_of(intervals, gap):
    numbers, number, last_key, reach = [], -1, None, 0
    for key, start, end in intervals:
        if key != last_key or start - reach > gap:
            number, reach, last_key = number + 1, end, key
        reach = max(reach, end)
        numbers.append(number)
    return numbers


@pytest.mark.parametrize("scale", [1, 1 << 54], ids=["near", "too far apart to lift"])
@given(
    intervals=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 9)), max_size=20),
    gap=st.integers(0, 5),
)
def test_intervals_of_a_key_unite_when_no_gap_between_them_is_too_long(scale, intervals, gap):
    ordered = sorted((key, start * scale, (start + length) * scale) for key, start, length in intervals)
    columns = [ints(*(i[n] for i in ordered)) for n in range(3)]
    assert united(*columns, gap * scale).tolist() == unions_of(ordered, gap * scale)


steps = st.lists(st.lists(st.integers(0, 50), max_size=6) | st.integers(0, 60), max_size=20)


@given(steps=steps)
def test_a_calendar_gives_back_what_is_due_and_nothing_twice(steps):
    calendar, waiting, slot = Calendar(), {}, 0
    for step in steps:
        if isinstance(step, list):
            slots = list(range(slot, slot + len(step)))
            slot += len(step)
            waiting.update(zip(slots, step, strict=True))
            calendar.enter(ints(*step), ints(*slots))
        else:
            slots, due = calendar.take(step)
            assert due.tolist() == sorted(due.tolist())
            assert dict(zip(slots.tolist(), due.tolist(), strict=True)) == {
                s: d for s, d in waiting.items() if d <= step
            }
            waiting = {s: d for s, d in waiting.items() if d > step}
        assert calendar.first() == min(waiting.values(), default=None)


@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=20), cut=st.integers(0, 20))
def test_stream_time_runs_per_partition_and_survives_a_restart(rows, cut):
    clock, copy, latest = StreamTime(), StreamTime(), {}
    for part in (rows[:cut], rows[cut:]):
        partition, time = ints(*(p for p, _ in part)), ints(*(t for _, t in part))
        expected = []
        for p, t in part:
            latest[p] = max(latest.get(p, t), t)
            expected.append(latest[p])
        assert clock.running(partition, time).tolist() == expected
        clock.advance(partition, time)
        clock.number(len(part))
        if (records := clock.drain()) is not None:
            copy.restore(records)
        assert {p: clock.of(p) for p in clock.partitions()} == latest
        assert {p: copy.of(p) for p in copy.partitions()} == latest
    # A number is never given twice, restart or not.
    assert clock.number(3) == copy.number(3) == len(rows)
    assert clock.number(0) == len(rows) + 3

"""The spine against a list of entries, and the work it does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsql.engine.state import spine as spine_module
from streamsql.engine.state.spine import Spine, sorted_run

times = st.one_of(st.integers(0, 30), st.integers(0, 1 << 59))
entries = st.lists(st.lists(st.tuples(st.integers(0, 3), times), min_size=1, max_size=8), max_size=10)
probes = st.lists(st.tuples(st.integers(0, 4), times, st.integers(0, 40)), min_size=1, max_size=10)


@pytest.fixture(params=["short runs", "long runs"])
def lengths(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs as short as a test's, indexed as short ones are and as long ones are."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "long runs":
            patch.setattr(spine_module, "_LONG", 1)
            patch.setattr(spine_module, "_FEW", 1)
        yield


@pytest.mark.usefixtures("lengths")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries, probes, st.one_of(st.none(), st.integers(0, 20)), st.sets(st.integers(0, 60)))
def test_a_spine_finds_what_a_look_at_every_entry_finds(batches, asked, span, dead) -> None:
    spine = Spine(lambda rows, _: ~np.isin(rows, list(dead)), span)
    kept, row = [], 0
    for batch in batches:
        slots, time = (np.array(column) for column in zip(*batch, strict=True))
        rows = np.arange(row, row + len(batch))
        row += len(batch)
        spine.add(sorted_run(slots, time, rows))
        kept += [
            e for e in zip(slots.tolist(), time.tolist(), rows.tolist(), strict=True) if e[2] not in dead
        ]
    spine.forget(len(dead))
    slots, low, length = (np.array(column) for column in zip(*asked, strict=True))
    found = spine.find(slots, low, low + length)
    assert sorted(
        zip(found.probe.tolist(), found.times.tolist(), found.rows.tolist(), strict=True)
    ) == sorted(
        (probe, time, row)
        for probe, (slot, begin, long) in enumerate(asked)
        for own, time, row in kept
        if own == slot and begin <= time <= begin + long
    )


@pytest.mark.parametrize("slots", [1, 50, 100_000], ids=["one slot", "few", "many"])
def test_long_runs_find_what_searching_finds(slots: int) -> None:
    random = np.random.default_rng(slots)
    slot, time = random.integers(0, slots, 20_000), random.integers(0, 1 << 40, 20_000)
    run = sorted_run(slot, time, np.arange(20_000))
    assert run is not None and run.begins is not None
    asked = np.concatenate([slot[:3000], random.integers(0, slots + 9, 1000)])
    low = np.concatenate([time[:3000] - random.integers(0, 1 << 38, 3000), np.full(1000, -(1 << 62))])
    high = np.concatenate([time[:3000] + 1, np.full(1000, 1 << 62)])
    found = run.find(asked, low, high)
    assert found is not None
    # Entries by slot and time, and for every probe the stretch that is its own.
    order = np.lexsort((time, slot))
    expected = []
    for probe, (s, begin, end) in enumerate(zip(asked.tolist(), low.tolist(), high.tolist(), strict=True)):
        first, last = np.searchsorted(slot[order], [s, s + 1])
        stretch = order[first:last]
        own = stretch[(time[stretch] >= begin) & (time[stretch] < end)]
        expected += [(probe, row) for row in own.tolist()]
    assert list(zip(found.probe.tolist(), found.rows.tolist(), strict=True)) == expected


@pytest.mark.parametrize("batch_rows", [10, 1000])
def test_short_ranges_meet_few_runs_and_rows_move_by_the_span_not_by_what_is_held(batch_rows: int) -> None:
    moved = {}
    for held in (20_000, 200_000):
        spine = Spine(span=1000)
        for begin in range(0, held, batch_rows):
            rows = np.arange(begin, begin + batch_rows)
            spine.add(sorted_run(rows % 7, rows, rows))
        moved[held] = spine.moved / held
        spine.drop_before(held - 1000)
        assert len(spine) <= 8000
    assert moved[200_000] <= 1.1 * moved[20_000]


def test_more_runs_than_there_are_marks_are_all_searched() -> None:
    """A slot tells by 32 marks which runs it is in; the oldest runs then have none."""
    spine = Spine(span=1)
    batches = 200
    for batch in range(batches):
        # Far apart in time, so that none are merged; every third slot is in every run, slot 1 in the first alone.
        slots = np.array([0, 1, 3, 6] if batch == 0 else [0, 3, 6])
        spine.add(sorted_run(slots, np.full(len(slots), batch * 1000), slots + 10 * batch))
    everything = np.full(4, 1 << 40)
    found = spine.find(np.array([0, 1, 2, 6]), -everything, everything)
    assert np.bincount(found.probe, minlength=4).tolist() == [batches, 1, 0, batches]
    spine.drop_before(10 * (batches - 10))
    found = spine.find(np.array([0, 1, 2, 6]), -everything, everything)
    assert np.bincount(found.probe, minlength=4).tolist() == [10, 0, 0, 10]
    spine.clear()
    assert not len(spine.find(np.array([0]), np.array([0]), np.array([1 << 40])).rows)

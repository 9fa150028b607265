"""Windowed aggregation equals the row-by-row model, one row a batch and for any other cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.windows import Session, TimeWindow
from tests.examples import few
from tests.operators.aggregation import (
    Row,
    apply,
    batch,
    commutative_calls,
    open_run,
    ordered_calls,
    pieces,
    stage,
)
from tests.operators.window_model import Sessions, TimeWindows

rows = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.none() | st.integers(-3, 9), st.integers(0, 60)),
    max_size=20,
)
"""Times in no order: some rows are late, some only for some of their windows."""
threads = st.integers(1, 3)
"""How many shards the state of sessions is cut into."""
ahead = st.integers(0, 2)
"""How many batches have been looked at before one is merged."""
cuts = st.lists(st.integers(0, 100), max_size=4)


def with_partitions(plain: list[tuple[str | None, int | None, int]], partitions: int) -> list[Row]:
    """A key's rows all come from one partition."""
    return [Row(k, x, t, ord(k or "a") % partitions) for k, x, t in plain]


def without(change: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in change.items() if name not in names}


def names(spec: Aggregate) -> list[str]:
    return [c.name for c in spec.calls]


WINDOWS = {
    "tumbling": TimeWindow(10, 10, 5, 15),
    "tumbling, no grace": TimeWindow(7, 7, 0, 7),
    "tumbling, kept longer": TimeWindow(10, 10, 0, 40),
    "hopping": TimeWindow(10, 5, 3, 13),
    "hopping, odd": TimeWindow(10, 4, 0, 10),
    "hopping, wide": TimeWindow(12, 2, 20, 50),
}
CALLS = {"by panes": commutative_calls(), "by rows": ordered_calls()}


def time_window_spec(window: TimeWindow, calls, **options) -> Aggregate:
    return Aggregate(stage(), ("k",), calls, window, **options)


def time_model(spec: Aggregate) -> TimeWindows:
    w = spec.window
    return TimeWindows(w.size_ms, w.advance_ms, w.grace_ms, w.retention_ms, names(spec), spec.emit_final)


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@few
@given(plain=rows, cuts=cuts, partitions=st.sampled_from([1, 2]), ahead=ahead, emit_old=st.booleans())
def test_time_windows(window, calls, plain, cuts, partitions, emit_old, ahead):
    spec = time_window_spec(window, calls, emit_old=emit_old)
    model, single, cut = time_model(spec), open_run(spec), open_run(spec, 2)
    expected, seen = {}, {}
    batches = pieces(with_partitions(plain, partitions), cuts)
    for piece, came in zip(batches, cut.feed_ahead(batches, ahead), strict=True):
        for row in piece:
            changes = model.feed(row)
            one = [c for c in single.feed([row]) if c["$weight"] > 0]
            assert [without(c, "$seq", "$weight") for c in one] == changes
            apply([{**c, "$weight": 1} for c in changes], expected, check_old=False)
        apply(came, seen, check_old=emit_old)
        assert seen == expected
        assert cut.table() == single.table() == model.table()
    assert cut.problems.counters.late == single.problems.counters.late == model.late


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@few
@given(plain=rows, cuts=cuts, partitions=st.sampled_from([1, 2]), ahead=ahead)
def test_final_rows_of_time_windows(window, calls, plain, cuts, partitions, ahead):
    spec = time_window_spec(window, calls, emit_final=True)
    model, cut = time_model(spec), open_run(spec, 2)
    first = 0
    batches = pieces(with_partitions(plain, partitions), cuts)
    for piece, came in zip(batches, cut.feed_ahead(batches, ahead), strict=True):
        expected = [
            {**change, "$seq": first + i, "$weight": 1}
            for i, row in enumerate(piece)
            for change in model.feed(row)
        ]
        assert came == expected
        first += len(piece)
        assert cut.table() == model.table()


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@few
@given(plain=rows, cuts=cuts, partitions=st.sampled_from([1, 2]), ahead=ahead, emit_old=st.booleans())
def test_every_change_of_time_windows(window, calls, plain, cuts, partitions, emit_old, ahead):
    """However the rows come, what one row at a time gives: each change, at the row that made it."""
    spec = time_window_spec(window, calls, emit_old=emit_old, emit_every=True)
    model, cut = time_model(spec), open_run(spec, 2)
    table = {}
    first = 0
    batches = pieces(with_partitions(plain, partitions), cuts)
    for piece, came in zip(batches, cut.feed_ahead(batches, ahead), strict=True):
        expected = [
            {**change, "$seq": first + i} for i, row in enumerate(piece) for change in model.feed(row)
        ]
        assert [without(c, "$weight") for c in came if c["$weight"] > 0] == expected
        apply(came, table, check_old=emit_old)
        first += len(piece)
        assert cut.table() == model.table()
    assert cut.problems.counters.late == model.late


SESSIONS = {
    "sessions": Session(5, 10, 15),
    "sessions, no grace": Session(4, 0, 4),
    "sessions, kept longer": Session(3, 2, 60),
}


def session_model(spec: Aggregate) -> Sessions:
    w = spec.window
    return Sessions(w.gap_ms, w.grace_ms, w.retention_ms, names(spec), spec.emit_final)


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("window", SESSIONS.values(), ids=SESSIONS)
@few
@given(plain=rows, cuts=cuts, partitions=st.sampled_from([1, 2]), threads=threads, emit_old=st.booleans())
def test_sessions(window, calls, plain, cuts, partitions, emit_old, threads):
    spec = Aggregate(stage(), ("k",), calls, window, emit_old=emit_old)
    model, single, cut = session_model(spec), open_run(spec), open_run(spec, threads)
    expected, seen = {}, {}
    for piece in pieces(with_partitions(plain, partitions), cuts):
        for row in piece:
            changes = model.feed(row)
            if not emit_old:
                blank = dict.fromkeys(names(spec))
                changes = [(w, c if w > 0 else {**c, **blank}) for w, c in changes]
            came = single.feed([row])
            assert [{**c, "$seq": 0, "$weight": w} for w, c in changes] == came
            apply([{**c, "$weight": w} for w, c in changes], expected, check_old=emit_old)
        apply(cut.feed(piece), seen, check_old=emit_old)
        assert seen == expected
        assert cut.table() == single.table() == model.table()
    assert cut.problems.counters.late == single.problems.counters.late == model.late


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("window", SESSIONS.values(), ids=SESSIONS)
@few
@given(plain=rows, cuts=cuts, partitions=st.sampled_from([1, 2]), threads=threads)
def test_final_rows_of_sessions(window, calls, plain, cuts, partitions, threads):
    spec = Aggregate(stage(), ("k",), calls, window, emit_final=True, emit_old=True)
    model, cut = session_model(spec), open_run(spec, threads)
    first = 0
    for piece in pieces(with_partitions(plain, partitions), cuts):
        expected = [
            {**change, "$seq": first + i, "$weight": weight}
            for i, row in enumerate(piece)
            for weight, change in model.feed(row)
        ]
        assert cut.feed(piece, first) == expected
        first += len(piece)
        assert cut.table() == model.table()


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("window", SESSIONS.values(), ids=SESSIONS)
@few
@given(plain=rows, cuts=cuts, partitions=st.sampled_from([1, 2]), threads=threads, emit_old=st.booleans())
def test_every_change_of_sessions(window, calls, plain, cuts, partitions, emit_old, threads):
    spec = Aggregate(stage(), ("k",), calls, window, emit_old=emit_old, emit_every=True)
    model, cut = session_model(spec), open_run(spec, threads)
    blank = {} if emit_old else dict.fromkeys(names(spec))
    first = 0
    for piece in pieces(with_partitions(plain, partitions), cuts):
        expected = [
            {**change, **(blank if weight < 0 else {}), "$seq": first + i, "$weight": weight}
            for i, row in enumerate(piece)
            for weight, change in model.feed(row)
        ]
        assert cut.feed(piece, first) == expected
        first += len(piece)
        assert cut.table() == model.table()
    assert cut.problems.counters.late == model.late


EMITS = {"changes": {}, "every change": {"emit_every": True}, "final": {"emit_final": True}}


@pytest.mark.parametrize("emits", EMITS.values(), ids=EMITS)
@pytest.mark.parametrize("window", [*WINDOWS.values(), *SESSIONS.values()], ids=[*WINDOWS, *SESSIONS])
@few
@given(plain=rows, cut=st.integers(0, 30), threads=threads, threads_after=threads)
def test_a_restart_changes_nothing(window, emits, plain, cut, threads, threads_after):
    spec = Aggregate(stage(), ("k",), ordered_calls(), window, emit_old=True, **emits)
    before, all_rows = open_run(spec, threads), with_partitions(plain, 2)
    if all_rows[:cut]:
        before.feed(all_rows[:cut])
    after = open_run(spec, threads_after)
    for old, new in zip(before.operator.stores, after.operator.stores, strict=True):
        if (records := old.drain()) is not None:
            new.restore(records)
    assert after.table() == before.table()
    for row in all_rows[cut:]:
        # The checker of the new run has not seen what came before; its own operator is asked.
        one = batch([row])
        assert after.operator.operator.process(one) == before.operator.operator.process(one)
    assert after.table() == before.table()


@pytest.mark.parametrize("emits", EMITS.values(), ids=EMITS)
@pytest.mark.parametrize("rows_each", [1, 4])
def test_no_session_begins_where_one_past_its_retention_did(emits, rows_each):
    run = open_run(Aggregate(stage(), ("k",), ordered_calls(), Session(5, 10, 15), emit_old=True, **emits))
    # At 16 the session of 0 is past its retention, that of 1 just is not.
    came = [Row("a", 1, time, 0) for time in (0, 16, 1, 0)]
    for first in range(0, 4, rows_each):
        run.feed(came[first : first + rows_each])
    assert run.problems.counters.late == 1
    assert len({row["$start"] for row in run.table()}) == len(run.table())

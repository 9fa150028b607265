"""The foreign-key join against a join over dictionaries, its input cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql.engine.check import CheckedOperator
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin, ForeignKeyJoinOperator
from streamsql.engine.problems import Problems
from tests.examples import many
from tests.workspaces import KeptWorkspace

META = [pa.field("$time", pa.int64()), pa.field("$seq", pa.int64()), pa.field("$weight", pa.int8())]
LEFT = pa.schema([pa.field("ID", pa.int64()), pa.field("F", pa.int64()), pa.field("L", pa.int64()), *META])
RIGHT = pa.schema([pa.field("K", pa.int64()), pa.field("R", pa.string()), *META])


@dataclass(frozen=True)
class Event:
    """An upsert or a delete; `points` is the left row's foreign key."""

    side: int
    key: int
    points: int | None
    is_delete: bool
    seq: int


Row = tuple[int, int | None, int, str | None]


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    workspace = KeptWorkspace()
    yield Context(workspace, Problems())
    workspace.close()


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def opened(context: Context, keeps_unmatched: bool, tells_all_deletes: bool = False) -> CheckedOperator:
    spec = ForeignKeyJoin(LEFT, RIGHT, ("ID",), ("F",), ("K",), keeps_unmatched, tells_all_deletes)
    return CheckedOperator(
        spec.open(context), spec.output, ["ID"], takes_back_old=True, deletes_unknown=tells_all_deletes
    )


def batch(events: Sequence[Event], side: int) -> pa.RecordBatch | None:
    own = [e for e in events if e.side == side]
    if not own:
        return None
    meta = [
        pa.array([e.seq for e in own], pa.int64()),
        pa.array([e.seq for e in own], pa.int64()),
        pa.array([-1 if e.is_delete else 1 for e in own], pa.int8()),
    ]
    key = pa.array([e.key for e in own], pa.int64())
    if side:
        text = pa.array([None if e.is_delete else f"r{e.seq}" for e in own], pa.string())
        return pa.RecordBatch.from_arrays([key, text, *meta], schema=RIGHT)
    points = pa.array([None if e.is_delete else e.points for e in own], pa.int64())
    value = pa.array([None if e.is_delete else e.seq for e in own], pa.int64())
    return pa.RecordBatch.from_arrays([key, points, value, *meta], schema=LEFT)


def run(operator: CheckedOperator, events: Sequence[Event]) -> list[tuple[int, int, Row]]:
    """(seq, weight, row) of what comes out."""
    out = operator.process(batch(events, 0), batch(events, 1))
    if out is None:
        return []
    return [(r["$seq"], r["$weight"], (r["ID"], r["F"], r["L"], r["R"])) for r in out.to_pylist()]


def by_the_rules(events: Sequence[Event], keeps_unmatched: bool) -> list[tuple[int, int, Row]]:
    """One event after another: the rows it touches are taken back and put in."""
    left: dict[int, tuple[int | None, int]] = {}
    right: dict[int, str] = {}
    out: list[tuple[int, int, Row]] = []

    def result(key: int) -> Row | None:
        if key not in left:
            return None
        points, value = left[key]
        text = None if points is None else right.get(points)
        return (key, points, value, text) if text is not None or keeps_unmatched else None

    for event in events:
        if event.side:
            touched = sorted((k for k, v in left.items() if v[0] == event.key), key=lambda k: left[k][1])
        else:
            touched = [event.key]
        before = [result(key) for key in touched]
        table: dict[int, object] = right if event.side else left  # type: ignore[assignment]
        if event.is_delete:
            table.pop(event.key, None)
        else:
            table[event.key] = f"r{event.seq}" if event.side else (event.points, event.seq)
        for key, old in zip(touched, before, strict=True):
            new = result(key)
            out += [(event.seq, -1, old)] if old is not None else []
            out += [(event.seq, 1, new)] if new is not None else []
    return out


def joined_by_duckdb(
    oracle: duckdb.DuckDBPyConnection, events: Sequence[Event], keeps_unmatched: bool
) -> list[Row]:
    for name, side in (("ls", 0), ("rs", 1)):
        own = batch(events, side)
        oracle.register(name, (RIGHT if side else LEFT).empty_table() if own is None else own)
    latest = (
        'SELECT * FROM {0} QUALIFY row_number() OVER (PARTITION BY {1} ORDER BY "$seq" DESC) = 1 '
        'AND "$weight" = 1'
    )
    return oracle.execute(
        f"SELECT ID, F, L, R FROM ({latest.format('ls', 'ID')}) l "
        f"{'LEFT' if keeps_unmatched else 'INNER'} JOIN ({latest.format('rs', 'K')}) r ON l.F = r.K"
    ).fetchall()


drawn_events = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 2)
    ),
    max_size=40,
)


def events_of(drawn: Sequence[tuple[int, int, int | None, int]]) -> list[Event]:
    return [Event(s, k, f, roll == 0, seq) for seq, (s, k, f, roll) in enumerate(drawn)]


@many
@given(drawn_events, st.lists(st.integers(0, 40), max_size=6), st.booleans())
@example([(0, 0, 0, 1), (1, 0, None, 0)], [], True)  # a delete of what was never there
def test_any_cut_gives_what_the_rules_give_one_by_one(
    context: Context,
    oracle: duckdb.DuckDBPyConnection,
    drawn: list[tuple[int, int, int | None, int]],
    cuts: list[int],
    keeps_unmatched: bool,
) -> None:
    events = events_of(drawn)
    expected = by_the_rules(events, keeps_unmatched)
    operator = opened(context, keeps_unmatched)
    ends = sorted({min(p, len(events)) for p in cuts} | {0, len(events)})
    assert [out for a, b in pairwise(ends) for out in run(operator, events[a:b])] == expected
    held: list[Row] = []
    for _, weight, row in expected:
        held.append(row) if weight > 0 else held.remove(row)
    snapshot = operator.snapshot()
    assert snapshot is not None
    shown = [(r["ID"], r["F"], r["L"], r["R"]) for r in snapshot.to_pylist()]
    assert sorted(map(str, shown)) == sorted(map(str, held))
    assert sorted(map(str, shown)) == sorted(map(str, joined_by_duckdb(oracle, events, keeps_unmatched)))


@many
@given(drawn_events, st.integers(0, 40))
def test_state_comes_back_from_its_changelog(
    context: Context, drawn: list[tuple[int, int, int | None, int]], stop: int
) -> None:
    events = events_of(drawn)
    first, second = opened(context, True), opened(context, True)
    for part in (events[: stop // 2], events[stop // 2 : stop]):
        run(first, part)
        for store, other in zip(first.stores, second.stores, strict=True):
            records = store.drain()
            if records is not None:
                other.restore(records)
    # The checker of the second one has not seen what came before: the operators themselves are asked.
    rest = [batch(events[stop:], side) for side in (0, 1)]
    assert second.operator.process(*rest) == first.operator.process(*rest)


def test_a_right_row_reaches_the_rows_that_point_at_it_and_no_others(context: Context) -> None:
    operator = opened(context, False)
    run(operator, [Event(0, n, n % 1000, False, n) for n in range(20_000)])
    join = operator.operator
    assert isinstance(join, ForeignKeyJoinOperator)
    before = join.by_target.reached
    assert len(run(operator, [Event(1, 7, None, False, 20_000)])) == 20
    assert join.by_target.reached - before == 20


def test_one_that_lost_its_partner_is_told_to_be_gone_once_more_only_if_asked(context: Context) -> None:
    operator = opened(context, False, tells_all_deletes=True)
    run(operator, [Event(0, 1, 5, False, 0), Event(1, 5, None, False, 1)])
    assert run(operator, [Event(1, 5, None, True, 2)]) == [(2, -1, (1, 5, 0, "r1"))]
    assert run(operator, [Event(0, 1, None, True, 3)]) == [(3, -1, (1, 5, 0, None))]

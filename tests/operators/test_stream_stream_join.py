"""The stream-stream join against a row-by-row model and against DuckDB, its input cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.check import CheckedOperator
from streamsql.engine.operators.base import Context, Finish
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin, StreamStreamJoinOperator
from streamsql.engine.problems import Problems
from streamsql.engine.state import row_log
from streamsql.engine.state.spine import Spine
from tests.examples import many
from tests.operators.join_model import JoinModel, Row
from tests.workspaces import kept_workspace

META = [pa.field("$time", pa.int64()), pa.field("$seq", pa.int64()), pa.field("$partition", pa.int32())]
LEFT = pa.schema([pa.field("K", pa.int64()), pa.field("L", pa.int64()), *META])
RIGHT = pa.schema([pa.field("K", pa.int64()), pa.field("R", pa.int64()), *META])

Result = list[tuple[int | None, int | None, int, int]]


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


THREADS = 2
ahead = st.integers(0, 3)
"""So many batches are looked up before the one at hand is joined."""


def opened(spec: StreamStreamJoin) -> CheckedOperator:
    return CheckedOperator(spec.open(Context(kept_workspace(THREADS), Problems())), spec.output)


def spines(operator: CheckedOperator) -> list[Spine]:
    assert isinstance(operator.operator, StreamStreamJoinOperator)
    return operator.operator.index.by_key


def join(kind: str, before: int, after: int, grace: int, is_eager: bool = False) -> StreamStreamJoin:
    return StreamStreamJoin(LEFT, RIGHT, ("K",), kind, before, after, grace, is_eager)


def batch(rows: Sequence[Row], side: int) -> pa.RecordBatch | None:
    own = [r for r in rows if r.side == side]
    if not own:
        return None
    columns = [
        pa.array([r.key for r in own], pa.int64()),
        pa.array([r.number for r in own], pa.int64()),
        pa.array([r.time for r in own], pa.int64()),
        pa.array([r.number for r in own], pa.int64()),
        pa.array([r.partition for r in own], pa.int32()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RIGHT if side else LEFT)


def run(operator: CheckedOperator, rows: Sequence[Row]) -> Result:
    return shown(operator.process(batch(rows, 0), batch(rows, 1)), rows)


def run_ahead(operator: CheckedOperator, parts: Sequence[Sequence[Row]], ahead: int) -> Result:
    """All batches, each joined when so many after it have been looked up."""
    finishes = []
    out: Result = []
    for number in range(len(parts) + ahead):
        if number < len(parts):
            finishes.append(prepare(operator, parts[number], number % THREADS))
        if number >= ahead:
            out += shown(finishes[number - ahead](), parts[number - ahead])
    return out


def prepare(operator: CheckedOperator, rows: Sequence[Row], place: int) -> Finish:
    finish = operator.prepare(place, batch(rows, 0), batch(rows, 1))
    assert finish is not None
    return finish


def shown(out: pa.RecordBatch | None, rows: Sequence[Row]) -> Result:
    if out is None:
        return []
    keys = {r.number: r.key for r in rows}
    for row in out.to_pylist():
        number = row["L"] if row["L"] is not None else row["R"]
        assert number not in keys or row["K"] == keys[number]
    return [(r["L"], r["R"], r["$time"], r["$seq"]) for r in out.to_pylist()]


def cut(rows: Sequence[Row], places: Sequence[int]) -> list[Sequence[Row]]:
    ends = sorted({min(p, len(rows)) for p in places} | {0, len(rows)})
    return [rows[a:b] for a, b in pairwise(ends)]


arrivals = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.one_of(st.none(), st.integers(0, 2)),
        st.integers(0, 40),
        st.integers(0, 1),
    ),
    max_size=40,
)


@many
@given(
    arrivals,
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"]),
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)),
    st.booleans(),
    ahead,
)
def test_any_cut_gives_what_the_rules_give_row_by_row(
    drawn: list[tuple[int, int | None, int, int]],
    cuts: list[int],
    kind: str,
    window: tuple[int, int, int],
    is_eager: bool,
    ahead: int,
) -> None:
    rows = [Row(side, key, time, p, number) for number, (side, key, time, p) in enumerate(drawn)]
    model = JoinModel(kind, *window, is_eager)
    expected = [out for row in drawn_again(rows) for out in model.feed(row)]
    operator = opened(join(kind, *window, is_eager))
    parts = cut(rows, cuts)
    if not ahead:
        assert [out for part in parts for out in run(operator, part)] == expected
        return
    # Some are looked up for nothing: that changes nothing, and keeps nothing.
    for place, part in enumerate(parts[:THREADS]):
        prepare(operator, part, place)
    operator.forget_prepared()
    assert isinstance(operator.operator, StreamStreamJoinOperator)
    assert not len(operator.operator.index.keys)
    assert run_ahead(operator, parts, ahead) == expected


def drawn_again(rows: Sequence[Row]) -> list[Row]:
    """Rows of their own for the model, which marks them."""
    return [Row(r.side, r.key, r.time, r.partition, r.number) for r in rows]


FAR = 10**6


@given(
    arrivals,
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"]),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
@many
def test_once_all_windows_have_closed_it_is_duckdbs_join_over_the_history(
    oracle: duckdb.DuckDBPyConnection,
    drawn: list[tuple[int, int | None, int, int]],
    cuts: list[int],
    kind: str,
    window: tuple[int, int],
) -> None:
    rows = [Row(side, key, time, p, number) for number, (side, key, time, p) in enumerate(drawn)]
    # With enough grace no row is late; the last ones, of keys of their own, close every window.
    last = [Row(p, FAR + p, FAR, p, len(rows) + p) for p in (0, 1)]
    operator = opened(join(kind, *window, grace=100))
    found = [out[:2] for part in [*cut(rows, cuts), last] if part for out in run(operator, part)]
    for name, side in (("l", 0), ("r", 1)):
        own = batch(rows, side)
        oracle.register(name, own if own is not None else (RIGHT if side else LEFT).empty_table())
    expected = oracle.execute(
        f'SELECT L, R FROM l {kind} JOIN r ON l.K = r.K AND r."$time" BETWEEN l."$time" - ? AND l."$time" + ?',
        list(window),
    ).fetchall()
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@many
@given(
    arrivals,
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(0, 40),
    st.sampled_from(["INNER", "FULL"]),
    st.sampled_from([0, 1 << 18]),
)
def test_state_comes_back_from_what_is_needed_of_its_changelog(
    drawn: list[tuple[int, int | None, int, int]],
    cuts: list[int],
    stop: int,
    kind: str,
    most_needed: int,
) -> None:
    rows = [Row(side, key, time, p, number) for number, (side, key, time, p) in enumerate(drawn)]
    spec = join(kind, 3, 4, 5)
    first, second = opened(spec), opened(spec)
    changes: dict[str, pa.Table] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_log, "_NEEDED_RECORDS", most_needed)
        for part in cut(rows[:stop], cuts):
            run(first, part)
            for store in first.stores:
                if (drained := store.drain()) is not None:
                    table = pa.Table.from_batches([drained])
                    changes[store.name] = pa.concat_tables([changes.get(store.name, table[:0]), table])
                if store.name in changes and (needed := store.needed()) is not None:
                    changes[store.name] = changes[store.name][changes[store.name].num_rows - needed :]
    for store in second.stores:
        for records in changes[store.name].to_batches() if store.name in changes else ():
            store.restore(records)
    assert run(second, rows[stop:]) == run(first, rows[stop:])


@pytest.mark.parametrize("ahead", [0, 2])
def test_what_is_out_of_reach_is_forgotten(ahead: int) -> None:
    operator = opened(join("FULL", 10, 10, 0))
    parts = [[Row(n % 2, n % 97, n, 0, n) for n in range(at, at + 500)] for at in range(0, 20_000, 500)]
    run_ahead(operator, parts, ahead)
    # Twenty milliseconds are within reach of a row, and there is a row in each; a batch goes as a whole.
    assert sum(store.rows for store in operator.stores[:2]) <= 22 + 1000
    assert sum(len(spine) for spine in spines(operator)) <= 6000


def test_work_depends_on_the_batch_and_its_matches_not_on_the_state() -> None:
    reached = []
    for stored in (1_000, 50_000):
        operator = opened(join("LEFT", 10, 10, 10**9))
        run(operator, [Row(1, n // 10, n, 0, n) for n in range(stored)])
        before = sum(spine.reached for spine in spines(operator))
        run(operator, [Row(0, 50, 500 + n, 0, stored + n) for n in range(10)])
        reached.append(sum(spine.reached for spine in spines(operator)) - before)
    # Ten rows with ten partners each.
    assert reached == [100, 100]

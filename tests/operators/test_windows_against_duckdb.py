"""Windows that take every row, however late, hold what one DuckDB query over the whole history gives."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.windows import Session, TimeWindow
from tests.examples import few
from tests.operators.aggregation import Row, batch, commutative_calls, open_run, pieces, stage

LONG = 10**6
rows = st.lists(
    st.builds(
        Row, st.sampled_from(["a", "b", "c", None]), st.none() | st.integers(-3, 9), st.integers(0, 60)
    ),
    max_size=30,
)
cuts = st.lists(st.integers(0, 100), max_size=5)

AGGREGATES = """count(*) AS n, coalesce(sum(x), 0)::BIGINT AS total, coalesce(avg(x), 0) AS mean,
    min(x) AS least, coalesce(max(x, 2), []) AS top, max(t) AS "$time" """
HISTORY = '(SELECT k, x, "$time" AS t FROM history WHERE k IS NOT NULL)'


def in_windows(size: int, advance: int) -> str:
    starts = f"list_filter(range(0, t + 1, {advance}), lambda start: start > t - {size})"
    return (
        f'SELECT k, start AS "$start", start + {size} AS "$end", {AGGREGATES} '
        f"FROM (SELECT *, unnest({starts}) AS start FROM {HISTORY}) GROUP BY k, start"
    )


def in_sessions(gap: int) -> str:
    begins = f"SELECT *, coalesce(t - lag(t) OVER (PARTITION BY k ORDER BY t) > {gap}, true) AS begins FROM {HISTORY}"
    numbered = (
        f"SELECT *, sum(begins::INTEGER) OVER (PARTITION BY k ORDER BY t RANGE UNBOUNDED PRECEDING) AS number "
        f"FROM ({begins})"
    )
    return (
        f'SELECT k, min(t) AS "$start", max(t) AS "$end", {AGGREGATES} FROM ({numbered}) GROUP BY k, number'
    )


CASES = {
    "tumbling": (TimeWindow(10, 10, LONG, LONG + 10), in_windows(10, 10)),
    "hopping": (TimeWindow(12, 5, LONG, LONG + 12), in_windows(12, 5)),
    "sessions": (Session(4, LONG, LONG + 4), in_sessions(4)),
    "sessions without a gap": (Session(0, LONG, LONG), in_sessions(0)),
}


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


@pytest.mark.parametrize("name", CASES)
@few
@given(rows=rows, cuts=cuts, emit_old=st.booleans(), threads=st.integers(1, 3))
def test_windows_hold_what_one_query_over_the_history_gives(oracle, name, rows, cuts, emit_old, threads):
    window, query = CASES[name]
    run = open_run(Aggregate(stage(), ("k",), commutative_calls(), window, emit_old=emit_old), threads)
    for piece in pieces(rows, cuts):
        run.feed(piece)
    oracle.register("history", pa.Table.from_batches([batch(rows)]))
    expected = oracle.execute(query).to_arrow_table().to_pylist()
    assert run.problems.counters.late == 0
    assert run.table() == sorted(expected, key=lambda r: (r["k"], r["$start"]))

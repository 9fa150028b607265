"""Whole queries give the same answer however their input is cut into batches, and DuckDB's where it has one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import tried
from tests.properties.whole_queries import Event, events, history, last_per_key, run
from tests.workspaces import duckdb_beside

QUERIES = {
    "filter": "CREATE STREAM r AS SELECT k, x * 2 AS y FROM events WHERE x > 0;",
    "bad rows": "CREATE STREAM r AS SELECT k, CAST(k AS INTEGER) AS n, 10 / x AS q FROM events;",
    "explode": "CREATE STREAM r AS SELECT k, EXPLODE(ARRAY[x, x + 1]) AS e FROM events;",
    "count and sum": "CREATE TABLE r AS SELECT k, COUNT(*) AS n, SUM(x) AS s, MIN(x) AS low, MAX(x) AS high FROM events GROUP BY k;",
    "having": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events GROUP BY k HAVING SUM(x) > 0;",
    "ordered": "CREATE TABLE r AS SELECT k, COLLECT_LIST(x) AS xs, LATEST_BY_OFFSET(x) AS last FROM events GROUP BY k;",
    "tumbling": "CREATE TABLE r AS SELECT k, COUNT(*) AS n, SUM(x) AS s FROM events "
    "WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 30 MILLISECONDS) GROUP BY k;",
    "hopping": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events "
    "WINDOW HOPPING (SIZE 30 MILLISECONDS, ADVANCE BY 10 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY k;",
    "session": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events "
    "WINDOW SESSION (15 MILLISECONDS, GRACE PERIOD 20 MILLISECONDS) GROUP BY k;",
    "final": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events "
    "WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY k EMIT FINAL;",
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
@given(rows=events, cuts=st.lists(st.integers(1, 40), max_size=6))
def test_cuts_do_not_matter(name: str, rows: list[Event], cuts: list[int]) -> None:
    one_by_one, final = run(QUERIES[name], rows, list(range(len(rows))))
    records, table = run(QUERIES[name], rows, cuts)
    assert table == final
    if QUERIES[name].startswith("CREATE STREAM") or "FINAL" in QUERIES[name]:
        assert records == one_by_one
    else:
        assert last_per_key(records) == last_per_key(one_by_one)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", QUERIES)
@tried(6, share=4)
@given(rows=events, cuts=st.lists(st.integers(1, 40), max_size=6))
def test_threads_do_not_matter(name: str, threads: int, rows: list[Event], cuts: list[int]) -> None:
    assert run(QUERIES[name], rows, cuts, threads) == run(QUERIES[name], rows, cuts)


@given(rows=events)
def test_a_table_of_aggregates_is_what_duckdb_says_over_the_whole_history(rows: list[Event]) -> None:
    _, table = run(QUERIES["count and sum"], rows, [7, 20])
    con = duckdb_beside()
    con.register("events", history(rows))
    expected = con.execute(
        "SELECT k, count(*), coalesce(sum(x), 0)::INTEGER, min(x), max(x), max(ms) FROM events "
        "WHERE k IS NOT NULL GROUP BY k"
    ).fetchall()
    assert table == sorted(expected, key=repr)

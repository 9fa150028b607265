"""Nested queries: the same answer however the input is cut, and DuckDB's over the whole history.

A group whose rows are all taken back stays, with a count of 0, as in every aggregate over a table; where
that can happen the queries say HAVING COUNT(*) > 0, which changes nothing for DuckDB.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import costly, few
from tests.properties.whole_queries import Event, events, history, last_per_key, run
from tests.workspaces import duckdb_beside

WINDOW = "WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 1 DAY)"
PER_KEY = "SELECT k, COUNT(*) AS n, SUM(COALESCE(x, 0)) AS s FROM events WHERE k IS NOT NULL GROUP BY k"

# What is selected, and for DuckDB the same in its words where it has others.
TABLES = {
    "an aggregate, filtered": f"SELECT * FROM ({PER_KEY}) WHERE n > 2 AND s > 0",
    "an aggregate of an aggregate": f"SELECT n, COUNT(*) AS c, SUM(s) AS s FROM ({PER_KEY}) GROUP BY n HAVING COUNT(*) > 0",
    "of one with HAVING": f"SELECT n, COUNT(*) AS c FROM ({PER_KEY} HAVING SUM(x) > 0) GROUP BY n HAVING COUNT(*) > 0",
    "three deep": f"SELECT c, COUNT(*) AS d FROM (SELECT n, COUNT(*) AS c FROM ({PER_KEY}) GROUP BY n HAVING COUNT(*) > 0) "
    "GROUP BY c HAVING COUNT(*) > 0",
    "a key that the subquery leaves out": "SELECT n, COUNT(*) AS c FROM "
    "(SELECT COUNT(*) AS n FROM events WHERE k IS NOT NULL AND x IS NOT NULL GROUP BY k, x % 2) GROUP BY n HAVING COUNT(*) > 0",
    "a filter inside": "SELECT y, COUNT(*) AS n FROM (SELECT x * 2 AS y, k FROM events WHERE x > 0) GROUP BY y",
    "read twice": f"WITH c AS ({PER_KEY}) SELECT a.k AS k, a.n + b.n AS n, b.s AS s FROM c a JOIN c b ON a.k = b.k",
    "two aggregates joined": "SELECT a.k AS k, a.n AS n, b.m AS m FROM (SELECT k, COUNT(*) AS n FROM events WHERE x > 0 AND k IS NOT NULL GROUP BY k) a "
    "LEFT JOIN (SELECT k, COUNT(*) AS m FROM events WHERE x < 0 AND k IS NOT NULL GROUP BY k) b ON a.k = b.k AND b.m >= a.n",
    "pointing at an aggregate": f"WITH c AS ({PER_KEY}), d AS (SELECT n, COUNT(*) AS m FROM c GROUP BY n HAVING COUNT(*) > 0) "
    "SELECT c.k AS k, d.m AS m, d.n AS n FROM c LEFT JOIN d ON c.n = d.n AND d.m > 1",
    "a name of an outer query": f"WITH c AS ({PER_KEY}) SELECT n, COUNT(*) AS m FROM (SELECT k, n FROM c WHERE n > 1) "
    "GROUP BY n HAVING COUNT(*) > 0",
    "windows, aggregated": (
        f"SELECT k, COUNT(*) AS w, SUM(n) AS n FROM (SELECT k, COUNT(*) AS n FROM events {WINDOW} GROUP BY k) GROUP BY k",
        "SELECT k, COUNT(*), SUM(n) FROM (SELECT k, ms // 20, COUNT(*) AS n FROM events WHERE k IS NOT NULL GROUP BY ALL) GROUP BY k",
    ),
    "windows, grouped by their start": (
        "SELECT start, COUNT(*) AS m, SUM(n) AS n FROM "
        f"(SELECT k, WINDOWSTART AS start, COUNT(*) AS n FROM events {WINDOW} GROUP BY k) GROUP BY start",
        "SELECT ms // 20 * 20, COUNT(DISTINCT k), COUNT(*) FROM events WHERE k IS NOT NULL GROUP BY ALL",
    ),
    "different rows, counted": "SELECT k, COUNT(*) AS n FROM (SELECT DISTINCT k, x FROM events WHERE k IS NOT NULL) GROUP BY k",
    "different rows of a table": f"SELECT n, COUNT(*) AS c FROM (SELECT DISTINCT n, s FROM ({PER_KEY})) GROUP BY n HAVING COUNT(*) > 0",
    "a union without repetitions": "SELECT k, COUNT(*) AS c, SUM(x) AS s FROM (SELECT k, x FROM events WHERE x > 0 "
    "UNION SELECT k, x + 1 FROM events WHERE x < 3) WHERE k IS NOT NULL GROUP BY k",
    "a time, grouped": (
        "SELECT n, SUM(t) AS t FROM (SELECT k, ROWTIME AS t, COUNT(*) AS n FROM events GROUP BY k) GROUP BY n HAVING COUNT(*) > 0",
        "SELECT n, SUM(t) FROM (SELECT k, MAX(ms) AS t, COUNT(*) AS n FROM events WHERE k IS NOT NULL GROUP BY k) GROUP BY n",
    ),
    "a time, read outside": (
        f"SELECT n, SUM(ROWTIME) AS t FROM ({PER_KEY}) GROUP BY n HAVING COUNT(*) > 0",
        "SELECT n, SUM(t) FROM (SELECT k, MAX(ms) AS t, COUNT(*) AS n FROM events WHERE k IS NOT NULL GROUP BY k) GROUP BY n",
    ),
}  # fmt: skip
STREAMS = {
    "a projection of a filter": "SELECT y + 1 AS z, k FROM (SELECT k, x * 2 AS y FROM events WHERE x > 0) WHERE y < 8",
    "rows beside their running aggregate": f"WITH c AS ({PER_KEY}) SELECT e.k AS k, e.x, c.n, c.s FROM events e LEFT JOIN c ON e.k = c.k",
    "beside an aggregate of windows": f"WITH w AS (SELECT k, WINDOWSTART AS start, COUNT(*) AS n FROM events {WINDOW} GROUP BY k), "
    "a AS (SELECT k, COUNT(*) AS w, SUM(n) AS n FROM w GROUP BY k HAVING SUM(n) > 1) "
    "SELECT e.k AS k, e.x, a.w, a.n FROM events e LEFT JOIN a ON e.k = a.k",
    "beside different rows": "WITH d AS (SELECT k, COUNT(*) AS n FROM (SELECT DISTINCT k, x FROM events) GROUP BY k) "
    "SELECT e.k AS k, e.x, d.n FROM events e LEFT JOIN d ON e.k = d.k",
    "beside an aggregate of sessions": "WITH a AS (SELECT k, COUNT(*) AS w, SUM(n) AS n FROM (SELECT k, COUNT(*) AS n, AVG(x) AS m "
    "FROM events WINDOW SESSION (8 MILLISECONDS, GRACE PERIOD 20 MILLISECONDS) GROUP BY k HAVING COUNT(*) > 1) GROUP BY k) "
    "SELECT e.k AS k, e.x, a.w, a.n FROM events e JOIN a ON e.k = a.k",
    "beside an aggregate of hopping windows": "WITH a AS (SELECT start, COUNT(*) AS w, SUM(s) AS s FROM "
    "(SELECT k, WINDOWSTART AS start, SUM(x) AS s FROM events WINDOW HOPPING (SIZE 20 MILLISECONDS, ADVANCE BY 5 MILLISECONDS, "
    "GRACE PERIOD 30 MILLISECONDS) GROUP BY k) GROUP BY start) "
    "SELECT e.k, e.x, a.start, a.w, a.s FROM events e JOIN a ON CAST(e.x AS BIGINT) * 5 = a.start",
    "beside an aggregate of an aggregate": f"WITH c AS ({PER_KEY}), d AS (SELECT n, COUNT(*) AS m FROM c GROUP BY n) "
    "SELECT d.n, e.x, e.k, d.m FROM events e JOIN d ON CAST(e.x AS BIGINT) = d.n",
    "a stream with itself": "SELECT a.k AS k, a.x AS ax, b.x AS bx FROM (SELECT k, x FROM events WHERE x > 0) a "
    "LEFT JOIN events b WITHIN 10 MILLISECONDS ON a.k = b.k",
    "united": "SELECT k, x FROM events WHERE x > 0 UNION ALL SELECT k, x * 10 FROM (SELECT k, x FROM events WHERE x > 2)",
    "re-keyed, then windowed": "SELECT k, x FROM (SELECT x, k FROM events PARTITION BY x) PARTITION BY k",
}  # fmt: skip
cuts = st.lists(st.integers(1, 40), max_size=6)


def created(kind: str, query: str) -> str:
    return f"CREATE {kind} r AS {query};"


@pytest.mark.parametrize("name", TABLES)
@few
@given(rows=events, places=cuts)
def test_a_nested_table_is_duckdbs(name: str, rows: list[Event], places: list[int]) -> None:
    query, theirs = TABLES[name] if isinstance(TABLES[name], tuple) else (TABLES[name], TABLES[name])
    records, table = run(created("TABLE", query), rows, places)
    con = duckdb_beside()
    con.register("events", history(rows))
    cursor = con.execute(theirs)
    expected = cursor.fetchall()
    width = len(cursor.description or ())
    assert by_text(row[:width] for row in table) == by_text(expected)
    # Whoever reads the table's topic ends with the same rows.
    assert len(last_per_key(records)) == len(expected)


@pytest.mark.parametrize("name", STREAMS)
@costly
@given(rows=events, places=cuts, threads=st.sampled_from([1, 2]))
def test_a_nested_stream_does_not_depend_on_the_cuts(
    name: str, rows: list[Event], places: list[int], threads: int
) -> None:
    query = created("STREAM", STREAMS[name])
    one_by_one, _ = run(query, rows, list(range(len(rows))))
    assert run(query, rows, places, threads)[0] == one_by_one


def by_text(rows: Any) -> list[str]:
    return sorted(str(tuple(row)) for row in rows)

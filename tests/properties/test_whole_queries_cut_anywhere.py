"""Whole queries give the same answer however their input is cut into batches, and DuckDB's where it has one."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.log.memory import MemoryLog

DECLARED = """
CREATE STREAM events (k VARCHAR, x INTEGER, ms BIGINT) WITH (TIMESTAMP = 'MS');
CREATE TABLE names (k VARCHAR PRIMARY KEY, name VARCHAR) WITH (VALUE_FORMAT = 'JSON', KEY_FORMAT = 'KAFKA');
"""

Event = tuple[str | None, int | None, int]
events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.one_of(st.none(), st.integers(-5, 5)),
        st.integers(0, 200),
    ),
    max_size=40,
)

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


def run(query: str, rows: list[Event], cuts: list[int]) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """The records a query writes and, for a table, its rows at the end; cuts are places in `rows`."""
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(DECLARED + query)
        (query_id,) = db.catalog.queries
        task, plan = db.queries.runners[query_id].task, db.queries.plans[query_id]
        records: list[dict[str, Any]] = []
        bounds = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
        for begin, end in zip(bounds, bounds[1:], strict=False):
            task.feed_topic("EVENTS", raw(rows[begin:end], begin))
            for _, _, batch in task.take_records():
                records += batch.to_pylist()
        table: list[tuple[Any, ...]] = []
        if plan.view is not None:
            snapshot = task.snapshot(plan.view)
            shown = [] if snapshot is None else snapshot.drop_columns(["$seq", "$weight"]).to_pylist()
            table = sorted((tuple(row.values()) for row in shown), key=repr)
        return records, table


def raw(rows: list[Event], first_offset: int) -> pa.RecordBatch:
    value_type = pa.struct([("K", pa.string()), ("X", pa.int32()), ("MS", pa.int64())])
    return pa.record_batch(
        {
            "key": pa.nulls(len(rows)),
            "value": pa.array([{"K": k, "X": x, "MS": ms} for k, x, ms in rows], value_type),
            "timestamp": pa.array([0] * len(rows), pa.int64()),
            "$partition": pa.array([0] * len(rows), pa.int32()),
            "$offset": pa.array(range(first_offset, first_offset + len(rows)), pa.int64()),
        }
    )


def last_per_key(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader of a table's topic ends up with."""
    found = {str(r["key"]): r["value"] for r in records}
    return {key: value for key, value in found.items() if value is not None}


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


@given(rows=events)
def test_a_table_of_aggregates_is_what_duckdb_says_over_the_whole_history(rows: list[Event]) -> None:
    _, table = run(QUERIES["count and sum"], rows, [7, 20])
    with duckdb.connect() as con:
        con.execute("CREATE TABLE events (k VARCHAR, x INTEGER, ms BIGINT)")
        if rows:
            con.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
        expected = con.execute(
            "SELECT k, count(*), coalesce(sum(x), 0)::INTEGER, min(x), max(x), max(ms) FROM events "
            "WHERE k IS NOT NULL GROUP BY k"
        ).fetchall()
    assert table == sorted(expected, key=repr)

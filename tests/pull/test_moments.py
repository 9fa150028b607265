"""All that a pull query reads is as of one moment, while records keep coming."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from streamsql.database import Database

# s ──▶ a (counted)
# └──▶ f (filtered) ──▶ b (counted) ──▶ c (table of a table)
SETUP = """
CREATE STREAM s (id BIGINT, v INT) WITH (PARTITIONS = 2);
CREATE TABLE a AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;
CREATE STREAM f AS SELECT id, v FROM s WHERE v >= 0;
CREATE TABLE b AS SELECT id, COUNT(*) AS n FROM f GROUP BY id;
CREATE TABLE c AS SELECT id, n FROM b;
"""
COUNTED = """
WITH x AS (SELECT SUM(n) AS n FROM a), y AS (SELECT SUM(n) AS n FROM c),
     z AS (SELECT COUNT(*) AS n FROM s), w AS (SELECT COUNT(*) AS n FROM f)
SELECT x.n AS a, y.n AS c, z.n AS s, w.n AS f
FROM x JOIN y ON x.n = x.n JOIN z ON x.n = x.n JOIN w ON x.n = x.n;
"""


def test_tables_and_streams_of_one_query_agree(db: Database) -> None:
    db.execute(SETUP)
    stop = threading.Event()

    def write() -> None:
        rows = pa.table({"ID": pa.array(range(50), pa.int64()), "V": pa.array(range(50), pa.int32())})
        while not stop.is_set():
            db.append("s", rows)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = [db.execute(COUNTED).fetchall() for _ in range(20)]
    finally:
        stop.set()
        writer.join()
    for ((a, c, s, f),) in counts:
        assert a == c == s == f
    assert counts[0] < counts[-1], "nothing was written meanwhile"


def test_what_was_written_before_is_seen(db: Database) -> None:
    db.execute(SETUP)
    for number in range(1, 6):
        db.execute(f"INSERT INTO s VALUES ({number}, 1);")
        assert db.execute(COUNTED).fetchall() == [(number,) * 4]


def test_a_paused_query_stays_where_it_is(db: Database) -> None:
    db.execute(SETUP + "INSERT INTO s VALUES (1, 1);")
    assert db.execute(COUNTED).fetchall() == [(1, 1, 1, 1)]
    query = next(q for q in db.catalog.queries if q.startswith("CTAS_B_"))
    db.execute(f"PAUSE {query}; INSERT INTO s VALUES (1, 1);")
    assert db.execute(COUNTED).fetchall() == [(2, 1, 2, 2)]
    db.execute(f"RESUME {query};")
    assert db.execute(COUNTED).fetchall() == [(2, 2, 2, 2)]


@pytest.mark.parametrize("source", ["s", "a", "t"])
def test_a_text_is_planned_once_until_its_source_changes(db: Database, source: str) -> None:
    db.execute(SETUP + "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 2);")
    db.execute("INSERT INTO s VALUES (1, 1);")
    query = f"SELECT COUNT(*) AS n FROM {source};"
    for _ in range(2):
        assert db.execute(query).fetchall() == [(1,)]
    if source == "a":
        db.execute("DROP TABLE a DELETE TOPIC; CREATE STREAM a (id BIGINT);")
    else:
        kind = "STREAM" if source == "s" else "TABLE"
        db.execute("DROP TABLE a; DROP TABLE c; DROP TABLE b; DROP STREAM f;")
        db.execute(f"DROP {kind} {source} DELETE TOPIC; CREATE STREAM {source} (x BIGINT);")
    assert db.execute(query).fetchall() == [(0,)]


def test_a_table_is_copied_once_for_as_long_as_it_does_not_change(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute(
        "CREATE STREAM s (k VARCHAR, x BIGINT);"
        "CREATE TABLE t AS SELECT k, SUM(x) AS total FROM s GROUP BY k HAVING SUM(x) > 0;"
    )
    (query_id,) = db.catalog.queries
    task, view = db.queries.runners[query_id].task, db.queries.plans[query_id].view
    assert view is not None

    def add(key: str, x: int) -> None:
        db.append("s", [{"k": key, "x": x}])
        assert db.execute(f"SELECT total FROM t WHERE k = '{key}';").fetchall()

    def copy() -> pa.RecordBatch:
        with db.queries.runners[query_id].still() as still:
            assert still is task
            taken = task.snapshot(view)
        assert taken is not None
        return taken

    add("a", 1)
    first = copy()
    assert copy() is first
    assert db.execute("SELECT k, total FROM t;").fetchall() == [("a", 1)]
    assert copy() is first
    add("a", 2)
    add("b", 5)
    second = copy()
    assert second is not first and first.num_rows == 1 and second.num_rows == 2
    assert sorted(db.execute("SELECT k, total FROM t;").fetchall()) == [("a", 3), ("b", 5)]
    # A very large one is not kept: it would hold the state's memory twice.
    monkeypatch.setattr("streamsql.engine.task._KEPT_BYTES", 0)
    add("b", 1)
    assert copy() is not copy()

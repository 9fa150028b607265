"""Queries over streams and tables: persistent, push and pull."""

from __future__ import annotations

from pathlib import Path

import pytest

import streamsql
from streamsql.database import Database, connect

VIEWS = "CREATE STREAM views (user_id BIGINT, page VARCHAR, price DOUBLE);"
DATA = [
    {"user_id": 1, "page": "/a", "price": 1.0},
    {"user_id": 2, "page": "/b", "price": 2.0},
    {"user_id": 1, "page": "/a", "price": None},
    {"user_id": 3, "page": None, "price": 4.0},
]


def test_a_table_counts_sums_and_finds_extremes(db: Database) -> None:
    db.execute(VIEWS)
    db.append("views", DATA)
    db.execute(
        "CREATE TABLE t AS SELECT user_id, COUNT(*) AS n, COUNT(price) AS priced, SUM(price) AS total, "
        "MIN(page) AS first, MAX(price) AS most, AVG(price) AS mean FROM views GROUP BY user_id;"
    )
    expected = [
        (1, 2, 1, 1.0, "/a", 1.0, 1.0),
        (2, 1, 1, 2.0, "/b", 2.0, 2.0),
        (3, 1, 1, 4.0, None, 4.0, 4.0),
    ]
    assert db.execute("SELECT * FROM t ORDER BY user_id;").fetchall() == expected


def test_rows_without_a_group_are_left_out(db: Database) -> None:
    db.execute(VIEWS + "CREATE TABLE hits AS SELECT page, COUNT(*) AS n FROM views GROUP BY page;")
    db.append("views", DATA)
    assert sorted(db.execute("SELECT * FROM hits;").fetchall()) == [("/a", 2), ("/b", 1)]


def test_tumbling_windows_by_event_time(db: Database) -> None:
    # ms      100   900   1100   2500        windows of a second
    # page    a     a     a      b
    db.execute("CREATE STREAM v (page VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');")
    db.execute(
        "CREATE TABLE t AS SELECT page, COUNT(*) AS n FROM v WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY page;"
    )
    db.append("v", [{"page": p, "ms": t} for p, t in [("a", 100), ("a", 900), ("a", 1100), ("b", 2500)]])
    assert db.execute("SELECT * FROM t ORDER BY WINDOWSTART;").fetchall() == [
        ("a", 0, 1000, 2),
        ("a", 1000, 2000, 1),
        ("b", 2000, 3000, 1),
    ]


def test_a_late_row_is_counted_and_left_out(db: Database) -> None:
    # ms      100   5000   200               the window [0, 1000) closed at 1000, without grace
    db.execute("CREATE STREAM v (page VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');")
    query = "SELECT page, COUNT(*) AS n FROM v WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 0 SECONDS) GROUP BY page"
    db.append("v", [{"page": "a", "ms": t} for t in (100, 5000, 200)])
    result = db.execute(f"{query} EMIT CHANGES LIMIT 2;")
    assert result.fetchall() == [("a", 1), ("a", 1)]
    assert result.status is not None and result.status.late == 1


def test_hopping_windows_overlap(db: Database) -> None:
    db.execute("CREATE STREAM v (page VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');")
    db.execute(
        "CREATE TABLE t AS SELECT page, COUNT(*) AS n, SUM(ms) AS s FROM v "
        "WINDOW HOPPING (SIZE 20 MILLISECONDS, ADVANCE BY 10 MILLISECONDS) GROUP BY page;"
    )
    db.append("v", [{"page": "a", "ms": t} for t in (5, 12, 25)])
    assert db.execute("SELECT WINDOWSTART AS w, n, s FROM t ORDER BY w;").fetchall() == [
        (0, 2, 17),
        (10, 2, 37),
        (20, 1, 25),
    ]


def test_having_keeps_what_passes_and_takes_back_what_no_longer_does(db: Database) -> None:
    db.execute("CREATE STREAM v (k VARCHAR, x INTEGER);")
    db.execute("CREATE TABLE t AS SELECT k, SUM(x) AS s FROM v GROUP BY k HAVING SUM(x) > 1;")
    db.append("v", [{"k": "a", "x": 1}, {"k": "b", "x": 5}])
    assert db.execute("SELECT * FROM t;").fetchall() == [("b", 5)]
    db.append("v", [{"k": "b", "x": -5}, {"k": "a", "x": 1}])
    assert db.execute("SELECT * FROM t;").fetchall() == [("a", 2)]


def test_queries_over_queries(db: Database) -> None:
    db.execute(VIEWS + "CREATE STREAM cheap AS SELECT user_id, page FROM views WHERE price < 3;")
    db.execute("CREATE TABLE n AS SELECT page, COUNT(*) AS n FROM cheap GROUP BY page;")
    db.execute("INSERT INTO cheap SELECT user_id, page FROM views WHERE price >= 4;")
    db.append("views", [*DATA, {"user_id": 9, "page": "/a", "price": 8.0}])
    assert sorted(db.execute("SELECT * FROM n;").fetchall()) == [("/a", 2), ("/b", 1)]


def test_partition_by_moves_a_column_into_the_key(db: Database) -> None:
    db.execute("CREATE STREAM v (id INTEGER KEY, page VARCHAR) WITH (VALUE_FORMAT = 'JSON');")
    db.execute("CREATE STREAM by_page AS SELECT * FROM v PARTITION BY page;")
    assert db.execute("DESCRIBE by_page;").fetchall() == [("PAGE", "VARCHAR", "KEY"), ("ID", "INTEGER", "")]
    db.execute("INSERT INTO v VALUES (1, '/a');")
    assert db.execute("SELECT * FROM by_page;").fetchall() == [("/a", 1)]


def test_explode_gives_a_row_per_element(db: Database) -> None:
    db.execute("CREATE STREAM v (id INTEGER, tags ARRAY<VARCHAR>);")
    db.execute("CREATE STREAM e AS SELECT id, EXPLODE(tags) AS tag FROM v;")
    db.append("v", [{"id": 1, "tags": ["x", "y"]}, {"id": 2, "tags": []}, {"id": 3, "tags": None}])
    assert db.execute("SELECT * FROM e;").fetchall() == [(1, "x"), (1, "y")]


def test_a_table_over_a_topic_keeps_the_last_row_and_deletes(db: Database) -> None:
    db.execute(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC = 'u', VALUE_FORMAT = 'JSON');"
    )
    db.execute("CREATE TABLE loud AS SELECT id, UCASE(name) AS name FROM users;")
    db.execute(
        "INSERT INTO users VALUES (1, 'ann'); INSERT INTO users VALUES (2, 'bob'); INSERT INTO users VALUES (1, 'eve');"
    )
    assert sorted(db.execute("SELECT * FROM loud;").fetchall()) == [(1, "EVE"), (2, "BOB")]
    assert sorted(db.execute("SELECT * FROM users;").fetchall()) == [(1, "eve"), (2, "bob")]


def test_aggregating_a_table_undoes_the_old_row(db: Database) -> None:
    db.execute(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, land VARCHAR) WITH (KAFKA_TOPIC = 'u', VALUE_FORMAT = 'JSON');"
    )
    db.execute("CREATE TABLE n AS SELECT land, COUNT(*) AS n FROM users GROUP BY land;")
    db.execute(
        "INSERT INTO users VALUES (1, 'de'); INSERT INTO users VALUES (2, 'de'); INSERT INTO users VALUES (1, 'fr');"
    )
    assert sorted(db.execute("SELECT * FROM n;").fetchall()) == [("de", 1), ("fr", 1)]


def test_a_bad_record_is_logged_and_its_neighbours_live(db: Database) -> None:
    db.execute("CREATE STREAM v (a INTEGER) WITH (KAFKA_TOPIC = 'v', VALUE_FORMAT = 'JSON');")
    db.execute("CREATE STREAM w AS SELECT a + 1 AS b FROM v;")
    writer = db.topic_writer("v")
    import pyarrow as pa

    writer.write_text(pa.array(['{"a": 1}', "not json", '{"a": 3}']))
    writer.close()
    assert db.execute("SELECT * FROM w;").fetchall() == [(2,), (4,)]
    logged = db.execute(
        "SELECT query_id, kind, source_topic, source_offset, text FROM KSQL_PROCESSING_LOG;"
    ).fetchall()
    assert logged == [("CSAS_W_1", "DESERIALIZATION", "v", 1, "not json")]


def test_a_failing_expression_gives_null_and_an_entry(db: Database) -> None:
    db.execute("CREATE STREAM v (t VARCHAR);")
    db.execute("CREATE STREAM w AS SELECT t, CAST(t AS INTEGER) AS n FROM v;")
    db.append("v", [{"t": "1"}, {"t": "x"}, {"t": "3"}])
    assert db.execute("SELECT * FROM w;").fetchall() == [("1", 1), ("x", None), ("3", 3)]
    assert [r[0] for r in db.execute("SELECT kind FROM KSQL_PROCESSING_LOG;").fetchall()] == ["EXPRESSION"]


PULLS = [
    ("SELECT page FROM views WHERE price > 1 ORDER BY page DESC;", [(None,), ("/b",)]),
    ("SELECT page, COUNT(*) AS n FROM views GROUP BY page ORDER BY n DESC, page LIMIT 2;", [("/a", 2), ("/b", 1)]),
    ("SELECT COUNT(*) AS n, SUM(price) AS s FROM views WHERE user_id > 99;", [(0, 0.0)]),
    ("SELECT DISTINCT user_id FROM views ORDER BY 1 LIMIT 1 OFFSET 1;", [(2,)]),
    ("SELECT user_id, COUNT(*) AS n FROM views GROUP BY user_id HAVING COUNT(*) > 1;", [(1, 2)]),
    ("WITH a AS (SELECT user_id FROM views WHERE page = '/a') SELECT COUNT(*) AS n FROM a;", [(2,)]),
    ("SELECT n FROM (SELECT page, COUNT(*) AS n FROM views GROUP BY page) ORDER BY n DESC LIMIT 1;", [(2,)]),
    ("SELECT a.page AS p, b.user_id AS u FROM views a JOIN views b ON a.page = b.page WHERE b.user_id = 2;", [("/b", 2)]),
    ("SELECT user_id FROM views WHERE page = '/b' UNION ALL SELECT user_id FROM views WHERE page IS NULL ORDER BY 1;", [(2,), (3,)]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), PULLS, ids=[p[0] for p in PULLS])
def test_pull_queries(db: Database, sql: str, expected: list[tuple[object, ...]]) -> None:
    db.execute(VIEWS)
    db.append("views", DATA)
    assert db.execute(sql).fetchall() == expected


def test_a_push_query_begins_at_the_earliest_record_and_says_how_it_went(db: Database) -> None:
    db.execute(VIEWS)
    db.append("views", DATA)
    result = db.execute("SELECT user_id FROM views WHERE price >= 1 EMIT CHANGES LIMIT 3;")
    assert result.fetchall() == [(1,), (2,), (3,)]
    assert result.status is not None
    assert (result.status.read, result.status.emitted, result.status.filtered) == (4, 3, 1)


def test_user_text_cannot_reach_files(db: Database) -> None:
    db.execute(VIEWS)
    db.append("views", DATA)
    text = "'); COPY (SELECT 1) TO '/tmp/x'; --"
    quoted = text.replace("'", "''")
    assert db.execute(f"SELECT '{quoted}' AS t FROM views LIMIT 1;").fetchall() == [(text,)]


def test_queries_and_their_state_outlive_the_process(tmp_path: Path) -> None:
    with connect(tmp_path / "d") as db:
        db.execute(
            VIEWS
            + "CREATE TABLE hits AS SELECT page, COUNT(*) AS n, MAX(user_id) AS u FROM views GROUP BY page;"
        )
        db.append("views", DATA)
    for round_ in range(1, 4):
        with connect(tmp_path / "d") as db:
            assert sorted(db.execute("SELECT * FROM hits;").fetchall()) == [
                ("/a", 2 * round_, 1),
                ("/b", round_, 2),
            ]
            db.append("views", DATA)
    with connect(tmp_path / "d") as db:
        assert db.execute("SHOW QUERIES;").fetchall()[0][0] == "CTAS_HITS_1"
        db.execute("DROP TABLE hits;")
    with connect(tmp_path / "d") as db:
        assert "HITS" not in db.catalog.sources


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with connect(tmp_path / "d"), pytest.raises(streamsql.ExternalError, match="process"):
        connect(tmp_path / "d")


def test_data_may_come_before_or_after_the_queries(tmp_path: Path) -> None:
    query = "CREATE TABLE n AS SELECT user_id, COUNT(*) AS n FROM views GROUP BY user_id;"
    with connect() as before, connect() as after:
        before.execute(VIEWS)
        before.append("views", DATA)
        before.execute(query)
        after.execute(VIEWS + query)
        for row in DATA:
            after.append("views", [row])
        ask = "SELECT * FROM n ORDER BY user_id;"
        assert before.execute(ask).fetchall() == after.execute(ask).fetchall() == [(1, 2), (2, 1), (3, 1)]


def test_several_partitions_keep_their_order_and_share_one_table(db: Database) -> None:
    db.execute(
        "CREATE STREAM v (k VARCHAR KEY, x INTEGER) WITH (KAFKA_TOPIC = 'v', PARTITIONS = 3, VALUE_FORMAT = 'JSON');"
    )
    db.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS n, LATEST_BY_OFFSET(x) AS last FROM v GROUP BY k;")
    db.append("v", [{"k": f"k{i % 7}", "x": i} for i in range(70)])
    assert db.execute("SELECT * FROM t ORDER BY k;").fetchall() == [(f"k{i}", 10, 63 + i) for i in range(7)]
    spread = [db.log.end_offset("T", p) for p in range(3)]
    assert sum(spread) >= 7 and max(spread) < sum(spread)

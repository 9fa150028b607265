"""Grouping from SQL to rows: keys of every kind, aggregates side by side, HAVING, and tables with their times."""

from __future__ import annotations

from typing import Any

import pytest

from streamsql.database import Database
from streamsql.errors import DataError

DECLARED = (
    "CREATE STREAM s (id INT KEY, a ARRAY<INT>, m MAP<VARCHAR, INT>, t STRUCT<x INT, y STRUCT<z VARCHAR>>, v INT) "
    "WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');"
    "CREATE TABLE r (id INT PRIMARY KEY, g VARCHAR, v INT) WITH (KAFKA_TOPIC = 'r', FORMAT = 'JSON');"
)
ROWS = (
    "INSERT INTO s VALUES (1, ARRAY[1, 2], MAP('k' := 1), STRUCT(x := 1, y := STRUCT(z := 'p')), 10);"
    "INSERT INTO s VALUES (2, ARRAY[1, 2], MAP('k' := 1), STRUCT(x := 1, y := STRUCT(z := 'q')), 20);"
    "INSERT INTO s VALUES (3, ARRAY[3], MAP('k' := 2), STRUCT(x := 2, y := STRUCT(z := 'p')), NULL);"
    "INSERT INTO s VALUES (4, NULL, NULL, NULL, 40);"
)

KEYS: dict[str, list[tuple[Any, ...]]] = {
    "t": [({"X": 1, "Y": {"Z": "p"}}, 1), ({"X": 1, "Y": {"Z": "q"}}, 1), ({"X": 2, "Y": {"Z": "p"}}, 1)],
    "t->x": [(1, 2), (2, 1)],
    "t->y": [({"Z": "p"}, 2), ({"Z": "q"}, 1)],
    "t->y->z": [("p", 2), ("q", 1)],
    "a": [([1, 2], 2), ([3], 1)],
    "a[1]": [(1, 2), (3, 1)],
    "m['k']": [(1, 2), (2, 1)],
    "ARRAY[t->x, v]": [([1, 10], 1), ([1, 20], 1), ([2, None], 1), ([None, 40], 1)],
    "t->x + a[1]": [(2, 2), (5, 1)],
}


@pytest.mark.parametrize(("key", "expected"), KEYS.items(), ids=KEYS)
def test_a_group_may_be_of_any_value(db: Database, key: str, expected: list[tuple[Any, ...]]) -> None:
    db.execute(DECLARED + f"CREATE TABLE g AS SELECT {key} AS k, COUNT(*) AS n FROM s GROUP BY {key};" + ROWS)
    found = db.execute("SELECT k, n FROM g;").fetchall()
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_aggregates_of_one_column_do_not_disturb_each_other(db: Database) -> None:
    calls = {
        "COUNT(*)": 3, "COUNT(v)": 2, "SUM(v)": 30, "AVG(v)": 15.0, "MIN(v)": 10, "MAX(v)": 20, "COUNT(v + 1)": 2,
        "COLLECT_LIST(v)": [10, 20, None], "LATEST_BY_OFFSET(v)": 20, "EARLIEST_BY_OFFSET(id)": 1, "COUNT_DISTINCT(v)": 2,
        "SUM(v) / COUNT(v)": 15, "SUM(v + id)": 33, "TOPK(v, 1)": [20], "HISTOGRAM(t->y->z)": {"p": 2, "q": 1},
    }  # fmt: skip
    columns = ", ".join(f"{call} AS c{number}" for number, call in enumerate(calls))
    names = ", ".join(f"c{number}" for number in range(len(calls)))
    db.execute(
        DECLARED + f"CREATE TABLE g AS SELECT 1 AS one, {columns} FROM s WHERE id < 4 GROUP BY 1;" + ROWS
    )
    (row,) = db.execute(f"SELECT {names} FROM g;").fetchall()
    assert dict(zip(calls, row, strict=True)) == calls


def upsert(db: Database, key: int, group: str | None, value: int | None, time: int) -> None:
    db.append("r", [{"id": key, "g": group, "v": value}], timestamps=[time])


def test_an_aggregate_over_a_table_reads_each_rows_own_time(db: Database) -> None:
    db.execute(
        DECLARED + "CREATE TABLE g AS SELECT g, SUM(ROWTIME) AS times, COUNT(*) AS n FROM r GROUP BY g;"
        "CREATE TABLE late AS SELECT id, g, ROWTIME AS at_ms FROM r WHERE ROWTIME > 100;"
        "CREATE TABLE by_time AS SELECT ROWTIME AS ms, COUNT(*) AS n FROM r GROUP BY ROWTIME HAVING COUNT(*) > 0;"
    )
    upsert(db, 1, "x", 1, 200)
    upsert(db, 2, "x", 1, 300)
    assert db.execute("SELECT * FROM g;").fetchall() == [("x", 500, 2)]
    # An update whose time is earlier than that of the row it replaces.
    upsert(db, 1, "y", 1, 50)
    assert sorted(db.execute("SELECT * FROM g;").fetchall()) == [("x", 300, 1), ("y", 50, 1)]
    assert db.execute("SELECT * FROM late;").fetchall() == [(2, "x", 300)]
    assert sorted(db.execute("SELECT * FROM by_time;").fetchall()) == [(50, 1), (300, 1)]


def test_the_smallest_number_of_a_table_is_taken_back(db: Database) -> None:
    db.execute(DECLARED + "CREATE TABLE g AS SELECT g, SUM(v) AS s, AVG(v) AS a FROM r GROUP BY g;")
    smallest = -(2**31)
    upsert(db, 1, "x", smallest, 1)
    upsert(db, 2, "x", 4, 2)
    assert db.execute("SELECT * FROM g;").fetchall() == [("x", smallest + 4, (smallest + 4) / 2)]
    upsert(db, 1, "y", smallest, 3)
    assert sorted(db.execute("SELECT * FROM g;").fetchall()) == [
        ("x", 4, 4.0),
        ("y", smallest, float(smallest)),
    ]


def test_a_group_that_fails_having_is_gone_and_may_come_back(db: Database) -> None:
    db.execute(
        DECLARED + "CREATE TABLE g AS SELECT g, SUM(v) AS s FROM r GROUP BY g HAVING SUM(v) > 10;"
        "CREATE TABLE h AS SELECT s, COUNT(*) AS n FROM g GROUP BY s HAVING COUNT(*) > 0;"
    )
    for value, kept in ((5, []), (20, [("x", 20)]), (7, []), (30, [("x", 30)]), (31, [("x", 31)])):
        upsert(db, 1, "x", value, value)
        assert db.execute("SELECT * FROM g;").fetchall() == kept
        assert db.execute("SELECT * FROM h;").fetchall() == [(s, 1) for _, s in kept]
    upsert(db, 1, "z", 99, 99)
    assert db.execute("SELECT * FROM g;").fetchall() == [("z", 99)]


def test_an_aggregate_that_fails_stops_its_query_and_is_named(db: Database) -> None:
    db.execute("""
        CREATE STREAM s (k INT KEY, d DECIMAL(4, 2));
        INSERT INTO s VALUES (1, 99.99);
        INSERT INTO s VALUES (1, 99.99);
        CREATE TABLE sums AS SELECT k, COUNT(*) AS n, SUM(d) AS total FROM s GROUP BY k;
    """)
    for sql in ("SELECT * FROM sums;", "SELECT n\nFROM sums;"):
        with pytest.raises(
            DataError, match=r"query CTAS_SUMS_1 has failed: SUM\(D\) failed: .*199.98"
        ) as failed:
            db.execute(sql)
        assert failed.value.source == sql  # each tells of its own text
    facts = dict(db.execute("DESCRIBE sums EXTENDED;").fetchall())
    assert facts["error"].startswith("SUM(D) failed: ")
    # The first row may have been committed before the second one came.
    assert facts["lag"] in ("1 record", "2 records")
    assert [row[3] for row in db.execute("SHOW QUERIES;").fetchall()] == [2]


def test_groups_and_aggregates_are_named_as_written(db: Database) -> None:
    db.execute("""
        CREATE STREAM s (k INT, b VARCHAR);
        INSERT INTO s VALUES (1, 'x');
        CREATE TABLE many AS SELECT b, COUNT(*) AS n FROM s GROUP BY b HAVING 10 / (COUNT(*) - 1) > 1;
    """)
    db.wait_idle()
    assert db.execute("SELECT text FROM KSQL_PROCESSING_LOG;").fetchall() == [("10 / (COUNT(*) - 1) > 1",)]
    plan = db.execute("EXPLAIN SELECT k + 1, MAX(b) FROM s GROUP BY k + 1 EMIT CHANGES;").fetchall()
    assert "aggregate by (K + 1): MAX(B)" in plan[-2][1]

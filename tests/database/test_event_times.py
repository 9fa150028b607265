"""WITH (TIMESTAMP = ..) of a query's result: its records have the time of one of its columns."""

from __future__ import annotations

import pytest

from streamsql.database import Database

DECLARED = """
CREATE STREAM s (id INT KEY, x INT) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');
CREATE TABLE t (id INT PRIMARY KEY, x INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');
"""
TEXT = "CASE WHEN x > 0 THEN '2024-01-0' + CAST(x AS VARCHAR) ELSE 'soon' END"
DAY_MS = 86_400_000
JANUARY_MS = 1_704_067_200_000

CASES: dict[str, tuple[str, list[int]]] = {
    "a number": ("STREAM r WITH (TIMESTAMP = 'MS') AS SELECT id, CAST(x AS BIGINT) * 1000 AS ms FROM s", [2000, 1000]),
    "a timestamp": ("STREAM r WITH (TIMESTAMP = 'AT1') AS SELECT id, FROM_UNIXTIME(CAST(x AS BIGINT)) AS at1 FROM s", [2, 1]),
    "a text": (
        f"STREAM r WITH (TIMESTAMP = 'D', TIMESTAMP_FORMAT = 'yyyy-MM-dd') AS SELECT id, {TEXT} AS d FROM s",
        [JANUARY_MS + DAY_MS, JANUARY_MS],
    ),
    "none": ("STREAM r AS SELECT id, x FROM s", [10, 20, 30, 40]),
    # What is taken back has the time of the change.
    "a table": ("TABLE r WITH (TIMESTAMP = 'MS') AS SELECT id, CAST(x AS BIGINT) * 1000 AS ms FROM t WHERE x > 1", [2000, 50]),
}  # fmt: skip


@pytest.mark.parametrize(("query", "times"), CASES.values(), ids=CASES)
def test_records_of_a_result_have_the_time_of_its_column(db: Database, query: str, times: list[int]) -> None:
    db.execute(f"{DECLARED} CREATE {query};")
    # Those without a time, or with one before 1970, do not come into the result.
    for row, time in [((1, 2), 10), ((2, 1), 20), ((3, -5), 30), ((4, None), 40)]:
        for name in ("s", "t"):
            db.append(name, [{"id": row[0], "x": row[1]}], timestamps=[time])
    db.append("t", [{"id": 1, "x": 0}], timestamps=[50])
    db.wait_idle()
    found = [row["timestamp"] for batch in db.log.read("R", 0, 0, 100) for row in batch.to_pylist()]
    assert found == times


TABLES = {
    "from a table": "TABLE r WITH (TIMESTAMP = 'MS') AS SELECT id, CAST(x AS BIGINT) * 1000 AS ms FROM t",
    "aggregated": "TABLE r WITH (TIMESTAMP = 'MS') AS SELECT id, MAX(CAST(x AS BIGINT)) * 1000 AS ms FROM s GROUP BY id",
    "of windows": (
        "TABLE r WITH (TIMESTAMP = 'MS') AS SELECT id, MAX(CAST(x AS BIGINT)) * 1000 AS ms FROM s "
        "WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY id"
    ),
    "joined": (
        "TABLE r WITH (TIMESTAMP = 'MS') AS SELECT t.id AS id, CAST(t.x AS BIGINT) * 1000 AS ms "
        "FROM t JOIN t AS u ON t.id = u.id"
    ),
}  # fmt: skip


@pytest.mark.parametrize("query", TABLES.values(), ids=TABLES)
def test_a_table_has_these_times_however_it_is_read(db: Database, query: str) -> None:
    db.execute(f"{DECLARED} CREATE {query};")
    for row, time in [((1, 2), 10), ((2, 1), 20), ((3, -5), 30), ((1, 4), 40), ((4, None), 50)]:
        for name in ("s", "t"):
            db.append(name, [{"id": row[0], "x": row[1]}], timestamps=[time])
    db.wait_idle()
    expected = [(1, 4000, 4000), (2, 1000, 1000)]
    ways = ["FROM r", "FROM r AS OF OFFSET 100", "FROM r WHERE id IN (1, 2, 3, 4)"]
    found = {way: sorted(db.execute(f"SELECT id, ms, ROWTIME {way};").fetchall()) for way in ways}
    assert found == dict.fromkeys(ways, expected)


SOON = "CASE WHEN {x} > 0 THEN '2024-01-0' + CAST({x} AS VARCHAR) ELSE 'soon' END AS d"
OF_X, OF_LAST, OF_T = (SOON.format(x=x) for x in ("x", "LATEST_BY_OFFSET(x)", "t.x"))
KEEPING = {
    "from a table": f"SELECT id, {OF_X} FROM t",
    "filtered": f"SELECT id, {OF_X} FROM t WHERE x < 9",
    "aggregated": f"SELECT id, {OF_LAST} FROM s GROUP BY id",
    "aggregated and filtered": f"SELECT id, {OF_LAST} FROM s GROUP BY id HAVING LATEST_BY_OFFSET(x) < 9",
    "of a table": f"SELECT id, {SOON.format(x='SUM(x)')} FROM t GROUP BY id",
    "of windows": f"SELECT id, {OF_LAST} FROM s WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY id",
    "joined": f"SELECT t.id AS id, {OF_T} FROM t JOIN t AS u ON t.id = u.id",
    "joined by a foreign key": f"SELECT t.id AS id, {OF_T} FROM t JOIN t AS u ON t.k = u.id",
}


@pytest.mark.parametrize("at_once", [False, True], ids=["row by row", "at once"])
@pytest.mark.parametrize("query", KEEPING.values(), ids=KEEPING)
def test_a_key_keeps_its_row_when_its_new_one_has_no_time(db: Database, query: str, at_once: bool) -> None:
    """For queries on, for readers of the topic and for pull queries alike, however the input is cut."""
    declared = DECLARED.replace("PRIMARY KEY, x", "PRIMARY KEY, k INT, x")
    with_time = "(TIMESTAMP = 'D', TIMESTAMP_FORMAT = 'yyyy-MM-dd')"
    db.execute(f"{declared} CREATE TABLE r WITH {with_time} AS {query};")
    changes = [(1, 1), (1, -1), (2, 1), (2, -1), (2, 2), (3, -1), (1, -2)]
    for part in [changes] if at_once else [[change] for change in changes]:
        db.append("t", [{"id": i, "k": i, "x": x} for i, x in part])
        db.append("s", [{"id": i, "x": x} for i, x in part], timestamps=[10] * len(part))
        db.wait_idle()
    ways = ["FROM r", "FROM r AS OF OFFSET 100", "FROM r WHERE id IN (1, 2, 3)"]
    if "WINDOW" not in query:
        db.execute("CREATE TABLE on_from_there AS SELECT * FROM r;")
        ways.append("FROM on_from_there")
    expected = [(1, "2024-01-01", JANUARY_MS), (2, "2024-01-02", JANUARY_MS + DAY_MS)]
    found = {way: sorted(db.execute(f"SELECT id, d, ROWTIME {way};").fetchall()) for way in ways}
    assert found == dict.fromkeys(ways, expected)
    ((why,),) = db.execute("SELECT DISTINCT reason FROM KSQL_PROCESSING_LOG;").fetchall()
    assert "'soon' does not fit the pattern" in why

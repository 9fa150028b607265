"""CREATE OR REPLACE: what goes on, what is refused, and what a restart makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsql.database import Database, connect
from streamsql.errors import PlanError

SETUP = """
CREATE STREAM s (id BIGINT KEY, v INT, w INT) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');
CREATE STREAM big AS SELECT id, v FROM s WHERE v > 10;
CREATE TABLE sums AS SELECT id, SUM(v) AS total FROM s WHERE v > 0 GROUP BY id;
CREATE TABLE windowed AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 DAY) GROUP BY id;
CREATE TABLE t (id BIGINT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');
CREATE STREAM two_writers AS SELECT id, v FROM s; INSERT INTO two_writers SELECT id, v FROM s;
"""
REFUSED = [
    "CREATE OR REPLACE TABLE s (id BIGINT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s (id BIGINT KEY, v INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s (id BIGINT KEY, w INT, v INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s (id BIGINT KEY, v BIGINT, w INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s (k BIGINT KEY, v INT, w INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s (id BIGINT KEY, v INT, w INT) WITH (KAFKA_TOPIC='x', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s (id BIGINT KEY, v INT, w INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
    "CREATE OR REPLACE STREAM s AS SELECT * FROM big;",
    "CREATE OR REPLACE STREAM big (id BIGINT KEY, v INT) WITH (KAFKA_TOPIC='BIG', FORMAT='JSON');",
    "CREATE OR REPLACE STREAM big AS SELECT id, v + 1 AS x FROM s;",
    "CREATE OR REPLACE STREAM big AS SELECT * FROM s PARTITION BY v;",
    "CREATE OR REPLACE STREAM big AS SELECT id, v FROM big;",
    "CREATE OR REPLACE TABLE sums AS SELECT id, SUM(w) AS total FROM s GROUP BY id;",
    "CREATE OR REPLACE TABLE sums AS SELECT id, SUM(v) AS total, COUNT(*) AS n FROM s GROUP BY id;",
    "CREATE OR REPLACE TABLE sums AS SELECT id, v AS total FROM t;",
    "CREATE OR REPLACE TABLE windowed AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 DAY) "
    "WHERE v > 0 GROUP BY id;",
    "CREATE OR REPLACE STREAM two_writers AS SELECT id, v FROM s WHERE v > 0;",
]


def insert(db: Database, *values: tuple[int, int]) -> None:
    for key, v in values:
        db.execute(f"INSERT INTO s (id, v) VALUES ({key}, {v});")
    db.wait_idle()


@pytest.mark.parametrize("sql", REFUSED)
def test_a_replacement_is_refused(db: Database, sql: str) -> None:
    db.execute(SETUP)
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    assert caught.value.code == "PLAN-REPLACE", caught.value


def test_a_filter_changes_and_what_was_written_stays(db: Database) -> None:
    db.execute(SETUP)
    insert(db, (1, 5), (2, 20))
    db.execute("CREATE OR REPLACE STREAM big AS SELECT id, v, v * 2 AS twice FROM s WHERE v > 4;")
    insert(db, (3, 5))
    assert db.execute("SELECT * FROM big;").fetchall() == [(2, 20, None), (3, 5, 10)]


def test_an_aggregate_goes_on_with_what_it_has(db: Database) -> None:
    db.execute(SETUP)
    insert(db, (1, 5), (1, -7))
    db.execute("CREATE OR REPLACE TABLE sums AS SELECT id, SUM(v) AS total FROM s GROUP BY id;")
    insert(db, (1, -2))
    assert db.execute("SELECT * FROM sums;").fetchall() == [(1, 3)]


def test_columns_are_added_to_a_stream(db: Database) -> None:
    db.execute(SETUP)
    db.execute(
        "CREATE OR REPLACE STREAM s (id BIGINT KEY, v INT, w INT, x VARCHAR) "
        "WITH (KAFKA_TOPIC='s', FORMAT='JSON');"
    )
    db.execute("INSERT INTO s (id, x) VALUES (1, 'new');")
    assert db.execute("SELECT x FROM s;").fetchall() == [("new",)]


def test_the_new_form_is_the_one_that_runs_after_a_restart(tmp_path: Path) -> None:
    with connect(tmp_path) as db:
        db.execute(SETUP)
        db.execute("PAUSE ALL;")
        db.execute("CREATE OR REPLACE STREAM big AS SELECT id, v FROM s WHERE v > 4;")
        db.execute("CREATE OR REPLACE STREAM big AS SELECT id, v FROM s WHERE v > 6;")
        ids = list(db.catalog.queries)
    with connect(tmp_path) as db:
        assert list(db.catalog.queries) == ids
        db.execute("RESUME ALL;")
        insert(db, (1, 5), (2, 7))
        assert db.execute("SELECT * FROM big;").fetchall() == [(2, 7)]


def test_a_paused_query_stays_paused_after_a_restart_until_it_is_resumed(tmp_path: Path) -> None:
    with connect(tmp_path) as db:
        db.execute(SETUP)
        paused = next(q for q in db.catalog.queries if "BIG" in q)
        db.execute(f"PAUSE {paused};")
    with connect(tmp_path) as db:
        insert(db, (2, 70))
        assert db.queries.runners[paused].state == "PAUSED"
        assert db.execute("SELECT * FROM sums;").fetchall() == [(2, 70)]
        db.execute(f"RESUME {paused};")
        db.wait_idle()
        assert db.execute("SELECT * FROM big;").fetchall() == [(2, 70)]


def test_replacing_can_be_switched_off(db: Database) -> None:
    db.execute(SETUP + "SET 'ksql.create.or.replace.enabled' = 'false';")
    with pytest.raises(PlanError):
        db.execute("CREATE OR REPLACE STREAM big AS SELECT id, v FROM s;")

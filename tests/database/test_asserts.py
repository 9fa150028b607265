"""ASSERT statements: what holds passes, what does not is told."""

from __future__ import annotations

import threading

import pytest

from streamsql.database import Database
from streamsql.errors import PlanError

SETUP = """
CREATE STREAM s (id BIGINT KEY, v INT, name VARCHAR) WITH (KAFKA_TOPIC = 'views', FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE sums AS SELECT id, SUM(v) AS total FROM s GROUP BY id HAVING SUM(v) > 1;
CREATE TABLE t (id BIGINT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON', PARTITIONS = 2);
CREATE STREAM a (v INT) WITH (KAFKA_TOPIC = 'avro', VALUE_FORMAT = 'AVRO');
CREATE STREAM b AS SELECT * FROM a;
"""
HOLDS = [
    "ASSERT TOPIC views;",
    "ASSERT TOPIC t WITH (PARTITIONS = 2, REPLICAS = 1);",
    "ASSERT NOT EXISTS TOPIC nowhere TIMEOUT 0 SECONDS;",
    "ASSERT SCHEMA SUBJECT `B-value`;",
    "ASSERT NOT EXISTS SCHEMA SUBJECT nothing;",
    "ASSERT NOT EXISTS SCHEMA ID 99;",
    "ASSERT STREAM s (id BIGINT KEY, v INT, name VARCHAR) WITH (KAFKA_TOPIC = 'views', VALUE_FORMAT = 'json');",
    "ASSERT TABLE sums (id BIGINT PRIMARY KEY, total INT);",
]
FAILS = [
    ("ASSERT TOPIC nowhere TIMEOUT 0 SECONDS;", "topic nowhere does not exist"),
    ("ASSERT NOT EXISTS TOPIC views TIMEOUT 0 SECONDS;", "topic views exists"),
    ("ASSERT TOPIC t WITH (PARTITIONS = 3);", "topic t has PARTITIONS 2"),
    ("ASSERT TOPIC t WITH (COLOUR = 3);", "knows PARTITIONS and REPLICAS"),
    ("ASSERT SCHEMA SUBJECT nothing TIMEOUT 0 SECONDS;", "no schema with subject nothing"),
    ("ASSERT SCHEMA ID 99 TIMEOUT 0 SECONDS;", "no schema with id 99"),
    ("ASSERT NOT EXISTS SCHEMA SUBJECT `B-value` TIMEOUT 0 SECONDS;", "there is a schema"),
    ("ASSERT STREAM sums;", "is not a STREAM"),
    ("ASSERT STREAM s (id BIGINT KEY, v BIGINT, name VARCHAR);", "stream S has `ID` BIGINT KEY"),
    ("ASSERT STREAM s WITH (VALUE_FORMAT = 'AVRO');", "has VALUE_FORMAT JSON"),
    ("ASSERT VALUES s VALUES (1, 2, 'x');", "has 0 records, and one more is asserted"),
]


@pytest.mark.parametrize("sql", HOLDS)
def test_what_holds(db: Database, sql: str) -> None:
    db.execute(SETUP)
    db.execute(sql)


@pytest.mark.parametrize(("sql", "why"), FAILS)
def test_what_does_not_hold_is_told(db: Database, sql: str, why: str) -> None:
    db.execute(SETUP)
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    assert caught.value.code == "ASSERT-FAILED"
    assert why in caught.value.message


def test_records_are_asserted_one_after_another(db: Database) -> None:
    db.execute(
        SETUP
        + """
        INSERT INTO s (ROWTIME, id, v, name) VALUES (70, 1, 5, 'x');
        INSERT INTO s (id, v) VALUES (1, -4);
        INSERT INTO s (id, v) VALUES (2, 6);
        ASSERT VALUES s VALUES (1, 5, 'x');
        ASSERT VALUES s (v, name) VALUES (-4, NULL);
        ASSERT VALUES sums (id, total, ROWTIME) VALUES (1, 5, 70);
        """
    )
    with pytest.raises(PlanError, match="record 3 of stream S has V 6"):
        db.execute("ASSERT VALUES s (id, v) VALUES (2, 7);")
    with pytest.raises(PlanError, match="has 3 records"):
        db.execute("ASSERT VALUES s (id, v) VALUES (2, 6);")


def insert_one_by_one(db: Database) -> None:
    """Two rows of a group, in two batches: in one, only what comes of both would be said."""
    db.execute(SETUP + "INSERT INTO s (id, v) VALUES (1, 5);")
    db.wait_idle()
    db.execute("INSERT INTO s (id, v) VALUES (1, -4);")


def test_tombstones_are_asserted_by_their_keys(db: Database) -> None:
    # id 1: 5 passes HAVING, then 5 - 4 = 1 does not
    insert_one_by_one(db)
    with pytest.raises(PlanError, match="record 1 of table SUMS has a value"):
        db.execute("ASSERT NULL VALUES sums (id) KEY (1);")
    db.execute("ASSERT NULL VALUES sums (id) KEY (1);")


def test_a_value_is_no_tombstone(db: Database) -> None:
    insert_one_by_one(db)
    db.execute("ASSERT VALUES sums VALUES (1, 5);")
    with pytest.raises(PlanError, match="record 2 of table SUMS has no value"):
        db.execute("ASSERT VALUES sums VALUES (1, 1);")


def test_waiting_ends_when_another_thread_brings_the_topic(db: Database) -> None:
    create = threading.Thread(
        target=db.execute, args=("CREATE STREAM late (v INT) WITH (KAFKA_TOPIC = 'late');",)
    )
    waiting = threading.Thread(target=db.execute, args=("ASSERT TOPIC late TIMEOUT 1 MINUTE;",))
    waiting.start()
    create.start()
    waiting.join(20)
    create.join(20)
    assert not waiting.is_alive() and not create.is_alive()


def test_a_source_of_the_same_name_is_read_anew(db: Database) -> None:
    db.execute("CREATE STREAM n (v INT); INSERT INTO n VALUES (1); ASSERT VALUES n VALUES (1);")
    db.execute("DROP STREAM n DELETE TOPIC; CREATE STREAM n (v INT); INSERT INTO n VALUES (2);")
    db.execute("ASSERT VALUES n VALUES (2);")

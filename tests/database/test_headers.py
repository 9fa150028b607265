"""Headers of records: as columns, through queries into their topics, and in joins."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from streamsql.database import Database

HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
DECLARED = """
CREATE STREAM one (id INT KEY, x INT, h BYTES HEADER('h')) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');
CREATE STREAM every (id INT KEY, x INT, hs ARRAY<STRUCT<key VARCHAR, value BYTES>> HEADERS)
    WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');
CREATE STREAM others (id INT KEY, y INT) WITH (KAFKA_TOPIC = 'others', FORMAT = 'JSON');
CREATE TABLE t (id INT PRIMARY KEY, z INT) WITH (FORMAT = 'JSON');
INSERT INTO t (ROWTIME, id, z) VALUES (1, 1, 7);
"""
GIVEN = [[{"key": "h", "value": b"A"}, {"key": "g", "value": None}, {"key": "h", "value": b"B"}], []]


@pytest.fixture
def filled(db: Database) -> Database:
    db.execute(DECLARED)
    return db


def fill(db: Database) -> None:
    columns = {"key": [b"1", b"2"], "value": [b'{"X":1}', b'{"X":2}'], "timestamp": [5, 6]}
    records = pa.record_batch({**columns, "headers": pa.array(GIVEN, HEADERS)})
    db.log.append("s", 0, records)
    db.append("others", [{"id": 1, "y": 10}], timestamps=[7])
    db.wait_idle()


def written(db: Database, topic: str) -> list[Any]:
    """The headers of a topic's records; None if its records have none."""
    return [row.get("headers") for batch in db.log.read(topic, 0, 0, 100) for row in batch.to_pylist()]


def test_a_column_has_the_last_header_of_its_name_or_all_of_them(filled: Database) -> None:
    fill(filled)
    assert filled.execute("SELECT h FROM one;").fetchall() == [(b"B",), (None,)]
    upper = [[{"KEY": h["key"], "VALUE": h["value"]} for h in headers] for headers in GIVEN]
    assert filled.execute("SELECT hs FROM every;").fetchall() == [(headers,) for headers in upper]
    described = filled.execute("DESCRIBE every;").fetchall()
    assert described[-1] == ("HS", "ARRAY<STRUCT<KEY VARCHAR, VALUE BYTES>>", "HEADERS")
    assert filled.execute("DESCRIBE one;").fetchall()[-1] == ("H", "BYTES", "HEADER('h')")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM one", GIVEN),
        ("SELECT id, hs FROM every PARTITION BY NULL", GIVEN),
        ("SELECT id, x FROM one", [None, None]),
    ],
)
def test_a_query_that_reads_headers_hands_them_on(filled: Database, query: str, expected: list[Any]) -> None:
    filled.execute(f"CREATE STREAM r WITH (KAFKA_TOPIC = 'r') AS {query};")
    fill(filled)
    assert written(filled, "r") == expected


JOINS = {
    "streams, headers unused": ("o.y FROM {s} s JOIN others o WITHIN 1 DAY ON s.id = o.id", [(1, 10)]),
    "streams": ("{h}, o.y FROM {s} s JOIN others o WITHIN 1 DAY ON s.id = o.id", [(1, "headers", 10)]),
    "a table, headers unused": ("t.z FROM {s} s JOIN t ON s.id = t.id", [(1, 7)]),
    "a table": ("{h}, t.z FROM {s} s JOIN t ON s.id = t.id", [(1, "headers", 7)]),
}


@pytest.mark.parametrize(("s", "h"), [("one", "h"), ("every", "hs")])
@pytest.mark.parametrize(("query", "expected"), JOINS.values(), ids=JOINS)
def test_headers_may_stand_beside_a_join(
    filled: Database, s: str, h: str, query: str, expected: list[tuple[Any, ...]]
) -> None:
    filled.execute(f"CREATE STREAM r AS SELECT s.id, {query.format(s=s, h=h)};")
    fill(filled)
    headers: Any = b"B" if s == "one" else [{"KEY": x["key"], "VALUE": x["value"]} for x in GIVEN[0]]
    rows = [tuple(headers if value == "headers" else value for value in row) for row in expected]
    assert filled.execute("SELECT * FROM r;").fetchall() == rows

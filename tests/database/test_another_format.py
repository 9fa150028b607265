"""A stream declared over a topic whose records are something else: said at once, and wherever it is read."""

from __future__ import annotations

import pytest

from streamsql.database import Database

COLUMNS = "value: it is ARROW columns (A, N) and not JSON: format ARROW reads it"
BYTES = "value: it is bytes and not ARROW columns: another format reads it"
DECLARED = [
    pytest.param("ARROW", "a VARCHAR, n INT", "JSON", COLUMNS, id="bytes over columns"),
    pytest.param("JSON", "a VARCHAR, n INT", "ARROW", BYTES, id="columns over bytes"),
    pytest.param("ARROW", "n VARCHAR", "ARROW", "value: $.N is INTEGER, not VARCHAR", id="another type"),
    pytest.param("JSON", "n BOOLEAN", "JSON", "value: $.N: 1 is not a BOOLEAN", id="another type in JSON"),
]


@pytest.mark.parametrize(("written", "columns", "declared", "reason"), DECLARED)
def test_what_cannot_be_read_is_said(
    db: Database, written: str, columns: str, declared: str, reason: str
) -> None:
    db.execute(f"CREATE STREAM s (a VARCHAR, n INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = '{written}');")
    db.append("s", [{"A": "x", "N": 1}, {"A": "y", "N": 1}])
    created = db.execute(
        f"CREATE STREAM other ({columns}) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = '{declared}');"
    )
    assert created.message.startswith("stream OTHER created; but the newest record of topic t cannot be read")
    found = db.execute("SELECT * FROM other;")
    assert found.fetchall() == []
    assert found.message == f"2 records of stream OTHER could not be read (first: {reason})"
    db.execute("CREATE STREAM copied AS SELECT * FROM other;")
    assert db.wait_idle()
    entries = db.execute("SELECT kind, reason, source_offset FROM ksql_processing_log;").fetchall()
    assert entries == [("DESERIALIZATION", reason, 0), ("DESERIALIZATION", reason, 1)]


def test_a_record_of_another_kind_among_good_ones(db: Database) -> None:
    """One topic, written in two formats: each stream reads its own records."""
    for name, written in (("typed", "ARROW"), ("json", "JSON")):
        db.execute(
            f"CREATE STREAM {name} (a VARCHAR, n INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = '{written}');"
        )
    for number in range(4):
        db.append("typed" if number % 2 else "json", [{"A": "x", "N": number}])
    assert db.execute("SELECT n FROM typed;").fetchall() == [(1,), (3,)]
    assert db.execute("SELECT n FROM json;").fetchall() == [(0,), (2,)]
    db.execute("CREATE TABLE counts AS SELECT a, COUNT(*) AS n FROM json GROUP BY a;")
    assert db.wait_idle()
    assert db.execute("SELECT * FROM counts;").fetchall() == [("x", 2)]


def test_a_table_that_nobody_keeps_says_what_is_left_out(db: Database) -> None:
    db.execute("CREATE STREAM s (k VARCHAR KEY, n VARCHAR) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'KAFKA');")
    db.append("s", [{"K": "a", "N": "1"}, {"K": "b", "N": '{"N": 2}'}])
    created = db.execute(
        "CREATE TABLE t (k VARCHAR PRIMARY KEY, n INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');"
    )
    assert created.message == "table T created"
    for where in ("", "WHERE k = 'b'"):
        found = db.execute(f"SELECT * FROM t {where};")
        assert found.fetchall() == [("b", 2)]
        assert found.message.startswith("1 record of table T could not be read (first: value: ")


@pytest.mark.parametrize("key_format", ["KAFKA", "JSON", "ARROW", "AVRO", "DELIMITED", "PROTOBUF"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_records_without_a_key_are_read_by_a_stream_that_has_one(
    db: Database, key_format: str, partitions: int
) -> None:
    """They come of a writer and of a query, and one with a key lies among them."""
    with_topic = "WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON'"
    db.execute(
        f"CREATE STREAM bare (n INT) {with_topic}, PARTITIONS = {partitions});"
        f"CREATE STREAM keyed (k VARCHAR KEY, n INT) {with_topic}, KEY_FORMAT = '{key_format}');"
        "CREATE STREAM more (n INT) WITH (KAFKA_TOPIC = 'm', VALUE_FORMAT = 'JSON', PARTITIONS = 2);"
        "INSERT INTO bare SELECT n FROM more;"
        "CREATE TABLE counts AS SELECT n, COUNT(*) AS times, COUNT(k) AS keys FROM keyed GROUP BY n;"
    )
    db.append("bare", [{"n": 1}, {"n": 2}])
    db.append("keyed", [{"k": "a", "n": 2}])
    db.append("more", [{"n": 2}, {"n": 3}])
    assert db.wait_idle()
    rows = db.execute("SELECT k, n FROM keyed;").fetchall()
    assert sorted(rows, key=str) == [("a", 2), (None, 1), (None, 2), (None, 2), (None, 3)]
    assert sorted(db.execute("SELECT * FROM counts;").fetchall()) == [(1, 1, 0), (2, 3, 1), (3, 1, 0)]
    assert db.execute("SELECT kind FROM ksql_processing_log;").fetchall() == []

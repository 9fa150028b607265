"""AS OF: streams and tables as they were, and what is said where that cannot be known any more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamsql
from streamsql.database import Database
from streamsql.engine.log.log import TopicConfig
from streamsql.errors import DataError, PlanError

# time   0 s   1 s   2 s   3 s   4 s   5 s
# s      0:0   1:1   0:2   1:3   0:4   1:5      id:v
# p      0:n0  1:n1  0:n2  1:n3  0:n4  1:n5     id:name
SETUP = """
CREATE STREAM s (id BIGINT KEY, v INT);
CREATE TABLE n AS SELECT id, COUNT(*) AS n FROM s GROUP BY id HAVING COUNT(*) < 3;
CREATE TABLE w AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 2 SECONDS) GROUP BY id;
CREATE TABLE p (id BIGINT PRIMARY KEY, name VARCHAR);
"""


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with streamsql.connect() as database:
        database.execute(SETUP)
        for second in range(6):
            database.append("s", [{"ID": second % 2, "V": second}], timestamps=[second * 1000])
            database.append("p", [{"ID": second % 2, "NAME": f"n{second}"}], timestamps=[second * 1000])
            # Each record a commit of its own: what comes together in one is one change of the table.
            database.wait_idle()
        yield database


ANSWERS = [
    ("SELECT v FROM s AS OF OFFSET 2", [(0,), (1,), (2,)]),
    ("SELECT v FROM s AS OF OFFSET 99 WHERE v > 3", [(4,), (5,)]),
    ("SELECT v FROM s AS OF TIMESTAMP '1970-01-01T00:00:01'", [(0,), (1,)]),
    ("SELECT v FROM s AS OF TIMESTAMP 1999", [(0,), (1,)]),
    ("SELECT COUNT(*) AS c FROM s AS OF TIMESTAMP UNIX_TIMESTAMP()", [(6,)]),
    ("SELECT * FROM n AS OF OFFSET 0", [(0, 1)]),
    ("SELECT * FROM n AS OF TIMESTAMP 3000 ORDER BY id", [(0, 2), (1, 2)]),
    ("SELECT * FROM n AS OF TIMESTAMP 4000", [(1, 2)]),
    ("SELECT * FROM n AS OF TIMESTAMP 5000", []),
    ("SELECT n FROM n AS OF OFFSET 3 WHERE id = 1", [(2,)]),
    ("SELECT * FROM w AS OF TIMESTAMP 2500 ORDER BY 2, 1", [(0, 0, 2000, 1), (1, 0, 2000, 1), (0, 2000, 4000, 1)]),
    ("SELECT * FROM p AS OF OFFSET 2 ORDER BY id", [(0, "n2"), (1, "n1")]),
    (
        "SELECT a.id, a.name, b.name AS now, s.v FROM p a AS OF OFFSET 1 JOIN p b ON a.id = b.id "
        "JOIN s AS OF TIMESTAMP 0 ON s.id = a.id",
        [(0, "n0", "n4", 0)],
    ),
    ("SELECT name FROM p WHERE name NOT IN (SELECT name FROM p x AS OF OFFSET 4) ORDER BY 1", [("n5",)]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "rows"), ANSWERS, ids=[query for query, _ in ANSWERS])
def test_the_past_is_there(db: Database, query: str, rows: list[tuple[object, ...]]) -> None:
    assert db.execute(query + ";").fetchall() == rows


REFUSED = [
    ("SELECT * FROM s AS OF OFFSET -1", "-1"),
    ("SELECT * FROM s AS OF OFFSET 'x'", "'x'"),
    ("SELECT * FROM s AS OF OFFSET v", "v"),
    ("SELECT * FROM s AS OF TIMESTAMP 'yesterday'", "'yesterday'"),
    ("SELECT * FROM s AS OF TIMESTAMP TRUE", "TRUE"),
    ("WITH x AS (SELECT * FROM s) SELECT * FROM x AS OF OFFSET 1", "AS OF OFFSET 1"),
]


@pytest.mark.parametrize(("query", "place"), REFUSED, ids=[query for query, _ in REFUSED])
def test_what_is_no_point_is_refused(db: Database, query: str, place: str) -> None:
    with pytest.raises(PlanError) as caught:
        db.execute(query + ";")
    span = caught.value.span
    assert caught.value.code == "PLAN-AS-OF", caught.value
    assert span is not None and query[span.start : span.end] == place


def test_a_query_that_keeps_running_has_no_past(db: Database) -> None:
    with pytest.raises(PlanError, match="AS OF"):
        db.execute("SELECT * FROM s AS OF OFFSET 1 EMIT CHANGES;")


_numbers = itertools.count()


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 20)), max_size=12),
    offset=st.integers(0, 12),
    time=st.integers(0, 20),
)
def test_a_table_is_its_records_up_to_there(
    db: Database, rows: list[tuple[int, int, int]], offset: int, time: int
) -> None:
    name = f"t{next(_numbers)}"
    db.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, v INT);")
    for key, value, stamp in rows:
        db.append(name, [{"ID": key, "V": value}], timestamps=[stamp])
    by_offset = {key: value for key, value, _ in rows[: offset + 1]}
    by_time = {key: value for key, value, stamp in rows if stamp <= time}
    assert dict(db.execute(f"SELECT * FROM {name} AS OF OFFSET {offset};").fetchall()) == by_offset
    assert dict(db.execute(f"SELECT * FROM {name} AS OF TIMESTAMP {time};").fetchall()) == by_time
    db.execute(f"DROP TABLE {name} DELETE TOPIC;")


def test_retention_takes_the_past_away(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.log.create_topic("in", TopicConfig(segment_bytes=1, retention_ms=1000))
        db.execute("CREATE STREAM s (v INT) WITH (KAFKA_TOPIC = 'in');")
        for second in range(4):
            db.append("s", [{"V": second}], timestamps=[second * 1000])
        assert db.log.maintain(3500) == []
        assert db.log.start_offset("in", 0) == 3
        assert db.execute("SELECT v FROM s AS OF OFFSET 3;").fetchall() == [(3,)]
        for point in ("OFFSET 2", "TIMESTAMP 2000"):
            with pytest.raises(DataError) as caught:
                db.execute(f"SELECT v FROM s AS OF {point};")
            assert caught.value.code == "DATA-HISTORY"
            assert caught.value.hint == "the history begins at OFFSET 3, TIMESTAMP 3000"


def test_compaction_takes_the_past_of_tables_away(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.log.create_topic("t", TopicConfig(cleanup="compact", segment_bytes=1))
        db.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC = 't');")
        for second in range(5):
            db.append("t", [{"ID": second % 2, "V": second}], timestamps=[second * 1000])
        assert db.execute("SELECT v FROM t AS OF OFFSET 1 ORDER BY v;").fetchall() == [(0,), (1,)]
        assert db.log.maintain(5000) == []
        # The segment that is written, with offset 4, is left alone.
        assert db.log.compacted_offset("t", 0) == 4
        for point in ("OFFSET 3", "OFFSET 4", "TIMESTAMP 3000", "TIMESTAMP 9000"):
            expected = [(2,), (3,)] if point.endswith(("3", "3000")) else [(3,), (4,)]
            assert db.execute(f"SELECT v FROM t AS OF {point} ORDER BY v;").fetchall() == expected
        for point in ("OFFSET 2", "TIMESTAMP 2999"):
            with pytest.raises(DataError) as caught:
                db.execute(f"SELECT v FROM t AS OF {point};")
            assert caught.value.code == "DATA-HISTORY"
            assert caught.value.hint == "the history begins at OFFSET 3"

"""Statements that planning refuses: each with the code of its error, and where it points."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamsql
from streamsql.database import Database
from streamsql.errors import NotSupportedError, PlanError, StreamSQLError

SETUP = """
CREATE STREAM s (id BIGINT KEY, name VARCHAR, n INT, tags MAP<VARCHAR, VARCHAR>) WITH (FORMAT = 'JSON');
CREATE STREAM r (id BIGINT KEY, name VARCHAR, n INT) WITH (FORMAT = 'JSON');
CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR) WITH (FORMAT = 'JSON');
CREATE SOURCE STREAM fixed (id BIGINT KEY, name VARCHAR) WITH (FORMAT = 'JSON');
CREATE SOURCE TABLE fixed_table (id BIGINT PRIMARY KEY, name VARCHAR) WITH (FORMAT = 'JSON');
CREATE STREAM headed (k BIGINT KEY, v VARCHAR, h BYTES HEADER('h')) WITH (FORMAT = 'JSON');
CREATE STREAM hourly (id BIGINT KEY, v INT)
  WITH (FORMAT = 'JSON', WINDOW_TYPE = 'TUMBLING', WINDOW_SIZE = '1 HOUR');
CREATE STREAM sessions (id BIGINT KEY, v INT) WITH (FORMAT = 'JSON', WINDOW_TYPE = 'SESSION');
CREATE STREAM plain (k BIGINT KEY, v BIGINT) WITH (FORMAT = 'KAFKA');
CREATE STREAM copied AS SELECT id, name FROM s;
CREATE TABLE counted AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;
CREATE TYPE money AS DECIMAL(10, 2);
"""

REFUSED = [
    (line.split()[0], line[line.index(" ") :].strip())
    for line in Path(__file__).with_name("refused.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
WITHOUT_SCANS = [
    "SELECT * FROM «counted»;",
    "SELECT * FROM «(SELECT * FROM counted)»;",
    "SELECT * FROM counted WHERE «n = 1»;",
    "SELECT * FROM s «LIMIT 1»;",
]
HINTS = [
    ('SELECT * FROM s WHERE name = "it\'s";', "in single quotes: 'it''s'"),
    ('SELECT * FROM s WHERE name = "Name";', "did you mean NAME?"),
    ("SELECT name LIKE 'a!' ESCAPE '!' AS z FROM s;", "'a!!'"),
    ("SELECT CAST(id AS TIMESTAMP) AS z FROM s;", "FROM_UNIXTIME"),
    ("SELECT id FROM s WHERE ROWTIME > 'tomorrow';", "2024-01-31T12:30"),
    ("CREATE STREAM x AS SELECT id, UCASE(name) AS nm FROM s PARTITION BY nm;", "PARTITION BY UCASE(NAME)"),
    (
        "CREATE TABLE x AS SELECT id, COUNT(*) AS c FROM s WHERE WINDOWSTART > 1 GROUP BY id;",
        "a window's bounds",
    ),
    ("SELECT ARRAY[1] < ARRAY[2] AS z FROM s;", "= and <>"),
    (
        "SELECT id, COUNT(*) AS c FROM s GROUP BY id HAVING n > 1 EMIT CHANGES;",
        "or use an aggregate of it, or WHERE",
    ),
    ("SELECT name = 1 AS z FROM s;", "CAST"),
    ("CREATE TYPE a AS INT; CREATE TYPE a AS INT;", "DROP TYPE A; first"),
]


MESSAGES = [
    ("CREATE TABLE x AS SELECT COUNT(*) AS n FROM s GROUP BY id;", "the key column ID is missing"),
    (
        "CREATE TABLE x AS SELECT id, COUNT(*) AS n FROM s GROUP BY id HAVING SUM(id);",
        "but SUM(ID) is BIGINT",
    ),
    ("CREATE TABLE x AS SELECT id, COUNT(*) + 'a' AS n FROM s GROUP BY id;", "for COUNT(*) (BIGINT) and 'a'"),
    ("SELECT id + 1 + name AS x FROM s GROUP BY id + 1, name;", "for ID + 1 (BIGINT) and NAME (VARCHAR)"),
    ("SELECT id FROM s GROUP BY id HAVING LEN(MAX(id)) > 1;", "function LEN does not take (BIGINT)"),
    ("CREATE TABLE x AS SELECT t.name AS a, c.n FROM t JOIN counted c ON t.id = c.id;", "key column T.ID is"),
    (
        "CREATE TABLE x AS SELECT c.n, t.name FROM t JOIN counted c ON CAST(t.name AS BIGINT) = c.id;",
        "T.ID is missing",
    ),
    ("CREATE STREAM x AS SELECT * FROM s JOIN t ON s.name = t.name;", "its primary key, T.ID, not on T.NAME"),
    (
        "CREATE STREAM x AS SELECT l.name AS a, r.name AS b FROM s l FULL JOIN s r WITHIN 1 HOUR ON l.id = r.id;",
        "the key column ROWKEY, added by the join",
    ),
]


@pytest.mark.parametrize(("sql", "message"), MESSAGES, ids=[m[0] for m in MESSAGES])
def test_a_refusal_names_what_was_written(db: Database, sql: str, message: str) -> None:
    db.execute(SETUP)
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    assert message in caught.value.message


@pytest.mark.parametrize(("code", "marked"), REFUSED, ids=[marked for _, marked in REFUSED])
def test_the_caret_stands_under_what_is_at_fault(defined: Database, code: str, marked: str) -> None:
    assert _refused(defined, marked) == (code, marked)


@pytest.mark.parametrize("marked", WITHOUT_SCANS)
def test_what_is_switched_off_is_pointed_at(db: Database, marked: str) -> None:
    db.execute(SETUP)
    for name in ("ksql.query.pull.table.scan.enabled", "ksql.query.pull.limit.clause.enabled"):
        db.execute(f"SET '{name}' = 'false';")
    assert _refused(db, marked) == ("PLAN-GATE", marked)


def _refused(db: Database, marked: str) -> tuple[str, str]:
    """The code of the error, and the statement with what the caret stands under between « and »."""
    sql = re.sub("[«»]", "", marked)
    with pytest.raises(StreamSQLError) as caught:
        db.execute(sql)
    span = caught.value.span
    assert span is not None, caught.value
    return caught.value.code, f"{sql[: span.start]}«{sql[span.start : span.end]}»{sql[span.end :]}"


@pytest.fixture(scope="module")
def defined() -> Iterator[Database]:
    """A database with SETUP in it, for statements that do nothing."""
    with streamsql.connect() as database:
        database.execute(SETUP)
        yield database


@pytest.mark.parametrize(("sql", "hint"), HINTS, ids=[h[0] for h in HINTS])
def test_a_refusal_says_what_to_write(db: Database, sql: str, hint: str) -> None:
    db.execute(SETUP)
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    assert caught.value.hint is not None and hint in caught.value.hint, caught.value


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE SOURCE CONNECTOR c WITH ('a' = 'b');",
        "CREATE SINK CONNECTOR c WITH ('a' = 'b');",
        "DROP CONNECTOR c;",
        "DESCRIBE CONNECTOR c;",
        "SHOW CONNECTORS;",
        "SHOW CONNECTOR PLUGINS;",
    ],
)
def test_connectors_are_not_built_and_what_is_instead_is_said(db: Database, sql: str) -> None:
    with pytest.raises(NotSupportedError, match="connectors are not built") as caught:
        db.execute(sql)
    assert caught.value.hint is not None and "streamsql load" in caught.value.hint


def test_there_is_no_system_to_alter(db: Database) -> None:
    with pytest.raises(NotSupportedError, match="ALTER SYSTEM is not built") as caught:
        db.execute("ALTER SYSTEM 'commit.interval.ms' = '5';")
    assert caught.value.hint == "SET 'commit.interval.ms' = '5'; or streamsql --set commit.interval.ms=5"


def test_struct_fields_that_only_case_tells_apart_are_not_built(db: Database) -> None:
    with pytest.raises(NotSupportedError):
        db.execute("CREATE STREAM x (s STRUCT<a INT, `a` INT>) WITH (FORMAT = 'JSON');")


def test_a_field_written_as_a_column_of_a_source_is_shown_how_to_write_it(db: Database) -> None:
    db.execute("CREATE STREAM x (s STRUCT<a INT>) WITH (FORMAT = 'JSON');")
    with pytest.raises(PlanError, match="S in SELECT is not a source of this query") as caught:
        db.execute("SELECT s.a FROM x;")
    assert caught.value.hint == "a field of a STRUCT: S->A"

"""Statements that planning refuses: each with the code of its error, and where it points."""

from __future__ import annotations

import pytest

from streamsql.database import Database
from streamsql.errors import NotSupportedError, PlanError

SETUP = """
CREATE STREAM s (id BIGINT KEY, name VARCHAR, tags MAP<VARCHAR, VARCHAR>) WITH (FORMAT = 'JSON');
CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR) WITH (FORMAT = 'JSON');
CREATE SOURCE STREAM fixed (id BIGINT KEY, name VARCHAR) WITH (FORMAT = 'JSON');
CREATE STREAM headed (k BIGINT KEY, v VARCHAR, h BYTES HEADER('h')) WITH (FORMAT = 'JSON');
"""
REFUSED = [
    ("CREATE STREAM x WITH (FORMAT = 'JSON');", "PLAN-NO-COLUMNS", "CREATE"),
    (
        "CREATE STREAM x (m MAP<VARCHAR, VARCHAR> KEY, v INT) WITH (FORMAT = 'JSON');",
        "PLAN-KEY-TYPE",
        "m MAP",
    ),
    ("CREATE STREAM x AS SELECT * FROM s PARTITION BY tags;", "PLAN-KEY-TYPE", "CREATE"),
    ("CREATE STREAM x AS SELECT * FROM s PARTITION BY STRUCT(f := tags);", "PLAN-KEY-TYPE", "CREATE"),
    ("CREATE OR REPLACE SOURCE STREAM x (v INT) WITH (FORMAT = 'JSON');", "PLAN-READ-ONLY", "CREATE"),
    ("CREATE OR REPLACE STREAM fixed (v INT) WITH (FORMAT = 'JSON');", "PLAN-READ-ONLY", "CREATE"),
    ("SELECT ROWPARTITION FROM t;", "PLAN-UNKNOWN-COLUMN", "ROWPARTITION"),
    ("SELECT * FROM t WHERE id IN (NULL);", "PLAN-NULL-KEY", "NULL"),
    (
        "CREATE STREAM x (v INT, w INT) WITH (FORMAT='JSON', WRAP_SINGLE_VALUE=false);",
        "PLAN-PROPERTY",
        "WRAP",
    ),
    ("CREATE STREAM x (v INT) WITH (FORMAT='DELIMITED', WRAP_SINGLE_VALUE=true);", "PLAN-PROPERTY", "WRAP"),
    ("CREATE STREAM `a b` (v INT) WITH (FORMAT='JSON');", "PLAN-SOURCE-NAME", "CREATE"),
    ("CREATE STREAM `a.b` AS SELECT * FROM s;", "PLAN-SOURCE-NAME", "CREATE"),
    ("CREATE STREAM x (i INT, m MAP<INT, INT>) WITH (VALUE_FORMAT='AVRO');", "PLAN-FORMAT-TYPE", "m MAP"),
    ("CREATE STREAM x (i INT, a ARRAY<INT>) WITH (VALUE_FORMAT='DELIMITED');", "PLAN-FORMAT-TYPE", "a ARRAY"),
    ("CREATE STREAM x (b BOOLEAN) WITH (VALUE_FORMAT='KAFKA');", "PLAN-FORMAT-TYPE", "b BOOLEAN"),
    ("CREATE STREAM x (a INT, b INT) WITH (VALUE_FORMAT='KAFKA');", "PLAN-FORMAT-COLUMNS", "CREATE"),
    ("CREATE STREAM x (a INT KEY, b INT) WITH (KEY_FORMAT='NONE');", "PLAN-FORMAT-COLUMNS", "CREATE"),
    ("CREATE STREAM x (a INT) WITH (VALUE_FORMAT='XML');", "PLAN-UNKNOWN-FORMAT", "VALUE_FORMAT"),
    ("CREATE STREAM x (a INT) WITH (VALUE_FORMAT='JSON', VALUE_DELIMITER=',');", "PLAN-PROPERTY", "VALUE_D"),
    ("CREATE STREAM x (a INT) WITH (FORMAT='JSON', KEY_FORMAT='JSON');", "PLAN-PROPERTY", "FORMAT"),
    ("CREATE STREAM x (a INT) WITH (VALUE_FORMAT='JSON', FOO=1);", "PLAN-PROPERTY", "FOO"),
    ("CREATE STREAM x WITH (KAFKA_TOPIC='none', VALUE_FORMAT='AVRO');", "PLAN-NO-COLUMNS", "CREATE"),
    ("CREATE STREAM x WITH (VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID=99);", "PLAN-SCHEMA-ID", "CREATE"),
    ("CREATE STREAM x (a INT) WITH (VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID=1);", "PLAN-SCHEMA-ID", "CREATE"),
    ("CREATE STREAM x (a INT, a INT) WITH (FORMAT='JSON');", "PLAN-DUPLICATE-COLUMN", "a INT) "),
    ("CREATE STREAM x (rowtime BIGINT) WITH (FORMAT='JSON');", "PLAN-RESERVED-NAME", "rowtime"),
    ("CREATE STREAM x (h INT HEADER('x'), a INT) WITH (FORMAT='JSON');", "PLAN-HEADERS", "h INT"),
    (
        "CREATE STREAM x (a INT, h BYTES HEADER('x'), i BYTES HEADER('x')) WITH (FORMAT='JSON');",
        "PLAN-HEADERS",
        "h BYTES",
    ),
    (
        "CREATE TABLE x (k INT PRIMARY KEY, v INT) WITH (FORMAT='JSON', RETENTION_MS=5);",
        "PLAN-PROPERTY",
        "RET",
    ),
    (
        "CREATE STREAM x (a INT, b INT) WITH (FORMAT='JSON', WINDOW_TYPE='SESSION');",
        "PLAN-PROPERTY",
        "WINDOW",
    ),
    ("CREATE STREAM x (a VARCHAR) WITH (FORMAT='JSON', TIMESTAMP='a');", "PLAN-PROPERTY", "TIMESTAMP"),
    ("CREATE STREAM x (a BIGINT) WITH (FORMAT='JSON', TIMESTAMP='b');", "PLAN-PROPERTY", "TIMESTAMP"),
    (
        "CREATE STREAM x (a VARCHAR) WITH (FORMAT='JSON', TIMESTAMP='a', TIMESTAMP_FORMAT='b');",
        "PLAN-TIME-PATTERN",
        "TIMESTAMP_FORMAT",
    ),
    ("CREATE STREAM x (a nothing) WITH (FORMAT='JSON');", "PLAN-UNKNOWN-TYPE", "nothing"),
    (
        "CREATE STREAM x (a INT) WITH (FORMAT='JSON', KAFKA_TOPIC='S', PARTITIONS=7);",
        "PLAN-PARTITIONS",
        "CREATE",
    ),
    ("ALTER STREAM fixed ADD COLUMN x INT;", "PLAN-READ-ONLY", "ALTER"),
    ("ALTER STREAM s ADD COLUMN name INT;", "PLAN-DUPLICATE-COLUMN", "ALTER"),
    ("INSERT INTO fixed VALUES (1, 'x');", "PLAN-READ-ONLY", "INSERT"),
    ("INSERT INTO headed (k, h) VALUES (1, 'aa');", "PLAN-INSERT", "INSERT"),
    ("INSERT INTO headed SELECT id AS k, name AS v FROM s;", "PLAN-INSERT", "INSERT"),
    ("INSERT INTO s (id, nme) VALUES (1, 'x');", "PLAN-UNKNOWN-COLUMN", "INSERT"),
    ("INSERT INTO s (id, name) VALUES (1);", "PLAN-INSERT-COUNT", "INSERT"),
    ("INSERT INTO t (name) VALUES ('x');", "PLAN-INSERT-KEY", "INSERT"),
    ("INSERT INTO s (id, name) VALUES (1, 2);", "PLAN-INSERT-TYPE", "2"),
    ("PRINT nothing FROM BEGINNING;", "PLAN-UNKNOWN-TOPIC", "PRINT"),
    ("DROP TABLE s;", "PLAN-KIND", "DROP"),
    ("DROP STREAM nothing;", "PLAN-UNKNOWN-SOURCE", "DROP"),
    ("PAUSE nothing;", "PLAN-UNKNOWN-QUERY", "PAUSE"),
    ("EXPLAIN nothing;", "PLAN-UNKNOWN-QUERY", "EXPLAIN"),
    ("CREATE TYPE INT AS VARCHAR;", "PLAN-EXISTS", "CREATE"),
    ("INSERT INTO t SELECT * FROM s;", "PLAN-INSERT", "INSERT"),
    ("CREATE TABLE x AS SELECT id, EXPLODE(ARRAY[id]) AS e FROM t;", "PLAN-TABLE-FUNCTION", "EXPLODE"),
    ("SELECT LEN(*) AS z FROM s;", "PLAN-STAR", "LEN"),
    ("SELECT id FROM s WHERE ROWTIME BETWEEN '2024' AND '12 o''clock';", "PLAN-TIMESTAMP", "'12"),
    (
        "CREATE TABLE x AS SELECT id, EXPLODE(ARRAY[id]) AS e, COUNT(*) AS c FROM s GROUP BY id;",
        "PLAN-TABLE-FUNCTION",
        "EXPLODE",
    ),
]
HINTS = [
    ("SELECT name LIKE 'a!' ESCAPE '!' AS z FROM s;", "'a!!'"),
    ("SELECT CAST(id AS TIMESTAMP) AS z FROM s;", "FROM_UNIXTIME"),
    ("SELECT id FROM s WHERE ROWTIME > 'tomorrow';", "2024-01-31T12:30"),
    ("CREATE STREAM x AS SELECT id, UCASE(name) AS nm FROM s PARTITION BY nm;", "PARTITION BY UCASE(NAME)"),
    (
        "CREATE TABLE x AS SELECT id, COUNT(*) AS c FROM s WHERE WINDOWSTART > 1 GROUP BY id;",
        "a window's bounds",
    ),
    ("SELECT ARRAY[1] < ARRAY[2] AS z FROM s;", "= and <>"),
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


@pytest.mark.parametrize(("sql", "code", "place"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_statement_is_refused(db: Database, sql: str, code: str, place: str) -> None:
    db.execute(SETUP)
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    error = caught.value
    assert error.code == code, error
    assert error.span is not None and sql[error.span.start :].startswith(place), error


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

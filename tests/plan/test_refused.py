"""Statements that planning refuses: each with the code of its error, and where it points."""

from __future__ import annotations

import pytest

from streamsql.database import Database
from streamsql.errors import NotSupportedError, PlanError

SETUP = """
CREATE STREAM s (id BIGINT KEY, name VARCHAR, tags MAP<VARCHAR, VARCHAR>) WITH (FORMAT = 'JSON');
CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR) WITH (FORMAT = 'JSON');
CREATE SOURCE STREAM fixed (id BIGINT KEY, name VARCHAR) WITH (FORMAT = 'JSON');
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
]


@pytest.mark.parametrize(("sql", "code", "place"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_statement_is_refused(db: Database, sql: str, code: str, place: str) -> None:
    db.execute(SETUP)
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    error = caught.value
    assert error.code == code, error
    assert error.span is not None and sql[error.span.start :].startswith(place), error


def test_struct_fields_that_only_case_tells_apart_are_not_built(db: Database) -> None:
    with pytest.raises(NotSupportedError):
        db.execute("CREATE STREAM x (s STRUCT<a INT, `a` INT>) WITH (FORMAT = 'JSON');")


def test_a_field_written_as_a_column_of_a_source_is_shown_how_to_write_it(db: Database) -> None:
    db.execute("CREATE STREAM x (s STRUCT<a INT>) WITH (FORMAT = 'JSON');")
    with pytest.raises(PlanError, match="S in SELECT is not a source of this query") as caught:
        db.execute("SELECT s.a FROM x;")
    assert caught.value.hint == "a field of a STRUCT: S->A"

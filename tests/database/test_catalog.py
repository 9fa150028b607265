"""The catalog: columns that are added, types, functions, names of queries; and that it is the same when opened again."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import streamsql
from streamsql.database import Database
from streamsql.errors import PlanError


def rows(db: Database, sql: str) -> list[tuple[Any, ...]]:
    return db.execute(sql).fetchall()


def said(db: Database, sql: str) -> str:
    return db.execute(sql).message


CHANGED = """
CREATE TYPE money AS DECIMAL(10, 2);
CREATE TYPE gone AS INT;
CREATE STREAM s (id INT KEY, m money) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');
INSERT INTO s VALUES (1, 2.5);
ALTER STREAM s ADD COLUMN note VARCHAR, ADD COLUMN n BIGINT;
INSERT INTO s VALUES (2, 3.5, 'x', 7);
CREATE STREAM copies (id INT KEY, twice INT) WITH (KAFKA_TOPIC = 'copies', FORMAT = 'JSON');
INSERT INTO copies WITH (QUERY_ID = 'doubling') SELECT id, CAST(m * 2 AS INT) AS twice FROM s;
DROP TYPE gone;
"""


def test_what_statements_changed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    for statements in (CHANGED, ""):
        with streamsql.connect(tmp_path / "data") as db:
            if statements:
                db.execute(statements)
            db.wait_idle()
            assert rows(db, "SHOW TYPES;") == [("MONEY", "DECIMAL(10, 2)")]
            assert rows(db, "DESCRIBE s;") == [
                ("ID", "INTEGER", "KEY"),
                ("M", "DECIMAL(10, 2)", ""),
                ("NOTE", "VARCHAR", ""),
                ("N", "BIGINT", ""),
            ]
            assert rows(db, "SELECT * FROM s;") == [
                (1, Decimal("2.50"), None, None),
                (2, Decimal("3.50"), "x", 7),
            ]
            assert [row[:3] for row in rows(db, "SHOW QUERIES;")] == [("DOUBLING", "RUNNING", "COPIES")]
            assert rows(db, "SELECT * FROM copies;") == [(1, 5), (2, 7)]


def test_a_type_is_made_once_and_dropped_once(db: Database) -> None:
    assert said(db, "CREATE TYPE money AS DECIMAL(10, 2);") == "type MONEY created"
    assert (
        said(db, "CREATE TYPE IF NOT EXISTS money AS INT;") == "type MONEY exists already: nothing was done"
    )
    assert rows(db, "SHOW TYPES;") == [("MONEY", "DECIMAL(10, 2)")]
    assert said(db, "DROP TYPE money;") == "type MONEY dropped"
    assert said(db, "DROP TYPE IF EXISTS money;") == "there is no type MONEY: nothing was done"
    with pytest.raises(PlanError, match="there is no type MONEY"):
        db.execute("DROP TYPE money;")


def test_a_column_is_added_once_and_to_what_is_declared(db: Database) -> None:
    db.execute("CREATE STREAM s (id INT KEY, x INT); CREATE STREAM c AS SELECT * FROM s;")
    for sql, says in [
        ("ALTER STREAM s ADD COLUMN x INT;", "stream S has a column X already"),
        ("ALTER TABLE s ADD COLUMN y INT;", "stream S is not a TABLE"),
        ("ALTER STREAM c ADD COLUMN y INT;", "stream C is made by query CSAS_C_1: it cannot be altered"),
    ]:
        with pytest.raises(PlanError, match=says):
            db.execute(sql)
    assert rows(db, "DESCRIBE s;") == [("ID", "INTEGER", "KEY"), ("X", "INTEGER", "")]


def test_every_function_is_listed_once_by_name(db: Database) -> None:
    found = rows(db, "SHOW FUNCTIONS;")
    names = [row[0] for row in found]
    assert names == sorted(set(names)) and len(names) > 150
    kinds = {name: kind for name, kind, *_ in found}
    expected = {"LEN": "SCALAR", "EXPLODE": "TABLE", "SUM": "AGGREGATE", "ROW_NUMBER": "WINDOW"}
    assert {name: kinds[name] for name in expected} == expected


def test_variables_are_defined_shown_and_forgotten(db: Database) -> None:
    db.execute("DEFINE place = 'clicks'; DEFINE other = 'x';")
    assert rows(db, "SHOW VARIABLES;") == [("OTHER", "x"), ("PLACE", "clicks")]
    db.execute("UNDEFINE other;")
    assert rows(db, "SHOW VARIABLES;") == [("PLACE", "clicks")]


def test_a_script_is_run(db: Database, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text("CREATE STREAM s (x INT); INSERT INTO s VALUES (1);")
    db.execute(f"RUN SCRIPT '{script}';")
    assert rows(db, "SELECT * FROM s;") == [(1,)]

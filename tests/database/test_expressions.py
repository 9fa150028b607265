"""Expressions whose meaning is ours, ksqlDB having none: what they give and what they refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from streamsql.database import Database
from streamsql.errors import PlanError

ROWS = (
    "CREATE STREAM s (id INT KEY, x INT, t TIMESTAMP, zone VARCHAR);"
    "INSERT INTO s VALUES (1, 1, '2020-07-01T12:00:00.000', 'Europe/Paris');"
    "INSERT INTO s VALUES (2, 2, '2020-01-01T12:00:00.000', 'Europe/Paris');"
    "INSERT INTO s VALUES (3, NULL, NULL, NULL);"
)
SUMMER, WINTER = datetime(2020, 7, 1, 14), datetime(2020, 1, 1, 13)

GIVES: dict[str, list[Any]] = {
    "CASE x WHEN 1 THEN 'one' WHEN 1 + 1 THEN 'two' ELSE 'many' END": ["one", "two", "many"],
    "CASE x WHEN 1 THEN 'one' END": ["one", None, None],
    "CASE x WHEN 1.0 THEN 'one' ELSE 'other' END": ["one", "other", "other"],
    "CASE x + 1 WHEN id THEN 'less' WHEN id + 1 THEN 'same' END": ["same", "same", None],
    "ARRAY[x] = ARRAY[1E0]": [True, False, False],
    "MAP('a' := x) <> MAP('a' := CAST(1 AS BIGINT))": [False, True, True],
    "t AT TIME ZONE 'Europe/Paris'": [SUMMER, WINTER, None],
    "t AT TIME ZONE zone": [SUMMER, WINTER, None],
    "t AT TIME ZONE '+02:00' AT TIME ZONE '-02:00'": [datetime(2020, 7, 1, 12), datetime(2020, 1, 1, 12), None],
}  # fmt: skip
REFUSES = {
    "CASE x WHEN 'a' THEN 1 END": ("PLAN-COMPARE", "'a'"),
    "ARRAY[x] < ARRAY[1.0]": ("PLAN-COMPARE", "ARRAY[x]"),
    "ARRAY[x] = ARRAY['a']": ("PLAN-COMPARE", "ARRAY[x]"),
    "CASE x WHEN 1 THEN 1 WHEN 2 THEN 'b' END": ("PLAN-CASE", "'b'"),
    "x AT TIME ZONE 'UTC'": ("PLAN-TIME-ZONE", "x AT"),
}


@pytest.mark.parametrize(("expression", "expected"), GIVES.items(), ids=GIVES)
def test_an_expression_gives(db: Database, expression: str, expected: list[Any]) -> None:
    db.execute(ROWS + f"CREATE STREAM kept AS SELECT id, {expression} AS v FROM s;")
    assert [row[0] for row in db.execute(f"SELECT {expression} FROM s;").fetchall()] == expected
    assert [row[0] for row in db.execute("SELECT v FROM kept;").fetchall()] == expected


@pytest.mark.parametrize(("expression", "error"), REFUSES.items(), ids=REFUSES)
def test_an_expression_is_refused(db: Database, expression: str, error: tuple[str, str]) -> None:
    db.execute(ROWS)
    sql = f"SELECT {expression} FROM s;"
    with pytest.raises(PlanError) as caught:
        db.execute(sql)
    code, place = error
    assert caught.value.code == code
    assert caught.value.span is not None and sql[caught.value.span.start :].startswith(place)

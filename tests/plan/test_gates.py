"""Which pull queries the settings let through."""

from __future__ import annotations

import pytest

from streamsql.database import Database
from streamsql.errors import PlanError

SETUP = """
CREATE STREAM s (id VARCHAR KEY, a INT, b INT) WITH (FORMAT = 'JSON');
CREATE TABLE by_id AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;
CREATE TABLE by_number AS SELECT a, COUNT(*) AS n FROM s GROUP BY a;
CREATE TABLE by_both AS SELECT a, b, COUNT(*) AS n FROM s GROUP BY a, b;
"""
# (query, works without table scans, works without range scans too)
QUERIES = [
    ("SELECT * FROM by_id;", False, False),
    ("SELECT * FROM by_id WHERE id = 'x';", True, True),
    ("SELECT * FROM by_id WHERE 'x' = id AND n > 3;", True, True),
    ("SELECT * FROM by_id WHERE id IN ('x', 'y') OR id = 'z';", True, True),
    ("SELECT * FROM by_id WHERE id = 'x' OR n = 1;", False, False),
    ("SELECT * FROM by_id WHERE id <> 'x';", False, False),
    ("SELECT * FROM by_id WHERE NOT (id = 'x');", False, False),
    ("SELECT * FROM by_id WHERE id >= 'x';", True, False),
    ("SELECT * FROM by_id WHERE id >= 'x' AND id < 'z';", False, False),
    ("SELECT * FROM by_number WHERE a >= 1;", False, False),
    ("SELECT * FROM by_number WHERE a + 1 = 2;", False, False),
    ("SELECT * FROM by_number WHERE a IN (1, n);", False, False),
    ("SELECT * FROM by_number WHERE a = 1 + 1;", True, True),
    ("SELECT * FROM by_both WHERE a = 1 AND b IN (1, 2);", True, True),
    ("SELECT * FROM by_both WHERE a = 1;", False, False),
    ("SELECT * FROM by_both WHERE (a = 1 OR a = 2) AND b = 1;", True, True),
    ("SELECT x.n FROM by_id x JOIN by_id y ON x.id = y.id;", False, False),
    ("SELECT * FROM by_id WHERE id = 'x' AND n IN (SELECT n FROM by_both);", False, False),
    ("SELECT * FROM s WHERE EXISTS (SELECT * FROM by_id);", False, False),
    ("SELECT * FROM (SELECT * FROM by_id);", False, False),
    ("SELECT * FROM s;", True, True),
    ("SELECT x.a FROM s x JOIN s y ON x.a = y.a WHERE x.a IN (SELECT a FROM s);", True, True),
]


@pytest.mark.parametrize(("query", "without_scans", "without_ranges"), QUERIES, ids=[q[0] for q in QUERIES])
def test_scans_are_let_through(db: Database, query: str, without_scans: bool, without_ranges: bool) -> None:
    db.execute(SETUP)
    assert db.execute(query).fetchall() == []
    db.execute("SET 'ksql.query.pull.table.scan.enabled' = 'false';")
    assert _works(db, query) == without_scans
    db.execute("SET 'ksql.query.pull.range.scan.enabled' = 'false';")
    assert _works(db, query) == without_ranges


def _works(db: Database, query: str) -> bool:
    try:
        db.execute(query)
    except PlanError as error:
        assert error.code == "PLAN-GATE"
        return False
    return True


def test_streams_and_limits_can_be_switched_off(db: Database) -> None:
    db.execute(SETUP)
    for setting, query in (
        ("ksql.query.pull.stream.enabled", "SELECT * FROM s;"),
        ("ksql.query.pull.limit.clause.enabled", "SELECT * FROM by_id LIMIT 1;"),
    ):
        db.execute(query)
        db.execute(f"SET '{setting}' = 'false';")
        assert not _works(db, query)

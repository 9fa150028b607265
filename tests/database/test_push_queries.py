"""Push queries: every kind of source and clause, what each shows change by change, and where it begins and ends."""

from __future__ import annotations

from typing import Any

import pytest

from streamsql.database import Database
from streamsql.engine.inputs import Inputs
from streamsql.engine.runner import start_positions
from streamsql.engine.task import Task
from streamsql.grammar import ast
from streamsql.grammar.parser import parse
from streamsql.plan.push import plan_push
from streamsql.push import shown

DECLARED = """
SET 'max.batch.rows' = '1';
CREATE STREAM v (k VARCHAR KEY, x INT, ms BIGINT) WITH (TIMESTAMP = 'MS');
CREATE STREAM u (k VARCHAR KEY, y INT, ms BIGINT) WITH (TIMESTAMP = 'MS');
CREATE TABLE t (k VARCHAR PRIMARY KEY, x INT) WITH (FORMAT = 'JSON');
CREATE TABLE n (k VARCHAR PRIMARY KEY, o VARCHAR) WITH (FORMAT = 'JSON');
CREATE TABLE w AS SELECT k, COUNT(*) AS c FROM v
  WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS) GROUP BY k;
"""
TUMBLING = "WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS)"
HOPPING = "WINDOW HOPPING (SIZE 10 MILLISECONDS, ADVANCE BY 5 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS)"
SESSION = "WINDOW SESSION (6 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS)"
GONE = "<TOMBSTONE>"
"""Stands at the end of a row that is deleted."""

# ms    0    1    5    12   25
# v     a1   b2   a3   a4   b5
V = [("a", 1, 0), ("b", 2, 1), ("a", 3, 5), ("a", 4, 12), ("b", 5, 25)]
U = [("a", 7, 26), ("c", 9, 27)]
T = [("a", 1), ("b", 5), ("a", 9), ("c", 3)]

CASES: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "a filter, with pseudo columns": (
        "SELECT k, ROWTIME, ROWOFFSET FROM v WHERE x > 2", [("a", 5, 2), ("a", 12, 3), ("b", 25, 4)],
    ),
    "exploded": ("SELECT k, EXPLODE(ARRAY[x, x * 10]) AS e FROM v WHERE x < 3", [("a", 1), ("a", 10), ("b", 2), ("b", 20)]),
    "re-keyed": ("SELECT * FROM v WHERE x > 3 PARTITION BY x", [(4, 12, "a"), (5, 25, "b")]),
    "a table": ("SELECT * FROM t", [("a", 1), ("b", 5), ("a", 9), ("c", 3)]),
    "a table, filtered": ("SELECT * FROM t WHERE x < 6", [("a", 1), ("b", 5), ("a", None, GONE), ("c", 3)]),
    "a table without its key": ("SELECT x FROM t WHERE x < 6", [(1,), (5,), (None, GONE), (3,)]),
    "an aggregate": ("SELECT k, SUM(x) AS s FROM v GROUP BY k", [("a", 1), ("b", 2), ("a", 4), ("a", 8), ("b", 7)]),
    "an aggregate of everything": ("SELECT SUM(x) AS s FROM v", [(1,), (3,), (6,), (10,), (15,)]),
    "an aggregate of a table": ("SELECT COUNT(*) AS c, SUM(x) AS s FROM t", [(1, 1), (2, 6), (2, 14), (3, 17)]),
    "having": ("SELECT k, SUM(x) AS s FROM v GROUP BY k HAVING SUM(x) < 5", [("a", 1), ("b", 2), ("a", 4), ("a", None, GONE), ("b", None, GONE)]),
    "windows": (
        f"SELECT k, WINDOWSTART AS s, COUNT(*) AS c FROM v {TUMBLING} GROUP BY k",
        [("a", 0, 1), ("b", 0, 1), ("a", 0, 2), ("a", 10, 1), ("b", 20, 1)],
    ),
    "windows, final": (f"SELECT k, COUNT(*) AS c FROM v {TUMBLING} GROUP BY k EMIT FINAL", [("a", 2), ("b", 1), ("a", 1)]),
    "hopping windows, final": (
        f"SELECT k, WINDOWEND AS e, COUNT(*) AS c FROM v {HOPPING} GROUP BY k EMIT FINAL",
        [("a", 10, 2), ("b", 10, 1), ("a", 15, 2), ("a", 20, 1)],
    ),
    "sessions": (
        f"SELECT k, COUNT(*) AS c FROM v {SESSION} GROUP BY k", [("a", 1), ("b", 1), ("a", None, GONE), ("a", 2), ("a", 1), ("b", 1)],
    ),
    "sessions, final": (f"SELECT k, COUNT(*) AS c FROM v {SESSION} GROUP BY k EMIT FINAL", [("a", 2), ("b", 1), ("a", 1)]),
    "final, with having": (f"SELECT k, COUNT(*) AS c FROM v {TUMBLING} GROUP BY k HAVING COUNT(*) > 1 EMIT FINAL", [("a", 2)]),
    "a windowed table": ("SELECT * FROM w", [("a", 0, 10, 1), ("b", 0, 10, 1), ("a", 0, 10, 2), ("a", 10, 20, 1), ("b", 20, 30, 1)]),
    "a windowed table, filtered": ("SELECT k, c FROM w WHERE c < 2", [("a", 1), ("b", 1), ("a", None, GONE), ("a", 1), ("b", 1)]),
    "a windowed table, aggregated": ("SELECT k, SUM(c) AS s FROM w GROUP BY k", [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]),
    "streams joined": ("SELECT v.k, v.x, u.y FROM v JOIN u WITHIN 1 DAY ON v.k = u.k AND v.x > 1", [("a", 3, 7), ("a", 4, 7)]),
    "streams joined, all rows": (
        "SELECT ROWKEY, v.x, u.y FROM v FULL JOIN u WITHIN 1 DAY GRACE PERIOD 0 SECONDS ON v.k = u.k AND v.x > 3", [("a", 4, 7)],
    ),
    "a stream and a table": ("SELECT u.k, u.y, t.x FROM u LEFT JOIN t ON u.k = t.k", [("a", 7, 9), ("c", 9, 3)]),
    "tables": ("SELECT n.k, n.o, t.x FROM n JOIN t ON n.k = t.k", [("a", "c", 1), ("a", "c", 9)]),
    "a foreign key": ("SELECT n.k, t.x FROM n LEFT JOIN t ON n.o = t.k", [("a", None), ("a", 3)]),
    "joined, then grouped": ("SELECT t.x, COUNT(*) AS c FROM n JOIN t ON n.o = t.k GROUP BY t.x", [(3, 1)]),
    "joined, then in windows": (
        f"SELECT v.k, SUM(n.k = 'a') AS c FROM v JOIN n ON v.k = n.k {TUMBLING} GROUP BY v.k EMIT FINAL".replace("SUM(n.k = 'a')", "COUNT(*)"), [("a", 2)],
    ),
    "nested": (
        "SELECT c, COUNT(*) AS m FROM (SELECT k, COUNT(*) AS c FROM v GROUP BY k) GROUP BY c",
        [(1, 1), (1, 2), (1, 1), (2, 1), (2, 0), (3, 1), (1, 0), (2, 1)],
    ),
    "nested, its windows shown": (
        f"SELECT * FROM (SELECT k, COUNT(*) AS c FROM v {TUMBLING} GROUP BY k) WHERE c > 1", [("a", 0, 10, 2)],
    ),
    "nested, final inside": (
        f"SELECT c, COUNT(*) AS m FROM (SELECT k, COUNT(*) AS c FROM v {TUMBLING} GROUP BY k EMIT FINAL) GROUP BY c", [(2, 1), (1, 1), (1, 2)],
    ),
}  # fmt: skip


@pytest.fixture
def fed(db: Database) -> Database:
    db.execute(DECLARED)
    db.execute("INSERT INTO n VALUES ('a', 'c');")
    db.append("v", [{"k": k, "x": x, "ms": ms} for k, x, ms in V])
    for k, x in T:
        db.execute(f"INSERT INTO t VALUES ('{k}', {x});")
    db.append("u", [{"k": k, "y": y, "ms": ms} for k, y, ms in U])
    db.wait_idle()
    return db


def pushed(db: Database, sql: str) -> list[tuple[Any, ...]]:
    """Everything that the query shows of what is there, one record after the other."""
    (statement,) = parse(sql)
    assert isinstance(statement, ast.QueryStatement)
    plan = plan_push(statement.query, db.environment)
    task, found = Task(plan.graph), []
    inputs = Inputs(db.log, plan.graph, start_positions(db.log, plan.graph, {}, False))
    while (batch := inputs.poll(1)) is not None:
        task.feed(batch)
        for rows in task.take_rows():
            piece = shown(plan, rows)
            gone = (
                piece.tombstones.to_pylist()
                if piece.tombstones is not None
                else [False] * piece.rows.num_rows
            )
            found += [
                (*row.values(), *((GONE,) if is_gone else ()))
                for row, is_gone in zip(piece.rows.to_pylist(), gone, strict=True)
            ]
    task.close()
    return found


def statement(query: str, limit: str = "") -> str:
    return f"{query}{'' if query.endswith('FINAL') else ' EMIT CHANGES'}{limit};"


@pytest.mark.parametrize(("query", "expected"), CASES.values(), ids=CASES)
def test_a_push_query_shows(fed: Database, query: str, expected: list[tuple[Any, ...]]) -> None:
    assert pushed(fed, statement(query)) == expected
    # A limit ends it, in the midst of what there is.
    limit = max(1, len(expected) - 1)
    first = [row[:-1] if row[-1] == GONE else row for row in expected[:limit]]
    assert fed.execute(statement(query, f" LIMIT {limit}")).fetchall() == first


LATEST = {
    "a stream": ("SELECT k, x FROM v", [("d", 1)]),
    "an aggregate begins anew": ("SELECT k, COUNT(*) AS c FROM v GROUP BY k", [("d", 1)]),
    "windows": (f"SELECT k, COUNT(*) AS c FROM v {TUMBLING} GROUP BY k", [("d", 1)]),
    "nested": (
        "SELECT c, COUNT(*) AS m FROM (SELECT k, COUNT(*) AS c FROM v GROUP BY k) GROUP BY c",
        [(1, 1)],
    ),
}


@pytest.mark.parametrize(("query", "expected"), LATEST.values(), ids=LATEST)
def test_from_latest_it_shows_what_comes_from_then_on(
    fed: Database, query: str, expected: list[tuple[Any, ...]]
) -> None:
    fed.execute("SET 'auto.offset.reset' = 'latest';")
    result = fed.execute(statement(query, " LIMIT 1"))
    fed.append("v", [{"k": "d", "x": 1, "ms": 99}])
    assert result.fetchall() == expected

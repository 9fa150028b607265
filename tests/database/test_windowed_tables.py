"""Windowed tables as what a persistent query reads: a key there is one of a window."""

from __future__ import annotations

from typing import Any

import pytest

from streamsql.database import Database

DECLARED = """
CREATE STREAM v (k VARCHAR KEY, x INT, ms BIGINT) WITH (TIMESTAMP = 'MS', KAFKA_TOPIC = 'v', FORMAT = 'JSON');
CREATE TABLE n (k VARCHAR PRIMARY KEY, o VARCHAR) WITH (KAFKA_TOPIC = 'n', FORMAT = 'JSON');
CREATE TABLE w AS SELECT k, COUNT(*) AS c FROM v WINDOW TUMBLING (SIZE 10 MILLISECONDS) GROUP BY k;
CREATE TABLE s AS SELECT k, COUNT(*) AS c FROM v WINDOW SESSION (5 MILLISECONDS) GROUP BY k;
"""
# ms   0    1    5    8    12    25
# v    a    b    a    a    a     b       the one at 8 comes last, and joins two sessions of a
V = [("a", 0), ("b", 1), ("a", 5), ("a", 12), ("b", 25), ("a", 8)]

CASES: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "all of it": ("SELECT * FROM w", [("a", 0, 10, 3), ("a", 10, 20, 1), ("b", 0, 10, 1), ("b", 20, 30, 1)]),
    "a filter": ("SELECT k, c FROM w WHERE c > 1", [("a", 0, 10, 3)]),
    "bounds as values": ("SELECT k, WINDOWSTART AS ws, c FROM w WHERE k = 'a'", [("a", 0, 10, 0, 3), ("a", 10, 20, 10, 1)]),
    "an aggregate over windows": ("SELECT k, SUM(c) AS s, COUNT(*) AS m FROM w GROUP BY k", [("a", 4, 2), ("b", 2, 2)]),
    "an aggregate by window": ("SELECT WINDOWSTART AS ws, SUM(c) AS s FROM w GROUP BY WINDOWSTART", [(0, 4), (10, 1), (20, 1)]),
    "pointing at a plain table": (
        "SELECT w.k, w.c, n.o FROM w LEFT JOIN n ON w.k = n.k",
        [("a", 0, 10, 3, "A"), ("a", 10, 20, 1, "A"), ("b", 0, 10, 1, None), ("b", 20, 30, 1, None)],
    ),
    "joined window by window": (
        "SELECT w.k, w.c, x.c AS d FROM w LEFT JOIN w x ON w.k = x.k AND x.c > 1",
        [("a", 0, 10, 3, 3), ("a", 10, 20, 1, None), ("b", 0, 10, 1, None), ("b", 20, 30, 1, None)],
    ),
    "sessions, filtered": ("SELECT k, c FROM s WHERE c > 1", [("a", 0, 12, 4)]),
    "sessions, aggregated": ("SELECT k, SUM(c) AS s, COUNT(*) AS m FROM s GROUP BY k", [("a", 4, 1), ("b", 2, 2)]),
}  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), CASES.values(), ids=CASES)
def test_a_persistent_query_reads_a_windowed_table(
    db: Database, query: str, expected: list[tuple[Any, ...]]
) -> None:
    db.execute(DECLARED + f"CREATE TABLE r AS {query};")
    db.execute("INSERT INTO n VALUES ('a', 'A');")
    for k, ms in V:
        db.append("v", [{"k": k, "x": 1, "ms": ms}])
    assert sorted(db.execute("SELECT * FROM r;").fetchall(), key=str) == expected

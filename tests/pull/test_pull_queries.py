"""What a pull query may say: each query with its rows, or with the error and its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamsql
from streamsql.database import Database
from streamsql.errors import PlanError

SETUP = """
CREATE STREAM s (id BIGINT KEY, page VARCHAR, v INT);
CREATE TABLE pages AS SELECT page, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY page;
CREATE TABLE p (id BIGINT PRIMARY KEY, name VARCHAR, v BIGINT);
INSERT INTO p VALUES (1, 'ann', 10);
INSERT INTO p VALUES (2, 'bob', 20);
INSERT INTO p VALUES (3, 'cy', NULL);
INSERT INTO s VALUES (1, '/a', 0);
INSERT INTO s VALUES (2, '/b', 1);
INSERT INTO s VALUES (3, '/a', 2);
INSERT INTO s VALUES (1, '/b', 3);
INSERT INTO s VALUES (2, '/a', 4);
"""


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with streamsql.connect() as database:
        database.execute(SETUP)
        yield database


ANSWERS = [
    # subqueries
    ("SELECT id FROM p WHERE id IN (SELECT id FROM s WHERE v > 2) ORDER BY id", [(1,), (2,)]),
    ("SELECT id FROM p WHERE v NOT IN (SELECT v * 5 FROM s) ORDER BY id", [(3,)]),
    ("SELECT id FROM p WHERE EXISTS (SELECT * FROM s WHERE s.id = p.id AND s.v > 3)", [(2,)]),
    (
        "SELECT id, (SELECT MAX(v) FROM s WHERE s.id = p.id) AS m, (SELECT COUNT(*) FROM pages) AS c FROM p "
        "ORDER BY id",
        [(1, 3, 2), (2, 4, 2), (3, 2, 2)],
    ),
    ("SELECT id FROM p WHERE v > (SELECT AVG(v) FROM p)", [(2,)]),
    (
        "SELECT page, (SELECT COUNT(*) FROM s x WHERE x.page = s.page) AS k FROM s GROUP BY page ORDER BY page",
        [("/a", 3), ("/b", 2)],
    ),
    (
        "SELECT id FROM p WHERE (SELECT COUNT(*) FROM s WHERE s.id = p.id AND v IN "
        "(SELECT n FROM pages WHERE pages.n > p.id)) > 0",
        [(1,)],
    ),
    ("SELECT n.m FROM (SELECT MAX(v) AS m FROM s) AS n", [(4,)]),
    # a failing expression gives NULL in its row, also around what DuckDB has no TRY for
    (
        "SELECT id, 10 / (v - (SELECT MIN(v) FROM p)) AS x FROM p ORDER BY id",
        [(1, None), (2, 1), (3, None)],
    ),
    (
        "SELECT id, 10 / (ROW_NUMBER() OVER (ORDER BY id) - 1) AS x FROM p ORDER BY id",
        [(1, None), (2, 10), (3, 5)],
    ),
    ("SELECT TRANSFORM(ARRAY[1, 2], x => x + (SELECT MAX(v) FROM s)) AS a FROM p LIMIT 1", [([5, 6],)]),
    # .. also where nothing can fail, so that there is no other text to fall back on
    (
        "SELECT TRANSFORM(ARRAY['1', '2'], x => x || (SELECT MAX(page) FROM s)) AS a FROM p LIMIT 1",
        [(["1/b", "2/b"],)],
    ),
    # several of them, inside a lambda and beside it, and around one another
    (
        "SELECT id, 10 / (v - (SELECT MIN(v) FROM p)) + (SELECT MAX(v) FROM s) AS x FROM p ORDER BY id",
        [(1, None), (2, 5), (3, None)],
    ),
    (
        "SELECT ARRAY_MAX(TRANSFORM(ARRAY[1, 2], x => x + (SELECT MAX(v) FROM s))) + (SELECT MIN(v) FROM p) AS a "
        "FROM p LIMIT 1",
        [(16,)],
    ),
    (
        "SELECT id, 10 / (id - 1) + (SELECT MAX(v + (SELECT MIN(v) FROM p)) FROM s) AS x FROM p ORDER BY id",
        [(1, None), (2, 24), (3, 19)],
    ),
    # a text that looks like something of the planner's own
    (
        "SELECT 'nested_0 TRY \"nested_0\"' || CAST((SELECT MAX(v) FROM s) AS VARCHAR) AS a FROM p LIMIT 1",
        [('nested_0 TRY "nested_0"4',)],
    ),
    (
        "SELECT id, 'lambda ''nested_0' || (SELECT 'nested_1' || MAX(page) FROM s) AS a, 1 / (id - 1) AS b "
        "FROM p WHERE id < 3 ORDER BY id",
        [(1, "lambda 'nested_0nested_1/b", None), (2, "lambda 'nested_0nested_1/b", 1)],
    ),
    # WITH
    (
        "WITH x AS (SELECT id, SUM(v) AS t FROM s GROUP BY id), y AS (SELECT * FROM x WHERE t > 2) "
        "SELECT a.id, a.t, b.t AS u FROM y a JOIN x b ON a.t < b.t ORDER BY a.id",
        [(1, 3, 5)],
    ),
    # set operations, their columns brought to one type
    ("SELECT id FROM p UNION SELECT v FROM s ORDER BY id LIMIT 3 OFFSET 1", [(1,), (2,), (3,)]),
    ("SELECT v FROM s INTERSECT SELECT id FROM p ORDER BY 1", [(1,), (2,), (3,)]),
    ("SELECT v FROM s EXCEPT SELECT id FROM p ORDER BY v DESC", [(4,), (0,)]),
    ("SELECT v FROM s WHERE v > 3 UNION ALL SELECT 1.5 FROM p ORDER BY v LIMIT 1", [(1.5,)]),
    # windows
    (
        "SELECT v, ROW_NUMBER() OVER (PARTITION BY page ORDER BY v DESC) AS r, LAG(v, 1, -1) OVER (ORDER BY v) AS l, "
        "LEAD(v) OVER (ORDER BY v) AS m, NTILE(2) OVER (ORDER BY v) AS t FROM s ORDER BY v",
        [(0, 3, -1, 1, 1), (1, 2, 0, 2, 1), (2, 2, 1, 3, 1), (3, 1, 2, 4, 2), (4, 1, 3, None, 2)],
    ),
    (
        "SELECT v, SUM(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS a, "
        "AVG(v) OVER (PARTITION BY page) AS b, COUNT(*) OVER () AS c FROM s ORDER BY v LIMIT 3",
        [(0, 0, 2.0, 5), (1, 1, 2.0, 5), (2, 3, 2.0, 5)],
    ),
    (
        "SELECT v, COLLECT_LIST(v) OVER (PARTITION BY page ORDER BY v DESC) AS a, "
        "LATEST_BY_OFFSET(v) OVER (ORDER BY v) AS b, TOPK(v, 2) OVER () AS c, COUNT_DISTINCT(page) OVER () AS d "
        "FROM s ORDER BY v LIMIT 2",
        [(0, [4, 2, 0], 0, [4, 3], 2), (1, [3, 1], 1, [4, 3], 2)],
    ),
    (
        "SELECT page, RANK() OVER (ORDER BY COUNT(*) DESC) AS r, SUM(COUNT(*)) OVER () AS t FROM s GROUP BY page "
        "ORDER BY r",
        [("/a", 1, 5), ("/b", 2, 5)],
    ),
    # table functions
    (
        "SELECT id, EXPLODE(ARRAY[v, 0]) AS e, EXPLODE(ARRAY[id]) AS f FROM p WHERE id < 3 ORDER BY id, e DESC",
        [(1, 10, 1), (1, 0, None), (2, 20, 2), (2, 0, None)],
    ),
    ("SELECT SUM(e) AS t FROM (SELECT EXPLODE(ARRAY[v, v]) AS e FROM s)", [(20,)]),
    # grouping, ordering
    ("SELECT COUNT(*) AS c FROM s HAVING MAX(v) > 3", [(5,)]),
    ("SELECT page FROM s GROUP BY page ORDER BY page", [("/a",), ("/b",)]),
    (
        "SELECT page, COUNT(*) AS c FROM s GROUP BY page HAVING COUNT(*) > (SELECT MIN(n) FROM pages)",
        [("/a", 3)],
    ),
    ("SELECT COLLECT_LIST(v) AS l FROM (SELECT v FROM s ORDER BY v DESC LIMIT 3)", [([4, 3, 2],)]),
    ("SELECT id FROM p ORDER BY v", [(1,), (2,), (3,)]),
    ("SELECT id FROM p ORDER BY v DESC", [(3,), (2,), (1,)]),
    ("SELECT id FROM p ORDER BY v NULLS FIRST", [(3,), (1,), (2,)]),
    ("SELECT id, v * 2 AS w FROM p ORDER BY w + 1 DESC NULLS LAST", [(2, 40), (1, 20), (3, None)]),
    ("SELECT DISTINCT page FROM s ORDER BY 1 DESC", [("/b",), ("/a",)]),
    ("SELECT id FROM p LIMIT 1 OFFSET 1", [(2,)]),
    # joins
    (
        "SELECT p.name, s.v FROM p FULL JOIN s ON p.id < s.v AND s.v > 3 ORDER BY name, s.v LIMIT 4",
        [("ann", 4), ("bob", 4), ("cy", 4), (None, 0)],
    ),
    ("SELECT p_id, s_v FROM p JOIN s ON p.id = s.id ORDER BY p_id, s_v LIMIT 2", [(1, 0), (1, 3)]),
    ("SELECT COLLECT_LIST(s.v) AS l FROM p JOIN s ON s.id = p.id", [([0, 1, 2, 3, 4],)]),
    ("SELECT COLLECT_LIST(s.v) AS l FROM s JOIN p ON s.id = p.id", [([0, 1, 2, 3, 4],)]),
    # places
    ("SELECT * FROM s WHERE ROWOFFSET >= 4", [(2, "/a", 4)]),
]


@pytest.mark.parametrize(("query", "rows"), ANSWERS, ids=[query for query, _ in ANSWERS])
def test_a_query_has_its_rows(db: Database, query: str, rows: list[tuple[object, ...]]) -> None:
    assert db.execute(query + ";").fetchall() == rows


REFUSED = [
    ("SELECT v FROM p WHERE SUM(v) OVER () > 1", "PLAN-WINDOW-FUNCTION", "SUM(v) OVER ()"),
    ("SELECT ROW_NUMBER() AS r FROM p", "PLAN-WINDOW-FUNCTION", "ROW_NUMBER()"),
    ("SELECT UCASE(name) OVER () AS r FROM p", "PLAN-WINDOW-FUNCTION", "UCASE(name)"),
    ("SELECT SUM(RANK() OVER ()) OVER () AS r FROM p", "PLAN-WINDOW-FUNCTION", "SUM(RANK() OVER ()) OVER ()"),
    ("SELECT SUM(v) OVER (ORDER BY name RANGE 1 PRECEDING) AS n FROM p", "PLAN-FRAME", "RANGE 1"),
    ("SELECT SUM(v) OVER (ROWS 1 FOLLOWING) AS n FROM p", "PLAN-FRAME", "ROWS 1"),
    ("SELECT RANK() OVER (ORDER BY v ROWS 1 PRECEDING) AS n FROM p", "PLAN-FRAME", "ROWS 1"),
    ("SELECT id FROM p WHERE id IN (SELECT id, v FROM p)", "PLAN-SUBQUERY", "SELECT id, v FROM p"),
    ("SELECT id FROM p WHERE name IN (SELECT id FROM p)", "PLAN-COMPARE", "name IN (SELECT id FROM p)"),
    ("SELECT id FROM p WHERE EXISTS (SELECT * FROM s WHERE s.w = 1)", "PLAN-UNKNOWN-COLUMN", "s.w"),
    ("SELECT page, v FROM s GROUP BY page", "PLAN-NOT-GROUPED", "v"),
    ("SELECT EXPLODE(ARRAY[COUNT(*)]) AS e FROM s", "PLAN-TABLE-FUNCTION", "EXPLODE(ARRAY[COUNT(*)])"),
    ("SELECT id FROM p WHERE EXPLODE(ARRAY[v]) = 1", "PLAN-TABLE-FUNCTION", "EXPLODE(ARRAY[v])"),
    ("WITH x AS (SELECT id FROM p), x AS (SELECT v FROM p) SELECT * FROM x", "PLAN-DUPLICATE-NAME", "x AS"),
    ("SELECT id FROM p UNION SELECT name FROM p", "PLAN-SET-OPERATION", "SELECT name FROM p"),
    ("SELECT id FROM p UNION SELECT id, v FROM p", "PLAN-SET-OPERATION", "SELECT id, v FROM p"),
    ("SELECT id FROM p ORDER BY 2", "PLAN-ORDER-BY", "2"),
]


@pytest.mark.parametrize(("query", "code", "place"), REFUSED, ids=[query for query, _, _ in REFUSED])
def test_a_query_is_refused(db: Database, query: str, code: str, place: str) -> None:
    with pytest.raises(PlanError) as caught:
        db.execute(query + ";")
    span = caught.value.span
    assert caught.value.code == code, caught.value
    assert span is not None and query[span.start : span.end].startswith(place)

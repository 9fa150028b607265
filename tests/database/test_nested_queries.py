"""Subqueries and WITH in queries that keep running, from SQL to rows, and the messages of those that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from streamsql.database import Database
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.drop_unchanged import DropUnchanged
from streamsql.engine.problems import Problems
from streamsql.errors import NotSupportedError, PlanError

DECLARED = (
    "CREATE STREAM views (user_id BIGINT KEY, page VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');"
    "CREATE TABLE users (id BIGINT PRIMARY KEY, city VARCHAR, age INT);"
)
PER_PAGE = "SELECT page, COUNT(*) AS n FROM views GROUP BY page"


def feed(db: Database, *views: tuple[int, str, int]) -> None:
    db.append("views", [{"user_id": u, "page": p, "ms": ms} for u, p, ms in views])


def test_the_example_of_the_docs(db: Database) -> None:
    section = Path("docs/language.md").read_text().split("## Nested queries")[1]
    (example,) = re.findall(r"```sql\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    db.execute(
        "CREATE STREAM views (user_id BIGINT, page VARCHAR, viewtime BIGINT) WITH (TIMESTAMP = 'VIEWTIME');"
    )
    db.execute(example)
    for time, page in enumerate(["/a", "/b", "/a", "/c"]):
        db.execute(f"INSERT INTO views VALUES (1, '{page}', {time});")
    assert db.execute("SELECT * FROM popularity ORDER BY n;").fetchall() == [(1, 2), (2, 1)]
    assert db.execute("SELECT page, before FROM counted;").fetchall() == [
        ("/a", None),
        ("/b", None),
        ("/a", 1),
        ("/c", None),
    ]


def test_explain_shows_one_graph_in_which_a_with_query_stands_once(db: Database) -> None:
    db.execute(DECLARED)
    rows = db.execute(
        f"EXPLAIN CREATE TABLE t AS WITH c AS ({PER_PAGE}) SELECT a.page, a.n + b.n AS m "
        "FROM c a JOIN c b ON a.page = b.page;"
    ).fetchall()
    graph = [line.strip("└─ ") for what, line in rows if what in ("graph", "")]
    assert sum("aggregate by" in line for line in graph) == 1
    assert sum("source stream" in line for line in graph) == 1
    assert "(1) from above" in graph
    assert not [t for t in db.log.topics() if t not in ("VIEWS", "USERS") and t[0] != "_"]


def test_a_table_follows_a_table_through_a_subquery(db: Database) -> None:
    db.execute(
        DECLARED + "CREATE TABLE cities AS SELECT city, COUNT(*) AS n, SUM(age) AS age FROM "
        "(SELECT city, age FROM users WHERE age > 17) GROUP BY city HAVING COUNT(*) > 0;"
    )
    db.append("users", [{"id": 1, "city": "Oslo", "age": 20}, {"id": 2, "city": "Oslo", "age": 30}])
    assert db.execute("SELECT * FROM cities;").fetchall() == [("Oslo", 2, 50)]
    db.append("users", [{"id": 1, "city": "Rome", "age": 21}, {"id": 2, "city": "Oslo", "age": 17}])
    assert db.execute("SELECT * FROM cities;").fetchall() == [("Rome", 1, 21)]


def test_windows_that_are_final_may_be_aggregated_by_anything(db: Database) -> None:
    # ms        0    5    12   25   40     windows of 10 ms; the last one stays open
    # views     a    a    b    a    a
    db.execute(
        DECLARED
        + "CREATE TABLE peaks AS SELECT page, MAX(n) AS most, LATEST_BY_OFFSET(n) AS last, COUNT(*) AS windows "
        "FROM (SELECT page, COUNT(*) AS n FROM views WINDOW TUMBLING (SIZE 10 MILLISECONDS, "
        "GRACE PERIOD 0 MILLISECONDS) GROUP BY page EMIT FINAL) WHERE n > 0 GROUP BY page;"
    )
    feed(db, (1, "a", 0), (1, "a", 5), (1, "b", 12), (1, "a", 25), (1, "a", 40))
    assert sorted(db.execute("SELECT * FROM peaks;").fetchall()) == [("a", 2, 1, 2), ("b", 1, 1, 1)]


@pytest.mark.parametrize("window", ["TUMBLING (SIZE 10 MILLISECONDS)", "SESSION (5 MILLISECONDS)"])
def test_windowed_records_beside_windows_that_still_change(db: Database, window: str) -> None:
    # ms        1    3    5    12       windows [0,10) and [10,20), sessions 1-5 and 12-12
    # views     a    b    a    a
    size = ", WINDOW_SIZE = '10 MILLISECONDS'" if "TUMBLING" in window else ""
    counts = f"SELECT page, COUNT(*) AS n FROM views WINDOW {window} GROUP BY page"
    db.execute(
        DECLARED
        + f"CREATE TABLE counted WITH (KAFKA_TOPIC = 'counted') AS {counts};"
        + "CREATE STREAM counts (page VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC = 'counted', "
        + f"WINDOW_TYPE = '{window.split()[0]}'{size});"
        + f"CREATE STREAM both AS SELECT a.page AS page, a.n AS a, b.n AS b FROM counts a JOIN ({counts}) b ON a.page = b.page;"
    )
    feed(db, (1, "a", 1), (1, "b", 3), (1, "a", 5), (1, "a", 12))
    rows = db.execute("SELECT page, windowstart, a, b FROM both;").fetchall()
    first = {"a": 0, "b": 0} if size else {"a": 1, "b": 3}
    assert sorted(rows) == [("a", first["a"], 2, 2), ("a", 10 if size else 12, 1, 1), ("b", first["b"], 1, 1)]


def test_streams_united(db: Database) -> None:
    db.execute(
        DECLARED + "CREATE STREAM clicks (user_id BIGINT KEY, ad VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');"
        "CREATE STREAM seen AS SELECT user_id, page AS what FROM views UNION ALL SELECT user_id, ad FROM clicks;"
        "CREATE TABLE totals AS SELECT user_id, COUNT(*) AS n FROM "
        "(SELECT user_id, page FROM views UNION ALL SELECT user_id, ad FROM clicks WHERE ad <> 'x') GROUP BY user_id;"
        "CREATE TABLE hourly AS WITH u AS (SELECT page FROM views UNION ALL (SELECT ad FROM clicks UNION ALL "
        "SELECT page FROM views)) SELECT page, COUNT(*) AS n FROM u WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY page;"
    )
    assert db.catalog.source("SEEN").schema.key == db.catalog.source("VIEWS").schema.key
    feed(db, (1, "a", 0), (2, "b", 1))
    db.append("clicks", [{"user_id": 1, "ad": ad, "ms": 2} for ad in ("x", "y")])
    rows = db.execute("SELECT user_id, what FROM seen;").fetchall()
    assert sorted(rows) == [(1, "a"), (1, "x"), (1, "y"), (2, "b")]
    assert sorted(db.execute("SELECT * FROM totals;").fetchall()) == [(1, 2), (2, 1)]
    assert sorted(db.execute("SELECT page, n FROM hourly;").fetchall()) == [
        ("a", 2),
        ("b", 2),
        ("x", 1),
        ("y", 1),
    ]


def test_windowed_streams_united(db: Database) -> None:
    # ms        1    3    5    12     windows of 10 ms
    # views     a    b    a    a
    db.execute(
        DECLARED
        + "CREATE TABLE counted WITH (KAFKA_TOPIC = 'counted') AS SELECT page, COUNT(*) AS n FROM views "
        "WINDOW TUMBLING (SIZE 10 MILLISECONDS) GROUP BY page;"
        "CREATE STREAM counts (page VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC = 'counted', "
        "WINDOW_TYPE = 'TUMBLING', WINDOW_SIZE = '10 MILLISECONDS');"
        "CREATE STREAM both AS SELECT page, n FROM counts WHERE n > 1 UNION ALL SELECT page, n * 10 FROM counts;"
        "CREATE STREAM again AS SELECT page, n, WINDOWSTART AS s FROM "
        "(SELECT * FROM counts UNION ALL SELECT * FROM counts) WHERE n > 1;"
        # A windowed key and a plain one are not of one kind: the result has none.
        "CREATE STREAM mixed AS SELECT page, n FROM counts UNION ALL SELECT page, user_id FROM views;"
    )
    feed(db, (1, "a", 1), (1, "b", 3), (1, "a", 5), (1, "a", 12))
    windows = db.catalog.source("COUNTS").window
    assert db.catalog.source("BOTH").window == db.catalog.source("AGAIN").window == windows
    assert sorted(db.execute("SELECT page, windowstart, windowend, n FROM both;").fetchall()) == [
        ("a", 0, 10, 2),
        ("a", 0, 10, 20),
        ("a", 10, 20, 10),
        ("b", 0, 10, 10),
    ]
    assert db.execute("SELECT page, windowstart, s, n FROM again;").fetchall() == [("a", 0, 0, 2)] * 2
    mixed = db.catalog.source("MIXED")
    assert (mixed.window, mixed.schema.key) == (None, ())
    assert len(db.execute("SELECT * FROM mixed;").fetchall()) == 3 + 4


def test_different_rows_are_each_shown_once(db: Database) -> None:
    db.execute(DECLARED)
    feed(db, (1, "a", 1), (2, "a", 2), (1, "b", 3), (3, "a", 4))
    distinct = db.execute("SELECT DISTINCT page FROM views EMIT CHANGES LIMIT 2;").fetchall()
    united = db.execute(
        "SELECT page FROM views UNION SELECT page FROM views EMIT CHANGES LIMIT 2;"
    ).fetchall()
    assert sorted(distinct) == sorted(united) == [("a",), ("b",)]


def test_rows_that_stay_the_same_are_no_changes() -> None:
    schema = pa.schema(
        [("x", pa.int64()), ("$time", pa.int64()), ("$seq", pa.int64()), ("$weight", pa.int8())]
    )
    operator = DropUnchanged(schema).open(Context(Workspace(), Problems()))

    def kept(*rows: tuple[int | None, int, int]) -> list[tuple[int | None, int, int]]:
        x, seq, weight = zip(*rows, strict=True)
        batch = pa.RecordBatch.from_arrays([pa.array(c) for c in (x, seq, seq, weight)], schema=schema)
        out = operator.process(batch)
        return [] if out is None else [(r["x"], r["$seq"], r["$weight"]) for r in out.to_pylist()]

    assert kept((1, 0, 1)) == [(1, 0, 1)]
    assert kept((1, 1, -1), (1, 1, 1)) == kept((None, 1, -1), (None, 1, 1)) == []
    # Another row, and the same row at another time, are changes.
    changes = [(1, 1, -1), (2, 1, 1), (None, 2, -1), (0, 2, 1), (5, 3, -1), (5, 4, 1)]
    assert kept(*changes) == changes
    assert kept((7, 1, 1), (1, 2, -1), (1, 2, 1), (8, 3, -1)) == [(7, 1, 1), (8, 3, -1)]


def test_insert_into_takes_a_subquery(db: Database) -> None:
    db.execute(
        DECLARED + "CREATE STREAM pages (user_id BIGINT KEY, page VARCHAR);"
        "INSERT INTO pages SELECT user_id, page FROM (SELECT user_id, UCASE(page) AS page FROM views);"
    )
    feed(db, (1, "home", 0))
    assert db.execute("SELECT * FROM pages;").fetchall() == [(1, "HOME")]


def test_a_nested_query_goes_on_after_the_database_was_closed(tmp_path: Path) -> None:
    import streamsql

    with streamsql.connect(tmp_path) as db:
        db.execute(DECLARED + f"CREATE TABLE t AS SELECT n, COUNT(*) AS c FROM ({PER_PAGE}) GROUP BY n;")
        feed(db, (1, "a", 0), (1, "b", 1))
        assert db.execute("SELECT * FROM t;").fetchall() == [(1, 2)]
    with streamsql.connect(tmp_path) as db:
        feed(db, (1, "a", 2))
        assert db.execute("SELECT * FROM t ORDER BY n;").fetchall() == [(1, 1), (2, 1)]


REFUSED = {
    "an unknown column inside": ("SELECT user_id, x FROM (SELECT user_id, nope AS x FROM views)", "nope", "resolved"),
    "an unknown column outside": ("SELECT user_id, ms FROM (SELECT user_id, page FROM views) v", "ms FROM (", "USER_ID, PAGE"),
    "an alias of the inside": ("SELECT v.page FROM (SELECT * FROM views v) w", "v.page", "not a source"),
    "the key left out": ("SELECT n, 1 AS one FROM (SELECT COUNT(*) AS n FROM views GROUP BY page)", "(SELECT COUNT", "PAGE"),
    "no group": ("SELECT n FROM (SELECT COUNT(*) AS n FROM views)", "COUNT(*) AS n FROM views)", "GROUP BY"),
    "a name twice": ("WITH a AS (SELECT * FROM views), a AS (SELECT * FROM users) SELECT * FROM a", "a AS (SELECT * FROM users", "twice"),
    "a table in a stream's place": ("SELECT * FROM users u JOIN (SELECT * FROM views) v ON u.id = v.user_id", "users u", "swap"),
    "a table united": ("SELECT user_id FROM views UNION ALL SELECT id FROM users", "SELECT id FROM users", "is a table"),
    "other columns united": ("SELECT page FROM views UNION ALL SELECT user_id FROM views", "UNION ALL", "PAGE VARCHAR and USER_ID BIGINT"),
    "a column twice": ("SELECT * FROM (SELECT page AS p, user_id AS p FROM views)", "user_id AS p", "called P"),
    "a limit inside": ("SELECT * FROM (SELECT * FROM views LIMIT 1)", "LIMIT 1", "chance"),
    "an offset": ("SELECT * FROM (SELECT * FROM views LIMIT 1 OFFSET 2)", "OFFSET 2", "in no order"),
    "an order inside": ("SELECT * FROM (SELECT * FROM views ORDER BY ms)", "ms)", "TOPK"),
    "an order of a union": ("SELECT page FROM views UNION ALL SELECT page FROM views ORDER BY page", "page", "pull query"),
    "the past": ("SELECT * FROM views AS OF OFFSET 2", "AS OF", "goes on"),
    "the past of a WITH query": ("WITH a AS (SELECT * FROM views) SELECT * FROM a AS OF OFFSET 2", "AS OF", "goes on"),
    "different rows, kept": ("SELECT DISTINCT page, user_id FROM views", "page, user_id", "GROUP BY PAGE, USER_ID"),
    "different rows, kept outside": ("SELECT page, 1 AS one FROM (SELECT DISTINCT page FROM views)", "(SELECT DISTINCT", "COUNT(*)"),
    "different maps": ("SELECT m, COUNT(*) AS n FROM (SELECT DISTINCT MAP('a' := ms) AS m FROM views) GROUP BY m", "MAP(", "MAP"),
    "a union without repetitions, kept": ("SELECT page FROM views UNION SELECT page FROM views", "UNION SELECT", "GROUP BY PAGE"),
    "its own name": ("WITH a AS (SELECT * FROM a) SELECT * FROM a", "a) SELECT", "no stream or table"),
}  # fmt: skip
NOT_BUILT = {
    "what both have": "SELECT page FROM views INTERSECT SELECT page FROM views",
    "what the other lacks": "SELECT page FROM views EXCEPT SELECT page FROM views",
}


@pytest.mark.parametrize(("query", "place", "says"), REFUSED.values(), ids=REFUSED)
def test_nested_queries_that_are_refused(db: Database, query: str, place: str, says: str) -> None:
    db.execute(DECLARED)
    for sql in (f"CREATE TABLE x AS {query};", f"CREATE STREAM x AS {query};"):
        with pytest.raises(PlanError) as caught:
            db.execute(sql)
        error = caught.value
        assert not isinstance(error, NotSupportedError)
        assert says in f"{error.message} {error.hint}", error
        assert error.span is not None and sql[error.span.start :].startswith(place), error


@pytest.mark.parametrize("query", NOT_BUILT.values(), ids=NOT_BUILT)
def test_nested_queries_that_are_not_built(db: Database, query: str) -> None:
    db.execute(DECLARED)
    with pytest.raises(NotSupportedError):
        db.execute(f"CREATE STREAM x AS {query};")

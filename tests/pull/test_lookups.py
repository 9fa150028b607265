"""Look-ups by key give what reading the whole table gives, and touch no more than they give."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

import streamsql
from streamsql import database
from streamsql.database import Database
from streamsql.errors import StreamSQLError
from streamsql.grammar.parser import parse

HOUR = 3_600_000
SETUP = """
CREATE STREAM s (id BIGINT, name VARCHAR, v INT) WITH (PARTITIONS = 3);
CREATE TABLE by_id AS SELECT id, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY id;
CREATE TABLE renamed AS SELECT id AS `key`, COUNT(*) * 2 AS n FROM s GROUP BY id HAVING COUNT(*) > 2;
CREATE TABLE by_name AS SELECT name, COUNT(*) AS n FROM s GROUP BY name;
CREATE TABLE by_list AS SELECT ARRAY[id, v] AS l, COUNT(*) AS n FROM s GROUP BY ARRAY[id, v];
CREATE TABLE by_struct AS SELECT STRUCT(i := id) AS st, COUNT(*) AS n FROM s GROUP BY STRUCT(i := id);
CREATE TABLE by_both AS SELECT name, id, COUNT(*) AS n FROM s GROUP BY name, id;
CREATE TABLE hourly AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY id;
CREATE TABLE two_hourly AS SELECT id, COUNT(*) AS n FROM s
    WINDOW HOPPING (SIZE 2 HOURS, ADVANCE BY 1 HOUR) GROUP BY id;
CREATE TABLE sessions AS SELECT id, COUNT(*) AS n FROM s WINDOW SESSION (2 HOURS) GROUP BY id;
CREATE TABLE closed AS SELECT id, COUNT(*) AS n FROM s
    WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 1 DAY, GRACE PERIOD 0 SECONDS) GROUP BY id EMIT FINAL;
CREATE TABLE plain (id BIGINT PRIMARY KEY, name VARCHAR);
CREATE TABLE joined AS SELECT by_id.id AS id, n, name FROM by_id LEFT JOIN plain ON by_id.id = plain.id;
"""
KEYS = 40


def fill(db: Database, keys: int) -> None:
    """Ten records a key, an hour apart from one to the next of a key."""
    numbers = [number for _ in range(10) for number in range(keys)]
    hours = [hour for hour in range(10) for _ in range(keys)]
    rows = pa.table(
        {
            "ID": pa.array(numbers, pa.int64()),
            "NAME": [f"n{number % 7}" for number in numbers],
            "V": pa.array([number % 5 for number in numbers], pa.int32()),
        }
    )
    db.append("s", rows, timestamps=[hour * HOUR for hour in hours])
    db.append("plain", [{"id": number, "name": f"p{number}"} for number in range(0, keys, 2)])


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with streamsql.connect() as database:
        database.execute(SETUP)
        fill(database, KEYS)
        yield database


# (query with a place for its condition, the condition by key, the same in a way that no key is fixed)
LOOKUPS = [
    ("SELECT * FROM by_id WHERE {}", "id = 7", "id + 0 = 7"),
    ("SELECT total, id FROM by_id WHERE {}", "id IN (7, 9, 7, 999)", "id + 0 IN (7, 9)"),
    ("SELECT * FROM by_id WHERE {}", "id = 7 OR id = 8 AND n > 3", "id + 0 = 7 OR id + 0 = 8"),
    ("SELECT * FROM by_id WHERE {}", "7 = id AND n > 100", "FALSE"),
    ("SELECT * FROM by_id WHERE {}", "id = 7 AND id = 8", "FALSE"),
    ("SELECT * FROM by_id WHERE {}", "id = 3 + 4", "id + 0 = 7"),
    ("SELECT * FROM by_id WHERE {}", "id = CAST('7' AS BIGINT)", "id + 0 = 7"),
    ("SELECT * FROM by_id WHERE {}", "id IN ('7', '8')", "id + 0 IN (7, 8)"),
    ("SELECT * FROM by_id WHERE {}", "id = 1 / 0", "FALSE"),
    ("SELECT id, n + 1 AS m FROM by_id WHERE {}", "id = 7", "id + 0 = 7"),
    ("SELECT COUNT(*) AS c, SUM(total) AS t FROM by_id WHERE {}", "id IN (7, 8)", "id + 0 IN (7, 8)"),
    ("SELECT id FROM by_id WHERE {} ORDER BY id DESC LIMIT 1", "id IN (7, 8)", "id + 0 IN (7, 8)"),
    ("SELECT id, ROWTIME FROM by_id WHERE {}", "id = 7", "id + 0 = 7"),
    ("SELECT * FROM renamed WHERE {}", "`key` = 7", "`key` + 0 = 7"),
    ("SELECT * FROM by_name WHERE {}", "name = 'n3'", "UCASE(name) = 'N3'"),
    ("SELECT * FROM by_name WHERE {}", "name = 'none'", "FALSE"),
    ("SELECT * FROM by_both WHERE {}", "id IN (2, 9) AND name = 'n2'", "id + 0 IN (2, 9) AND UCASE(name) = 'N2'"),
    ("SELECT * FROM by_list WHERE {}", "l IN (ARRAY[7, 2], ARRAY[8, 9])", "l[1] = 7"),
    ("SELECT * FROM by_struct WHERE {}", "st = STRUCT(i := CAST(7 AS BIGINT))", "st->i = 7"),
    ("SELECT * FROM hourly WHERE {}", "id = 7", "id + 0 = 7"),
    ("SELECT * FROM hourly WHERE {}", f"id IN (7, 8) AND WINDOWSTART >= {8 * HOUR}", f"id + 0 IN (7, 8) AND WINDOWSTART > {7 * HOUR}"),
    ("SELECT * FROM hourly WHERE {}", "id = 7 AND WINDOWEND = '1970-01-01T05:00:00'", f"id + 0 = 7 AND WINDOWEND = {5 * HOUR}"),
    ("SELECT * FROM two_hourly WHERE {}", f"id = 7 AND WINDOWSTART < {3 * HOUR} AND n > 1", f"id + 0 = 7 AND WINDOWSTART < {3 * HOUR} AND n > 1"),
    ("SELECT * FROM sessions WHERE {}", "id IN (7, 8)", "id + 0 IN (7, 8)"),
    ("SELECT * FROM sessions WHERE {}", "id = 7 AND WINDOWSTART > 0", "FALSE"),
    ("SELECT * FROM closed WHERE {}", "id = 7", "id + 0 = 7"),
    ("SELECT * FROM plain WHERE {}", "id IN (4, 5)", "id + 0 IN (4, 5)"),
    ("SELECT * FROM joined WHERE {}", "id IN (4, 5)", "id + 0 IN (4, 5)"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "by_key", "by_scan"), LOOKUPS, ids=[f"{q} {k}" for q, k, _ in LOOKUPS])
def test_a_look_up_gives_what_a_scan_gives(db: Database, query: str, by_key: str, by_scan: str) -> None:
    looked_up = db.execute(query.format(by_key) + ";")
    scanned = db.execute(query.format(by_scan) + ";")
    assert looked_up.schema == scanned.schema
    assert sorted(map(repr, looked_up.fetchall())) == sorted(map(repr, scanned.fetchall()))


def rows_read(db: Database, query: str) -> int:
    """How many rows of tables a query has looked at."""
    db.execute(query)  # what has to be made once, is
    assert db._pulls is not None
    before = db._pulls.snapshots.rows_read
    db.execute(query)
    return db._pulls.snapshots.rows_read - before


COSTS = [
    ("SELECT * FROM by_id WHERE id = 7;", 1),
    ("SELECT * FROM by_id WHERE id IN (7, 8) AND n > 3;", 2),
    ("SELECT id + 1 AS x FROM by_name WHERE name = 'n3';", None),
    ("SELECT * FROM by_both WHERE id = 9 AND name = 'n2';", 1),
    ("SELECT * FROM hourly WHERE id = 7;", 10),
    (f"SELECT * FROM hourly WHERE id = 7 AND WINDOWSTART >= {8 * HOUR};", 2),
    (f"SELECT * FROM two_hourly WHERE id = 7 AND WINDOWEND <= {3 * HOUR};", 2),
    ("SELECT * FROM sessions WHERE id = 7;", 1),
    ("SELECT * FROM plain WHERE id = 4;", 1),
    ("SELECT * FROM joined WHERE id = 4;", 1),
    ("SELECT * FROM renamed WHERE `key` = 4;", 1),
]  # fmt: skip


@pytest.mark.parametrize("keys", [KEYS, 50 * KEYS])
def test_a_look_up_reads_the_rows_it_is_about_whatever_the_size_of_the_table(db: Database, keys: int) -> None:
    with streamsql.connect() as other:
        if keys != KEYS:
            other.execute(SETUP)
            fill(other, keys)
            db = other
        wanted = {query: count for query, count in COSTS if count is not None}
        assert {query: rows_read(db, query) for query in wanted} == wanted
        assert rows_read(db, "SELECT COUNT(*) AS c FROM by_id;") == keys


def test_a_prepared_look_up_sees_what_comes_after(db: Database) -> None:
    query = "SELECT * FROM plain WHERE id = 1001;"
    assert db.execute(query).fetchall() == []
    db.execute("INSERT INTO plain VALUES (1001, 'new');")
    assert db.execute(query).fetchall() == [(1001, "new")]


def test_explain_says_how_a_query_is_answered(db: Database) -> None:
    def reads(query: str) -> tuple[str, bool]:
        facts = dict(db.execute(f"EXPLAIN {query};").fetchall())
        return facts["reads s0"], facts["statement"].startswith("SELECT")

    assert reads("SELECT * FROM by_id WHERE id IN (1, 2)") == ("table BY_ID, 2 keys looked up", False)
    assert reads("SELECT n + 1 AS m FROM by_id WHERE id = 1") == ("table BY_ID, 1 key looked up", True)
    assert reads("SELECT * FROM hourly WHERE id = 1 AND WINDOWSTART >= 5") == (
        "table HOURLY, 1 key looked up, WINDOWSTART >= 5",
        False,
    )
    assert reads("SELECT * FROM by_id WHERE n = 1") == ("table BY_ID, all rows", True)
    assert reads("SELECT v FROM s AS OF OFFSET 3 WHERE ROWTIME > 5") == (
        "stream S, as of OFFSET 3, ROWTIME > 5, columns V",
        True,
    )


# (the text that is planned, texts that are not, texts that only look like it) with what each gives
ALIKE = [
    (
        "SELECT id, n FROM by_id WHERE id = 7;",
        {"SELECT id, n FROM by_id WHERE id = 8;": [(8, 10)], "SELECT id, n FROM by_id WHERE id = 999;": []},
        {
            "SELECT id, n FROM by_id WHERE id = '8';": None,
            "SELECT id, n FROM by_id WHERE id = 8 OR id = 9;": [(8, 10), (9, 10)],
            "SELECT id, n FROM by_id WHERE id = -8;": [],
            "SELECT id, n FROM by_id WHERE id = 9999999999999999999;": None,
            "SELECT id, n FROM by_id WHERE id = 9223372036854775807;": [],
        },
    ),
    (
        "SELECT n FROM by_both WHERE id IN (2, 9) AND name = 'n2';",
        {"SELECT n FROM by_both WHERE id IN (3, 3) AND name = 'n3';": [(10,)]},
        {"SELECT n FROM by_both WHERE id IN (3) AND name = 'n3';": [(10,)]},
    ),
    (
        "SELECT n FROM hourly WHERE id = 7 AND WINDOWSTART < 3600000;",
        {"SELECT n FROM hourly WHERE id = 8 AND WINDOWSTART < 3600000;": [(1,)]},
        {"SELECT n FROM hourly WHERE id = 8 AND WINDOWSTART < 7200000;": [(1,), (1,)]},
    ),
    (
        "SELECT n FROM by_id WHERE id = 7 AND n > 3;",
        {},
        {"SELECT n FROM by_id WHERE id = 8 AND n > 300;": [], "SELECT n FROM by_id WHERE id = 8 AND n > 2;": [(10,)]},
    ),
]  # fmt: skip
Answers = dict[str, list[tuple[int, ...]] | None]


@pytest.mark.parametrize(("planned", "alike", "others"), ALIKE, ids=[planned for planned, _, _ in ALIKE])
def test_a_plan_serves_for_other_keys(
    db: Database, monkeypatch: pytest.MonkeyPatch, planned: str, alike: Answers, others: Answers
) -> None:
    db.execute(planned)
    parsed: list[str] = []

    def noted(text: str) -> list[object]:
        parsed.append(text)
        return list(parse(text))

    monkeypatch.setattr(database, "parse", noted)
    for texts in (alike, others):
        for text, rows in texts.items():
            if rows is None:
                with pytest.raises(StreamSQLError):
                    db.execute(text)
            else:
                assert sorted(db.execute(text).fetchall()) == rows, text
    assert parsed == list(others)


# (type, value as SQL, another way to write it, a value that is not there)
KEY_TYPES = [
    ("INT", "7", "3 + 4", "8"),
    ("INT", "-7", "-3 - 4", "7"),
    ("BIGINT", "5000000000", "CAST('5000000000' AS BIGINT)", "5000000001"),
    ("VARCHAR", "'it''s'", "CONCAT('it', '''', 's')", "'its'"),
    ("VARCHAR", "''", "TRIM(' ')", "' '"),
    ("BOOLEAN", "TRUE", "CAST('true' AS BOOLEAN)", "FALSE"),
    ("DOUBLE", "1.5E0", "CAST('1.5' AS DOUBLE)", "1"),
    ("DECIMAL(5, 2)", "1.50", "CAST(1.5E0 AS DECIMAL(5, 2))", "1.51"),
    ("DATE", "'2026-01-02'", "CAST('2026-01-02' AS DATE)", "'2026-01-03'"),
    ("TIME", "'10:11:12'", "CAST('10:11:12' AS TIME)", "'10:11:13'"),
    ("TIMESTAMP", "'2026-01-02T10:11:12'", "CAST('2026-01-02T10:11:12' AS TIMESTAMP)", "'2026-01-02T10:11:13'"),
]  # fmt: skip


@pytest.mark.parametrize(("t", "value", "other", "missing"), KEY_TYPES, ids=[f"{t} {v}" for t, v, *_ in KEY_TYPES])  # fmt: skip
def test_keys_of_every_type_are_found(t: str, value: str, other: str, missing: str) -> None:
    with streamsql.connect() as db:
        db.execute(f"CREATE TABLE t (k {t} PRIMARY KEY, v INT); INSERT INTO t VALUES ({value}, 1);")
        db.execute("CREATE TABLE c AS SELECT k, v FROM t;")
        for table in ("t", "c"):
            for written, rows in ((value, [(1,)]), (other, [(1,)]), (missing, [])):
                for condition in (f"k = {written}", f"{written} = k", f"k IN ({written})"):
                    query = f"SELECT v FROM {table} WHERE {condition};"
                    assert db.execute(query).fetchall() == rows, query
            read = rows_read(db, f"SELECT v FROM {table} WHERE k = {missing};")
            assert read == 0, "the whole table was read"


def test_a_table_whose_query_was_terminated_is_read_from_its_topic() -> None:
    with streamsql.connect() as other:
        other.execute(SETUP)
        fill(other, 4)
        queries = [
            "SELECT * FROM by_id WHERE id = 3;",
            "SELECT id, n + 1 AS m FROM by_id WHERE id IN (1, 3);",
            "SELECT * FROM hourly WHERE id = 3;",
            "SELECT COUNT(*) AS c, SUM(n) AS n FROM sessions;",
        ]
        before = [other.execute(query).fetchall() for query in queries]
        other.execute("TERMINATE ALL;")
        for query, rows in zip(queries, before, strict=True):
            assert sorted(other.execute(query).fetchall()) == sorted(rows), query

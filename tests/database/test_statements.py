"""Statements that manage the catalog, and what they answer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import streamsql
from streamsql.database import Database
from streamsql.errors import NotSupportedError, ParseError, PlanError, StreamSQLError

VIEWS = "CREATE STREAM views (user_id BIGINT KEY, page VARCHAR, ms BIGINT) WITH (KAFKA_TOPIC = 'views', VALUE_FORMAT = 'JSON');"


def rows(db: Database, sql: str) -> list[tuple[object, ...]]:
    return db.execute(sql).fetchall()


def test_a_stream_is_declared_listed_described_and_dropped(db: Database) -> None:
    assert db.execute(VIEWS).message == "stream VIEWS created"
    assert ("VIEWS", "views", "KAFKA", "JSON", False) in rows(db, "SHOW STREAMS;")
    assert rows(db, "DESCRIBE views;") == [
        ("USER_ID", "BIGINT", "KEY"),
        ("PAGE", "VARCHAR", ""),
        ("MS", "BIGINT", ""),
    ]
    db.execute("DROP STREAM views DELETE TOPIC;")
    assert "VIEWS" not in [r[0] for r in rows(db, "LIST STREAMS;")]
    assert rows(db, "SHOW TOPICS;") == []


def test_if_not_exists_and_if_exists_do_nothing(db: Database) -> None:
    db.execute(VIEWS)
    assert "nothing was done" in db.execute(VIEWS.replace("STREAM", "STREAM IF NOT EXISTS")).message
    assert "nothing was done" in db.execute("DROP TABLE IF EXISTS nowhere;").message


def test_a_source_that_a_query_reads_cannot_be_dropped(db: Database) -> None:
    db.execute(VIEWS + "CREATE STREAM copies AS SELECT * FROM views;")
    with pytest.raises(PlanError, match="in use by CSAS_COPIES_1"):
        db.execute("DROP STREAM views;")
    db.execute("DROP STREAM copies; DROP STREAM views;")
    assert rows(db, "SHOW QUERIES;") == []


def test_a_terminated_query_leaves_its_sink(db: Database) -> None:
    db.execute(VIEWS + "CREATE STREAM copies AS SELECT * FROM views;")
    db.execute("INSERT INTO views VALUES (1, '/', 10);")
    db.wait_idle()
    db.execute("TERMINATE csas_copies_1;")
    db.execute("INSERT INTO views VALUES (2, '/', 20);")
    assert rows(db, "SELECT * FROM copies;") == [(1, "/", 10)]


def test_a_paused_query_goes_on_where_it_stopped(db: Database) -> None:
    db.execute(VIEWS + "CREATE STREAM copies AS SELECT * FROM views;")
    db.execute("PAUSE ALL; INSERT INTO views VALUES (1, '/', 10);")
    assert rows(db, "SELECT * FROM copies;") == []
    db.execute("RESUME ALL;")
    db.wait_idle()
    assert rows(db, "SELECT * FROM copies;") == [(1, "/", 10)]


def test_settings_and_variables(db: Database) -> None:
    db.execute("SET 'auto.offset.reset' = 'latest';")
    assert ("auto.offset.reset", "latest") in [r[:2] for r in rows(db, "SHOW PROPERTIES;")]
    db.execute("UNSET 'auto.offset.reset'; DEFINE place = 'clicks';")
    db.execute("CREATE STREAM s (a VARCHAR) WITH (KAFKA_TOPIC = '${place}');")
    assert [r[0] for r in rows(db, "SHOW TOPICS;")] == ["clicks"]


def test_custom_types_are_expanded_where_they_are_used(db: Database) -> None:
    db.execute("CREATE TYPE address AS STRUCT<street VARCHAR, zip INTEGER>;")
    db.execute("CREATE STREAM people (home address); DROP TYPE address;")
    assert rows(db, "DESCRIBE people;") == [("HOME", "STRUCT<STREET VARCHAR, ZIP INTEGER>", "")]


def test_explain_shows_the_graph_without_running_anything(db: Database) -> None:
    db.execute(VIEWS)
    text = "\n".join(
        str(r[1])
        for r in rows(db, "EXPLAIN CREATE TABLE n AS SELECT page, COUNT(*) FROM views GROUP BY page;")
    )
    assert "sink table to topic N" in text
    assert "aggregate by" in text
    assert "source stream of topic views" in text
    assert rows(db, "SHOW QUERIES;") == []


def test_print_shows_records_as_they_lie_in_the_topic(db: Database) -> None:
    db.execute(VIEWS + "INSERT INTO views (ROWTIME, user_id, page) VALUES (1000, 7, '/a');")
    assert rows(db, "PRINT views FROM BEGINNING;") == [
        ("1970-01-01T00:00:01.000+00:00", 0, 0, "7", '{"PAGE":"/a","MS":null}')
    ]


@pytest.mark.parametrize(
    "formats",
    [
        "FORMAT='AVRO'",
        "FORMAT='PROTOBUF'",
        "FORMAT='JSON_SR'",
        "FORMAT='JSON'",
        "KEY_FORMAT='JSON', VALUE_FORMAT='PROTOBUF_NOSR'",
    ],
)
def test_print_shows_what_a_format_of_bytes_says(db: Database, formats: str) -> None:
    db.execute(
        f"CREATE STREAM s (k STRUCT<a INT> KEY, i INT, d DATE, m MAP<VARCHAR, INT>) WITH ({formats});"
        "INSERT INTO s VALUES (STRUCT(a := 7), 1, '2024-01-02', MAP('x' := 3));"
    )
    expected = ('{"A":7}', '{"I":1,"D":19724,"M":{"x":3}}')
    assert [r[3:] for r in rows(db, "PRINT S FROM BEGINNING;")] == [expected]
    if "NOSR" not in formats:
        # The record says itself what it holds.
        db.execute("DROP STREAM s;")
        assert [r[3:] for r in rows(db, "PRINT S FROM BEGINNING;")] == [expected]


@pytest.mark.parametrize(("formats", "shown"), [("AVRO", "0x000000000163"), ("KAFKA", "0x000000000163")])
def test_print_shows_bytes_that_do_not_read_as_they_are(db: Database, formats: str, shown: str) -> None:
    db.execute(f"CREATE STREAM s (i BIGINT) WITH (VALUE_FORMAT='{formats}');")
    value = pa.array([bytes.fromhex("000000000163")])
    db.log.append("S", 0, pa.record_batch({"key": pa.nulls(1), "value": value, "timestamp": pa.array([0])}))
    assert [r[4] for r in rows(db, "PRINT S FROM BEGINNING;")] == [shown]


def test_rows_can_be_inserted_beside_a_column_from_headers(db: Database) -> None:
    db.execute("CREATE STREAM s (k INT KEY, v VARCHAR, h BYTES HEADER('h')); INSERT INTO s VALUES (1, 'x');")
    db.execute("INSERT INTO s (v) VALUES ('y');")
    assert rows(db, "SELECT * FROM s;") == [(1, "x", None), (None, "y", None)]


WRONG = [
    ("SELECT pagid FROM views;", PlanError, "PLAN-UNKNOWN-COLUMN", "did you mean PAGE?"),
    ("SELECT * FROM vews;", PlanError, "PLAN-UNKNOWN-SOURCE", "did you mean VIEWS?"),
    ("SELECT page + 1 AS x FROM views;", PlanError, "PLAN-ARITHMETIC", None),
    ("SELECT page FROM views WHERE page = 1;", PlanError, "PLAN-COMPARE", None),
    ("SELECT UPER(page) AS x FROM views;", PlanError, "PLAN-UNKNOWN-FUNCTION", None),
    ("CREATE STREAM views (a INTEGER);", PlanError, "PLAN-EXISTS", None),
    ("CREATE TABLE t (a INTEGER KEY, b INTEGER);", ParseError, "PARSE-KEY", None),
    ("CREATE TABLE t (a INTEGER);", PlanError, "PLAN-NO-PRIMARY-KEY", None),
    (
        "CREATE STREAM x (a INTEGER) WITH (VALUE_FROMAT = 'JSON');",
        PlanError,
        "PLAN-PROPERTY",
        "did you mean VALUE_FORMAT?",
    ),
    ("CREATE TABLE t AS SELECT user_id, page FROM views;", PlanError, "PLAN-RESULT-KIND", None),
    ("CREATE STREAM t AS SELECT page FROM views;", PlanError, "PLAN-KEY-MISSING", None),
    ("CREATE STREAM t AS SELECT user_id, page FROM views LIMIT 1;", PlanError, "PLAN-LIMIT", None),
    (
        "CREATE TABLE t AS SELECT page, ms, COUNT(*) AS n FROM views GROUP BY page;",
        PlanError,
        "PLAN-NOT-GROUPED",
        None,
    ),
    ("INSERT INTO views VALUES (1, 2, 3);", PlanError, "PLAN-INSERT-TYPE", None),
    ("INSERT INTO views VALUES (1);", PlanError, "PLAN-INSERT-COUNT", None),
    ("TERMINATE nothing;", PlanError, "PLAN-UNKNOWN-QUERY", None),
    ("SET 'no.such' = '1';", PlanError, "PLAN-UNKNOWN-PROPERTY", None),
    ("SELECT 1 FROM views GROUP BY;", ParseError, None, None),
]


@pytest.mark.parametrize(("sql", "kind", "code", "hint"), WRONG, ids=[w[0] for w in WRONG])
def test_a_wrong_statement_says_what_and_where(
    db: Database, sql: str, kind: type[StreamSQLError], code: str | None, hint: str | None
) -> None:
    db.execute(VIEWS)
    with pytest.raises(kind) as found:
        db.execute(sql)
    assert not isinstance(found.value, NotSupportedError)
    assert found.value.span is not None and found.value.source == sql
    assert code is None or found.value.code == code
    assert hint is None or hint in (found.value.hint or "")


def test_an_error_points_at_the_word(db: Database) -> None:
    db.execute(VIEWS)
    with pytest.raises(PlanError) as found:
        db.execute("SELECT page,\n  lenn(page) AS n\nFROM views;")
    assert str(found.value) == (
        "[PLAN-UNKNOWN-FUNCTION] there is no function LENN\n"
        "  LINE 2:   lenn(page) AS n\n"
        "            ^^^^\n"
        "  hint: did you mean LEN or LN?"
    )


def test_a_syntax_error_anywhere_means_nothing_is_done(db: Database) -> None:
    with pytest.raises(ParseError):
        db.execute("CREATE STREAM s (a INTEGER); SELEC;")
    assert "S" not in db.catalog.sources


def test_a_value_that_cannot_be_computed_is_pointed_at(db: Database) -> None:
    db.execute("CREATE STREAM visits (d DATE, n INT);")
    sql = "INSERT INTO visits VALUES ('2024-01-01', 1 / 0);"
    with pytest.raises(PlanError, match="1 / 0 cannot be computed: division by zero") as caught:
        db.execute(sql)
    assert caught.value.span is not None and sql[caught.value.span.start :].startswith("1 / 0")
    with pytest.raises(PlanError, match="'soon' cannot be computed: cannot cast to DATE: 'soon'"):
        db.execute("INSERT INTO visits VALUES ('soon', 1);")


def test_a_function_is_described_with_its_overloads(db: Database) -> None:
    found = rows(db, "DESCRIBE FUNCTION len;")
    assert [row[0] for row in found] == ["LEN(text VARCHAR) -> INTEGER", "LEN(value BYTES) -> INTEGER"]
    assert found[0][-2:] == ("Text", "streamsql")


def test_a_setting_of_ksqldb_without_a_meaning_here_is_kept_with_what_follows(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.execute("SET 'ksql.pull.queries.enable' = 'true'; SET 'ksql.streams.max.task.idle.ms' = '5';")
        db.execute("CREATE STREAM s (a INTEGER); CREATE TYPE t AS INT; INSERT INTO s VALUES (1);")
        db.execute("ALTER TOPIC S WITH (RETENTION_MS = 5000);")
    with streamsql.connect(tmp_path) as db:
        assert db.execute("SELECT a FROM s;").fetchall() == [(1,)]

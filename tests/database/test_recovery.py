"""Opening after a crash: statements that were cut short, problems told once, commits that failed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from streamsql import connect
from streamsql.database import Database
from streamsql.engine.failpoints import armed
from streamsql.engine.log.disk import DiskLog
from streamsql.errors import ExternalError, PlanError, StreamSQLError

MADE = (
    "CREATE STREAM s (k VARCHAR, x INTEGER) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');"
    "CREATE TABLE t WITH (PARTITIONS = 3) AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
)


def crashed_at(point: str, path: Path, run: Callable[[], object]) -> Path:
    """What the directory `path` is like when `run` first passes the fail point: a copy of it."""
    copy = path.with_name("crashed")

    def crash() -> None:
        if not copy.exists():
            shutil.copytree(path, copy)

    with armed(point, crash):
        run()
    return copy


def topics(db: Database) -> list[str]:
    return [
        topic
        for topic in db.log.topics()
        if topic not in ("_streamsql-commands", "_streamsql-processing-log")
    ]


def test_a_table_that_was_dropped_stays_gone_with_its_topics(tmp_path: Path) -> None:
    with connect(tmp_path / "d") as db:
        db.execute(MADE + "DROP TABLE t DELETE TOPIC;")
        db.execute("CREATE TABLE t WITH (PARTITIONS = 2) AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;")
        db.execute("DROP TABLE t DELETE TOPIC;")
        assert topics(db) == ["s"]
    with connect(tmp_path / "d") as db:
        assert topics(db) == ["s"]
        db.execute(MADE.split(";")[1] + ";")
    with connect(tmp_path / "d") as db:
        assert db.log.topic_config("T").partitions == 3


@pytest.mark.parametrize("statement", ["DROP TABLE t DELETE TOPIC;", "TERMINATE ALL;"])
def test_a_statement_that_a_crash_cut_short_is_finished_at_the_next_open(
    tmp_path: Path, statement: str
) -> None:
    with connect(tmp_path / "d") as db:
        db.execute(MADE)
        db.wait_idle()
        copy = crashed_at("command.after_record", tmp_path / "d", lambda: db.execute(statement))
        done = topics(db)
    with connect(copy) as db:
        assert topics(db) == done
        assert db.catalog.queries == {}


@pytest.mark.parametrize("number", [0, 1])
def test_a_topic_of_a_statement_that_never_was_goes_unless_something_is_in_it(
    tmp_path: Path, number: int
) -> None:
    statement = MADE.split(";")[number] + ";"
    with connect(tmp_path / "d") as db:
        db.execute("CREATE STREAM s (k VARCHAR, x INTEGER) WITH (KAFKA_TOPIC = 'other');" if number else "")
        copy = crashed_at("command.before_record", tmp_path / "d", lambda: db.execute(statement))
    kept = tmp_path / "kept"
    shutil.copytree(copy, kept)
    with connect(copy) as db:
        assert topics(db) == ["other"] * number
        db.execute(statement)
        assert len(topics(db)) == (3 if number else 1)
    topic = ("s", "T")[number]
    with DiskLog(kept) as log:
        nothing = pa.nulls(1, pa.binary())
        times = pa.array([0], pa.int64())
        log.append(topic, 0, pa.record_batch({"key": nothing, "value": nothing, "timestamp": times}))
    with connect(kept) as db:
        assert topic in topics(db)


def test_a_drop_that_never_happened_leaves_everything(tmp_path: Path) -> None:
    with connect(tmp_path / "d") as db:
        db.execute(MADE)
        db.wait_idle()
        copy = crashed_at(
            "command.before_record", tmp_path / "d", lambda: db.execute("DROP TABLE t DELETE TOPIC;")
        )
    with connect(copy) as db:
        db.execute("INSERT INTO s VALUES ('a', 1);")
        # The command that the drop would have been is another one now.
        db.execute("CREATE STREAM other (x INTEGER) WITH (KAFKA_TOPIC = 'T', VALUE_FORMAT = 'JSON');")
    with connect(copy) as db:
        assert db.execute("SELECT * FROM t;").fetchall() == [("a", 1)]


@pytest.mark.parametrize("point", ["query.before_commit", "commit.before_record", "query.after_commit"])
def test_a_bad_record_is_told_once_wherever_the_crash_comes(tmp_path: Path, point: str) -> None:
    with connect(tmp_path / "d") as db:
        db.execute(MADE)
        db.wait_idle()

        def bad_record() -> None:
            db.topic_writer("s").write_text(pa.array(["{no json"]))
            db.wait_idle()

        copy = crashed_at(point, tmp_path / "d", bad_record)
    for path in (tmp_path / "d", copy):
        with connect(path) as db:
            db.wait_idle()
            assert db.execute("SELECT source_offset FROM KSQL_PROCESSING_LOG;").fetchall() == [(0,)]


def test_a_query_from_the_latest_record_begins_where_it_was_made(tmp_path: Path) -> None:
    latest = "SET 'auto.offset.reset' = 'latest'; CREATE STREAM f AS SELECT k, x FROM s;"
    with connect(tmp_path / "d") as db:
        db.execute(MADE.split(";")[0] + "; INSERT INTO s VALUES ('before', 1);" + latest)
        copy = crashed_at(
            "query.before_commit",
            tmp_path / "d",
            lambda: (db.execute("INSERT INTO s VALUES ('after', 2);"), db.wait_idle()),
        )
    with connect(copy) as db:
        db.wait_idle()
        assert db.execute("SELECT k FROM f;").fetchall() == [("after",)]


def test_a_commit_that_fails_ends_the_query_and_loses_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ExternalError("cannot write", code="LOG-DISK-FULL")

    with connect(tmp_path / "d") as db:
        db.execute(MADE)
        db.wait_idle()
        with armed("query.before_commit", refuse):
            db.execute("INSERT INTO s VALUES ('a', 1);")
            with pytest.raises(StreamSQLError, match="cannot write"):
                db.execute("SELECT * FROM t;")
        db.execute("INSERT INTO s VALUES ('a', 2);")
        with pytest.raises(StreamSQLError, match="cannot write"):
            db.execute("SELECT * FROM t;")
        assert db.execute("SHOW QUERIES;").fetchall()[0][1] == "ERROR"
    with connect(tmp_path / "d") as db:
        assert db.execute("SELECT * FROM t;").fetchall() == [("a", 2)]


def test_a_commit_that_fails_beside_the_next_batch_loses_nothing_either(tmp_path: Path) -> None:
    passes = 0

    def refuse_the_second() -> None:
        nonlocal passes
        passes += 1
        if passes == 2:
            raise ExternalError("cannot write", code="LOG-DISK-FULL")

    # A commit after the first record, and then whenever the one before is done; and always more to read.
    settings = {"commit.interval.ms": "0", "max.batch.rows": "1"}
    with connect(tmp_path / "d", settings=settings) as db:
        db.execute(MADE + "PAUSE ALL;")
        for number in range(20):
            db.execute(f"INSERT INTO s VALUES ('a', {number});")
        with armed("commit.before_record_sync", refuse_the_second):
            db.execute("RESUME ALL;")
            with pytest.raises(StreamSQLError, match="cannot write"):
                db.wait_idle()
        (status,) = [runner.status() for runner in db.queries.runners.values()]
        assert status.state == "ERROR"
        assert list(status.positions.values()) == [1]
    with connect(tmp_path / "d") as db:
        assert db.execute("SELECT * FROM t;").fetchall() == [("a", 20)]


def test_restoring_tells_how_far_it_is(tmp_path: Path) -> None:
    with connect(tmp_path / "d") as db:
        db.execute(MADE)
        db.append("s", [{"k": f"k{i}", "x": i} for i in range(100)])
        db.wait_idle()
    told: list[tuple[str, int, int]] = []
    connect(tmp_path / "d", progress=lambda what, done, total: told.append((what, done, total))).close()
    assert told[-1] == ("restoring state", 100, 100)


def test_what_is_fixed_while_the_database_is_open_cannot_be_set(tmp_path: Path) -> None:
    with connect(tmp_path / "d", settings={"log.flush": "never", "commit.interval.ms": "5"}) as db:
        assert db.config.text("log.flush") == "never"
        for statement in ("SET 'log.flush' = 'always';", "UNSET 'log.flush';"):
            with pytest.raises(PlanError, match="fixed while the database is open"):
                db.execute(statement)
        for value in ("-1", "soon"):
            with pytest.raises(PlanError, match="a whole number, 0 or more"):
                db.execute(f"SET 'commit.interval.ms' = '{value}';")
    with pytest.raises(PlanError, match="always or interval or never"):
        connect(tmp_path / "d", settings={"log.flush": "sometimes"})

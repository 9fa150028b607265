"""DESCRIBE name EXTENDED: what the queries behind a source say of themselves."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa

import streamsql
from streamsql.database import Database

MADE = (
    "CREATE STREAM s (k VARCHAR KEY, x INTEGER) WITH (KAFKA_TOPIC = 's', PARTITIONS = 2, VALUE_FORMAT = 'JSON');"
    "CREATE STREAM few AS SELECT k, x FROM s WHERE x > 2;"
    "CREATE TABLE counts AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
    "CREATE TABLE recent AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING "
    "(SIZE 1 SECOND, GRACE PERIOD 1 SECOND) GROUP BY k;"
)


def described(db: Database, name: str) -> dict[str, str]:
    return dict(db.execute(f"DESCRIBE {name} EXTENDED;").fetchall())


def test_it_shows_offsets_lag_rows_and_the_last_commit(db: Database) -> None:
    db.execute(MADE)
    assert described(db, "few")["last commit"] == "never"
    db.append("s", [{"k": f"k{i}", "x": i} for i in range(10)], timestamps=[1000] * 10)
    db.topic_writer("s").write_text(pa.array(["{no json"]))
    db.wait_idle()
    found = described(db, "few")
    assert found["written by"] == "CSAS_FEW_1"
    assert (found["state of the query"], found["lag"], found["state"]) == ("RUNNING", "0 records", "none")
    offsets = [found[f"committed offset of s[{partition}]"] for partition in (0, 1)]
    assert all(offset.endswith(", 0 behind") for offset in offsets)
    assert sum(int(offset.split(",")[0]) for offset in offsets) == 11
    assert (
        found["rows since start"] == "11 read, 3 filtered, 1 skipped, 0 late, 0 failed expressions, 7 emitted"
    )
    assert re.fullmatch(r"20..-..-..T..:..:..\.\d{3}\+00:00", found["last commit"])


def test_a_paused_query_falls_behind(db: Database) -> None:
    db.execute(MADE + "PAUSE CSAS_FEW_1;")
    db.append("s", [{"k": f"k{i}", "x": i} for i in range(10)])
    found = described(db, "few")
    assert (found["state of the query"], found["lag"]) == ("PAUSED", "10 records")


def test_it_says_which_state_is_bounded_and_by_what(db: Database) -> None:
    db.execute(MADE)
    db.append("s", [{"k": "a", "x": i} for i in range(10)], timestamps=[i * 1000 for i in range(10)])
    db.wait_idle()
    assert re.fullmatch(
        r"1 row, \d+ bytes; UNBOUNDED: it grows with the number of keys",
        described(db, "counts")["state 1-groups"],
    )
    recent = described(db, "recent")
    assert "a window leaves 2000 ms after its start" in recent["state 1-groups"]
    assert recent["state 1-stream-time"].endswith("a row per partition")


def notes(db: Database, name: str) -> list[str]:
    return [note for what, note in db.execute(f"DESCRIBE {name} EXTENDED;").fetchall() if what == "note"]


def test_what_a_crash_cut_off_is_said(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path / "data") as db:
        db.execute("CREATE STREAM s (x INTEGER) WITH (KAFKA_TOPIC = 's', PARTITIONS = 1);")
        db.append("s", [{"x": 1}])
        db.append("s", [{"x": 2}])
        shutil.copytree(tmp_path / "data", tmp_path / "crashed")
        assert notes(db, "s") == []
    (segment,) = (tmp_path / "crashed" / "topics" / "s" / "0").glob("*.log")
    segment.write_bytes(segment.read_bytes()[:-8])
    with streamsql.connect(tmp_path / "crashed") as db:
        (note,) = notes(db, "s")
        assert "of an append that was not finished, at offset 1" in note


def test_what_maintenance_could_not_do_is_said_until_it_can(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.execute(
            "CREATE TABLE t (k VARCHAR PRIMARY KEY, x INTEGER) WITH (KAFKA_TOPIC = 't', PARTITIONS = 1);"
        )
        db.execute("ALTER TOPIC t WITH (SEGMENT_BYTES = 1);")
        for x in range(3):
            db.append("t", [{"k": "a", "x": x}])
    first = min((tmp_path / "topics" / "t" / "0").glob("*.log"))
    whole = first.read_bytes()
    first.write_bytes(whole[:-8] + bytes(8 * [255]))
    with streamsql.connect(tmp_path) as db:
        assert db.log.maintain(0)
        assert any(str(first) in note for note in notes(db, "t"))
        first.write_bytes(whole)
        assert not db.log.maintain(0)
        assert notes(db, "t") == []


def test_extended_lists_describe_every_one(db: Database) -> None:
    db.execute(
        "CREATE STREAM s (k INT KEY, v INT) WITH (FORMAT = 'JSON', PARTITIONS = 2);"
        "CREATE STREAM r AS SELECT * FROM s;"
        "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;"
    )
    streams = db.execute("SHOW STREAMS EXTENDED;").fetchall()
    assert streams == db.execute("DESCRIBE STREAMS EXTENDED;").fetchall()
    for name in ("R", "S"):
        assert [row[1:] for row in streams if row[0] == name] == db.execute(
            f"DESCRIBE {name} EXTENDED;"
        ).fetchall()
    assert {name for name, *_ in db.execute("SHOW TABLES EXTENDED;").fetchall()} == {"T"}
    queries = db.execute("SHOW QUERIES EXTENDED;").fetchall()
    assert [row[1:] for row in queries if row[0] == "CTAS_T_2"] == db.execute("EXPLAIN CTAS_T_2;").fetchall()


def test_extended_topics_count_their_readers(db: Database) -> None:
    db.execute("CREATE STREAM s (v INT) WITH (FORMAT = 'JSON', PARTITIONS = 2);")
    assert db.execute("SHOW TOPICS EXTENDED;").fetchall() == [("S", 2, 0, "delete", 0, 0)]
    with db.consumer("s", group="g") as consumer:
        consumer.poll(0)
        assert db.execute("SHOW TOPICS EXTENDED;").fetchall() == [("S", 2, 0, "delete", 2, 1)]

"""What a database's log keeps in the long run: states, tables, and queries whose input was dropped."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import streamsql
from streamsql.engine import restore
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.state import row_log
from streamsql.errors import PlanError


@pytest.fixture(autouse=True)
def small_changelogs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        restore, "CHANGELOG", TopicConfig(cleanup="compact", segment_bytes=20_000, delete_retention_ms=0)
    )


def test_the_changelog_of_a_state_is_compacted_as_it_grows_and_restores_the_same_state(
    tmp_path: Path,
) -> None:
    with streamsql.connect(tmp_path) as db:
        db.execute(
            "CREATE STREAM views (page VARCHAR) WITH (KAFKA_TOPIC='views', PARTITIONS=1);"
            "CREATE TABLE hits AS SELECT page, COUNT(*) AS n FROM views GROUP BY page;"
        )
        for _ in range(40):
            db.append("views", [{"PAGE": f"p{number}"} for number in range(50)])
            db.wait_idle()
            assert db.log.maintain(db.clock.now_ms()) == []
        (topic,) = (name for name in db.log.topics() if "changelog" in name)
        kept = sum(batch.num_rows for batch in db.log.read(topic, 0, 0, 10_000))
        assert db.log.end_offset(topic, 0) == 40 * 50
        assert kept < 1000
    with streamsql.connect(tmp_path) as db:
        rows = db.execute("SELECT COUNT(*), MIN(n), MAX(n) FROM hits;").fetchall()
        assert rows == [(50, 40, 40)]


PASSING = (
    "CREATE STREAM l (id BIGINT, x BIGINT) WITH (KAFKA_TOPIC='l', PARTITIONS=2);"
    "CREATE STREAM r (id BIGINT, y BIGINT) WITH (KAFKA_TOPIC='r', PARTITIONS=2);"
    "CREATE STREAM joined AS SELECT l.id AS id, x, y FROM l LEFT JOIN r WITHIN 1 SECOND "
    "GRACE PERIOD 500 MILLISECONDS ON l.id = r.id;"
    "CREATE TABLE counted AS SELECT id, COUNT(*) AS n, SUM(x) AS s FROM l WINDOW TUMBLING "
    "(SIZE 1 SECOND, RETENTION 3 SECONDS, GRACE PERIOD 500 MILLISECONDS) GROUP BY id;"
    "CREATE TABLE visits AS SELECT id, COUNT(*) AS n, SUM(y) AS s FROM r WINDOW SESSION "
    "(200 MILLISECONDS, RETENTION 2 SECONDS, GRACE PERIOD 500 MILLISECONDS) GROUP BY id;"
)
RESULTS = (
    "SELECT id, x, y, ROWTIME FROM joined;",
    "SELECT id, WINDOWSTART, n, s FROM counted;",
    "SELECT id, WINDOWSTART, WINDOWEND, n, s FROM visits;",
)


def load(db: streamsql.Database, chance: Random, turn: int) -> None:
    """Some rows, 300 ms after those before: a few late, some without a key, one from the far future.

    Partition 0 stops early and goes on much later, so that what it holds must not go with the other's.
    """
    for name, column in (("L", "X"), ("R", "Y")):
        rows = [{"ID": chance.choice([None, *range(6)]), column: chance.randrange(9)} for _ in range(40)]
        times = [300 * turn + chance.choice([*range(600), -900, -5000]) for _ in rows]
        if turn == 33:
            times[-1] = 10**14
        partition = 0 if turn < 4 or turn > 36 else 1
        db.append(name, rows, timestamps=[max(0, time) for time in times], partition=partition)
        db.wait_idle()


def test_changelogs_of_what_passes_stay_small_and_bring_the_same_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "CHANGELOG", replace(restore.CHANGELOG, segment_bytes=5_000))
    monkeypatch.setattr(row_log, "_NEEDED_RECORDS", 50)
    chance, again = Random(1), Random(1)
    with streamsql.connect(tmp_path) as db:
        db.execute(PASSING)
    with streamsql.connect() as undisturbed:
        undisturbed.execute(PASSING)
        for begin in range(0, 40, 8):
            with streamsql.connect(tmp_path) as db:
                for turn in range(begin, begin + 8):
                    load(undisturbed, chance, turn)
                    load(db, again, turn)
                    assert db.log.maintain(db.clock.now_ms()) == []
                for query in RESULTS:
                    expected = undisturbed.execute(query).fetchall()
                    assert sorted(db.execute(query).fetchall(), key=repr) == sorted(expected, key=repr)
                logs = [name for name in db.log.topics() if re.search("(left|right|groups)-changelog", name)]
                held = {name: (db.log.start_offset(name, 0), db.log.end_offset(name, 0)) for name in logs}
    assert len(held) == 4
    for name, (start, end) in held.items():
        assert end > 250, f"{name} is hardly used"
        assert end - start < 0.6 * end, f"little of {name} was let go"


def test_a_changelog_that_was_compacted_until_now_goes_over_to_what_its_store_wants(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.execute(PASSING)
        load(db, Random(1), 0)
        (name,) = (name for name in db.log.topics() if "left-changelog" in name)
        before = replace(db.log.topic_config(name), cleanup="compact", segment_bytes=1234)
        db.log.alter_topic(name, before)
    with streamsql.connect(tmp_path) as db:
        assert db.log.topic_config(name) == replace(before, cleanup="delete")


@pytest.mark.parametrize(("reset", "expected"), [("earliest", ["2", "3"]), ("latest", ["3"])])
def test_a_query_whose_next_records_were_dropped_goes_on(
    tmp_path: Path, reset: str, expected: list[str]
) -> None:
    with streamsql.connect(tmp_path, settings={"auto.offset.reset": reset}) as db:
        db.log.create_topic("in", TopicConfig(segment_bytes=1, retention_ms=1000))
        db.execute("CREATE STREAM s (v VARCHAR) WITH (KAFKA_TOPIC='in');")
        db.execute("CREATE STREAM copy AS SELECT * FROM s;")
        (query,) = db.queries.runners
        db.wait_idle()
        db.execute(f"PAUSE {query};")
        db.append("s", [{"V": "0"}, {"V": "1"}], timestamps=[0, 0])
        db.append("s", [{"V": "2"}], timestamps=[10_000])
        assert db.log.maintain(5000) == []
        assert db.log.start_offset("in", 0) == 2
        db.execute(f"RESUME {query};")
        db.wait_idle()
        db.append("s", [{"V": "3"}])
        db.wait_idle()
        assert [v for (v,) in db.execute("SELECT v FROM copy;").fetchall()] == expected


def test_tables_are_compacted_and_tables_of_windows_have_a_retention_besides(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.execute(
            "CREATE STREAM views (page VARCHAR) WITH (KAFKA_TOPIC='views', PARTITIONS=1);"
            "CREATE TABLE hits AS SELECT page, COUNT(*) AS n FROM views GROUP BY page;"
            "CREATE TABLE hourly AS SELECT page, COUNT(*) AS n FROM views "
            "WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 2 DAYS) GROUP BY page;"
            "CREATE STREAM copy WITH (RETENTION_MS=5000) AS SELECT * FROM views;"
            "CREATE TABLE names (id INT PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='names', PARTITIONS=1);"
        )
        configs = [db.log.topic_config(topic) for topic in ("views", "names", "HITS", "HOURLY", "COPY")]
        # Segments of what is compacted are smaller: a pass reads at least one whole.
        assert [(c.cleanup, c.retention_ms, c.segment_bytes >> 20) for c in configs] == [
            ("delete", None, 256),
            ("compact", None, 64),
            ("compact", None, 64),
            ("compact,delete", 2 * 86_400_000, 64),
            ("delete", 5000, 256),
        ]


def test_the_settings_of_a_topic_are_changed_in_sql(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path) as db:
        db.execute(
            "CREATE STREAM s (v VARCHAR) WITH (KAFKA_TOPIC='Clicks', PARTITIONS=2, RETENTION_MS=5000);"
        )
        db.execute("CREATE STREAM copy AS SELECT * FROM s;")
        assert db.log.topic_config("COPY").retention_ms == 5000, "as long as the source"
        done = db.execute(
            "ALTER TOPIC Clicks WITH (RETENTION_MS=-1, RETENTION_BYTES='1000000', SEGMENT_BYTES=500000, "
            "SEGMENT_MS=60000, DELETE_RETENTION_MS=0, CLEANUP_POLICY='compact, delete');"
        )
        assert done.message == "topic Clicks altered"
    with streamsql.connect(tmp_path) as db:
        assert replace(db.log.topic_config("Clicks"), properties={}) == TopicConfig(
            partitions=2,
            cleanup="compact,delete",
            retention_bytes=1_000_000,
            segment_bytes=500_000,
            segment_ms=60_000,
            delete_retention_ms=0,
        )
        facts = dict(db.execute("DESCRIBE s EXTENDED;").fetchall())
        assert facts["kept"] == "up to 1000000 bytes a partition, the last record per key"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TOPIC nothing WITH (RETENTION_MS=1);", "there is no topic nothing"),
        ("ALTER TOPIC t WITH (RETAIN_MS=1);", "there is no property RETAIN_MS here"),
        ("ALTER TOPIC t WITH (RETENTION_MS=-2);", "RETENTION_MS must be a whole number, 0 or more, not -2"),
        ("ALTER TOPIC t WITH (SEGMENT_BYTES=-1);", "SEGMENT_BYTES must be a whole number, 1 or more, not -1"),
        (
            "ALTER TOPIC t WITH (CLEANUP_POLICY='never');",
            "CLEANUP_POLICY must be delete or compact or compact,delete, not never",
        ),
        ("ALTER TOPIC `_streamsql-commands` WITH (RETENTION_MS=1);", "is the database's own"),
    ],
)
def test_settings_that_make_no_sense_are_refused(statement: str, said: str) -> None:
    with streamsql.connect() as db, pytest.raises(PlanError) as found:
        db.log.create_topic("t", TopicConfig())
        db.execute(statement)
    assert said in found.value.message

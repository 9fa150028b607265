"""db.consumer: rows as a stream or table has them, groups, and what SHOW CONSUMER GROUPS tells."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streamsql
from streamsql.clock import ManualClock
from streamsql.consumer import Consumer
from streamsql.database import Database
from streamsql.engine.log.log import TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.errors import ConflictError, DataError, PlanError

VIEWS = "CREATE STREAM views (page VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC='v', PARTITIONS=2, VALUE_FORMAT='JSON');"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000)


@pytest.fixture
def db(clock: ManualClock) -> Iterator[Database]:
    with Database(MemoryLog(), clock=clock) as database:
        database.execute(VIEWS)
        yield database


def drained(consumer: Consumer) -> list[tuple[Any, ...]]:
    """All rows that are there, as tuples."""
    found: list[tuple[Any, ...]] = []
    while (polled := consumer.poll(0)) is not None:
        found += [tuple(row.values()) for row in polled.rows.to_pylist()]
    return found


# -- rows


def test_a_stream_gives_its_columns_and_where_each_row_is(db: Database) -> None:
    db.append("views", {"page": "/", "n": 1}, timestamps=[5], partition=1)
    db.append("views", {"page": "/a", "n": 2}, timestamps=[6], partition=0)
    with db.consumer("views") as consumer:
        polled = consumer.poll(0)
        assert polled is not None and (polled.name, polled.tombstones) == ("views", None)
        assert polled.rows.schema.names == ["PAGE", "N", "ROWTIME", "ROWPARTITION", "ROWOFFSET"]
        assert sorted(polled.rows.to_pylist(), key=lambda row: row["N"]) == [
            {"PAGE": "/", "N": 1, "ROWTIME": 5, "ROWPARTITION": 1, "ROWOFFSET": 0},
            {"PAGE": "/a", "N": 2, "ROWTIME": 6, "ROWPARTITION": 0, "ROWOFFSET": 0},
        ]
        assert consumer.poll(0) is None


def test_a_table_marks_what_is_deleted(db: Database) -> None:
    db.execute(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='u', PARTITIONS=1, VALUE_FORMAT='JSON');"
    )
    db.append("users", [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    with db.producer("u", raw=True) as producer:
        producer.send({"key": (1).to_bytes(8, "big"), "value": None})
    with db.consumer("users") as consumer:
        polled = consumer.poll(0)
    assert polled is not None and polled.tombstones is not None
    assert polled.tombstones.to_pylist() == [False, False, True]
    assert [(row["ID"], row["NAME"]) for row in polled.rows.to_pylist()] == [(1, "a"), (2, "b"), (1, None)]


def test_event_time_and_headers_are_columns_too(db: Database) -> None:
    db.execute(
        "CREATE STREAM h (ts BIGINT, who BYTES HEADER('who')) "
        "WITH (KAFKA_TOPIC='h', PARTITIONS=1, VALUE_FORMAT='JSON', TIMESTAMP='ts');"
    )
    with db.producer("h", raw=True) as producer:
        producer.send({"value": '{"ts": 77}', "headers": [{"key": "who", "value": b"me"}]})
        producer.send({"value": '{"ts": 78}'})
    with db.consumer("h") as consumer:
        assert drained(consumer) == [(77, b"me", 77, 0, 0), (78, None, 78, 0, 1)]


def test_windowed_tables_have_their_bounds(db: Database) -> None:
    db.execute(
        "CREATE TABLE hits AS SELECT page, COUNT(*) AS n FROM views WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY page;"
    )
    db.append("views", [{"page": "/", "n": 1}], timestamps=[12_345])
    db.wait_idle(30)
    with db.consumer("hits") as consumer:
        polled = consumer.poll(0)
    assert polled is not None
    (row,) = polled.rows.to_pylist()
    assert (row["PAGE"], row["N"], row["WINDOWSTART"], row["WINDOWEND"]) == ("/", 1, 10_000, 20_000)


def test_raw_records_come_as_they_are(db: Database) -> None:
    db.append("views", {"page": "/", "n": 1}, timestamps=[5], partition=1)
    with db.consumer("v", raw=True) as consumer:
        polled = consumer.poll(0)
    assert polled is not None and polled.name == "v"
    assert polled.rows.to_pylist() == [
        {"key": b"/", "value": b'{"N":1}', "timestamp": 5, "partition": 1, "offset": 0}
    ]


def test_a_record_that_cannot_be_read_is_passed_over_and_kept_in_the_processing_log(db: Database) -> None:
    with db.producer("v", raw=True) as producer:
        producer.send([{"value": "no json"}, {"value": '{"N": 1}'}], partition=0)
    with db.consumer("views", group="g") as consumer:
        assert drained(consumer) == [(None, 1, 1_000, 0, 1)]
        assert consumer.positions()[TopicPartition("v", 0)] == 2
    ((query, offset),) = db.execute("SELECT query_id, source_offset FROM KSQL_PROCESSING_LOG;").fetchall()
    assert (query, offset) == ("CONSUMER g", 0)


def test_several_streams_in_one_consumer(db: Database) -> None:
    db.execute("CREATE STREAM other (x INT) WITH (KAFKA_TOPIC='o', PARTITIONS=1, VALUE_FORMAT='JSON');")
    db.append("views", {"page": "/", "n": 1})
    db.append("other", {"x": 2})
    with db.consumer(["views", "other"]) as consumer:
        polls = {
            polled.name: polled.rows.num_rows for polled in (consumer.poll(0), consumer.poll(0)) if polled
        }
        assert polls == {"views": 1, "other": 1}
        consumer.seek({("other", 0): 0})
        assert drained(consumer) == [(2, 1_000, 0, 0)]


def test_seek_pause_and_start_take_names_topics_and_numbers(db: Database) -> None:
    for partition in (0, 1):
        db.append("views", [{"n": n} for n in range(3)], partition=partition, timestamps=[10, 20, 30])
    with db.consumer("views", start={1: 2, 0: 3}) as consumer:
        assert drained(consumer) == [(None, 2, 30, 1, 2)]
        consumer.pause([("VIEWS", 1)])
        consumer.seek(20)
        assert [row[3:] for row in drained(consumer)] == [(0, 1), (0, 2)]
        assert consumer.lag() == {TopicPartition("v", 0): 0, TopicPartition("v", 1): 2}
        consumer.resume([("v", 1)])
        assert [row[3:] for row in drained(consumer)] == [(1, 1), (1, 2)]
        with pytest.raises(PlanError, match="'x' names no partition"):
            consumer.pause("x")  # type: ignore[arg-type]
        with pytest.raises(PlanError, match="topic v partition 7 is not read by this consumer"):
            consumer.seek({7: 0})
        with pytest.raises(DataError, match="offset 99 of topic v partition 1 is out of range"):
            consumer.seek({1: 99})


def test_what_cannot_be_consumed(db: Database) -> None:
    db.execute("CREATE STREAM again (n BIGINT) WITH (KAFKA_TOPIC='v', VALUE_FORMAT='JSON');")
    with pytest.raises(PlanError, match="views and again read one topic twice"):
        db.consumer(["views", "again"])
    with pytest.raises(PlanError, match="there is no stream or table V"):
        db.consumer("v")
    with pytest.raises(PlanError, match="there is no topic views"):
        db.consumer("views", raw=True)


def test_a_loop_gets_rows_as_they_come_until_the_consumer_is_closed(db: Database) -> None:
    seen: list[int] = []
    consumer = db.consumer("views")

    def loop() -> None:
        for polled in consumer:
            seen.extend(polled.rows.column("N").to_pylist())
            if len(seen) >= 3:
                arrived.set()

    arrived = threading.Event()
    thread = threading.Thread(target=loop)
    thread.start()
    for n in range(3):
        db.append("views", {"page": "/", "n": n})
    assert arrived.wait(20)
    consumer.close()
    thread.join(20)
    assert not thread.is_alive() and seen == [0, 1, 2]


# -- groups


def test_a_group_goes_on_after_a_restart(tmp_path: Path) -> None:
    seen: list[int] = []
    for turn in range(3):
        with streamsql.connect(tmp_path / "data") as db:
            if not turn:
                db.execute(VIEWS)
            db.append("views", [{"page": f"{n}", "n": 10 * turn + n} for n in range(10)])
            with db.consumer("views", group="g") as consumer:
                seen += [row[1] for row in drained(consumer)]
                consumer.commit()
    assert sorted(seen) == list(range(30))


def test_two_members_share_the_partitions_and_one_takes_over(db: Database, clock: ManualClock) -> None:
    told: list[tuple[str, list[int]]] = []

    def member(name: str) -> Consumer:
        return db.consumer(
            "views",
            group="g",
            session_timeout_ms=1_000,
            on_assigned=lambda places: told.append((f"{name} has", sorted(p for _, p in places))),
            on_revoked=lambda places: told.append((f"{name} gives", sorted(p for _, p in places))),
            on_lost=lambda places: told.append((f"{name} lost", sorted(p for _, p in places))),
        )

    a, b = member("a"), member("b")
    for consumer in (a, b, a, b):
        drained(consumer)
    assert told == [("a has", [1]), ("b has", [0])]
    db.append("views", [{"page": f"{n}", "n": n} for n in range(20)])
    of_a, of_b = drained(a), drained(b)
    assert len(of_a) + len(of_b) == 20 and of_a and of_b
    a.commit()
    clock.set(clock.now_ms() + 900)
    drained(a)
    clock.set(clock.now_ms() + 200)
    # b was silent for 1,100 ms: what it did not commit is read again, and its commit comes too late.
    assert sorted(drained(a)) == sorted(of_b)
    with pytest.raises(ConflictError):
        b.commit()
    assert told[2:] == [("a has", [0])]
    drained(b)
    assert told[3] == ("b lost", [0])
    a.close()
    b.close()


def test_show_consumer_groups(db: Database) -> None:
    assert db.execute("SHOW CONSUMER GROUPS;").fetchall() == []
    db.append("views", [{"n": n} for n in range(5)], partition=1)
    with db.consumer("views", group="g") as consumer:
        drained(consumer)
        consumer.commit({("views", 1): 3})
        assert db.execute("SHOW CONSUMER GROUPS;").fetchall() == [
            ("g", "v", 0, "g-1", 0, 0, 0),
            ("g", "v", 1, "g-1", 3, 5, 2),
        ]
    result = db.execute("LIST CONSUMER GROUPS;")
    assert [c.name for c in result.columns] == [
        "GROUP",
        "TOPIC",
        "PARTITION",
        "MEMBER",
        "COMMITTED",
        "END",
        "LAG",
    ]
    assert [row[3] for row in result.fetchall()] == [None, None]
    db.groups.delete("g")
    assert db.execute("SHOW CONSUMER GROUPS;").fetchall() == []

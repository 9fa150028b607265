"""db.producer and what db.append promises: where rows go, when they are durable, what is stored once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from produced import HOUR_MS, by_kafka, stored, views_on_disk

import streamsql
from streamsql.database import Database
from streamsql.engine.failpoints import armed
from streamsql.engine.log.log import TopicConfig
from streamsql.errors import DataError, ExternalError, InternalError, PlanError, StreamSQLError


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with views_on_disk(tmp_path) as database:
        yield database


# -- where rows go


def test_rows_go_where_kafkas_java_client_would_put_their_keys(db: Database) -> None:
    pages = [f"page {n}" for n in range(40)]
    with db.producer("views") as producer:
        sent = producer.send([{"page": page, "n": n} for n, page in enumerate(pages)])
    assert sent.result().partitions.tolist() == [by_kafka(page) for page in pages]
    for number, records in enumerate(stored(db)):
        assert [key.decode() for key, _ in records] == [p for p in pages if by_kafka(p) == number]


@pytest.mark.parametrize("partitions", [1, 2])
def test_typed_keys_go_where_an_append_puts_them(db: Database, partitions: int) -> None:
    db.execute(
        f"CREATE STREAM s (id BIGINT KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS={partitions}, VALUE_FORMAT='ARROW');"
    )
    rows = [{"id": n, "n": n} for n in range(10)]
    db.append("s", rows)
    with db.producer("s") as producer:
        sent = producer.send(rows)
    assert set(sent.result().partitions.tolist()) == set(range(partitions))
    for records in stored(db, "s"):
        assert len(records) % 2 == 0 and records[: len(records) // 2] == records[len(records) // 2 :]


def test_rows_without_a_key_go_round(db: Database) -> None:
    with db.producer("views") as producer:
        sent = [producer.send({"n": n}) for n in range(5)]
    assert [s.result().partition for s in sent] == [0, 1, 2, 0, 1]
    assert [s.result().offset for s in sent] == [0, 0, 0, 1, 1]


def test_round_robin_does_not_look_at_keys(db: Database) -> None:
    with db.producer("views", partitioner="round-robin") as producer:
        producer.send([{"page": "/", "n": n} for n in range(6)])
    assert [len(records) for records in stored(db)] == [2, 2, 2]


def test_a_function_chooses_and_a_partition_that_is_named_comes_first(db: Database) -> None:
    def by_number(rows: pa.RecordBatch, partitions: int) -> Any:
        assert rows.schema.names == ["PAGE", "N"]
        return rows.column("N").to_numpy() % partitions

    with db.producer("views", partitioner=by_number) as producer:
        chosen = producer.send([{"n": 5}, {"n": 3}])
        named = producer.send([{"n": 5}], partition=0)
    assert chosen.result().partitions.tolist() == [2, 0]
    assert named.result().partition == 0


@pytest.mark.parametrize(
    ("partitioner", "code"),
    [
        (lambda rows, partitions: [partitions] * rows.num_rows, "LOG-UNKNOWN-PARTITION"),
        (lambda rows, partitions: [0], "PRODUCER-PARTITIONER"),
        (lambda rows, partitions: [0.5] * rows.num_rows, "PRODUCER-PARTITIONER"),
        (lambda rows, partitions: 1 // 0, "INTERNAL"),
    ],
    ids=["out of range", "too few", "no whole numbers", "raises"],
)
def test_a_function_that_chooses_badly_fails_its_batch(db: Database, partitioner: Any, code: str) -> None:
    producer = db.producer("views", partitioner=partitioner, linger_ms=0)
    sent = producer.send([{"n": 1}, {"n": 2}])
    error = sent.exception()
    assert isinstance(error, StreamSQLError) and error.code == code
    with pytest.raises(StreamSQLError):
        producer.close()
    assert stored(db) == [[], [], []]


def test_what_cannot_be_sent_is_refused_at_once(db: Database) -> None:
    with db.producer("views") as producer:
        with pytest.raises(PlanError, match="topic v has no partition 3"):
            producer.send({"n": 1}, partition=3)
        with pytest.raises(DataError, match="has no column pages"):
            producer.send({"pages": 1})
        with pytest.raises(PlanError, match="a sequence needs a producer with a name"):
            producer.send({"n": 1}, sequence=1)
    with pytest.raises(InternalError, match="after it was closed"):
        producer.send({"n": 1})
    with pytest.raises(PlanError, match="there is no partitioner 'hash'"):
        db.producer("views", partitioner="hash")
    with pytest.raises(PlanError, match="there is no stream or table"):
        db.producer("nothing")


def test_raw_records_are_stored_as_they_are(db: Database) -> None:
    db.log.create_topic("bytes", TopicConfig())
    with db.producer("bytes", raw=True) as producer:
        producer.send(
            {"key": b"k", "value": "text", "headers": [{"key": "h", "value": b"1"}]}, timestamps=[7]
        )
        producer.send(pa.table({"value": pa.array([b"\xff", None])}), timestamps=[8, 9])
        with pytest.raises(DataError, match="a raw record has no column n"):
            producer.send({"n": 1})
    (batch,) = db.log.read("bytes", 0, 0, 10)
    rows = batch.to_pylist()
    assert [(r["key"], r["value"], r["timestamp"]) for r in rows] == [
        (b"k", b"text", 7),
        (None, b"\xff", 8),
        (None, None, 9),
    ]
    assert rows[0]["headers"] == [{"key": "h", "value": b"1"}]


# -- batches


def test_sends_are_collected_until_there_are_enough(db: Database) -> None:
    with db.producer("views", linger_ms=HOUR_MS, batch_rows=3) as producer:
        sent = [producer.send({"page": "/", "n": n}) for n in range(4)]
        assert [s.result(10).offset for s in sent[:3]] == [0, 1, 2]
        assert not sent[3].done()
        producer.flush()
        assert sent[3].result(0).offset == 3


def test_with_no_linger_a_send_goes_at_once(db: Database) -> None:
    with db.producer("views", linger_ms=0) as producer:
        assert producer.send({"page": "/", "n": 1}).result(10).offset == 0


def test_what_is_sent_cannot_be_called_back(db: Database) -> None:
    with db.producer("views", linger_ms=HOUR_MS) as producer:
        sent = producer.send({"page": "/", "n": 1})
        assert not sent.cancel()
    assert sent.result(0).offset == 0


def test_a_send_with_many_rows_is_one_append_and_an_empty_one_is_none(db: Database) -> None:
    with db.producer("views", batch_rows=10) as producer:
        many = producer.send([{"page": "/", "n": n} for n in range(25)])
        assert producer.send([]).result(0).offsets.tolist() == []
    assert many.result().offsets.tolist() == list(range(25))


def test_an_acknowledged_row_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = threading.Semaphore(0)
    real = os.fdatasync
    with streamsql.connect(tmp_path / "d") as db:
        db.execute("CREATE STREAM s (n BIGINT);")
        monkeypatch.setattr(os, "fdatasync", lambda handle: (syncs.release(), real(handle))[1])
        with db.producer("s", linger_ms=HOUR_MS, batch_rows=100) as producer:
            sent = [producer.send({"n": n}) for n in range(100)]
            for s in sent:
                s.result(10)
            assert syncs.acquire(blocking=False) and not syncs.acquire(blocking=False), (
                "one wait for 100 sends"
            )


def test_rows_of_many_threads_all_arrive_in_the_order_of_each(db: Database) -> None:
    with db.producer("views", linger_ms=1, batch_rows=7) as producer, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda t: [producer.send({"page": str(t), "n": n}) for n in range(50)], range(4)))
    rows = db.execute("SELECT page, n FROM views;").fetchall()
    for thread in range(4):
        assert [n for page, n in rows if page == str(thread)] == list(range(50))


def test_a_batch_that_fails_fails_its_sends_and_the_next_one_is_taken(db: Database) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    producer = db.producer("views", linger_ms=0)
    with armed("file.write", full):
        error = producer.send({"page": "/", "n": 1}).exception(10)
    assert isinstance(error, ExternalError) and error.code == "LOG-DISK-FULL"
    with pytest.raises(ExternalError):
        producer.flush()
    assert producer.send({"page": "/", "n": 2}).result(10).offset == 0
    producer.close()

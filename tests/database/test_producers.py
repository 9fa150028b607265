"""db.producer and what db.append promises: where rows go, when they are durable, what is stored once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import streamsql
from streamsql.database import Database
from streamsql.engine.failpoints import armed
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.partitioner import murmur2
from streamsql.errors import ConflictError, DataError, ExternalError, InternalError, PlanError, StreamSQLError

HOUR_MS = 3_600_000

VIEWS = "CREATE STREAM views (page VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC='v', PARTITIONS=3, VALUE_FORMAT='JSON');"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with streamsql.connect(tmp_path / "data") as database:
        database.execute(VIEWS)
        yield database


def stored(db: Database, topic: str = "v") -> list[list[tuple[Any, Any]]]:
    """(key, value) of every record, a list per partition."""
    found = []
    for partition in range(db.log.topic_config(topic).partitions):
        batches = db.log.read(topic, partition, 0, 10_000)
        found.append([(r["key"], r["value"]) for batch in batches for r in batch.to_pylist()])
    return found


def by_kafka(key: str) -> int:
    return (murmur2(key.encode()) & 0x7FFFFFFF) % 3


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


# -- producers with a name


def test_what_was_sent_before_a_restart_is_stored_once(tmp_path: Path) -> None:
    for restart in range(3):
        with streamsql.connect(tmp_path / "data") as db:
            if not restart:
                db.execute(VIEWS)
            with db.producer("views", producer_name="feed", batch_rows=4) as producer:
                # Each run sends all of it from the start, cut into other batches, and five more.
                sent = [
                    producer.send({"page": f"p{n}", "n": n}, sequence=n) for n in range(1, 6 + 5 * restart)
                ]
            assert [s.result().offset >= 0 for s in sent] == [False] * 5 * restart + [True] * 5
            rows = db.execute("SELECT n FROM views;").fetchall()
            assert sorted(rows) == [(n,) for n in range(1, 6 + 5 * restart)]
            assert max(producer.stored.values()) == 5 + 5 * restart


def test_rows_that_go_round_are_stored_once_too(db: Database) -> None:
    for _ in range(2):
        with db.producer("views", producer_name="feed", partitioner="round-robin") as producer:
            for n in range(1, 8):
                producer.send([{"n": n}, {"n": n}], sequence=n)
    assert sorted(db.execute("SELECT n FROM views;").fetchall()) == [(n,) for n in range(1, 8) for _ in "ab"]


def test_without_sequences_a_name_counts_on(db: Database) -> None:
    for turn in range(2):
        with db.producer("views", producer_name="feed") as producer:
            producer.send({"page": "/", "n": turn}).result(10)
            producer.send({"page": "/", "n": turn})
        assert producer.stored[by_kafka("/")] == 2 * turn + 2
    assert len(stored(db)[by_kafka("/")]) == 4


def test_sequences_rise(db: Database) -> None:
    with db.producer("views", producer_name="feed") as producer:
        producer.send({"n": 1}, sequence=5)
        with pytest.raises(PlanError, match="sequence 5 is not above 5"):
            producer.send({"n": 2}, sequence=5)


def test_opening_a_name_again_shuts_out_who_had_it(db: Database) -> None:
    first = db.producer("views", producer_name="feed", linger_ms=HOUR_MS)
    waiting = first.send({"page": "/", "n": 1})
    with db.producer("views", producer_name="feed") as second:
        second.send({"page": "/", "n": 2})
    with pytest.raises(ConflictError) as found:
        first.close()
    assert found.value.code == "LOG-PRODUCER-FENCED"
    assert isinstance(waiting.exception(), ConflictError)
    with pytest.raises(ConflictError):
        first.send({"page": "/", "n": 3})
    assert db.execute("SELECT n FROM views;").fetchall() == [(2,)]


def test_after_an_error_a_name_sends_nothing_until_it_is_opened_again(db: Database) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    producer = db.producer("views", producer_name="feed", linger_ms=0)
    producer.send({"page": "/", "n": 1}).result(10)
    with armed("file.write", full):
        assert isinstance(producer.send({"page": "/", "n": 2}).exception(10), ExternalError)
    with pytest.raises(ExternalError):
        producer.send({"page": "/", "n": 3})
    with pytest.raises(ExternalError):
        producer.close()
    with db.producer("views", producer_name="feed") as again:
        for n in (1, 2, 3):
            again.send({"page": "/", "n": n}, sequence=n)
    assert db.execute("SELECT n FROM views;").fetchall() == [(1,), (2,), (3,)]


def test_what_a_producer_holds_is_stored_when_the_database_is_closed(tmp_path: Path) -> None:
    with streamsql.connect(tmp_path / "d") as db:
        db.execute("CREATE STREAM s (n BIGINT);")
        sent = db.producer("s", linger_ms=HOUR_MS).send({"n": 1})
    assert sent.result(0).offset == 0
    with streamsql.connect(tmp_path / "d") as db:
        assert db.execute("SELECT * FROM s;").fetchall() == [(1,)]


# -- appends


def test_an_append_where_the_end_is_expected(db: Database) -> None:
    end = db.end_offset("views", key="/")
    assert (end, db.append("views", [{"page": "/", "n": 1}, {"page": "/", "n": 2}], expected_offset=end)) == (
        0,
        2,
    )
    with pytest.raises(
        ConflictError, match=rf"partition {by_kafka('/')} ends at offset 2, not at 0"
    ) as found:
        db.append("views", {"page": "/", "n": 3}, expected_offset=end)
    assert found.value.hint == "read what has come, decide again, and append with expected_offset=2"
    db.append("views", {"page": "/", "n": 3}, expected_offset=db.end_offset("views", key="/"))
    assert db.execute("SELECT n FROM views;").fetchall() == [(1,), (2,), (3,)]


def test_an_expected_offset_is_about_one_partition(db: Database) -> None:
    with pytest.raises(PlanError, match="and an expected offset is about one"):
        db.append("views", [{"page": f"p{n}", "n": n} for n in range(9)], expected_offset=0)
    assert (
        db.append("views", [{"page": f"p{n}", "n": n} for n in range(9)], partition=1, expected_offset=0) == 9
    )
    assert [len(records) for records in stored(db)] == [0, 9, 0]
    with pytest.raises(PlanError, match="has 3 partitions: say which, or a key"):
        db.end_offset("views")


def test_of_many_threads_one_at_a_time_gets_its_withdrawal(db: Database) -> None:
    db.append("views", {"page": "account", "n": 45})

    def withdraw(_: int) -> int:
        """Take 7 as long as there are 7, read anew whenever somebody was first."""
        taken = 0
        while True:
            end = db.end_offset("views", key="account")
            ((left,),) = db.execute("SELECT SUM(n) FROM views WHERE page = 'account';").fetchall()
            if left < 7:
                return taken
            try:
                db.append("views", {"page": "account", "n": -7}, expected_offset=end)
                taken += 7
            except ConflictError:
                pass

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(withdraw, range(3))) == 42


@pytest.mark.parametrize(
    "write",
    [
        lambda db, n: db.append("s", {"n": n}),
        lambda db, n: db.execute(f"INSERT INTO s VALUES ({n});"),
    ],
    ids=["append", "INSERT"],
)
def test_many_threads_share_their_waits_for_the_disk(
    tmp_path: Path, write: Callable[[Database, int], object]
) -> None:
    writes, syncs, all_are_writing = [], [], threading.Event()

    def written() -> None:
        writes.append(1)
        if len(writes) == 8:
            all_are_writing.set()

    def first_is_slow() -> None:
        syncs.append(1)
        assert all_are_writing.wait(10)

    with streamsql.connect(tmp_path / "d") as db:
        db.execute("CREATE STREAM s (n BIGINT);")
        with armed("file.write", written), armed("file.sync", first_is_slow), ThreadPoolExecutor(8) as pool:
            for job in [pool.submit(write, db, n) for n in range(8)]:
                job.result(20)
        assert len(syncs) <= 3

"""Producers with a name: what they send again is stored once, and one at a time has the name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from produced import HOUR_MS, VIEWS, by_kafka, stored, views_on_disk

import streamsql
from streamsql.database import Database
from streamsql.engine.failpoints import armed
from streamsql.errors import ConflictError, ExternalError, PlanError


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with views_on_disk(tmp_path) as database:
        yield database


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

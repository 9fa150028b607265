"""Appends where the end is expected, and many threads that append."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from produced import by_kafka, stored, views_on_disk

import streamsql
from streamsql.database import Database
from streamsql.engine.failpoints import armed
from streamsql.errors import ConflictError, PlanError


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with views_on_disk(tmp_path) as database:
        yield database


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

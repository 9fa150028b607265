"""Of many queries as many work at a time as have a place; who waits for one is in nobody's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from streamsql.database import Database, connect
from streamsql.engine import runner
from streamsql.engine.admission import Admission
from streamsql.engine.runner import Runner
from streamsql.engine.task import Prepared, Task

ROWS = pa.record_batch({"K": pa.array(np.arange(300) % 7), "X": pa.array(np.arange(300))})


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


class TestPlaces:
    def test_they_are_given_in_the_order_in_which_they_were_asked_for(self) -> None:
        admission = Admission(1)
        order: list[int] = []

        def work(number: int) -> None:
            with admission.place(threading.Event()) as is_admitted:
                assert is_admitted
                order.append(number)

        with admission.place(threading.Event()):
            threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
            for number, thread in enumerate(threads):
                thread.start()
                until(lambda expected=number + 1: admission.waiting == expected)  # type: ignore[misc]
        for thread in threads:
            thread.join()
        assert order == [0, 1, 2, 3, 4]

    def test_who_has_just_left_waits_behind_the_others(self) -> None:
        admission = Admission(1)
        order: list[str] = []

        def twice(name: str) -> None:
            own = threading.Event()
            for _ in range(2):
                with admission.place(own):
                    order.append(name)
                    until(lambda: admission.waiting == 1 or len(order) > 2)

        threads = [threading.Thread(target=twice, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert order in (["a", "b", "a", "b"], ["b", "a", "b", "a"])

    def test_who_is_called_away_has_no_place_and_leaves_none_taken(self) -> None:
        admission = Admission(1)
        away = threading.Event()
        found: list[bool] = []

        def wait() -> None:
            with admission.place(away) as is_admitted:
                found.append(is_admitted)

        with admission.place(threading.Event()):
            thread = threading.Thread(target=wait)
            thread.start()
            until(lambda: admission.waiting == 1)
            away.set()
            thread.join()
            assert found == [False]
        with admission.place(threading.Event()) as is_admitted:
            assert is_admitted

    def test_nobody_waits_for_one_who_does_not_move(self) -> None:
        admission = Admission(1, patience=0.01)
        for _ in range(3):
            with admission.place(threading.Event()):
                for _ in range(5):
                    with admission.place(threading.Event()) as is_admitted:
                        assert is_admitted

    def test_when_that_one_leaves_there_are_as_many_places_as_before(self) -> None:
        admission = Admission(1, patience=0.05)
        with admission.place(threading.Event()):
            with admission.place(threading.Event()):
                pass
            time.sleep(0.1)
        away = threading.Event()
        away.set()
        with admission.place(threading.Event()) as first, admission.place(away) as second:
            assert (first, second) == (True, False)

    def test_a_place_is_free_again_after_an_error(self) -> None:
        admission = Admission(1)
        with pytest.raises(ZeroDivisionError), admission.place(threading.Event()):
            raise ZeroDivisionError
        with admission.place(threading.Event()) as is_admitted:
            assert is_admitted


class TestQueries:
    """One place, and a backlog of a few rows counts as a large one."""

    @pytest.fixture
    def admission(self) -> Iterator[Admission]:
        one = Admission(1)
        with patch.object(runner, "LARGE_BATCHES", one), patch.object(runner, "_LARGE_ROWS", 10):
            yield one

    @pytest.fixture
    def db(self) -> Iterator[Database]:
        with connect() as db:
            db.execute("CREATE STREAM events (k BIGINT, x BIGINT);")
            yield db

    def create(self, db: Database, count: int) -> None:
        for number in range(count):
            db.execute(
                f"CREATE TABLE r{number} AS SELECT k, COUNT(*) AS n, SUM(x + {number}) AS total FROM events "
                "GROUP BY k;"
            )

    @contextmanager
    def waiting(self, db: Database, admission: Admission) -> Iterator[Runner]:
        """A query that waits for the one place, with all rows before it, for as long as the context lasts."""
        db.append("events", ROWS)
        with admission.place(threading.Event()):
            self.create(db, 1)
            until(lambda: admission.waiting == 1)
            (query,) = db.queries.runners.values()
            yield query

    def rows(self, db: Database) -> int:
        return db.execute("SELECT * FROM r0;").arrow().num_rows

    def expected(self, number: int) -> list[tuple[int, int, int]]:
        keys, values = ROWS.column("K").to_numpy(), ROWS.column("X").to_numpy() + number
        return [(k, int((keys == k).sum()), int(values[keys == k].sum())) for k in range(7)]

    @pytest.mark.parametrize("follows", [False, True])
    def test_no_more_of_them_work_at_a_time_than_there_are_places(
        self, db: Database, admission: Admission, follows: bool
    ) -> None:
        most, now, lock, apply = 0, 0, threading.Lock(), Task.apply

        def counted(task: Task, batch: Prepared) -> None:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.002)
            apply(task, batch)
            with lock:
                now -= 1

        only = "SMALL_BATCHES" if follows else "LARGE_BATCHES"
        with patch.object(runner, only, admission), patch.object(Task, "apply", counted):
            if follows:
                self.create(db, 8)
                for begin in range(0, ROWS.num_rows, 9):
                    db.append("events", ROWS.slice(begin, 9))
                    db.wait_idle()
            else:
                db.append("events", ROWS)
                self.create(db, 8)
                db.wait_idle()
        assert most == 1
        for number in range(8):
            rows = db.execute(f"SELECT k, n, total FROM r{number} ORDER BY k;").arrow().to_pylist()
            assert [(r["K"], r["N"], r["TOTAL"]) for r in rows] == self.expected(number)

    def test_one_with_little_to_read_waits_for_nobody(self, db: Database, admission: Admission) -> None:
        self.create(db, 1)
        with admission.place(threading.Event()):
            db.append("events", ROWS.slice(0, 3))
            db.wait_idle()
            assert db.execute("SELECT k, n FROM r0 ORDER BY k;").arrow().num_rows == 3

    def test_what_is_asked_of_one_that_waits_is_answered(self, db: Database, admission: Admission) -> None:
        with self.waiting(db, admission) as query:
            assert sum(query.status().positions.values()) == 0
            assert query.lag() == 300
        db.wait_idle()
        assert self.rows(db) == 7

    def test_one_whose_task_somebody_has_still_gives_its_place_to_others(
        self, db: Database, admission: Admission
    ) -> None:
        with ExitStack() as occupied:
            query = occupied.enter_context(self.waiting(db, admission))
            with query.still():
                occupied.close()
                with admission.place(threading.Event()) as is_admitted:
                    assert is_admitted
        db.wait_idle()
        assert self.rows(db) == 7

    def test_one_that_waits_can_be_dropped_and_what_it_had_not_read_is_still_there(
        self, db: Database, admission: Admission
    ) -> None:
        with self.waiting(db, admission):
            db.execute("DROP TABLE r0 DELETE TOPIC;")
            assert admission.waiting == 0
        self.create(db, 1)
        db.wait_idle()
        assert self.rows(db) == 7

    def test_one_that_was_paused_while_it_waited_goes_on_when_it_is_resumed(
        self, db: Database, admission: Admission
    ) -> None:
        with self.waiting(db, admission) as query:
            db.execute(f"PAUSE {query.name};")
        until(lambda: admission.waiting == 0)
        assert self.rows(db) == 0
        db.execute(f"RESUME {query.name};")
        db.wait_idle()
        assert self.rows(db) == 7

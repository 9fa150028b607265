"""Queries on several threads: the next batch is read and prepared while the one at hand is processed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from streamsql.database import Database
from streamsql.engine import parallel, read_ahead
from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.read_ahead import ReadAhead
from streamsql.engine.task import Prepared, Task
from streamsql.errors import InternalError

ROWS = 1_200
EVENTS = pa.record_batch(
    {
        "K": pa.array([f"k{number * 7 % 20}" for number in range(ROWS)]),
        "X": pa.array(np.arange(ROWS)),
        # Some are late for their window.
        "MS": pa.array(np.arange(ROWS) * 10 - (np.arange(ROWS) % 97 == 0) * 4_000 + 5_000),
    }
)
DECLARED = """
CREATE STREAM events (k VARCHAR, x BIGINT, ms BIGINT)
    WITH (TIMESTAMP = 'MS', VALUE_FORMAT = 'JSON', PARTITIONS = 3, KAFKA_TOPIC = 'events');
CREATE STREAM others (k VARCHAR, x BIGINT, ms BIGINT)
    WITH (TIMESTAMP = 'MS', VALUE_FORMAT = 'JSON', PARTITIONS = 3, KAFKA_TOPIC = 'others');
CREATE TABLE names (k VARCHAR PRIMARY KEY, name VARCHAR) WITH (VALUE_FORMAT = 'JSON', KEY_FORMAT = 'KAFKA');
"""
QUERIES = {
    "row by row": "CREATE STREAM r WITH (PARTITIONS = 2) AS SELECT k, x * 2 AS y, 10 / (x % 5) AS z FROM events "
    "WHERE x % 3 > 0 PARTITION BY k;",
    "count": "CREATE TABLE r AS SELECT k, COUNT(*) AS n, SUM(x) AS total FROM events GROUP BY k;",
    "windows": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events "
    "WINDOW HOPPING (SIZE 2 SECONDS, ADVANCE BY 1 SECOND, GRACE PERIOD 1 SECOND) GROUP BY k;",
    "final windows": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events "
    "WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 1 SECOND) GROUP BY k EMIT FINAL;",
    "sessions": "CREATE TABLE r AS SELECT k, COUNT(*) AS n, SUM(x) AS total FROM events "
    "WINDOW SESSION (100 MILLISECONDS, GRACE PERIOD 1 SECOND) GROUP BY k;",
    "final sessions": "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM events "
    "WINDOW SESSION (100 MILLISECONDS, GRACE PERIOD 1 SECOND) GROUP BY k EMIT FINAL;",
    "join of streams": "CREATE STREAM r AS SELECT e.k AS k, e.x AS y, o.x AS z FROM events e "
    "JOIN others o WITHIN (1 SECOND, 2 SECONDS) GRACE PERIOD 1 SECOND ON e.k = o.k;",
    "full join of streams": "CREATE STREAM r AS SELECT ROWKEY AS k, e.x AS y, o.x AS z FROM events e "
    "FULL JOIN others o WITHIN 500 MILLISECONDS GRACE PERIOD 1 SECOND ON e.k = o.k;",
    "join": "CREATE TABLE r AS SELECT name, COUNT(*) AS n FROM events e JOIN names t ON e.k = t.k GROUP BY name;",
}


@pytest.fixture(autouse=True)
def small_batches_count_as_large() -> Iterator[None]:
    with (
        patch.object(parallel, "_PIECE_ROWS", 10),
        patch.object(read_ahead, "_LEAST_ROWS", 1),
    ):
        yield


def fill(db: Database) -> None:
    db.execute(DECLARED)
    names = [f"name{number % 3}" for number in range(15)]
    db.append("names", pa.record_batch({"K": [f"k{n}" for n in range(15)], "NAME": names}))
    for begin in range(0, ROWS, 200):
        db.append("events", EVENTS.slice(begin, 200))
        db.append("others", EVENTS.slice(begin, 50))
        # Whoever has joined the next events with it ahead has to do it again.
        db.append("names", pa.record_batch({"K": [f"k{begin // 200}"], "NAME": ["changed"]}))


def result(db: Database, query: str, threads: int) -> tuple[object, ...]:
    """The rows of a query's result, a stream's in their order, and its counters."""
    db.execute(f"SET 'num.stream.threads' = '{threads}'; SET 'max.batch.rows' = '200';" + query)
    (runner,) = db.queries.runners.values()
    runner.start()
    runner.wait_for(db.log.end_offsets(runner.positions))
    is_stream = "STREAM" in query
    rows = db.execute(f"SELECT {'k, y, z' if is_stream else '*'} FROM r;").fetchall()
    if not is_stream:
        rows.sort()
    counters = runner.status().counters
    db.execute(f"DROP {'STREAM' if is_stream else 'TABLE'} r DELETE TOPIC;")
    return rows, counters


@pytest.mark.parametrize("name", QUERIES)
def test_more_threads_give_the_same(name: str) -> None:
    with Database(MemoryLog(), autostart=False) as db:
        fill(db)
        alone, two, three = (result(db, QUERIES[name], threads) for threads in (1, 2, 3))
    assert alone[0]
    assert two == alone
    assert three == alone


def test_a_table_is_asked_while_its_query_reads_ahead() -> None:
    with Database(MemoryLog(), autostart=False) as db:
        fill(db)
        db.execute("SET 'num.stream.threads' = '2'; SET 'max.batch.rows' = '50';" + QUERIES["count"])
        (runner,) = db.queries.runners.values()
        runner.start()
        seen = 0
        while seen < ROWS:
            # What is read ahead is not in it, and nothing is in it twice.
            found = sum(row[0] for row in db.execute("SELECT n FROM r;").fetchall())
            assert seen <= found <= ROWS
            seen = found


def test_no_thread_outlives_its_query() -> None:
    before = set(threading.enumerate())
    with Database(MemoryLog(), autostart=False) as db:
        fill(db)
        result(db, QUERIES["row by row"], 3)
    assert set(threading.enumerate()) == before


class Reading:
    """A task of a query, and its inputs."""

    def __init__(self, db: Database) -> None:
        fill(db)
        db.execute(QUERIES["count"])
        (runner,) = db.queries.runners.values()
        self.task = Task(runner.graph, 2)
        self.ahead = ReadAhead(
            self.task,
            db.log,
            lambda positions, reached: Inputs(db.log, runner.graph, positions, reached),
            {TopicPartition("events", number): 0 for number in range(3)},
            {},
            name="test",
            threads=2,
        )


@pytest.fixture
def reading() -> Iterator[Reading]:
    with Database(MemoryLog(), autostart=False) as db:
        reading = Reading(db)
        yield reading
        reading.ahead.close()
        reading.task.close()


def taken(ahead: ReadAhead, max_rows: int) -> Prepared:
    prepared = ahead.poll(max_rows)
    assert prepared is not None
    return prepared


def test_only_what_was_given_counts_as_processed(reading: Reading) -> None:
    ahead = reading.ahead
    first = taken(ahead, 200)
    positions, reached = ahead.positions, ahead.reached
    assert sum(positions.values()) == first.rows
    ahead.read_on(200)
    ahead.wait()
    assert (ahead.positions, ahead.reached, ahead.lag()) == (positions, reached, ROWS - first.rows)
    second = taken(ahead, 200)
    assert second.is_ahead
    assert sum(ahead.positions.values()) == first.rows + second.rows


def test_what_is_given_back_is_read_again(reading: Reading) -> None:
    ahead = reading.ahead
    first = taken(ahead, 200)
    ahead.read_on(200)
    ahead.give_back()
    again = taken(ahead, 200)
    assert sum(ahead.positions.values()) == first.rows + again.rows
    # Nothing of the batch that was forgotten is counted.
    assert again.problems is not None
    assert again.problems.counters.read == again.rows


def test_what_goes_wrong_beside_the_work_is_raised_where_the_batch_is_wanted(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(raw: object, *, is_ahead: bool) -> None:
        raise InternalError("broken")

    monkeypatch.setattr(reading.task, "prepare", fail)
    reading.ahead.read_on(200)
    reading.ahead.wait()
    with pytest.raises(InternalError, match="broken"):
        reading.ahead.poll(200)

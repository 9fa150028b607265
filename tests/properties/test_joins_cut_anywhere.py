"""Queries with joins give the same answer however their inputs are cut, and DuckDB's over the whole history.

Four inputs in one order of arrival: two streams (times out of order, null keys, two partitions) and two tables
(changes and tombstones). Every operator that keeps a state runs inside the checker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.graph import Graph
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.task import Prepared, Task
from tests.examples import few
from tests.properties.checked import checked_task

TOPICS = ("VIEWS", "CLICKS", "USERS", "PLANS")
DECLARED = """
CREATE STREAM views (k VARCHAR, x INTEGER) WITH (KAFKA_TOPIC = 'VIEWS', PARTITIONS = 2);
CREATE STREAM clicks (k VARCHAR, y INTEGER) WITH (KAFKA_TOPIC = 'CLICKS', PARTITIONS = 2);
CREATE TABLE users (id VARCHAR PRIMARY KEY, plan VARCHAR)
    WITH (KAFKA_TOPIC = 'USERS', PARTITIONS = 1, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');
CREATE TABLE plans (id VARCHAR PRIMARY KEY, fee VARCHAR)
    WITH (KAFKA_TOPIC = 'PLANS', PARTITIONS = 1, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');
"""


@dataclass(frozen=True)
class Query:
    """A query, and what it gives by DuckDB over `events` (source, k, v, ms, n), deletes with v null.

    oracle  None: the answer depends on what is late, which a single query cannot say
    """

    text: str
    oracle: str | None = None


WITHIN = "WITHIN 20 MILLISECONDS GRACE PERIOD 1 HOUR"
TIGHT = "WITHIN (15 MILLISECONDS, 5 MILLISECONDS) GRACE PERIOD 10 MILLISECONDS"
LAST = (
    "(SELECT k, v FROM events WHERE source = {0} AND k IS NOT NULL "
    "QUALIFY row_number() OVER (PARTITION BY k ORDER BY n DESC) = 1 AND v IS NOT NULL)"
)
VIEWS = "(SELECT * FROM events WHERE source = 0)"
USERS = "(SELECT * FROM events WHERE source = 2 AND k IS NOT NULL)"

QUERIES = {
    "inner": Query(
        f"CREATE STREAM r AS SELECT v.k AS k, x, y FROM views v JOIN clicks c {WITHIN} ON v.k = c.k;",
        f"SELECT v.k, v.v, c.v FROM {VIEWS} v JOIN (SELECT * FROM events WHERE source = 1) c "
        "ON v.k = c.k AND c.ms BETWEEN v.ms - 20 AND v.ms + 20",
    ),
    "inner, rows late": Query(
        f"CREATE STREAM r AS SELECT v.k AS k, x, y FROM views v JOIN clicks c {TIGHT} ON v.k = c.k;"
    ),
    "left, rows late": Query(
        f"CREATE STREAM r AS SELECT v.k AS k, x, y FROM views v LEFT JOIN clicks c {TIGHT} ON v.k = c.k;"
    ),
    "full, rows late": Query(
        f"CREATE STREAM r AS SELECT ROWKEY, v.k AS a, c.k AS b, x, y FROM views v FULL JOIN clicks c {TIGHT} "
        "ON v.k = c.k;"
    ),
    "stream with table": Query(
        "CREATE STREAM r AS SELECT v.k AS k, x, plan FROM views v LEFT JOIN users u ON v.k = u.id;",
        f"SELECT v.k, v.v, 'p' || u.v FROM {VIEWS} v ASOF LEFT JOIN {USERS} u ON v.k = u.k AND v.n >= u.n",
    ),
    "two streams, then a table": Query(
        f"CREATE STREAM r AS SELECT v.k AS k, x, y, plan FROM views v JOIN clicks c {TIGHT} ON v.k = c.k "
        "LEFT JOIN users u ON v.k = u.id;"
    ),
    "counted by what a table says": Query(
        "CREATE TABLE r AS SELECT plan, COUNT(*) AS n, SUM(x) AS s FROM views v JOIN users u ON v.k = u.id "
        "GROUP BY plan;",
        f"SELECT 'p' || u.v, count(*), coalesce(sum(v.v::INTEGER), 0)::INTEGER FROM {VIEWS} v ASOF JOIN {USERS} u "
        "ON v.k = u.k AND v.n >= u.n WHERE u.v IS NOT NULL GROUP BY u.v",
    ),
    "counted in windows": Query(
        "CREATE TABLE r AS SELECT plan, COUNT(*) AS n FROM views v JOIN users u ON v.k = u.id "
        "WINDOW TUMBLING (SIZE 30 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY plan;"
    ),
    "tables": Query(
        "CREATE TABLE r AS SELECT u.id AS id, plan, fee FROM users u LEFT JOIN plans p ON u.id = p.id;",
        f"SELECT u.k, 'p' || u.v, 'p' || p.v FROM {LAST.format(2)} u LEFT JOIN {LAST.format(3)} p USING (k)",
    ),
    "tables, either side": Query(
        "CREATE TABLE r AS SELECT ROWKEY AS id, plan, fee FROM users u FULL JOIN plans p ON u.id = p.id;",
        f"SELECT coalesce(u.k, p.k), 'p' || u.v, 'p' || p.v FROM {LAST.format(2)} u "
        f"FULL JOIN {LAST.format(3)} p ON u.k = p.k",
    ),
    "tables by a foreign key": Query(
        "CREATE TABLE r AS SELECT u.id AS id, plan, fee FROM users u LEFT JOIN plans p "
        "ON SUBSTRING(u.plan, 2) = p.id;",
        f"SELECT u.k, 'p' || u.v, 'p' || p.v FROM {LAST.format(2)} u LEFT JOIN {LAST.format(3)} p "
        "ON u.v = p.k",
    ),
    "both sides filtered": Query(
        "CREATE STREAM r AS SELECT v.k AS k, x, plan FROM views v JOIN users u ON v.k = u.id "
        "WHERE u.plan <> 'p1' AND x > 1;",
        f"SELECT v.k, v.v, 'p' || u.v FROM {VIEWS} v ASOF JOIN {USERS} u ON v.k = u.k AND v.n >= u.n "
        "WHERE u.v <> '1' AND v.v::INTEGER > 1",
    ),
    "a row that matches, filtered": Query(
        "CREATE STREAM r AS SELECT v.k AS k, x, plan FROM views v LEFT JOIN users u ON v.k = u.id "
        "WHERE (plan <> 'p1' OR plan IS NULL) AND x > 1;",
        f"SELECT v.k, v.v, 'p' || u.v FROM {VIEWS} v ASOF LEFT JOIN {USERS} u ON v.k = u.k AND v.n >= u.n "
        "WHERE (u.v <> '1' OR u.v IS NULL) AND v.v::INTEGER > 1",
    ),
    "two tables filtered, behind each other": Query(
        "CREATE STREAM r AS SELECT p.id AS id, x, plan, fee FROM views v JOIN users u ON v.k = u.id "
        "JOIN plans p ON SUBSTRING(u.plan, 2) = p.id WHERE plan > 'p1' AND fee > 'p1' AND x < 4 AND fee >= plan;",
    ),
    "tables, filtered": Query(
        "CREATE TABLE r AS SELECT u.id AS id, plan, fee FROM users u JOIN plans p ON u.id = p.id "
        "WHERE plan > 'p1' AND fee > 'p1' AND u.id <> '3';",
        f"SELECT u.k, 'p' || u.v, 'p' || p.v FROM {LAST.format(2)} u JOIN {LAST.format(3)} p USING (k) "
        "WHERE u.v > '1' AND p.v > '1' AND u.k <> '3'",
    ),
    "the right table whole, filtered": Query(
        "CREATE TABLE r AS SELECT p.id AS id, plan, fee FROM users u RIGHT JOIN plans p ON u.id = p.id "
        "WHERE fee > 'p1' AND plan IS NULL;",
        f"SELECT p.k, NULL, 'p' || p.v FROM {LAST.format(3)} p WHERE p.v > '1' "
        f"AND p.k NOT IN (SELECT k FROM {LAST.format(2)})",
    ),
    "pointing and pointed at, filtered": Query(
        "CREATE TABLE r AS SELECT u.id AS id, plan, fee FROM users u JOIN plans p "
        "ON SUBSTRING(u.plan, 2) = p.id AND fee <> 'p4' WHERE fee > 'p1' AND plan > 'p1';",
        f"SELECT u.k, 'p' || u.v, 'p' || p.v FROM {LAST.format(2)} u JOIN {LAST.format(3)} p "
        "ON u.v = p.k WHERE p.v > '1' AND p.v <> '4' AND u.v > '1'",
    ),
    "what a grouped join says, filtered": Query(
        "CREATE TABLE r AS SELECT plan, COUNT(*) AS n FROM users u JOIN plans p ON u.id = p.id "
        "WHERE fee > 'p1' AND u.id <> '2' GROUP BY plan;",
    ),
}  # fmt: skip

Event = tuple[int, str | None, str | None, int, int]
"""Source, key, value, time, partition."""


def event(source: int) -> st.SearchStrategy[Event]:
    is_table = source > 1
    return st.tuples(
        st.just(source),
        st.sampled_from(["1", "2", "3"] if is_table else ["1", "2", "3", None]),
        st.sampled_from(["1", "2", "4", None]),
        st.integers(0, 100),
        st.just(0) if is_table else st.integers(0, 1),
    )


events = st.lists(st.one_of([event(source) for source in range(4)]), max_size=40)
cuts = st.lists(st.integers(1, 40), max_size=6) | st.just(list(range(1, 40)))


@cache
def planned(query: str) -> tuple[Graph, int | None]:
    """The graph of a query, and the node that holds its table."""
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(DECLARED + query)
        (plan,) = db.queries.plans.values()
        return plan.graph, plan.view


def run(
    query: str, rows: Sequence[Event], places: Sequence[int], ahead: int = 0
) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """The records a query writes and, for a table, its rows at the end.

    places  where `rows` is cut
    ahead   so many batches are prepared before the one at hand is applied
    """
    graph, view = planned(query)
    task = checked_task(graph, threads=2 if ahead else 1)
    records: list[Any] = []
    table: list[tuple[Any, ...]] = []
    try:
        bounds = sorted({0, len(rows), *(p for p in places if p < len(rows))})
        batches = [dict(inputs(graph, rows, begin, end)) for begin, end in pairwise(bounds)]
        for _ in fed(task, batches, ahead):
            for _, partition, batch in task.take_records():
                records += [(partition, row) for row in batch.to_pylist()]
        if view is not None and (snapshot := task.snapshot(view)) is not None:
            names = [n for n in snapshot.schema.names if n not in ("$time", "$seq", "$weight")]
            table = sorted((tuple(row.values()) for row in snapshot.select(names).to_pylist()), key=repr)
    finally:
        task.close()
    return records, table


def fed(task: Task, batches: Sequence[Mapping[int, pa.RecordBatch]], ahead: int) -> Iterator[None]:
    if not ahead:
        for batch in batches:
            task.feed(batch)
            yield
        return
    prepared: deque[Prepared] = deque()
    for batch in batches:
        prepared.append(task.prepare(batch, is_ahead=True))
        if len(prepared) > ahead:
            task.apply(prepared.popleft())
            yield
    while prepared:
        task.apply(prepared.popleft())
        yield


def inputs(graph: Graph, rows: Sequence[Event], begin: int, end: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    for node, source in graph.sources():
        number = TOPICS.index(source.topic)
        own = [(place, rows[place]) for place in range(begin, end) if rows[place][0] == number]
        if not own:
            continue
        if number > 1:
            name = ("PLAN", "FEE")[number - 2]
            key = pa.array([k and k.encode() for _, (_, k, *_) in own], pa.binary())
            values = [None if v is None else f'{{"{name}": "p{v}"}}'.encode() for _, (_, _, v, *_) in own]
            value: pa.Array[Any] = pa.array(values, pa.binary())
        else:
            key = pa.nulls(len(own))
            columns = {
                "K": [k for _, (_, k, *_) in own],
                "XY"[number]: [v and int(v) for _, (_, _, v, *_) in own],
            }
            value = pa.StructArray.from_arrays(
                [pa.array(columns["K"], pa.string()), pa.array(columns["XY"[number]], pa.int32())],
                names=list(columns),
            )
        yield (
            node,
            pa.record_batch(
                {
                    "key": key,
                    "value": value,
                    "timestamp": pa.array([time for _, (_, _, _, time, _) in own], pa.int64()),
                    "$partition": pa.array([partition for _, (*_, partition) in own], pa.int32()),
                    "$offset": pa.array([place for place, _ in own], pa.int64()),
                    "$seq": pa.array([place - begin for place, _ in own], pa.int64()),
                }
            ),
        )


def by_partition(records: Sequence[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for partition, row in records:
        found.setdefault(partition, []).append(row)
    return found


def last_per_key(records: Sequence[Any]) -> dict[str, Any]:
    """What a reader of a table's topic ends up with."""
    found = {str(row["key"]): row["value"] for _, row in records}
    return {key: value for key, value in found.items() if value is not None}


# Whoever joined the views with the users ahead has to do it again.
TABLE_CHANGES: list[Event] = [
    (2, "1", "1", 0, 0),
    (0, "1", "2", 1, 0),
    (2, "1", "2", 2, 0),
    (0, "1", "4", 3, 0),
    (0, "1", "1", 4, 0),
]


@pytest.mark.parametrize("name", QUERIES)
@few
@given(rows=events, places=cuts, ahead=st.integers(0, 2))
@example(rows=TABLE_CHANGES, places=[1, 2, 3, 4], ahead=2)
def test_neither_cuts_matter_nor_what_is_prepared_ahead(
    name: str, rows: list[Event], places: list[int], ahead: int
) -> None:
    query = QUERIES[name].text
    one_by_one, final = run(query, rows, list(range(len(rows))))
    records, table = run(query, rows, places, ahead)
    assert table == final
    if query.startswith("CREATE STREAM"):
        assert by_partition(records) == by_partition(one_by_one)
    else:
        assert last_per_key(records) == last_per_key(one_by_one)


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


@pytest.mark.parametrize("name", [name for name, query in QUERIES.items() if query.oracle])
@few
@given(rows=events, places=cuts)
def test_it_is_what_duckdb_says_over_the_whole_history(
    oracle: duckdb.DuckDBPyConnection, name: str, rows: list[Event], places: list[int]
) -> None:
    query = QUERIES[name]
    records, table = run(query.text, rows, places)
    history = pa.table(
        {
            "source": pa.array([source for source, *_ in rows], pa.int32()),
            "k": pa.array([k for _, k, *_ in rows], pa.string()),
            "v": pa.array([v for _, _, v, *_ in rows], pa.string()),
            "ms": pa.array([ms for *_, ms, _ in rows], pa.int64()),
            "n": pa.array(range(len(rows)), pa.int64()),
        }
    )
    oracle.register("events", history)
    assert query.oracle is not None
    expected = [tuple(map(_text, row)) for row in oracle.execute(query.oracle).fetchall()]
    if query.text.startswith("CREATE STREAM"):
        table = [_columns(row) for _, row in records]
    assert sorted(tuple(map(_text, row)) for row in table) == sorted(expected)


def _columns(record: dict[str, Any]) -> tuple[Any, ...]:
    key = record["key"]
    return (*(key.values() if isinstance(key, dict) else [key]), *record["value"].values())


def _text(value: Any) -> str:
    return repr(value if value is None else str(value))

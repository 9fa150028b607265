"""Which queries are given partitions in turn instead of merged by time, and that their tables are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.log.reader import TopicReader, earliest
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.partition_order import needs_order
from streamsql.engine.runner import start_positions
from streamsql.engine.task import Task
from tests.workspaces import kept_workspace

PARTITIONS = 3
DECLARED = f"""
CREATE STREAM s (k BIGINT KEY, x BIGINT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'ARROW', PARTITIONS = {PARTITIONS});
CREATE TABLE t (k BIGINT PRIMARY KEY, x BIGINT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'ARROW', PARTITIONS = {PARTITIONS});
"""
IN_TURN = {
    "groups": "SELECT k, COUNT(*) AS n, SUM(x) AS total, MAX(x) AS most FROM s GROUP BY k",
    "other groups": "SELECT x, COUNT(*) AS n FROM s GROUP BY x",
    "filtered": "SELECT k, COUNT(*) AS n FROM s WHERE x > 1 GROUP BY k HAVING COUNT(*) > 1",
    "tumbling": "SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 4 MILLISECONDS, GRACE PERIOD 2 MILLISECONDS) GROUP BY k",
    "hopping": "SELECT k, SUM(x) AS total FROM s WINDOW HOPPING (SIZE 6 MILLISECONDS, ADVANCE BY 2 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS) GROUP BY k",
    "session": "SELECT k, COUNT(*) AS n FROM s WINDOW SESSION (3 MILLISECONDS, GRACE PERIOD 1 MILLISECOND) GROUP BY k",
}
MERGED = {
    "a stream": "CREATE STREAM r AS SELECT k, x + 1 AS y FROM s;",
    "the last value of a group": "CREATE TABLE r AS SELECT k, LATEST_BY_OFFSET(x) AS y FROM s GROUP BY k;",
    "a list": "CREATE TABLE r AS SELECT k, COLLECT_LIST(x) AS y FROM s GROUP BY k;",
    "windows of another key, which have one stream time": (
        "CREATE TABLE r AS SELECT x, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 4 MILLISECONDS) GROUP BY x;"
    ),
    "final rows": (
        "CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 4 MILLISECONDS) GROUP BY k EMIT FINAL;"
    ),
    "a table": "CREATE TABLE r AS SELECT x, COUNT(*) AS n FROM t GROUP BY x;",
    "a join": "CREATE STREAM r AS SELECT s.k AS k, s.x AS x, t.x AS y FROM s JOIN t ON s.k = t.k;",
}
ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=40)
"""Key, value and time of each record."""


def planned(statement: str) -> Graph:
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(DECLARED + statement)
        (plan,) = db.queries.plans.values()
        return plan.graph


@pytest.mark.parametrize("name", MERGED)
def test_where_order_between_partitions_says_something_they_are_merged(name: str) -> None:
    assert needs_order(planned(MERGED[name]))


GRAPHS = {name: planned(f"CREATE TABLE r AS {select};") for name, select in IN_TURN.items()}


@pytest.mark.parametrize("name", IN_TURN)
@given(rows=ROWS, sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_a_table_is_the_same_as_with_partitions_merged(
    name: str, rows: list[tuple[int, int, int]], sizes: list[int]
) -> None:
    graph = GRAPHS[name]
    assert not needs_order(graph)
    log = filled(rows)
    assert result(graph, in_turn(log, graph, sizes)) == result(graph, merged(log, graph))


def filled(rows: Sequence[tuple[int, int, int]]) -> Log:
    log = MemoryLog()
    log.create_topic("s", TopicConfig(partitions=PARTITIONS))
    for number in range(PARTITIONS):
        own = [row for row in rows if row[0] % PARTITIONS == number]
        columns = {
            "key": pa.array([{"K": key} for key, _, _ in own], pa.struct({"K": pa.int64()})),
            "value": pa.array([{"X": x} for _, x, _ in own], pa.struct({"X": pa.int64()})),
            "timestamp": pa.array([time for _, _, time in own], pa.int64()),
        }
        if own:
            log.append("s", number, pa.record_batch(columns))
    return log


def in_turn(log: Log, graph: Graph, sizes: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The batches that a query is given, of so many rows at most, in turns."""
    inputs = Inputs(log, graph, start_positions(log, graph, {}, False))
    turn = 0
    while (batch := inputs.poll(sizes[turn % len(sizes)])) is not None:
        yield next(iter(batch.values())).drop_columns(["$seq"])
        turn += 1
    assert inputs.positions == {TopicPartition("s", n): log.end_offset("s", n) for n in range(PARTITIONS)}


def merged(log: Log, graph: Graph) -> Iterator[pa.RecordBatch]:
    """Every row by itself, in the order of time."""
    reader = TopicReader(log, "s", earliest(log, "s"))
    while (row := reader.poll(1)) is not None:
        yield row


def result(graph: Graph, batches: Iterator[pa.RecordBatch]) -> tuple[list[dict[str, Any]], int]:
    """The table after all batches, without the place of its rows in the order of processing; late rows."""
    task = Task(graph, workspace=kept_workspace())
    for batch in batches:
        task.feed_topic("s", batch)
    (number,) = [n for n, node in enumerate(graph.nodes) if isinstance(node.spec, Aggregate)]
    table = task.snapshot(number)
    assert table is not None
    rows = table.drop_columns(["$seq"]).to_pylist()
    late = task.problems.counters.late
    task.close()
    return sorted(rows, key=repr), late

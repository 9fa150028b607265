"""A backlog over several topics is taken in one order, however it is cut and however often it is resumed."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs, reached_as_metadata, reached_of_metadata
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.runner import start_positions

PLACES = [TopicPartition("L", 0), TopicPartition("L", 1), TopicPartition("R", 0)]
MADE = """
CREATE STREAM l (x INTEGER) WITH (PARTITIONS = 2);
CREATE STREAM r (x INTEGER);
CREATE STREAM both AS SELECT l.x AS k, r.x AS y FROM l INNER JOIN r WITHIN 1 DAY ON l.x = r.x;
"""
times = st.lists(st.integers(0, 12), max_size=14)
Row = tuple[str, int, int]
Backlog = tuple[list[int], list[int], list[int]]
"""Timestamps of the records of each place."""


def joined() -> Graph:
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(MADE.replace("PARTITIONS = 2", "PARTITIONS = 1"))
        (plan,) = db.queries.plans.values()
        return plan.graph


GRAPH = joined()
TOPICS = {number: source.topic for number, source in GRAPH.sources()}


def append(log: Log, records: dict[TopicPartition, list[int]]) -> None:
    for place, at in records.items():
        nothing = pa.nulls(len(at), pa.binary())
        columns = {"key": nothing, "value": nothing, "timestamp": pa.array(at, pa.int64())}
        log.append(*place, pa.record_batch(columns))


def order(backlogs: list[Backlog], sizes: list[int], resumes: list[bool]) -> list[Row]:
    """(topic, partition, offset) of every row in the order of processing.

    backlogs  one after the other: each is read to its end before the next comes
    sizes     rows of the batches, in turn
    resumes   whether to go on after a batch from what a commit keeps, in turn
    """
    found: list[Row] = []
    log = MemoryLog()
    log.create_topic("L", TopicConfig(partitions=2))
    log.create_topic("R", TopicConfig())
    inputs = Inputs(log, GRAPH, start_positions(log, GRAPH, {}, False))
    turn = 0
    for backlog in backlogs:
        append(log, dict(zip(PLACES, backlog, strict=True)))
        while (batch := inputs.poll(sizes[turn % len(sizes)])) is not None:
            rows = [
                (row["$seq"], TOPICS[number], row["$partition"], row["$offset"])
                for number, records in batch.items()
                for row in records.to_pylist()
            ]
            found += [row[1:] for row in sorted(rows)]
            if resumes[turn % len(resumes)]:
                kept = reached_of_metadata(reached_as_metadata(inputs.reached))
                inputs = Inputs(log, GRAPH, inputs.positions, kept)
            turn += 1
    return found


@given(
    st.lists(st.tuples(times, times, times), min_size=1, max_size=3),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_the_order_of_a_backlog_does_not_depend_on_batches_or_restarts(
    backlogs: list[Backlog], sizes: list[int], resumes: list[bool]
) -> None:
    whole = order(backlogs, [1000], [False])
    assert len(whole) == sum(len(at) for backlog in backlogs for at in backlog)
    assert order(backlogs, sizes, resumes) == whole

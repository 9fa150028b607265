"""Running a whole query over made-up events, cut into batches where a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine import parallel
from streamsql.engine.batch import SEQ
from streamsql.engine.graph import Graph
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.task import Prepared, Task
from tests.properties.checked import checked_task

DECLARED = """
CREATE STREAM events (k VARCHAR, x INTEGER, ms BIGINT) WITH (TIMESTAMP = 'MS');
CREATE TABLE names (k VARCHAR PRIMARY KEY, name VARCHAR) WITH (VALUE_FORMAT = 'JSON', KEY_FORMAT = 'KAFKA');
"""

Event = tuple[str | None, int | None, int]
events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.one_of(st.none(), st.integers(-5, 5)),
        st.integers(0, 200),
    ),
    max_size=40,
)


@cache
def planned(query: str) -> tuple[Graph, int | None]:
    """The graph of a query, and the node that holds its table."""
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(DECLARED + query)
        (plan,) = db.queries.plans.values()
        return plan.graph, plan.view


def run(
    query: str, rows: list[Event], cuts: list[int], threads: int = 1
) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """The records a query writes and, for a table, its rows at the end; cuts are places in `rows`.

    threads  with more than one, every batch is cut, and prepared while the one before is worked on
    """
    graph, view = planned(query)
    task = checked_task(graph, threads)
    records: list[dict[str, Any]] = []
    bounds = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    batches = [raw(rows[begin:end], begin) for begin, end in pairwise(bounds)]
    for _ in fed(task, batches) if threads == 1 else fed_ahead(task, batches):
        for _, _, batch in task.take_records():
            records += batch.to_pylist()
    table: list[tuple[Any, ...]] = []
    if view is not None:
        snapshot = task.snapshot(view)
        shown = [] if snapshot is None else snapshot.drop_columns(["$seq", "$weight"]).to_pylist()
        table = sorted((tuple(row.values()) for row in shown), key=repr)
    task.close()
    return records, table


def fed(task: Task, batches: list[pa.RecordBatch]) -> Iterator[None]:
    """One batch after the other."""
    for batch in batches:
        task.feed_topic("EVENTS", batch)
        yield


def fed_ahead(task: Task, batches: list[pa.RecordBatch]) -> Iterator[None]:
    """Each batch in pieces, however small, and prepared in a thread beside the two before."""
    sources = [number for number, source in task.graph.sources() if source.topic == "EVENTS"]

    def prepare(batch: pa.RecordBatch) -> Prepared:
        numbered = batch.append_column(SEQ, pa.array(np.arange(batch.num_rows)))
        return task.prepare(dict.fromkeys(sources, numbered), is_ahead=True)

    with patch.object(parallel, "_PIECE_ROWS", 1), ThreadPoolExecutor(2) as threads:
        prepared = deque(threads.submit(prepare, batch) for batch in batches[:2])
        for following in [*batches[2:], None, None]:
            if prepared:
                batch = prepared.popleft().result()
                if following is not None:
                    prepared.append(threads.submit(prepare, following))
                task.apply(batch)
            yield


def raw(rows: list[Event], first_offset: int) -> pa.RecordBatch:
    value_type = pa.struct([("K", pa.string()), ("X", pa.int32()), ("MS", pa.int64())])
    return pa.record_batch(
        {
            "key": pa.nulls(len(rows)),
            "value": pa.array([{"K": k, "X": x, "MS": ms} for k, x, ms in rows], value_type),
            "timestamp": pa.array([0] * len(rows), pa.int64()),
            "$partition": pa.array([0] * len(rows), pa.int32()),
            "$offset": pa.array(range(first_offset, first_offset + len(rows)), pa.int64()),
        }
    )


def history(rows: list[Event]) -> pa.Table:
    """All events as a table for DuckDB."""
    schema = pa.schema([("k", pa.string()), ("x", pa.int32()), ("ms", pa.int64())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def last_per_key(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader of a table's topic ends up with."""
    found = {str(r["key"]): r["value"] for r in records}
    return {key: value for key, value in found.items() if value is not None}

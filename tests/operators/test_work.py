"""The work of a batch depends on the batch and its matches; what is kept, on what is still alive.

Nothing here is timed: operators count the rows of their state that they touch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamsql.engine.check import CheckedOperator
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin, ForeignKeyJoinOperator
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.session_aggregate import SessionAggregateOperator
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin, StreamStreamJoinOperator
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.problems import Problems
from streamsql.engine.state.row_log import RowLog
from streamsql.engine.state.store import KeyedStore
from streamsql.engine.windows import Session, TimeWindow
from tests.operators.aggregation import Row, commutative_calls, stage
from tests.operators.aggregation import batch as aggregation_batch

META = [pa.field("$time", pa.int64()), pa.field("$seq", pa.int64()), pa.field("$partition", pa.int32())]
WEIGHT = pa.field("$weight", pa.int8())
LEFT = pa.schema([pa.field("K", pa.int64()), pa.field("L", pa.string()), *META])
RIGHT = pa.schema([pa.field("K", pa.int64()), pa.field("R", pa.int64()), *META])
LEFT_TABLE, RIGHT_TABLE = LEFT.append(WEIGHT), RIGHT.append(WEIGHT)
TABLE = pa.schema([pa.field("T", pa.int64()), pa.field("R", pa.int64()), *META, WEIGHT])
POINTING = pa.schema([pa.field("ID", pa.int64()), pa.field("F", pa.int64()), *META, WEIGHT])

Inputs = tuple[pa.RecordBatch | None, ...]


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    workspace = Workspace(1)
    yield Context(workspace, Problems())
    workspace.close()


def rows(schema: pa.Schema, keys: np.ndarray, times: np.ndarray, first_seq: int = 0, step: int = 1) -> Any:
    """Rows of these keys and times; values are made up, a deletion none."""
    columns = []
    for number, field in enumerate(schema):
        if field.name == "$time":
            values = times
        elif field.name == "$seq":
            values = first_seq + step * np.arange(len(keys))
        elif field.name == "$partition":
            values = np.zeros(len(keys), dtype=np.int32)
        elif field.name == "$weight":
            values = np.ones(len(keys), dtype=np.int8)
        elif field.type == pa.string():
            values = np.char.add("text", keys.astype(str))
        else:
            values = keys if number < 2 else times
        columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def touched(operator: Operator) -> int:
    """Rows of the state that were written, read or found so far; what merging copies is not in it."""
    count = 0
    for store in operator.stores:
        if isinstance(store, KeyedStore):
            count += store.index.keys.touched + store.values.touched
        elif isinstance(store, RowLog):
            count += store.end
    if isinstance(operator, StreamStreamJoinOperator):
        count += operator.met + sum(spine.reached for spine in operator.index.by_key)
    if isinstance(operator, ForeignKeyJoinOperator):
        count += operator.by_target.reached
    if isinstance(operator, SessionAggregateOperator):
        count += sum(shard.groups.touched + shard.index.reached for shard in operator.shards.all)
    return count


@dataclass(frozen=True)
class Case:
    """An operator, what fills it with a state of some size, and one more batch, of 40 rows, always the same."""

    open: Callable[[Context], Operator]
    fill: Callable[[int], Inputs]
    batch: Inputs
    most: int


KEYS, LATER = np.arange(20) * 3, np.full(20, 2_000_000)


def everyone(size: int) -> np.ndarray:
    return np.arange(size)


CASES = {
    "inner stream-stream join": Case(
        StreamStreamJoin(LEFT, RIGHT, ("K",), "INNER", 10**7, 10**7, 0, False).open,
        lambda n: (rows(LEFT, everyone(n), everyone(n), 0, 2), rows(RIGHT, everyone(n), everyone(n), 1, 2)),
        (rows(LEFT, KEYS, LATER, 0, 2), rows(RIGHT, KEYS, LATER, 1, 2)),
        most=200,
    ),
    "full stream-stream join": Case(
        StreamStreamJoin(LEFT, RIGHT, ("K",), "FULL", 10**7, 10**7, 0, False).open,
        lambda n: (rows(LEFT, everyone(n), everyone(n), 0, 2), rows(RIGHT, everyone(n) + 1, everyone(n), 1, 2)),
        (rows(LEFT, KEYS, LATER, 0, 2), rows(RIGHT, KEYS, LATER, 1, 2)),
        most=200,
    ),
    "stream-table join": Case(
        StreamTableJoin(LEFT, TABLE, ("K",), ("T",), True).open,
        lambda n: (None, rows(TABLE, everyone(n), everyone(n))),
        (rows(LEFT, KEYS, LATER, 0, 2), rows(TABLE, KEYS, LATER, 1, 2)),
        most=150,
    ),
    "table-table join": Case(
        TableTableJoin(LEFT_TABLE, RIGHT_TABLE, ("K",), "FULL", emit_old=True).open,
        lambda n: (rows(LEFT_TABLE, everyone(n), everyone(n)), rows(RIGHT_TABLE, everyone(n), everyone(n))),
        (rows(LEFT_TABLE, KEYS, LATER, 0, 2), rows(RIGHT_TABLE, KEYS, LATER, 1, 2)),
        most=250,
    ),
    "foreign-key join": Case(
        ForeignKeyJoin(POINTING, TABLE, ("ID",), ("F",), ("T",), True).open,
        lambda n: (rows(POINTING, everyone(n), everyone(n)), rows(TABLE, everyone(n), everyone(n))),
        (rows(POINTING, KEYS, LATER, 0, 2), rows(TABLE, KEYS, LATER, 1, 2)),
        most=500,
    ),
    "materialise": Case(
        Materialise(LEFT_TABLE, ("K",), emit_old=True).open,
        lambda n: (rows(LEFT_TABLE, everyone(n), everyone(n)),),
        (rows(LEFT_TABLE, np.repeat(KEYS, 2), np.repeat(LATER, 2)),),
        most=150,
    ),
    "session": Case(
        Aggregate(stage(), ("k",), commutative_calls(), Session(10**7, 0, 10**8)).open,
        lambda n: (aggregation_batch([Row(f"k{i}", i, i) for i in range(n)]),),
        (aggregation_batch([Row(f"k{3 * i % 60}", i, 2_000_000) for i in range(40)]),),
        most=400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_batch_touches_as_many_rows_of_a_large_state_as_of_a_small_one(
    context: Context, case: Case
) -> None:
    counts = []
    for size in (200, 20_000):
        operator = case.open(context)
        operator.process(*case.fill(size))
        before = touched(operator)
        assert before >= size
        assert operator.process(*case.batch) is not None
        counts.append(touched(operator) - before)
    assert counts[0] == counts[1] <= case.most


def test_a_keyed_store_touches_what_it_is_asked_for(context: Context) -> None:
    counts = []
    for size in (200, 20_000):
        store = KeyedStore(
            "s", LEFT.empty_table().select(["K"]).schema, pa.schema([LEFT.field("L")]), _spread
        )
        batch = rows(LEFT, everyone(size), everyone(size))
        slots, _ = store.find_or_add([batch.column("K")])
        store.put(slots, [batch.column("L")])
        store.drain()
        before = store.index.keys.touched + store.values.touched
        some, _ = store.find_or_add([pa.array(KEYS)])
        store.put(some, [pa.array(["new"] * len(KEYS))])
        assert store.drain().num_rows == len(KEYS)
        store.remove(some)
        assert store.drain().num_rows == len(KEYS)
        counts.append(store.index.keys.touched + store.values.touched - before)
    assert counts[0] == counts[1] <= 200


def _spread(keys: Any) -> np.ndarray:
    return keys[0].to_numpy().astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


# --- what is kept ---------------------------------------------------------------------------------


def moving_streams(number: int) -> Inputs:
    """A hundred rows of each side, ten a second, some out of order, keys that come and go."""
    random = np.random.default_rng(number)
    times = (
        10_000 * number + np.arange(100) * 100 - random.integers(0, 3_000, 100) * (random.random(100) < 0.2)
    )
    keys = number * 5 + random.integers(0, 50, 100)
    times = np.maximum(times, 0)
    return rows(LEFT, keys, times, 0, 2), rows(RIGHT, keys[::-1].copy(), times, 1, 2)


def moving_events(number: int) -> Inputs:
    left, _ = moving_streams(number)
    assert left is not None
    keys, times = left.column("K").to_pylist(), left.column("$time").to_pylist()
    return (aggregation_batch([Row(f"k{k}", k, t) for k, t in zip(keys, times, strict=True)]),)


MOVING = {
    "inner join": (StreamStreamJoin(LEFT, RIGHT, ("K",), "INNER", 5_000, 5_000, 2_000, False), moving_streams),
    "full join": (StreamStreamJoin(LEFT, RIGHT, ("K",), "FULL", 5_000, 5_000, 2_000, False), moving_streams),
    "eager left join": (StreamStreamJoin(LEFT, RIGHT, ("K",), "LEFT", 5_000, 5_000, 2_000, True), moving_streams),
    "session": (Aggregate(stage(), ("k",), commutative_calls(), Session(4_000, 3_000, 7_000)), moving_events),
    "final session": (
        Aggregate(stage(), ("k",), commutative_calls(), Session(4_000, 3_000, 7_000), emit_final=True),
        moving_events,
    ),
    "tumbling": (
        Aggregate(stage(), ("k",), commutative_calls(), TimeWindow(5_000, 5_000, 3_000, 8_000)),
        moving_events,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVING)
def test_a_stream_that_moves_on_leaves_nothing_behind(context: Context, name: str) -> None:
    spec, inputs = MOVING[name]
    operator = CheckedOperator(spec.open(context), spec.output)
    held = []
    for number in range(140):
        operator.process(*inputs(number))
        for store in operator.stores:
            # As a commit does; until then a store remembers what it has to say.
            store.drain()
        held.append(_held(operator.operator))
    early, late = (np.array(part).max(axis=0) for part in (held[20:60], held[100:]))
    # Columns of text keep up to a thousand rows that are dead: what they hold goes up and down.
    assert (late <= early * 1.5 + 50).all(), (early, late)


def _held(operator: Operator) -> list[int]:
    """Rows of the stores, and of the indexes over them, and bytes."""
    found = [store.rows for store in operator.stores] + [store.bytes for store in operator.stores]
    if isinstance(operator, StreamStreamJoinOperator):
        found += [len(operator.index.by_key[side]) for side in (0, 1)]
        found += [len(buffer) for buffer in operator.buffers]
        found.append(len(operator.index.keys))
    if isinstance(operator, SessionAggregateOperator):
        found.append(sum(len(shard.index.keys) for shard in operator.shards.all))
        found.append(sum(len(shard.calendar) for shard in operator.shards.all))
    return found

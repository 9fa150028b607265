"""Scale: what a batch costs an operator whose state is small, and one whose state is a hundred times larger.

    python -m benchmarks scale [--case NAME] [--batches N] [--json]

    stream-stream join, left join streams  windows of an hour, which hold that many rows of each side
    session             sessions of that many keys
    materialise, stream-table join, table-table join   tables of that many keys

A batch has 10,000 rows, half of them of each side where there are two; after it the changelog is drained,
as a commit does. Times are CPU milliseconds per batch, the mean of many: what is spread over batches, like
merging and compaction, is in it. By theory both states cost the same, up to a logarithm and the caches that
the larger one no longer fits in.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from benchmarks.machine import resident_bytes
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.problems import Problems
from streamsql.engine.stage import Stage
from streamsql.engine.windows import Session
from streamsql.functions.aggregates import AGGREGATES, bind
from streamsql.functions.registry import Registry
from streamsql.functions.resolve import resolve

BATCH_ROWS = 10_000
_FILL_ROWS = 200_000
_HOUR_MS = 3_600_000
Inputs = tuple[pa.RecordBatch | None, ...]

META = [pa.field("$time", pa.int64()), pa.field("$seq", pa.int64()), pa.field("$partition", pa.int32())]
WEIGHT = pa.field("$weight", pa.int8())


def _schema(key: str, *values: str, table: bool = False) -> pa.Schema:
    """A key, a text and numbers."""
    fields = [
        pa.field(key, pa.int64()),
        *(pa.field(v, pa.string() if v == "S" else pa.int64()) for v in values),
    ]
    return pa.schema([*fields, *META, *([WEIGHT] if table else [])])


def rows(schema: pa.Schema, keys: np.ndarray, times: np.ndarray, seq: np.ndarray) -> pa.RecordBatch:
    """A batch of these keys and times; values are made up from the keys."""
    meta = {
        "$time": pa.array(times),
        "$seq": pa.array(seq),
        "$partition": pa.array(np.zeros(len(keys), dtype=np.int32)),
        "$weight": pa.array(np.ones(len(keys), dtype=np.int8)),
    }
    # Far apart, so that neither state finds a key by counting from the first.
    keys = keys * 1_000_003
    columns = []
    for field in schema:
        if field.name in meta:
            columns.append(meta[field.name])
        elif field.type == pa.string():
            columns.append(_TEXTS.take(pa.array(keys % len(_TEXTS))))
        else:
            columns.append(pa.array(keys))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


_TEXTS = pa.array([f"/some/page/{number}" for number in range(1000)])


@dataclass(frozen=True, slots=True)
class Case:
    """An operator, the batches that fill its state, and those that are measured.

    sizes  rows of the small and of the large state
    """

    name: str
    sizes: tuple[int, int]
    open: Callable[[Context], Operator]
    fill: Callable[[int], Iterator[Inputs]]
    batches: Callable[[int], Iterator[Inputs]]


@dataclass(frozen=True, slots=True)
class Point:
    """ms: CPU milliseconds per batch; bytes: the process holds per row of the state, with its indexes."""

    case: str
    state_rows: int
    ms: float
    bytes: float
    output_rows: float


def main(arguments: list[str]) -> int:
    """Measure the chosen cases; fails if a batch costs more than twice as much with the larger state."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale")
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--batches", type=int, default=100, help="how many are measured")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    if not options.json:
        print(f"{'operator':20} {'state rows':>11} {'bytes/row':>9} {'ms/batch':>9} {'rows out':>9}  times")
    worst = 0.0
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        points = [measure(case, size, options.batches) for size in case.sizes]
        times = points[1].ms / points[0].ms
        worst = max(worst, times)
        for point, shown in zip(points, ("", f"{times:6.2f}"), strict=True):
            if options.json:
                print(json.dumps(asdict(point)), flush=True)
            else:
                print(
                    f"{point.case:20} {point.state_rows:11,} {point.bytes:9.0f} {point.ms:9.2f} "
                    f"{point.output_rows:9,.0f} {shown}",
                    flush=True,
                )
    return 0 if worst <= 2 else 1


def measure(case: Case, size: int, batches: int) -> Point:
    """Fill a state of that size, then take the mean over so many batches."""
    workspace = Workspace(1)
    operator = case.open(Context(workspace, Problems()))
    before = resident_bytes()
    for inputs in case.fill(size):
        _step(operator, inputs)
    kept = sum(store.rows for store in operator.stores)
    memory = resident_bytes() - before
    spent, output = 0.0, 0
    source = case.batches(size)
    for _ in range(batches):
        inputs = next(source)
        began = time.process_time()
        output += _step(operator, inputs)
        spent += time.process_time() - began
    workspace.close()
    return Point(case.name, kept, 1000 * spent / batches, memory / kept, output / batches)


def _step(operator: Operator, inputs: Inputs) -> int:
    out = operator.process(*inputs)
    for store in operator.stores:
        store.drain()
    return 0 if out is None else out.num_rows


# --- the cases -----------------------------------------------------------------------------------

LEFT, RIGHT = _schema("K", "L", "S"), _schema("K", "R")
LEFT_TABLE, RIGHT_TABLE = _schema("K", "L", "S", table=True), _schema("K", "R", table=True)
STREAM, TABLE = _schema("K", "L"), _schema("T", "R", "S", table=True)


def _streams(size: int, begin: int, count: int, batch_rows: int) -> Iterator[Inputs]:
    """Rows of both sides in turn, `size` of each in an hour; a row has a partner in the hour on average."""
    random = np.random.default_rng(begin)
    for first in range(begin, begin + count, batch_rows // 2):
        number = np.arange(first, first + batch_rows // 2)
        times = number * _HOUR_MS // size
        yield (
            rows(LEFT, random.integers(0, size, len(number)), times, 2 * (number - first)),
            rows(RIGHT, random.integers(0, size, len(number)), times, 2 * (number - first) + 1),
        )


def _updates(size: int, schema: pa.Schema, in_order: bool = False) -> Iterator[pa.RecordBatch]:
    """Table rows of keys drawn from `size`, or of all of them once."""
    random = np.random.default_rng(size)
    step = min(size, _FILL_ROWS) if in_order else BATCH_ROWS
    keys = random.permutation(size) if in_order else None
    first = 0 if in_order else size
    while keys is None or first < size:
        seq = np.arange(step)
        chosen = random.integers(0, size, step) if keys is None else keys[first : first + step]
        yield rows(schema, chosen, seq[: len(chosen)] + first, seq[: len(chosen)])
        first += step


def _both(size: int, in_order: bool = False) -> Iterator[Inputs]:
    half = BATCH_ROWS // 2
    for left, right in zip(
        _updates(size, LEFT_TABLE, in_order), _updates(size, RIGHT_TABLE, in_order), strict=True
    ):
        yield (left, right) if in_order else (left.slice(0, half), right.slice(half))


def _looked_up(size: int) -> Iterator[Inputs]:
    half = BATCH_ROWS // 2
    for stream, table in zip(_updates(size, STREAM), _updates(size, TABLE), strict=True):
        yield stream.slice(0, half), table.slice(half)


def _count() -> AggregateCall:
    found = resolve("COUNT", Registry(AGGREGATES).overloads("COUNT"), [])
    return bind(found, [], [], "n", "s_", on_table=False)


CASES = (
    Case(
        "stream-stream join",
        (10_000, 1_000_000),
        StreamStreamJoin(LEFT, RIGHT, ("K",), "INNER", _HOUR_MS // 2, _HOUR_MS // 2, 0, False).open,
        lambda size: _streams(size, 0, size, BATCH_ROWS),
        lambda size: _streams(size, size, 1 << 40, BATCH_ROWS),
    ),
    Case(
        "left join streams",
        (10_000, 1_000_000),
        StreamStreamJoin(LEFT, RIGHT, ("K",), "LEFT", _HOUR_MS // 2, _HOUR_MS // 2, 0, False).open,
        lambda size: _streams(size, 0, size, BATCH_ROWS),
        lambda size: _streams(size, size, 1 << 40, BATCH_ROWS),
    ),
    Case(
        "session",
        (50_000, 1_000_000),
        Aggregate(
            Stage("SELECT * FROM {input}", None, STREAM, STREAM, moves=tuple(STREAM.names)),
            ("K",),
            (_count(),),
            Session(_HOUR_MS, _HOUR_MS, 10 * _HOUR_MS),
        ).open,
        lambda size: ((batch,) for batch in _updates(size, STREAM, in_order=True)),
        lambda size: ((batch,) for batch in _updates(size, STREAM)),
    ),
    Case(
        "materialise",
        (50_000, 5_000_000),
        Materialise(LEFT_TABLE, ("K",), emit_old=True).open,
        lambda size: ((batch,) for batch in _updates(size, LEFT_TABLE, in_order=True)),
        lambda size: ((batch,) for batch in _updates(size, LEFT_TABLE)),
    ),
    Case(
        "stream-table join",
        (50_000, 5_000_000),
        StreamTableJoin(STREAM, TABLE, ("K",), ("T",), True).open,
        lambda size: ((None, batch) for batch in _updates(size, TABLE, in_order=True)),
        _looked_up,
    ),
    Case(
        "table-table join",
        (50_000, 5_000_000),
        TableTableJoin(LEFT_TABLE, RIGHT_TABLE, ("K",), "INNER", emit_old=True).open,
        lambda size: _both(size, in_order=True),
        _both,
    ),
)

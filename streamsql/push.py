"""From a planned push query to a result that its reader drives."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from streamsql.config import Config
from streamsql.engine.batch import WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.log.log import Log
from streamsql.engine.operators.upserts import without_paired_retractions
from streamsql.engine.push import PushQuery
from streamsql.plan.push import PushPlan
from streamsql.result import Changes, Result, Status
from streamsql.schema import WINDOW_BOUNDS

_MAX_BATCH_ROWS = 1 << 17


def push_result(plan: PushPlan, log: Log, config: Config) -> Result:
    """Start a push query; it runs as far as its result is read."""
    from_latest = config.text("auto.offset.reset") == "latest"
    query = PushQuery(
        plan.graph,
        log,
        from_latest=from_latest,
        max_batch_rows=min(config.number("max.batch.rows"), _MAX_BATCH_ROWS),
    )
    status = Status()
    columns = tuple(c.column for c in plan.columns)
    return Result(
        "CHANGES", columns, status=status, _changes=_changes(plan, query, status), _close=query.close
    )


def _changes(plan: PushPlan, query: PushQuery, status: Status) -> Iterator[Changes]:
    left = plan.limit
    if left == 0:
        query.close()
    for batch in query.batches():
        piece = shown(plan, batch)
        if left is not None:
            piece = _first(piece, left)
            left -= piece.rows.num_rows
        _count(status, query, piece.rows.num_rows)
        if piece.rows.num_rows:
            yield piece
        if left == 0:
            query.close()
    _count(status, query, 0)


def shown(plan: PushPlan, batch: pa.RecordBatch) -> Changes:
    """The columns of the result; of a tombstone only the key and the window's bounds."""
    tombstones = None
    if plan.is_table and WEIGHT in batch.schema.names:
        bounds = [name for name in (WINDOW_START, WINDOW_END) if name in batch.schema.names]
        keys = [c.physical for c in plan.columns if c.is_key]
        batch = without_paired_retractions(batch, keys + bounds)
        gone = pc.less(batch.column(WEIGHT), 0)
        if gone.true_count:
            tombstones = gone
    arrays = []
    for column in plan.columns:
        array = batch.column(column.physical)
        if tombstones is not None and not column.is_key and column.name not in WINDOW_BOUNDS:
            array = pc.if_else(tombstones, pa.scalar(None, array.type), array)
        arrays.append(array)
    rows = pa.RecordBatch.from_arrays(arrays, names=[c.name for c in plan.columns])
    return Changes(rows, tombstones)


def _first(piece: Changes, rows: int) -> Changes:
    if piece.rows.num_rows <= rows:
        return piece
    tombstones = None if piece.tombstones is None else piece.tombstones.slice(0, rows)
    return Changes(piece.rows.slice(0, rows), tombstones)


def _count(status: Status, query: PushQuery, shown: int) -> None:
    counters = query.problems.counters
    status.read = counters.read
    status.emitted += shown
    status.skipped = counters.skipped
    status.late = counters.late
    status.filtered = max(0, counters.read - counters.emitted - counters.skipped - counters.late)
    status.first_reason = query.problems.first_reason

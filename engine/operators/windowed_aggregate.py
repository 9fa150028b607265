"""Aggregation in tumbling and hopping windows.

Rows are grouped by key and pane, a pane being the longest stretch of time whose rows share all their
windows. A tumbling window is one pane; a hopping one is put together from the partials of its panes, so
that each row is aggregated once, however many windows it falls into. Aggregates that go by the order of
rows are grouped by window instead, and by row if every change of a window counts.

A batch in which no row can be late goes through one fused statement. If a row may be late, the stage's
rows are looked at before they are grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME
from streamsql.engine.by_partition import Partitions, largest_by_partition
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context, Finish, Operator, WindowBounds
from streamsql.engine.operators.partials import Numbering, is_rising, numbered
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.operators.window_changes import Spread, WindowRows, Windows
from streamsql.engine.operators.window_plan import LOW, OTHER_PARTITION, WindowPlan
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.windows import TimeWindow

_MOST_CANDIDATES = 1 << 17
"""Looking a key up tries every window it may have; with more than this, reading the table is quicker."""


class _Partials(NamedTuple):
    """What a batch adds: a row per key and window or pane, or per row if every change counts.

    partition  of all rows; None: they have it
    numbering  what their numbers stand for, if they are not the batch's own
    spread     the same over its windows, if that is done
    """

    rows: pa.RecordBatch
    partition: int | None
    numbering: Numbering | None = None
    spread: Spread | None = None


class _Thread(NamedTuple):
    """What groups a batch: one for each thread that does so. The hasher is of keys and starts."""

    plan: WindowPlan
    hasher: KeyHasher


class WindowedAggregateOperator(Operator):
    """`snapshot` gives the windows within retention; with `emit_final` those that have closed.

    With `emit_final` a window's retention counts from its closing, not from its start: there is nothing
    to see of it before.
    """

    def __init__(self, spec: Aggregate, context: Context) -> None:
        assert isinstance(spec.window, TimeWindow)
        self.spec = spec
        self.window = spec.window
        self._problems = context.problems
        self.stream_time = StreamTime()
        self._thread = self._for_thread(context)
        self._ahead = [self._for_thread(replace(context, workspace=w)) for w in context.workspace.ahead]
        self._plan = self._thread.plan
        self.windows = Windows(spec, context.workspace, self.stream_time, self._plan.is_in_panes)
        self.stores = (self.windows.groups.store, self.stream_time)
        self._must_see_rows = False
        self._uses_seq = any(call.uses_seq for call in spec.calls)
        self._groups_span_partitions = False

    def _for_thread(self, context: Context) -> _Thread:
        hasher = KeyHasher(context.workspace, self.spec.window_keys)
        return _Thread(WindowPlan(self.spec, self.window, context), hasher)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        return None if batch is None else self._process(batch, None)

    def prepare(self, place: int, *inputs: pa.RecordBatch | None) -> Finish | None:
        (batch,) = inputs
        if batch is None or not batch.num_rows:
            return None
        # Whether a row is late is known when its turn comes. Usually none is.
        if self._uses_seq or self._must_see_rows or not is_rising(batch.column(SEQ).to_numpy()):
            return None
        plan, hasher = self._ahead[place]
        one = self._only_partition(batch)
        rows = plan.of_batch(batch, with_partitions=one is None)
        if rows is None:
            return None
        spread = self.windows.spread(rows, one, hasher) if rows.num_rows else None
        prepared = _Partials(rows, one, spread=spread)
        return lambda: self._process(batch, prepared)

    def _process(self, batch: pa.RecordBatch, prepared: _Partials | None) -> pa.RecordBatch | None:
        if not batch.num_rows:
            return None
        self.windows.catch_up_with_restored_rows()
        self._must_see_rows = self._may_be_late(batch)
        partials = None if self._must_see_rows else self._partials_of_batch(batch, prepared)
        if partials is not None:
            closers = self._rows(self._plan.places(batch)) if self._may_close(batch) else None
            self.stream_time.advance(self._partitions_of(partials), partials.rows.column(TIME).to_numpy())
        else:
            closers = self._rows(self._plan.rows(batch))
            partials = self._partials_of_rows(closers)
            self.stream_time.advance(closers.partition, closers.time)
        changes = self._merged(partials) if partials.rows.num_rows else None
        if self.spec.emit_final:
            changes = None if closers is None else self.windows.close(closers)
        self.windows.expire()
        return changes if changes is not None and changes.num_rows else None

    def snapshot(self) -> pa.RecordBatch:
        return self.windows.table()

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        starts = self._candidates(bounds)
        if len(starts) * len(keys[0]) > _MOST_CANDIDATES:
            return None
        rows = pa.array(np.repeat(np.arange(len(keys[0])), len(starts)))
        sought = [k.take(rows) for k in keys]
        sought.append(pa.array(np.tile(starts, len(keys[0]))))
        return self.windows.look_up(sought)

    def _candidates(self, bounds: WindowBounds) -> Int64s:
        """Starts of the windows within bounds that may be kept: what a key's windows are looked up by."""
        times = [self.stream_time.of(number) for number in self.stream_time.partitions()]
        if not times:
            return np.zeros(0, dtype=np.int64)
        kept_ms = self.window.retention_ms + self.window.size_ms + self.window.grace_ms
        low = max(bounds.first_start, bounds.first_end - self.window.size_ms, min(times) - kept_ms, 0)
        high = min(bounds.last_start, bounds.last_end - self.window.size_ms, max(times))
        advance = self.window.advance_ms
        return np.arange(-(-low // advance) * advance, high + 1, advance, dtype=np.int64)

    # What the batch adds

    def _may_be_late(self, batch: pa.RecordBatch) -> bool:
        """Whether the rows must be looked at because one of them may be late.

        Judged from the rows before the stage's filter, by a stream time that is never too low.
        """
        if self.spec.explodes or self._groups_span_partitions:
            return True
        time = batch.column(TIME).to_numpy()
        first = self.window.first_start(time.min(keepdims=True))
        latest = np.array([self._latest(batch)])
        if self.window.open_start(latest)[0] <= first[0]:
            return False
        running = self.stream_time.running(self._partitions(batch), time)
        if running is time:
            # In order: every row is the latest so far, and no window that contains it can be closed.
            return False
        return bool((self.window.first_start(time) < self.window.open_start(running)).any())

    def _may_close(self, batch: pa.RecordBatch) -> bool:
        """Whether a row of this batch may close a window whose final row is then due."""
        if not self.spec.emit_final:
            return False
        first = self.window.first_start(batch.column(TIME).to_numpy().min(keepdims=True))
        own, other = int(self.window.close_time(first)[0]), self.windows.first_to_close()
        return (own if other is None else min(own, other)) <= self._latest(batch)

    def _latest(self, batch: pa.RecordBatch) -> int:
        """No stream time is later than this once the batch has been seen."""
        times = largest_by_partition(self._partitions(batch), batch.column(TIME).to_numpy())
        return max(max(latest, self.stream_time.of(number)) for number, latest in times)

    def _partials_of_batch(self, batch: pa.RecordBatch, prepared: _Partials | None) -> _Partials | None:
        """Partials by the fused statement; None if a row fails, or groups turn out to span partitions.

        prepared  what the statement has given, if it has run already
        """
        partials = prepared
        if partials is None:
            one = self._only_partition(batch)
            batch, numbering = self._numbered(batch)
            rows = self._plan.of_batch(batch, with_partitions=one is None)
            if rows is None:
                return None
            partials = _Partials(rows, one, numbering)
        if partials.partition is None:
            other = partials.rows.column(OTHER_PARTITION).to_numpy()
            if (partials.rows.column(PARTITION).to_numpy() != other).any():
                self._groups_span_partitions = True
                return None
        return partials

    def _partials_of_rows(self, given: WindowRows) -> _Partials:
        """Partials of the rows that are not late; those that are get counted."""
        open_start = self.window.open_start(given.stream_time)
        first = self.window.first_start(given.time)
        in_time = self.window.last_start(given.time) >= open_start
        late = int(np.count_nonzero(first < open_start))
        self._problems.late(late, "a window they fall into had closed")
        rows = given.rows
        low = np.maximum(first, open_start)
        if late:
            rows, low = rows.filter(pa.array(in_time)), low[in_time]
        rows, numbering = self._numbered(rows)
        partials = self._plan.of_rows(rows.append_column(LOW, pa.array(low)))
        return _Partials(partials, None if self.spec.by_partition else 0, numbering)

    def _rows(self, rows: pa.RecordBatch) -> WindowRows:
        partition, time = self._partitions(rows).astype(np.int64), rows.column(TIME).to_numpy()
        seq = rows.column(SEQ).to_numpy()
        return WindowRows(rows, partition, time, seq, self.stream_time.running(partition, time))

    def _numbered(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        return numbered(rows, self.stream_time, uses_seq=self._uses_seq)

    def _only_partition(self, rows: pa.RecordBatch) -> int | None:
        """The partition of all rows; None if they are of several."""
        partition = self._partitions(rows)
        return int(partition[0]) if (partition == partition[0]).all() else None

    def _partitions_of(self, partials: _Partials) -> Partitions:
        if partials.partition is None:
            return self._partitions(partials.rows)
        return np.full(partials.rows.num_rows, partials.partition)

    def _partitions(self, rows: pa.RecordBatch) -> Partitions:
        if not self.spec.by_partition:
            return np.zeros(rows.num_rows, dtype=np.int32)
        partitions: Partitions = rows.column(PARTITION).to_numpy()
        return partitions

    # What follows from it

    def _merged(self, partials: _Partials) -> pa.RecordBatch:
        """Merge partials into the windows' states; gives a change per window unless only finals count."""
        spread = partials.spread
        if spread is None:
            spread = self.windows.spread(partials.rows, partials.partition, self._thread.hasher)
        changes = self.windows.changes(spread)
        if partials.numbering is None:
            return changes
        given = partials.numbering.given(changes.column(SEQ).to_numpy())
        return changes.set_column(changes.schema.get_field_index(SEQ), SEQ, pa.array(given))

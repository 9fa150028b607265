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
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME, WINDOW_START
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context, Finish, Operator, WindowBounds
from streamsql.engine.operators.calendar import Calendar
from streamsql.engine.operators.changes import by_processing, interleaved, key_order, weights, with_times
from streamsql.engine.operators.group_states import GroupStates, last_places
from streamsql.engine.operators.partials import Numbering, is_rising
from streamsql.engine.operators.running_states import RunningStates, Steps
from streamsql.engine.operators.stream_time import NEVER, StreamTime
from streamsql.engine.operators.window_plan import LOW, OTHER_PARTITION, PANE, WindowPlan
from streamsql.engine.state.columns import Int64s, distinct
from streamsql.engine.state.hashing import HASH
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.windows import TimeWindow

_MOST_CANDIDATES = 1 << 17
"""Looking a key up tries every window it may have; with more than this, reading the table is quicker."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The stage's rows of a batch, all columns or only their places, and stream time at each; int64[n]."""

    rows: pa.RecordBatch
    partition: Int64s
    time: Int64s
    seq: Int64s
    stream_time: Int64s


@dataclass(frozen=True, slots=True)
class _Partials:
    """What a batch adds to windows: a row per key and window, or several if it came in panes or by rows.

    rows   partials by state column, in the order of `seq`, then `start`
    """

    rows: pa.RecordBatch
    keys: list[pa.Array]
    hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]
    start: Int64s
    partition: Int64s
    seq: Int64s


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
        start = pa.field(WINDOW_START, pa.int64())
        self.groups = GroupStates(
            pa.schema([*spec.key_fields, start]),
            spec.calls,
            context.workspace,
            extra=[pa.field(PARTITION, pa.int32())],
        )
        since = "closing" if spec.emit_final else "its start"
        self.groups.store.bound = f"a window leaves {self.window.retention_ms} ms after {since}"
        self.stream_time = StreamTime()
        self.stores = (self.groups.store, self.stream_time)
        self._plan = WindowPlan(spec, self.window, context)
        self._plan_ahead = WindowPlan(spec, self.window, replace(context, workspace=context.workspace.ahead))
        self._must_see_rows = False
        self._running = RunningStates(self.groups, spec.calls, context.workspace) if spec.emit_every else None
        self._uses_seq = any(call.uses_seq for call in spec.calls)
        self._groups_span_partitions = False
        self._closing: dict[int, Calendar] = {}
        self._expiring: dict[int, Calendar] = {}
        self._restorations = 0

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        return None if batch is None else self._process(batch, None)

    def prepare(self, batch: pa.RecordBatch) -> Finish | None:
        # Whether a row is late is known when its turn comes. Usually none is.
        if self._uses_seq or self._must_see_rows or not is_rising(batch.column(SEQ).to_numpy()):
            return None
        partials = self._plan_ahead.of_batch(batch, with_partitions=self._only_partition(batch) is None)
        return None if partials is None else lambda: self._process(batch, partials)

    def _process(self, batch: pa.RecordBatch, prepared: pa.RecordBatch | None) -> pa.RecordBatch | None:
        if not batch.num_rows:
            return None
        self._catch_up_with_restored_rows()
        self._must_see_rows = self._may_be_late(batch)
        partials = None if self._must_see_rows else self._partials_of_batch(batch, prepared)
        if partials is not None:
            closers = self._rows(self._plan.places(batch)) if self._may_close(batch) else None
            self.stream_time.advance(partials.partition, partials.rows.column(TIME).to_numpy())
        else:
            closers = self._rows(self._plan.rows(batch))
            partials = self._partials_of_rows(closers)
            self.stream_time.advance(closers.partition, closers.time)
        changes = self._apply(partials)
        if self.spec.emit_final:
            changes = None if closers is None else self._close(closers)
        self._expire()
        return changes if changes is not None and changes.num_rows else None

    def snapshot(self) -> pa.RecordBatch:
        self._catch_up_with_restored_rows()
        store = self.groups.store
        slots = store.values.slots()
        if self.spec.emit_final:
            slots = slots[self._is_closed(slots)]
        return self._output(slots, np.zeros(len(slots), dtype=np.int64))

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        self._catch_up_with_restored_rows()
        starts = self._candidates(bounds)
        if len(starts) * len(keys[0]) > _MOST_CANDIDATES:
            return None
        rows = pa.array(np.repeat(np.arange(len(keys[0])), len(starts)))
        sought = [k.take(rows) for k in keys]
        sought.append(pa.array(np.tile(starts, len(keys[0]))))
        slots = self.groups.store.find(sought)
        slots = distinct(slots[slots >= 0])
        if self.spec.emit_final:
            slots = slots[self._is_closed(slots)]
        return self._output(slots, np.zeros(len(slots), dtype=np.int64))

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
        due = [int(self.window.close_time(first)[0])]
        due += [d for calendar in self._closing.values() if (d := calendar.first()) is not None]
        return min(due) <= self._latest(batch)

    def _latest(self, batch: pa.RecordBatch) -> int:
        """No stream time is later than this once the batch has been seen."""
        known = (self.stream_time.of(int(p)) for p in distinct(self._partitions(batch)))
        return max(int(batch.column(TIME).to_numpy().max()), *known)

    def _partials_of_batch(self, batch: pa.RecordBatch, prepared: pa.RecordBatch | None) -> _Partials | None:
        """Partials by the fused statement; None if a row fails, or groups turn out to span partitions.

        prepared  what the statement has given, if it has run already
        """
        one = self._only_partition(batch)
        batch, numbering = self._numbered(batch)
        partials = prepared
        if partials is None:
            partials = self._plan.of_batch(batch, with_partitions=one is None)
        if partials is None:
            return None
        if one is None:
            other = partials.column(OTHER_PARTITION).to_numpy()
            if (partials.column(PARTITION).to_numpy() != other).any():
                self._groups_span_partitions = True
                return None
        return self._in_windows(partials, numbering, one)

    def _partials_of_rows(self, given: _Rows) -> _Partials:
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
        return self._in_windows(partials, numbering, None)

    def _rows(self, rows: pa.RecordBatch) -> _Rows:
        partition, time = self._partitions(rows), rows.column(TIME).to_numpy()
        seq = rows.column(SEQ).to_numpy()
        return _Rows(rows, partition, time, seq, self.stream_time.running(partition, time))

    def _in_windows(
        self, partials: pa.RecordBatch, numbering: Numbering | None, partition: int | None
    ) -> _Partials:
        """A row per key and window of what was grouped, in the order of processing."""
        seq = partials.column(SEQ).to_numpy()
        hashes = partials.column(HASH).to_numpy()
        if self._plan.is_in_panes:
            source, start = self._spread(partials)
            seq = seq[source]
        else:
            source, start = np.arange(partials.num_rows), partials.column(WINDOW_START).to_numpy()
        order = by_processing(seq, start)
        source, start, seq = source[order], start[order], seq[order]
        rows = partials.take(pa.array(source))
        keys = [rows.column(f.name) for f in self.spec.key_fields]
        keys.append(pa.array(start))
        hashes = self.groups.store.hasher(keys) if self._plan.is_in_panes else hashes[source]
        if partition is None and self.spec.by_partition:
            partitions = rows.column(PARTITION).to_numpy().astype(np.int64)
        else:
            partitions = np.full(len(start), partition or 0)
        if numbering is not None:
            seq = numbering.given(seq)
        return _Partials(rows, keys, hashes, start, partitions, seq)

    def _spread(self, partials: pa.RecordBatch) -> tuple[Int64s, Int64s]:
        """Each pane into its windows: the row it comes from and the window's start, int64[m] each."""
        pane = partials.column(PANE).to_numpy()
        if LOW in partials.schema.names:
            low = partials.column(LOW).to_numpy()
        else:
            low = self.window.first_start(pane)
        counts = (self.window.last_start(pane) - low) // self.window.advance_ms + 1
        source = np.repeat(np.arange(len(pane)), counts)
        number = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        start: Int64s = low[source] + number * self.window.advance_ms
        return source, start

    def _numbered(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        seq = rows.column(SEQ).to_numpy()
        if not self._uses_seq and is_rising(seq):
            return rows, None
        numbering = Numbering(seq, self.stream_time.number(rows.num_rows) if self._uses_seq else 0)
        return numbering.number(rows), numbering

    def _only_partition(self, rows: pa.RecordBatch) -> int | None:
        """The partition of all rows; None if they are of several."""
        partition = self._partitions(rows)
        return int(partition[0]) if (partition == partition[0]).all() else None

    def _partitions(self, rows: pa.RecordBatch) -> Int64s:
        if not self.spec.by_partition:
            return np.zeros(rows.num_rows, dtype=np.int64)
        return rows.column(PARTITION).to_numpy().astype(np.int64)

    # What follows from it

    def _apply(self, partials: _Partials) -> pa.RecordBatch | None:
        """Merge partials into the windows' states; gives a change per window unless only finals count."""
        if not len(partials.start):
            return None
        groups, store = self.groups, self.groups.store
        slots, is_new = store.find_or_add(partials.keys, partials.hashes)
        fresh = slots[is_new]
        groups.begin(fresh)
        store.values.fixed(PARTITION).values[fresh] = partials.partition[is_new]
        self._enter(fresh, partials.start[is_new], partials.partition[is_new])
        if self._running is not None:
            steps = self._running.merge(slots, is_new, partials.rows, with_old=self.spec.emit_old)
            return self._every_change(partials, steps)
        places = last_places(slots) if self._plan.is_in_panes else np.arange(len(slots))
        places = places[by_processing(partials.seq[places], partials.start[places])]
        touched, seq = slots[places], partials.seq[places]
        olds = None
        had_row = np.zeros(0, dtype=np.bool_)
        if self.spec.emit_old and not self.spec.emit_final:
            had_row = ~np.isin(touched, fresh)
            olds = self._output(touched[had_row], seq[had_row], -1)
        groups.merge(slots, partials.rows, touched if self._plan.is_in_panes else None)
        if self.spec.emit_final:
            return None
        news = self._output(touched, seq)
        if olds is None:
            return news
        olds = with_times(olds, groups.times(touched[had_row]))
        columns = interleaved(olds.columns, news.columns, had_row)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _every_change(self, partials: _Partials, steps: Steps) -> pa.RecordBatch:
        """A change per row and window it falls into."""
        keys = partials.keys[:-1] if self.spec.keys else []
        places = [pa.array(partials.start), pa.array(partials.start + self.window.size_ms)]
        places += [pa.array(steps.times), pa.array(partials.seq)]
        count = len(partials.seq)
        rows = [*keys, *steps.new, *places, weights(count, 1)]
        if self.spec.emit_old:
            has_old = pa.array(steps.had_row)
            olds = [column.filter(has_old) for column in (*keys, *steps.old, *places, weights(count, -1))]
            rows = interleaved(olds, rows, steps.had_row)
        return pa.RecordBatch.from_arrays(rows, schema=self.spec.output)

    def _close(self, rows: _Rows) -> pa.RecordBatch | None:
        """The final rows of the windows that these rows closed, each at the row that closed it."""
        closed: list[Int64s] = []
        seqs: list[Int64s] = []
        for partition in distinct(rows.partition):
            calendar = self._closing.get(int(partition))
            if calendar is None:
                continue
            slots, due = calendar.take(self.stream_time.of(int(partition)))
            mine = np.flatnonzero(rows.partition == partition)
            closed.append(slots)
            seqs.append(rows.seq[mine[np.searchsorted(rows.stream_time[mine], due)]])
        if not closed:
            return None
        slots, seq = np.concatenate(closed), np.concatenate(seqs)
        keys = self.groups.store.index.keys.get(slots)
        order = by_processing(seq, keys.column(WINDOW_START).to_numpy(), key_order(keys.columns[:-1]))
        return self._output(slots[order], seq[order])

    def _expire(self) -> None:
        for partition, calendar in self._expiring.items():
            slots, _ = calendar.take(self.stream_time.of(partition))
            if len(slots):
                self.groups.touched += len(slots)
                self.groups.store.remove(slots)

    def _enter(self, slots: Int64s, start: Int64s, partition: Int64s) -> None:
        """Note when new windows close and expire."""
        for number in distinct(partition):
            mine = partition == number
            expires = self.window.expiry_time(start[mine])
            if self.spec.emit_final:
                closes = self.window.close_time(start[mine])
                expires = closes + self.window.retention_ms
                self._closing.setdefault(int(number), Calendar()).enter(closes, slots[mine])
            self._expiring.setdefault(int(number), Calendar()).enter(expires, slots[mine])

    def _catch_up_with_restored_rows(self) -> None:
        store = self.groups.store
        if self._restorations == store.restorations:
            return
        self._restorations = store.restorations
        self._closing, self._expiring = {}, {}
        slots = store.values.slots()
        start = store.index.keys.fixed(WINDOW_START).values[slots]
        partition = store.values.fixed(PARTITION).values[slots].astype(np.int64)
        self._enter(slots, start, partition)
        # What had closed was emitted before the restart.
        for number, calendar in self._closing.items():
            calendar.take(self.stream_time.of(number))

    def _is_closed(self, slots: Int64s) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        store = self.groups.store
        partition = store.values.fixed(PARTITION).values[slots]
        stream_time = np.full(len(slots), NEVER)
        for number in self.stream_time.partitions():
            stream_time[partition == number] = self.stream_time.of(number)
        closes = self.window.close_time(store.index.keys.fixed(WINDOW_START).values[slots])
        closed: np.ndarray[tuple[int], np.dtype[np.bool_]] = closes <= stream_time
        return closed

    def _output(self, slots: Int64s, seq: Int64s, weight: int = 1) -> pa.RecordBatch:
        """Output rows for some slots as their state is now."""
        keys = self.groups.store.index.keys.get(slots)
        start = keys.column(WINDOW_START).to_numpy()
        columns: list[pa.Array] = list(keys.columns[:-1]) if self.spec.keys else []
        columns += self.groups.results(slots)
        columns += [pa.array(start), pa.array(start + self.window.size_ms)]
        columns += [pa.array(self.groups.times(slots)), pa.array(seq), weights(len(slots), weight)]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

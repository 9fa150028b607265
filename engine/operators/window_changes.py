"""The windows of an aggregate: merging partials into them, what changes by it, when they close and leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, WINDOW_START
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.calendar import Calendar
from streamsql.engine.operators.changes import (
    by_processing,
    interleaved,
    order_of_finals,
    weights,
    with_times,
)
from streamsql.engine.operators.group_states import GroupStates, last_places
from streamsql.engine.operators.running_states import RunningStates, Steps
from streamsql.engine.operators.stream_time import NEVER, StreamTime
from streamsql.engine.operators.window_plan import LOW, PANE
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.hashing import HASH
from streamsql.engine.state.keys import Hasher, UInt64s
from streamsql.engine.windows import TimeWindow


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The stage's rows of a batch, all columns or only their places, and stream time at each; int64[n]."""

    rows: pa.RecordBatch
    partition: Int64s
    time: Int64s
    seq: Int64s
    stream_time: Int64s


@dataclass(frozen=True, slots=True)
class Spread:
    """What a batch adds to windows: a row per key and window, or several if it came in panes or by rows.

    rows    partials by state column, in the order of `seq`, then `start`
    hashes  of `keys`, the last of which is the start
    """

    rows: pa.RecordBatch
    keys: list[pa.Array]
    hashes: UInt64s
    start: Int64s
    partition: Int64s
    seq: Int64s


class Windows:
    """The state of a windowed aggregate.

    Partials are spread over their windows in one step, which may be done for later batches meanwhile and in
    other threads, and merged in another, which must be in order.

    stream_time  of the operator
    is_in_panes  partials of a window may be several
    """

    def __init__(
        self, spec: Aggregate, workspace: Workspace, stream_time: StreamTime, is_in_panes: bool
    ) -> None:
        assert isinstance(spec.window, TimeWindow)
        self.spec = spec
        self.window = spec.window
        self._stream_time = stream_time
        self._is_in_panes = is_in_panes
        self.groups = GroupStates(
            spec.window_keys, spec.calls, workspace, extra=[pa.field(PARTITION, pa.int32())]
        )
        since = "closing" if spec.emit_final else "its start"
        self.groups.store.bound = f"a window leaves {self.window.retention_ms} ms after {since}"
        self._running = RunningStates(self.groups, spec.calls, workspace) if spec.emit_every else None
        self._closing: dict[int, Calendar] = {}
        self._expiring: dict[int, Calendar] = {}
        self._restorations = 0

    def table(self) -> pa.RecordBatch:
        """The windows of all keys, as rows of the operator's snapshot."""
        self.catch_up_with_restored_rows()
        return self._shown(self.groups.store.values.slots())

    def look_up(self, keys: Sequence[pa.Array]) -> pa.RecordBatch:
        """The same, of some keys and starts."""
        self.catch_up_with_restored_rows()
        slots = self.groups.store.find(keys)
        return self._shown(distinct(slots[slots >= 0]))

    def first_to_close(self) -> int | None:
        """The earliest stream time at which a window closes; None if none is open."""
        due = [d for calendar in self._closing.values() if (d := calendar.first()) is not None]
        return min(due, default=None)

    def spread(self, partials: pa.RecordBatch, partition: int | None, hasher: Hasher) -> Spread:
        """A row per key and window of what was grouped, in the order of processing.

        partials   at least one
        partition  of all of them; None: they have it
        hasher     of keys and starts; not in use by another thread
        """
        seq = partials.column(SEQ).to_numpy()
        hashes = partials.column(HASH).to_numpy()
        if self._is_in_panes:
            source, start = self._of_panes(partials)
            seq = seq[source]
        else:
            source, start = np.arange(partials.num_rows), partials.column(WINDOW_START).to_numpy()
        order = by_processing(seq, start)
        source, start, seq = source[order], start[order], seq[order]
        rows = partials.take(pa.array(source))
        keys = [rows.column(f.name) for f in self.spec.key_fields]
        keys.append(pa.array(start))
        hashes = hasher(keys) if self._is_in_panes else hashes[source]
        if partition is None and self.spec.by_partition:
            partitions = rows.column(PARTITION).to_numpy().astype(np.int64)
        else:
            partitions = np.full(len(start), partition or 0)
        return Spread(rows, keys, hashes, start, partitions, seq)

    def _of_panes(self, partials: pa.RecordBatch) -> tuple[Int64s, Int64s]:
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

    def changes(self, partials: Spread) -> pa.RecordBatch:
        """Merge partials into the windows' states; gives a change per window unless only finals count.

        gives  the changes by `$seq` and start
        """
        groups, store = self.groups, self.groups.store
        slots, is_new = store.find_or_add(partials.keys, partials.hashes)
        fresh = slots[is_new]
        groups.begin(fresh)
        store.values.fixed(PARTITION).values[fresh] = partials.partition[is_new]
        self._enter(fresh, partials.start[is_new], partials.partition[is_new])
        if self._running is not None:
            steps = self._running.merge(slots, is_new, partials.rows, with_old=self.spec.emit_old)
            return self._every_change(partials, steps)
        places = last_places(slots) if self._is_in_panes else np.arange(len(slots))
        places = places[by_processing(partials.seq[places], partials.start[places])]
        touched, seq = slots[places], partials.seq[places]
        olds = None
        had_row = np.zeros(0, dtype=np.bool_)
        if self.spec.emit_old and not self.spec.emit_final:
            had_row = ~np.isin(touched, fresh)
            olds = self._output(touched[had_row], seq[had_row], -1)
        groups.merge(slots, partials.rows, touched if self._is_in_panes else None)
        if self.spec.emit_final:
            return self._output(touched[:0], seq[:0])
        news = self._output(touched, seq)
        if olds is None:
            return news
        olds = with_times(olds, groups.times(touched[had_row]))
        columns = interleaved(olds.columns, news.columns, had_row)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _every_change(self, partials: Spread, steps: Steps) -> pa.RecordBatch:
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

    def close(self, rows: WindowRows) -> pa.RecordBatch | None:
        """The final rows of the windows that these rows closed, each at the row that closed it."""
        closed: list[Int64s] = []
        seqs: list[Int64s] = []
        for partition in distinct(rows.partition):
            calendar = self._closing.get(int(partition))
            if calendar is None:
                continue
            slots, due = calendar.take(self._stream_time.of(int(partition)))
            mine = np.flatnonzero(rows.partition == partition)
            closed.append(slots)
            seqs.append(rows.seq[mine[np.searchsorted(rows.stream_time[mine], due)]])
        if not closed:
            return None
        finals = self._output(np.concatenate(closed), np.concatenate(seqs))
        return finals.take(pa.array(order_of_finals([finals], self.spec.keys)))

    def expire(self) -> None:
        """Drop the windows that stream time has left behind."""
        for partition, calendar in self._expiring.items():
            slots, _ = calendar.take(self._stream_time.of(partition))
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

    def catch_up_with_restored_rows(self) -> None:
        """Note when windows close and expire that have been restored since the last call."""
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
            calendar.take(self._stream_time.of(number))

    def _shown(self, slots: Int64s) -> pa.RecordBatch:
        if self.spec.emit_final:
            slots = slots[self._is_closed(slots)]
        return self._output(slots, np.zeros(len(slots), dtype=np.int64))

    def _is_closed(self, slots: Int64s) -> Bools:
        store = self.groups.store
        partition = store.values.fixed(PARTITION).values[slots]
        stream_time = np.full(len(slots), NEVER)
        for number in self._stream_time.partitions():
            stream_time[partition == number] = self._stream_time.of(number)
        closes = self.window.close_time(store.index.keys.fixed(WINDOW_START).values[slots])
        closed: Bools = closes <= stream_time
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

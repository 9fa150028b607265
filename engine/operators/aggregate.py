"""Aggregation without windows: one state row per group, one change per changed group and batch.

A batch is grouped first, and the partials of its groups are merged into the state. With nearly as many
groups as rows that pays no more: then the rows themselves are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.engine.operators.base import Context, Finish, Operator, WindowBounds
from streamsql.engine.operators.changes import by_processing, interleaved, weights, with_times
from streamsql.engine.operators.group_states import GroupStates, LastPlaces
from streamsql.engine.operators.partials import Numbering, Partials, is_rising
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.stage import Stage
from streamsql.engine.state.columns import Int64s, distinct
from streamsql.engine.state.hashing import HASH
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.windows import Session, TimeWindow

_UNGROUPED = 1 / 32
"""With more groups per row than this, rows are merged one by one instead of being grouped first."""

ALL = "$all"
"""The key of the only group when there is no GROUP BY."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """GROUP BY `keys`, aggregated by `calls`, per window if there is one.

    stage         its output has the keys, what the partials read, `$time`, `$seq`, `$partition`, and
                  `$weight` if the input is a table's changes. It keeps `$time` and `$partition` of its
                  rows as they came in, and rows with a null key are gone
    keys          the grouping columns; none: everything is one group
    emit_old      an update is the old row taken back and the new one put in, not the new one alone; the
                  old row has the time of the change, so that what is left of it if the new one is
                  filtered out, a tombstone, has
    emit_final    windows only: one row per key and window, when the window closes
    emit_every    every change of a group, not only the last one of a batch; not with emit_final
    explodes      a row that comes in may leave the stage as several
    by_partition  windows only: stream time is each partition's own. Right if all rows of a group come
                  from one partition; False: one stream time for all, as after a repartition
    """

    stage: Stage
    keys: tuple[str, ...]
    calls: tuple[AggregateCall, ...]
    window: TimeWindow | Session | None = None
    emit_old: bool = False
    emit_final: bool = False
    emit_every: bool = False
    explodes: bool = False
    by_partition: bool = True

    @property
    def key_fields(self) -> tuple[pa.Field, ...]:
        """What groups are known by; a constant if there is no GROUP BY."""
        if not self.keys:
            return (pa.field(ALL, pa.bool_()),)
        return tuple(self.stage.output.field(name).with_metadata(None) for name in self.keys)

    @property
    def key_sql(self) -> dict[str, str]:
        """The grouping columns and their SQL over the stage's output."""
        if not self.keys:
            return {ALL: "true"}
        return {name: '"' + name.replace('"', '""') + '"' for name in self.keys}

    @property
    def output(self) -> pa.Schema:
        bounds = [pa.field(WINDOW_START, pa.int64()), pa.field(WINDOW_END, pa.int64())]
        return pa.schema(
            [
                *(self.key_fields if self.keys else ()),
                *(pa.field(call.name, call.result_type) for call in self.calls),
                *(bounds if self.window else ()),
                pa.field(TIME, pa.int64()),
                pa.field(SEQ, pa.int64()),
                pa.field(WEIGHT, pa.int8()),
            ]
        )

    def open(self, context: Context) -> Operator:
        # Imported here: the windowed operators build on this module, which is where their spec is.
        if isinstance(self.window, TimeWindow):
            from streamsql.engine.operators.windowed_aggregate import WindowedAggregateOperator

            return WindowedAggregateOperator(self, context)
        if isinstance(self.window, Session):
            from streamsql.engine.operators.session_aggregate import SessionAggregateOperator

            return SessionAggregateOperator(self, context)
        if self.emit_every:
            from streamsql.engine.operators.running_aggregate import RunningAggregateOperator

            return RunningAggregateOperator(self, context)
        return AggregateOperator(self, context)

    def describe(self) -> str:
        calls = ", ".join(call.name for call in self.calls)
        window = f", {self.window.describe()}" if self.window else ""
        final = ", final results only" if self.emit_final else ""
        every = ", every change" if self.emit_every else ""
        return f"aggregate by ({', '.join(self.keys)}): {calls}{window}{final}{every}"


class AggregateOperator(Operator):
    def __init__(self, spec: Aggregate, context: Context) -> None:
        self.spec = spec
        self.groups = GroupStates(pa.schema(spec.key_fields), spec.calls, context.workspace)
        self._partials = self._grouped(context)
        self._partials_ahead = self._grouped(replace(context, workspace=context.workspace.ahead))
        self._uses_seq = any(call.uses_seq for call in spec.calls)
        self._progress = StreamTime()
        self._last = LastPlaces()
        self._may_skip_grouping = self.groups.takes_rows and not self._uses_seq
        self._groups_per_row = 0.0
        self.stores = (self.groups.store, *((self._progress,) if self._uses_seq else ()))

    def _grouped(self, context: Context) -> Partials:
        """What a batch is grouped by."""
        return Partials(self.spec.stage, self.spec.calls, self.spec.key_sql, context)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        return None if batch is None else self._process(batch, None)

    def prepare(self, batch: pa.RecordBatch) -> Finish | None:
        is_plain = not self.spec.explodes and not self._uses_seq and is_rising(batch.column(SEQ).to_numpy())
        if self._skips_grouping or not is_plain:
            return None
        partials = self._partials_ahead.of_batch(batch)
        return None if partials is None else lambda: self._process(batch, partials)

    def _process(self, batch: pa.RecordBatch, prepared: pa.RecordBatch | None) -> pa.RecordBatch | None:
        if not batch.num_rows:
            return None
        if self._skips_grouping and prepared is None:
            rows = self._partials.rows(batch)
            return self._apply_rows(rows) if rows.num_rows else None
        partials, numbering = (prepared, None) if prepared is not None else self._partials_of(batch)
        if not partials.num_rows:
            return None
        self._groups_per_row = partials.num_rows / batch.num_rows
        seq = partials.column(SEQ).to_numpy()
        order = by_processing(seq)
        partials = partials.take(pa.array(order))
        seq = seq[order]
        if numbering is not None:
            seq = numbering.given(seq)
        return self._apply(partials, seq)

    def snapshot(self) -> pa.RecordBatch:
        slots = self.groups.store.values.slots()
        return self._rows(slots, np.zeros(len(slots), dtype=np.int64))

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        slots = self.groups.store.find(keys, hashes)
        slots = distinct(slots[slots >= 0])
        return self._rows(slots, np.zeros(len(slots), dtype=np.int64))

    @property
    def _skips_grouping(self) -> bool:
        return self._may_skip_grouping and self._groups_per_row > _UNGROUPED

    def _partials_of(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        if not self.spec.explodes:
            numbered, numbering = self._numbered(batch)
            partials = self._partials.of_batch(numbered)
            if partials is not None:
                return partials, numbering
        rows, numbering = self._numbered(self._partials.rows(batch))
        return self._partials.of_rows(rows), numbering

    def _numbered(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        seq = rows.column(SEQ).to_numpy()
        if not self._uses_seq and is_rising(seq):
            return rows, None
        numbering = Numbering(seq, self._progress.number(rows.num_rows) if self._uses_seq else 0)
        return numbering.number(rows), numbering

    def _apply(self, partials: pa.RecordBatch, seq: Int64s) -> pa.RecordBatch:
        """Merge partials, given in the order of output, and give the changes that follow."""
        groups, store = self.groups, self.groups.store
        keys = [partials.column(f.name) for f in self.spec.key_fields]
        slots, is_new = store.find_or_add(keys, partials.column(HASH).to_numpy())
        groups.begin(slots[is_new])
        olds = None
        if self.spec.emit_old and not is_new.all():
            olds = self._rows(slots[~is_new], seq[~is_new], -1)
        groups.merge(slots, partials)
        news = self._rows(slots, seq, keys=keys)
        if olds is None:
            return news
        olds = with_times(olds, groups.times(slots[~is_new]))
        columns = interleaved(olds.columns, news.columns, ~is_new)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _apply_rows(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Merge the stage's rows as they are, and give the changes that follow."""
        groups, store = self.groups, self.groups.store
        keys = [rows.column(name) for name in self.spec.keys] or [pa.array(np.ones(rows.num_rows, np.bool_))]
        slots, is_new = store.find_or_add(keys)
        groups.begin(slots[is_new])
        places, is_known = self._last.of(slots, is_new)
        self._groups_per_row = len(places) / len(slots)
        touched, seq = slots[places], rows.column(SEQ).to_numpy()[places]
        olds = None
        if self.spec.emit_old and is_known.any():
            olds = self._rows(touched[is_known], seq[is_known], -1)
        groups.merge_rows(slots, rows, touched)
        chosen = pa.array(places)
        news = self._rows(touched, seq, keys=[key.take(chosen) for key in keys])
        if olds is None:
            return news
        olds = with_times(olds, groups.times(touched[is_known]))
        columns = interleaved(olds.columns, news.columns, is_known)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _rows(
        self, slots: Int64s, seq: Int64s, weight: int = 1, keys: list[pa.Array] | None = None
    ) -> pa.RecordBatch:
        """Output rows for some slots as their state is now."""
        columns: list[pa.Array] = []
        if self.spec.keys:
            columns += keys or self.groups.store.index.keys.get(slots).columns
        columns += self.groups.results(slots)
        columns += [pa.array(self.groups.times(slots)), pa.array(seq), weights(len(slots), weight)]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

"""Aggregation: what is grouped by what, in which windows.

How it is done is in the operators: `group_aggregate.py` without windows, `running_aggregate.py` if every
change counts, `windowed_aggregate.py`, `session_aggregate.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.stage import Stage
from streamsql.engine.windows import Session, TimeWindow

ALL = "$all"
"""The key of the only group when there is no GROUP BY."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """GROUP BY `keys`, aggregated by `calls`, per window if there is one.

    stage         its output has the keys, what the partials read, `$time`, `$seq`, `$partition`, and
                  `$weight` if the input is a table's changes. It keeps `$time` and `$partition` of its
                  rows as they came in, and rows with a null key are gone
    keys          the grouping columns; none: everything is one group
    titles        what was written for each of them, for people
    emit_old      an update is the old row taken back and the new one put in, not the new one alone; the
                  old row has the time of the change, so that what is left of it if the new one is
                  filtered out, a tombstone, has
    emit_final    windows only: one row per key and window, when the window closes
    emit_every    every change of a group, not only the last one of a batch; not with emit_final
    coarse        as `stage`, but its keys only tell the groups apart, for less to compute; it may raise
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
    coarse: Stage | None = None
    titles: tuple[str, ...] = field(default=(), compare=False)

    @property
    def needs_order(self) -> bool:
        """Whether its table depends on the order in which rows of different partitions come.

        Sums of floating-point numbers do in their last digits, as they do on how rows are cut into batches.
        """
        if any(call.is_ordered or call.uses_seq for call in self.calls):
            return True
        # What is late goes by stream time, and a window's last row by the row that closes it.
        is_one_time = self.window is not None and not self.by_partition
        return self.emit_every or self.emit_final or is_one_time

    @property
    def key_fields(self) -> tuple[pa.Field, ...]:
        """What groups are known by; a constant if there is no GROUP BY."""
        if not self.keys:
            return (pa.field(ALL, pa.bool_()),)
        return tuple(self.stage.output.field(name).with_metadata(None) for name in self.keys)

    @property
    def window_keys(self) -> pa.Schema:
        """What windows are known by: the group and the start, ms."""
        return pa.schema([*self.key_fields, pa.field(WINDOW_START, pa.int64())])

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
        # Imported here: the operators build on this module, which is where their spec is.
        if isinstance(self.window, TimeWindow):
            from streamsql.engine.operators.windowed_aggregate import WindowedAggregateOperator

            return WindowedAggregateOperator(self, context)
        if isinstance(self.window, Session):
            from streamsql.engine.operators.session_aggregate import SessionAggregateOperator

            return SessionAggregateOperator(self, context)
        if self.emit_every:
            from streamsql.engine.operators.running_aggregate import RunningAggregateOperator

            return RunningAggregateOperator(self, context)
        from streamsql.engine.operators.group_aggregate import AggregateOperator

        return AggregateOperator(self, context)

    def describe(self) -> str:
        calls = ", ".join(call.title or call.name for call in self.calls)
        window = f", {self.window.describe()}" if self.window else ""
        final = ", final results only" if self.emit_final else ""
        every = ", every change" if self.emit_every else ""
        keys = ", ".join(self.titles or self.keys)
        return f"aggregate by ({keys}): {calls}{window}{final}{every}"


def keys_of(spec: Aggregate, rows: pa.RecordBatch) -> list[pa.Array]:
    """The key columns of a stage's rows; without GROUP BY, the constant that stands for them."""
    if spec.keys:
        return [rows.column(name) for name in spec.keys]
    return [pa.array(np.ones(rows.num_rows, dtype=np.bool_))]

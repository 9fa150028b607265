"""The statements of a windowed aggregation: what to group by, with and without a look at the rows."""

from __future__ import annotations

import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME, WINDOW_START
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.partials import ROW, Partials
from streamsql.engine.windows import TimeWindow

PANE = "$pane"
"""Start of a pane: what rows are grouped by if windows are put together from panes."""
LOW = "$low"
"""Start of the first window that still takes a row."""
OTHER_PARTITION = "$other_partition"
"""The smallest partition of a group's rows, next to `$partition`, the largest."""


class WindowPlan:
    """is_in_panes: groups are panes, to be put together to windows; else groups are windows, of one row each
    if every change counts."""

    def __init__(self, spec: Aggregate, window: TimeWindow, context: Context) -> None:
        self._spec = spec
        self._window = window
        self._context = context
        is_ordered = any(call.is_ordered for call in spec.calls)
        self.is_in_panes = not (window.is_tumbling or is_ordered or spec.emit_every)
        self._of_one_partition = self._partials(window_low=self._first_start_sql(), partitions={})
        both = {PARTITION: f'max("{PARTITION}")', OTHER_PARTITION: f'min("{PARTITION}")'}
        self._of_partitions = self._partials(window_low=self._first_start_sql(), partitions=both)
        latest = {PARTITION: f'max("{PARTITION}")'} if spec.by_partition else {}
        self._of_rows = self._partials(window_low=f'"{LOW}"', partitions=latest, has_low=True)

    def of_batch(self, batch: pa.RecordBatch, with_partitions: bool) -> pa.RecordBatch | None:
        """Partials of a raw batch by the fused statement, for batches in which no row is late.

        gives  None if a row fails
        """
        return (self._of_partitions if with_partitions else self._of_one_partition).of_batch(batch)

    def places(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`$time`, `$partition`, `$seq` of the rows of a batch for which `of_batch` gave partials."""
        return self._of_rows.places(batch)

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The stage's rows."""
        return self._of_rows.rows(batch)

    def of_rows(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Partials of the stage's rows, which have `$low` as well."""
        return self._of_rows.of_rows(rows)

    def _partials(self, window_low: str, partitions: dict[str, str], has_low: bool = False) -> Partials:
        window, time = self._window, f'"{TIME}"'
        group = self._spec.key_sql
        hashed = tuple(group)
        expand = "SELECT * FROM {rows}"
        if window.is_tumbling:
            group[WINDOW_START] = f"{time} - {time} % {window.size_ms}"
        elif self.is_in_panes:
            group[PANE] = f"{time} - {time} % {window.pane_ms}"
            if has_low:
                group[LOW] = f'"{LOW}"'
        else:
            last = f"{time} - {time} % {window.advance_ms}"
            starts = f"range({window_low}, {last} + 1, {window.advance_ms})"
            expand = f'SELECT *, unnest({starts}) AS "{WINDOW_START}" FROM {{rows}}'
            group[WINDOW_START] = f'"{WINDOW_START}"'
        if not self.is_in_panes:
            hashed = tuple(group)
        if self._spec.emit_every:
            group[ROW] = f'"{SEQ}"'
        return Partials(
            self._spec.stage,
            self._spec.calls,
            group,
            self._context,
            expand=expand,
            extra=partitions,
            hashed=hashed,
        )

    def _first_start_sql(self) -> str:
        """`TimeWindow.first_start` as SQL; the division is made of a number that is not negative."""
        advance, time = self._window.advance_ms, f'"{TIME}"'
        bound = f"greatest({time} - {self._window.size_ms - advance}, 0)"
        return f"({bound} - {bound} % {advance})"

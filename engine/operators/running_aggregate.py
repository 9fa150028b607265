"""Aggregation that tells every change of a group, however the input is cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.changes import interleaved, weights
from streamsql.engine.operators.group_aggregate import AggregateOperator
from streamsql.engine.operators.group_changes import Groups, Located
from streamsql.engine.operators.partials import ROW, Partials
from streamsql.engine.operators.running_states import RunningStates


class RunningAggregateOperator(AggregateOperator):
    """An aggregate without windows, one change per row that comes in."""

    def __init__(self, spec: Aggregate, context: Context) -> None:
        super().__init__(spec, context)
        self._may_skip_grouping = False

    def _groups(self, workspace: Workspace) -> Groups:
        return _RunningGroups(self.spec, workspace)

    def _partials(self, context: Context) -> Partials:
        spec = self.spec
        group = {**spec.key_sql, ROW: f'"{SEQ}"'}
        return Partials(spec.stage, spec.calls, group, context, hashed=tuple(spec.key_sql))


class _RunningGroups(Groups):
    def __init__(self, spec: Aggregate, workspace: Workspace) -> None:
        super().__init__(spec, workspace)
        self._running = RunningStates(self.states, spec.calls, workspace)

    def changes(self, located: Located) -> pa.RecordBatch:
        """As for groups, but of every row; each is a partial of its own."""
        partials, keys, slots, _ = located
        is_new = np.zeros(len(slots), dtype=np.bool_)
        without_row = np.flatnonzero(~self.store.values.is_live(slots))
        _, first = np.unique(slots[without_row], return_index=True)
        is_new[without_row[first]] = True
        self.states.begin(slots[is_new])
        steps = self._running.merge(slots, is_new, partials, with_old=self.spec.emit_old)
        shown = keys if self.spec.keys else []
        count = len(slots)
        places = [pa.array(steps.times), partials.column(SEQ)]
        news = [*shown, *steps.new, *places, weights(count, 1)]
        if self.spec.emit_old:
            has_old = pa.array(steps.had_row)
            olds = [column.filter(has_old) for column in (*shown, *steps.old, *places, weights(count, -1))]
            news = interleaved(olds, news, steps.had_row)
        return pa.RecordBatch.from_arrays(news, schema=self.spec.output)

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
from streamsql.engine.operators.group_shard import GroupShard
from streamsql.engine.operators.partials import ROW, Partials
from streamsql.engine.operators.running_states import RunningStates
from streamsql.engine.state.hashing import HASH
from streamsql.engine.state.shards import Changes


class RunningAggregateOperator(AggregateOperator):
    """An aggregate without windows, one change per row that comes in."""

    def __init__(self, spec: Aggregate, context: Context) -> None:
        super().__init__(spec, context)
        self._may_skip_grouping = False

    def _shard(self, workspace: Workspace) -> GroupShard:
        return _RunningShard(self.spec, workspace)

    def _grouped(self, context: Context) -> Partials:
        spec = self.spec
        group = {**spec.key_sql, ROW: f'"{SEQ}"'}
        return Partials(spec.stage, spec.calls, group, context, hashed=tuple(spec.key_sql))


class _RunningShard(GroupShard):
    def __init__(self, spec: Aggregate, workspace: Workspace) -> None:
        super().__init__(spec, workspace)
        self._running = RunningStates(self.groups, spec.calls, workspace)

    def of_partials(self, partials: pa.RecordBatch) -> Changes:
        keys = [partials.column(f.name) for f in self.spec.key_fields]
        slots, is_new = self.groups.store.find_or_add(keys, partials.column(HASH).to_numpy())
        self.groups.begin(slots[is_new])
        steps = self._running.merge(slots, is_new, partials, with_old=self.spec.emit_old)
        shown = keys if self.spec.keys else []
        count = len(slots)
        causes = np.arange(count)
        places = [pa.array(steps.times), partials.column(SEQ)]
        news = [*shown, *steps.new, *places, weights(count, 1)]
        if self.spec.emit_old:
            has_old = pa.array(steps.had_row)
            olds = [column.filter(has_old) for column in (*shown, *steps.old, *places, weights(count, -1))]
            news = interleaved(olds, news, steps.had_row)
            causes = np.repeat(causes, steps.had_row + 1)
        return pa.RecordBatch.from_arrays(news, schema=self.spec.output), causes

"""Aggregation that tells every change of a group, however the input is cut.

Every row that comes in is a partial of its own. Within a batch the partials of a group are put together as
running ones by a scan: after step k each row's partial covers the 2^k rows up to it, so that the steps are
few and each takes the whole batch at once (Hillis and Steele, Data parallel algorithms, CACM 1986). Merged
into the state before the batch they are the states after each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME
from streamsql.engine.operators.aggregate import Aggregate, AggregateOperator
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.changes import interleaved, weights
from streamsql.engine.operators.group_states import StateArithmetic
from streamsql.engine.operators.partials import Partials
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.hashing import HASH

_ROW = "$row"


class RunningAggregateOperator(AggregateOperator):
    """An aggregate without windows, one change per row that comes in."""

    def __init__(self, spec: Aggregate, context: Context) -> None:
        super().__init__(spec, context)
        group = {**spec.key_sql, _ROW: f'"{SEQ}"'}
        self._partials = Partials(spec.stage, spec.calls, group, context, hashed=tuple(spec.key_sql))
        self._may_skip_grouping = False
        self._arithmetic = StateArithmetic(spec.calls, context.workspace)

    def _apply(self, partials: pa.RecordBatch, seq: Int64s) -> pa.RecordBatch:
        groups, store = self.groups, self.groups.store
        keys = [partials.column(f.name) for f in self.spec.key_fields]
        slots, is_new = store.find_or_add(keys, partials.column(HASH).to_numpy())
        fresh = slots[is_new]
        groups.begin(distinct(fresh))
        order = np.argsort(slots, kind="stable")
        slots = slots[order]
        begins = np.append(True, slots[1:] != slots[:-1])
        stored = groups.states_of(slots[begins])
        group = np.cumsum(begins) - 1
        states, times = self._running(partials.take(pa.array(order)), begins)
        before = [column.take(pa.array(group)) for column in stored.columns]
        after = self._arithmetic.merged(before, states)
        times = np.maximum(times, groups.times(slots))
        ends = np.flatnonzero(np.append(begins[1:], True))
        last = pa.array(ends)
        store.put(slots[ends], [*(column.take(last) for column in after), pa.array(times[ends])])
        had_row = ~(begins & np.isin(slots, fresh))
        return self._changes(keys, order, begins, group, stored, after, times, seq, had_row)

    def _running(self, partials: pa.RecordBatch, begins: Bools) -> tuple[list[pa.Array[Any]], Int64s]:
        """Partials of each group's rows up to each row, and the latest times; rows lie group by group."""
        states = self._arithmetic.typed(partials)
        times = partials.column(TIME).to_numpy().copy()
        place = np.arange(len(begins)) - np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
        reach = 1
        while reach <= int(place.max(initial=0)):
            later = np.flatnonzero(place >= reach)
            earlier = later - reach
            olds, news = ([s.take(pa.array(rows)) for s in states] for rows in (earlier, later))
            merged = self._arithmetic.merged(olds, news)
            states = [_with(whole, later, part) for whole, part in zip(states, merged, strict=True)]
            times[later] = np.maximum(times[later], times[earlier])
            reach *= 2
        return states, times

    def _changes(
        self,
        keys: Sequence[pa.Array[Any]],
        order: Int64s,
        begins: Bools,
        group: Int64s,
        stored: pa.RecordBatch,
        after: list[pa.Array[Any]],
        times: Int64s,
        seq: Int64s,
        had_row: Bools,
    ) -> pa.RecordBatch:
        """The rows put in, and before each, if asked for, the one that it replaces."""
        back = np.argsort(order)
        rows = pa.array(back)
        new = self._arithmetic.results(after)
        news = self._output(keys, [c.take(rows) for c in new], times[back], seq, 1)
        if not self.spec.emit_old:
            return news
        # Before a group's first row is what was stored, before any other what the row before it made.
        first = self._arithmetic.results(stored.columns)
        count = len(order)
        previous = pa.array(np.where(begins, count + group, np.arange(count) - 1))
        old = [pa.concat_arrays([a, b]).take(previous).take(rows) for a, b in zip(new, first, strict=True)]
        has_old = had_row[back]
        olds = self._output(keys, old, times[back], seq, -1).filter(pa.array(has_old))
        columns = interleaved(olds.columns, news.columns, has_old)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _output(
        self,
        keys: Sequence[pa.Array[Any]],
        results: Sequence[pa.Array[Any]],
        times: Int64s,
        seq: Int64s,
        weight: int,
    ) -> pa.RecordBatch:
        columns = [*(keys if self.spec.keys else ()), *results]
        columns += [pa.array(times), pa.array(seq), weights(len(seq), weight)]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)


def _with(whole: pa.Array[Any], places: Int64s, part: pa.Array[Any]) -> pa.Array[Any]:
    """The array with other values at some places."""
    index = np.arange(len(whole))
    index[places] = len(whole) + np.arange(len(places))
    return pa.concat_arrays([whole, part]).take(pa.array(index))

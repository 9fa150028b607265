"""Table-table join on equal keys: the result follows every change of either side.

One store holds both sides' rows of a key next to each other. In a micro-batch the events of both sides
are put in order by (key, `$seq`); what either side's row is after each event is then the last event of
that side in the same key, or the stored row, and a result is taken back and put in where it changes.
The events and what follows from them are those of ksqlDB's table-table joins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT
from streamsql.engine.operators.as_of import is_complete, pooled, without_replaced
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.table_state import known
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.store import KeyedStore

_HAS = ("$has_left", "$has_right")
_TIMES = ("$left_time", "$right_time")
_NEVER = -1


@dataclass(frozen=True, slots=True)
class TableTableJoin:
    """Tables joined on their keys.

    left, right  schemas of the inputs; no column but meta columns and the key is in both
    keys         the key columns, of the same names and types on both sides; they come first in the output
    kind         INNER, LEFT, RIGHT or FULL
    emit_old     a result that changes is taken back and put in, not just put in
    """

    left: pa.Schema
    right: pa.Schema
    keys: tuple[str, ...]
    kind: str
    emit_old: bool

    def columns(self, side: int) -> tuple[str, ...]:
        """Columns of a side (0 left, 1 right) other than keys and meta columns."""
        schema = self.right if side else self.left
        return tuple(n for n in schema.names if not n.startswith("$") and n not in self.keys)

    @property
    def output(self) -> pa.Schema:
        return pa.schema(
            [
                *(self.left.field(name) for name in self.keys),
                *(self.left.field(name) for name in self.columns(0)),
                *(self.right.field(name) for name in self.columns(1)),
                pa.field(TIME, pa.int64()),
                pa.field(SEQ, pa.int64()),
                pa.field(WEIGHT, pa.int8()),
            ]
        )

    def open(self, context: Context) -> Operator:
        return TableTableJoinOperator(self, context)

    def describe(self) -> str:
        return f"{self.kind.lower()} join tables on ({', '.join(self.keys)})"


@dataclass(frozen=True, slots=True)
class _Events:
    """Events of both sides by (slot, seq); all arrays int64[n] but `puts_in`."""

    slots: Int64s
    seq: Int64s
    side: Int64s
    row: Int64s
    time: Int64s
    puts_in: Bools


class TableTableJoinOperator(Operator):
    def __init__(self, spec: TableTableJoin, context: Context) -> None:
        self.spec = spec
        keys = pa.schema([spec.left.field(name) for name in spec.keys])
        values = [
            *(spec.left.field(n) for n in spec.columns(0)),
            *(spec.right.field(n) for n in spec.columns(1)),
        ]
        marks = [pa.field(n, pa.bool_()) for n in _HAS] + [pa.field(n, pa.int64()) for n in _TIMES]
        self.store = KeyedStore(
            "tables", keys, pa.schema([*values, *marks]), KeyHasher(context.workspace, keys)
        )
        self.stores = (self.store,)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        found = [None if batch is None else self._complete(batch) for batch in inputs]
        looked_up = [None if batch is None else self._slots(batch, side) for side, batch in enumerate(found)]
        batches: list[pa.RecordBatch | None] = []
        slots: list[Int64s] = []
        new: list[Int64s] = []
        for batch, look in zip(found, looked_up, strict=True):
            if batch is None or look is None:
                batches.append(None)
                slots.append(np.zeros(0, dtype=np.int64))
                continue
            rows, row_slots = without_replaced(*known(batch, look[0]))
            batches.append(rows)
            slots.append(row_slots)
            new.append(look[1])
        if all(batch is None for batch in batches):
            return None
        events = _in_order(batches, slots)
        if not len(events.slots):
            return None
        added = np.concatenate(new)
        return self._follow(events, batches, added)

    def snapshot(self) -> pa.RecordBatch:
        table = self.store.table()
        has = [_flags(table.column(n)) for n in _HAS]
        rows = table.filter(pa.array(self._exists(*has)))
        count = rows.num_rows
        times = [rows.column(n).to_numpy() for n in _TIMES]
        meta: dict[str, pa.Array[Any]] = {
            TIME: pa.array(np.maximum(*times)),
            SEQ: pa.array(np.zeros(count, dtype=np.int64)),
            WEIGHT: pa.array(np.ones(count, dtype=np.int8)),
        }
        columns = [meta[f.name] if f.name in meta else rows.column(f.name) for f in self.spec.output]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _complete(self, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        """Rows without a whole key are no rows of a table."""
        complete = is_complete([batch.column(n) for n in self.spec.keys])
        kept = batch if complete.all() else batch.filter(pa.array(complete))
        return kept if kept.num_rows else None

    def _slots(self, batch: pa.RecordBatch, side: int) -> tuple[Int64s, Int64s]:
        """The slot of each row, and which of them are new.

        A delete of what was never there changes nothing. Where the other side has a row without it, that row
        is said again, as by every other event; where it has none there is nothing to say, and no slot.
        """
        keys = [batch.column(n) for n in self.spec.keys]
        (is_there_without,) = self._exists(np.array([side == 1]), np.array([side == 0]))
        if is_there_without:
            slots, is_new = self.store.find_or_add(keys)
        else:
            slots, is_new = self.store.find_or_put_in(keys, batch.column(WEIGHT).to_numpy() > 0)
        return slots, slots[is_new]

    def _exists(self, left: Bools, right: Bools) -> Bools:
        match self.spec.kind:
            case "INNER":
                return left & right
            case "LEFT":
                return left
            case "RIGHT":
                return right
        return left | right

    def _follow(
        self, events: _Events, batches: list[pa.RecordBatch | None], added: Int64s
    ) -> pa.RecordBatch | None:
        """Work out what each event does to the result, then bring the store up to date."""
        count = len(events.slots)
        begins = np.append(True, events.slots[1:] != events.slots[:-1])
        group_start = np.maximum.accumulate(np.where(begins, np.arange(count), 0))
        touched = events.slots[begins]
        group = np.cumsum(begins) - 1
        known = ~np.isin(touched, added)
        stored = self.store.values.get(np.where(known, touched, -1))
        after: list[Int64s] = []
        before: list[Int64s] = []
        for side in (0, 1):
            rows = batches[side]
            size = 0 if rows is None else rows.num_rows
            had = known & _flags(stored.column(_HAS[side]))
            kept = np.where(had, size + np.arange(len(touched)), -1)[group]
            version = np.where(events.puts_in, events.row, -1)
            latest = np.maximum.accumulate(np.where(events.side == side, np.arange(count), -1))
            now = np.where(latest >= group_start, version[np.maximum(latest, 0)], kept)
            after.append(now)
            before.append(np.where(begins, kept, np.append(-1, now[:-1])))
        was = self._exists(before[0] >= 0, before[1] >= 0)
        is_there = self._exists(after[0] >= 0, after[1] >= 0)
        out = self._changes(events, batches, stored, before, after, was, is_there)
        self._keep(batches, stored, touched, added, group, after)
        return out

    def _changes(
        self,
        events: _Events,
        batches: list[pa.RecordBatch | None],
        stored: pa.RecordBatch,
        before: list[Int64s],
        after: list[Int64s],
        was: Bools,
        is_there: Bools,
    ) -> pa.RecordBatch | None:
        takes_back = was if self.spec.emit_old else was & ~is_there
        olds, news = np.flatnonzero(takes_back), np.flatnonzero(is_there)
        if not len(olds) + len(news):
            return None
        cause = np.concatenate([olds, news])
        weight = np.concatenate([np.full(len(olds), -1), np.full(len(news), 1)]).astype(np.int8)
        # One record may change both sides, of a table joined with itself: each change as a whole.
        order = np.lexsort((weight, cause, events.seq[cause]))
        cause, weight = cause[order], weight[order]
        columns: dict[str, pa.Array[Any]] = {WEIGHT: pa.array(weight), SEQ: pa.array(events.seq[cause])}
        times = events.time[cause]
        for side in (0, 1):
            index = np.where(weight < 0, before[side][cause], after[side][cause])
            columns.update(self._side(side, index, batches, stored))
            own = self._side_times(side, index, batches, stored)
            times = np.maximum(times, own)
        columns[TIME] = pa.array(times)
        keys = self.store.index.keys.get(events.slots[cause])
        columns.update({n: keys.column(n) for n in self.spec.keys})
        return pa.RecordBatch.from_arrays(
            [columns[f.name] for f in self.spec.output], schema=self.spec.output
        )

    def _side(
        self, side: int, index: Int64s, batches: list[pa.RecordBatch | None], stored: pa.RecordBatch
    ) -> dict[str, pa.Array[Any]]:
        names = self.spec.columns(side)
        rows = batches[side]
        parts = [] if rows is None else [[rows.column(n) for n in names]]
        parts.append([stored.column(n) for n in names])
        return dict(zip(names, pooled(parts, index), strict=True)) if names else {}

    def _side_times(
        self, side: int, index: Int64s, batches: list[pa.RecordBatch | None], stored: pa.RecordBatch
    ) -> Int64s:
        rows = batches[side]
        parts = [] if rows is None else [rows.column(TIME).to_numpy()]
        parts.append(
            np.nan_to_num(stored.column(_TIMES[side]).to_numpy(zero_copy_only=False), nan=_NEVER).astype(
                np.int64
            )
        )
        times = np.concatenate(parts)
        return (
            np.where(index >= 0, times[np.maximum(index, 0)], _NEVER)
            if len(times)
            else np.full(len(index), _NEVER)
        )

    def _keep(
        self,
        batches: list[pa.RecordBatch | None],
        stored: pa.RecordBatch,
        touched: Int64s,
        added: Int64s,
        group: Int64s,
        after: list[Int64s],
    ) -> None:
        last = np.flatnonzero(np.append(group[1:] != group[:-1], True))
        finals = [after[side][last] for side in (0, 1)]
        has = [final >= 0 for final in finals]
        stays = np.flatnonzero(has[0] | has[1])
        columns: dict[str, pa.Array[Any]] = {}
        for side in (0, 1):
            index = finals[side][stays]
            columns.update(self._side(side, index, batches, stored))
            columns[_HAS[side]] = pa.array(has[side][stays])
            columns[_TIMES[side]] = pa.array(self._side_times(side, index, batches, stored))
        self.store.put(touched[stays], [columns[n] for n in self.store.values.schema.names])
        gone = touched[~(has[0] | has[1])]
        known = ~np.isin(gone, added)
        self.store.remove(gone[known])
        self.store.index.remove(gone[~known])


def _in_order(batches: list[pa.RecordBatch | None], slots: list[Int64s]) -> _Events:
    parts = [(side, batch) for side, batch in enumerate(batches) if batch is not None]
    slot = np.concatenate([slots[side] for side, _ in parts])
    seq = np.concatenate([batch.column(SEQ).to_numpy() for _, batch in parts])
    side_of = np.concatenate([np.full(batch.num_rows, side) for side, batch in parts])
    row = np.concatenate([np.arange(batch.num_rows) for _, batch in parts])
    time = np.concatenate([batch.column(TIME).to_numpy() for _, batch in parts])
    puts_in = np.concatenate([batch.column(WEIGHT).to_numpy() > 0 for _, batch in parts])
    order = np.lexsort((row, side_of, seq, slot))
    return _Events(slot[order], seq[order], side_of[order], row[order], time[order], puts_in[order])


def _flags(column: pa.Array[Any]) -> Bools:
    flags: Bools = column.fill_null(False).to_numpy(zero_copy_only=False)
    return flags

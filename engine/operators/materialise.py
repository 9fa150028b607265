"""Materialise: keeps the last row per key of a table, and tells what each change replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT, WINDOW_START
from streamsql.engine.operators.base import Context, Operator, WindowBounds
from streamsql.engine.operators.changes import weights
from streamsql.engine.operators.group_states import last_places
from streamsql.engine.state.columns import Bools, Int64s, concatenated, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.state.store import KeyedStore


@dataclass(frozen=True, slots=True)
class Materialise:
    """A table's upserts and deletes in, the table kept.

    input     `$weight` 1: the key's new row. -1: the key is gone; of such a row only the key columns,
              `$time` and `$seq` are read
    keys      key columns, among them `$start` and `$end` if the table is windowed
    emit_old  before each new row the row it replaces, taken back; a delete takes back the whole row. What
              is taken back has the `$time` of the change, not the one it came with: who needs that keeps
              it in a column. Without emit_old rows pass as they are
    forward_unknown_deletes  with `emit_old`: a delete of a key that is not there passes, with nulls for
              values, instead of being dropped
    """

    input: pa.Schema
    keys: tuple[str, ...]
    emit_old: bool
    forward_unknown_deletes: bool = False

    @property
    def output(self) -> pa.Schema:
        return self.input

    @property
    def values(self) -> pa.Schema:
        """What is kept per key."""
        return pa.schema([f for f in self.input if f.name not in (*self.keys, SEQ, WEIGHT)])

    def open(self, context: Context) -> MaterialiseOperator:
        return MaterialiseOperator(self, context)

    def describe(self) -> str:
        return f"table by ({', '.join(self.keys)})" + (", with old rows" if self.emit_old else "")


class MaterialiseOperator(Operator):
    def __init__(self, spec: Materialise, context: Context) -> None:
        self.spec = spec
        keys = pa.schema([spec.input.field(name) for name in spec.keys])
        time = TIME if TIME in spec.values.names else None
        self.store = KeyedStore("table", keys, spec.values, KeyHasher(context.workspace, keys), time=time)
        self.stores = (self.store,)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None or not batch.num_rows:
            return None
        slots, is_new = self.store.find_or_add([batch.column(name) for name in self.spec.keys])
        added = slots[is_new]
        puts_in = batch.column(WEIGHT).to_numpy() > 0
        changes = batch
        if self.spec.emit_old:
            changes = self._changes(batch, slots, added, puts_in)
        self._keep(batch, slots, added, puts_in)
        return changes if changes.num_rows else None

    def snapshot(self) -> pa.RecordBatch:
        return self._rows(None)

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        if WINDOW_START in self.spec.keys:
            return None  # keys are known with their windows only
        slots = self.store.find(keys, hashes)
        return self._rows(distinct(slots[slots >= 0]))

    def _rows(self, slots: Int64s | None) -> pa.RecordBatch:
        table = self.store.table(slots)
        meta = {SEQ: pa.array(np.zeros(table.num_rows, dtype=np.int64)), WEIGHT: weights(table.num_rows, 1)}
        columns = [meta[f.name] if f.name in meta else table.column(f.name) for f in self.spec.output]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _keep(self, batch: pa.RecordBatch, slots: Int64s, added: Int64s, puts_in: Bools) -> None:
        """Bring the store to where the last row of each key leaves it."""
        last = last_places(slots)
        kept = last[puts_in[last]]
        rows = pa.array(kept)
        self.store.put(slots[kept], [batch.column(n).take(rows) for n in self.spec.values.names])
        gone = slots[last[~puts_in[last]]]
        is_unknown = np.isin(gone, added)
        # A key that came and went within the batch was never anyone's business.
        self.store.index.remove(gone[is_unknown])
        self.store.remove(gone[~is_unknown])

    def _changes(self, batch: pa.RecordBatch, slots: Int64s, added: Int64s, puts_in: Bools) -> pa.RecordBatch:
        """Each row with the one it replaces before it: from the batch if its key occurred, else stored."""
        count = len(slots)
        previous = _previous_places(slots)
        stored_of = np.flatnonzero((previous < 0) & ~np.isin(slots, added))
        # Values come from a pool: the batch's own, then the stored ones that its rows replace.
        old: Int64s = np.where((previous >= 0) & puts_in[previous], previous, _NO_ROW)
        old[stored_of] = count + np.arange(len(stored_of))
        takes_back = old != _NO_ROW
        if self.spec.forward_unknown_deletes:
            takes_back |= ~puts_in
        cause = np.concatenate([np.flatnonzero(takes_back), np.flatnonzero(puts_in)])
        values = np.concatenate([old[takes_back], np.flatnonzero(puts_in)])
        weight = np.repeat([-1, 1], [np.count_nonzero(takes_back), np.count_nonzero(puts_in)])
        order = np.lexsort((weight, cause))
        causes = batch.take(pa.array(cause[order]))
        source = pa.array(values[order], mask=values[order] == _NO_ROW)
        columns = []
        for field in self.spec.output:
            if field.name == WEIGHT:
                columns.append(pa.array(weight[order].astype(np.int8)))
            elif field.name in (*self.spec.keys, SEQ, TIME):
                columns.append(causes.column(field.name))
            else:
                pool = [batch.column(field.name)]
                if len(stored_of):
                    place = self.store.values.schema.get_field_index(field.name)
                    pool.append(self.store.values.columns[place].get(slots[stored_of], None))
                columns.append(concatenated(pool, field.type).take(source))
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)


_NO_ROW = -1


def _previous_places(slots: Int64s) -> Int64s:
    """Where each slot occurred last before, -1 if it did not; int64[n].

    >>> _previous_places(np.array([7, 3, 7, 7]))
    array([-1, -1,  0,  2])
    """
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    repeats = np.append(False, ordered[1:] == ordered[:-1])[: len(slots)]
    previous = np.full(len(slots), -1, dtype=np.int64)
    previous[order[repeats]] = order[np.flatnonzero(repeats) - 1]
    return previous

"""Materialise: keeps the last row per key of a table, and tells what each change replaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME, WEIGHT
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.changes import weights
from streamsql.engine.operators.group_states import last_places
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.store import KeyedStore


@dataclass(frozen=True, slots=True)
class Materialise:
    """A table's upserts and deletes in, the table kept.

    input     `$weight` 1: the key's new row. -1: the key is gone; of such a row only the key columns,
              `$time` and `$seq` are read
    keys      key columns, among them `$start` and `$end` if the table is windowed
    emit_old  before each new row the row it replaces, taken back; a delete takes back the whole row.
              Else rows pass as they are
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
        table = self.store.table()
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
        # Rows of `pool` are the batch's, then the stored ones that the batch's first rows replace.
        replaced: Int64s = np.where((previous >= 0) & puts_in[previous], previous, -1)
        replaced[stored_of] = count + np.arange(len(stored_of))
        pool = self._pool(batch, slots[stored_of], stored_of)
        takes_back = replaced >= 0
        if self.spec.forward_unknown_deletes:
            unknown = ~takes_back & ~puts_in
        else:
            unknown = np.zeros(count, dtype=np.bool_)
        # Up to two rows of output for each row of input: the old one at 2 i, the new one at 2 i + 1.
        place = np.concatenate(
            [2 * np.flatnonzero(takes_back), 2 * np.flatnonzero(unknown), 2 * np.flatnonzero(puts_in) + 1]
        )
        source = np.concatenate([replaced[takes_back], np.flatnonzero(unknown), np.flatnonzero(puts_in)])
        weight = np.concatenate(
            [np.full(np.count_nonzero(takes_back | unknown), -1), np.full(np.count_nonzero(puts_in), 1)]
        ).astype(np.int8)
        order = np.argsort(place)
        place, source, weight = place[order], source[order], weight[order]
        cause = place // 2
        rows = pool.take(pa.array(source))
        meta = {SEQ: batch.column(SEQ).take(pa.array(cause)), WEIGHT: pa.array(weight)}
        if TIME in rows.schema.names:
            # A delete happens at its own time; an old row that makes way keeps the time it had.
            deletes = ~puts_in[cause]
            times = np.where(deletes, batch.column(TIME).to_numpy()[cause], rows.column(TIME).to_numpy())
            meta[TIME] = pa.array(times)
        absent = unknown[source % count] & (source < count) & (weight < 0) if unknown.any() else None
        columns = []
        for field in self.spec.output:
            column = meta.get(field.name, None)
            if column is None:
                column = rows.column(field.name)
                if absent is not None and field.name in self.spec.values.names:
                    column = _nulled(column, absent)
            columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _pool(self, batch: pa.RecordBatch, stored: Int64s, rows: Int64s) -> pa.RecordBatch:
        """The batch's rows, then stored rows by slot, with keys and meta columns of the rows they meet."""
        if not len(stored):
            return batch
        values = self.store.values.get(stored)
        met = batch.take(pa.array(rows))
        columns = [
            values.column(f.name) if f.name in values.schema.names else met.column(f.name)
            for f in self.spec.input
        ]
        return pa.concat_batches([batch, pa.RecordBatch.from_arrays(columns, schema=batch.schema)])


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


def _nulled(column: pa.Array, absent: Bools) -> pa.Array:
    """The column with nulls where `absent` says so."""
    places = np.arange(len(column))
    return column.take(pa.array(places, mask=absent))

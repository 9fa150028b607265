"""The groups of an aggregate without windows: merging rows or partials into them, and what changes by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate, keys_of
from streamsql.engine.operators.changes import interleaved, weights, with_times
from streamsql.engine.operators.group_states import GroupStates
from streamsql.engine.operators.number_merging import LastPlaces
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.keys import Hasher, UInt64s


class Located(NamedTuple):
    """Rows of a batch whose groups have been looked up.

    rows   the stage's rows as they are, or partials
    keys   the key columns of all rows
    slots  int64[n], of their groups
    last   int64[groups], where each group occurs last; None for partials, of which a group has one
    """

    rows: pa.RecordBatch
    keys: Sequence[pa.Array]
    slots: Int64s
    last: Int64s | None


class Groups:
    """The state of an aggregate without windows.

    Groups are looked up in one step and changed in another, which only must be in order: `located_rows` and
    `located_partials` may be called for later batches meanwhile, from other threads. Until the second step
    a new group has a slot, but no values: as long as nothing has been merged into it, it is not there.
    """

    def __init__(self, spec: Aggregate, workspace: Workspace) -> None:
        self.spec = spec
        self.states = GroupStates(pa.schema(spec.key_fields), spec.calls, workspace)
        self.store = self.states.store

    def located_rows(self, rows: pa.RecordBatch, hasher: Hasher, places: LastPlaces) -> Located:
        """The stage's rows as they are.

        hasher, places  not in use by another thread
        """
        keys = keys_of(self.spec, rows)
        slots, _ = self.store.find_or_add(keys, hasher)
        return Located(rows, keys, slots, places.find(slots))

    def located_partials(self, partials: pa.RecordBatch, hashes: UInt64s) -> Located:
        """Partials, one per group."""
        keys = [partials.column(f.name) for f in self.spec.key_fields]
        slots, _ = self.store.find_or_add(keys, hashes)
        return Located(partials, keys, slots, None)

    def changes(self, located: Located) -> pa.RecordBatch:
        """Merge rows into their groups; gives what follows, by the last row of each group."""
        rows, keys, slots, last = located
        seq = rows.column(SEQ).to_numpy()
        touched = slots
        if last is not None:
            touched, seq = slots[last], seq[last]
            chosen = pa.array(last)
            keys = [key.take(chosen) for key in keys]
        is_known = self.store.values.is_live(touched)
        self.states.begin(touched[~is_known])
        olds = None
        if self.spec.emit_old and is_known.any():
            olds = self._rows(touched[is_known], seq[is_known], -1)
        if last is None:
            self.states.merge(slots, rows)
        else:
            self.states.merge_rows(slots, rows, touched)
        news = self._rows(touched, seq, keys=keys)
        return news if olds is None else self._updates(olds, news, touched, is_known)

    def table(self) -> pa.RecordBatch:
        """All groups, as rows of the operator's snapshot."""
        slots = self.store.values.slots()
        return self._rows(slots, np.zeros(len(slots), dtype=np.int64))

    def look_up(self, keys: Sequence[pa.Array], hashes: UInt64s | None) -> pa.RecordBatch:
        """The groups of some keys."""
        slots = self.store.find(keys, hashes)
        slots = distinct(slots[self.store.values.is_live(slots)])
        return self._rows(slots, np.zeros(len(slots), dtype=np.int64))

    def _updates(
        self, olds: pa.RecordBatch, news: pa.RecordBatch, slots: Int64s, has_old: Bools
    ) -> pa.RecordBatch:
        """Before each new row the old one, if there is one."""
        olds = with_times(olds, self.states.times(slots[has_old]))
        columns = interleaved(olds.columns, news.columns, has_old)
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

    def _rows(
        self, slots: Int64s, seq: Int64s, weight: int = 1, keys: Sequence[pa.Array] | None = None
    ) -> pa.RecordBatch:
        """Output rows for some slots as their state is now."""
        columns: list[pa.Array] = []
        if self.spec.keys:
            columns += self.store.keys(slots) if keys is None else keys
        columns += self.states.results(slots)
        columns += [pa.array(self.states.times(slots)), pa.array(seq), weights(len(slots), weight)]
        return pa.RecordBatch.from_arrays(columns, schema=self.spec.output)

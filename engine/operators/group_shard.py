"""The groups of an aggregate without windows, or a shard of them: merging partials or rows into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate, keys_of
from streamsql.engine.operators.changes import interleaved, weights, with_times
from streamsql.engine.operators.group_states import GroupStates
from streamsql.engine.operators.number_merging import LastPlaces
from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.state.hashing import HASH
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.state.shards import Changes


class GroupShard:
    """The state of an aggregate without windows, or a shard of it."""

    def __init__(self, spec: Aggregate, workspace: Workspace) -> None:
        self.spec = spec
        self.groups = GroupStates(pa.schema(spec.key_fields), spec.calls, workspace)
        self._last = LastPlaces()

    def table(self) -> pa.RecordBatch:
        """All groups, as rows of the operator's snapshot."""
        slots = self.groups.store.values.slots()
        return self._rows(slots, np.zeros(len(slots), dtype=np.int64))

    def look_up(self, keys: Sequence[pa.Array], hashes: UInt64s) -> pa.RecordBatch:
        """The groups of some keys."""
        slots = self.groups.store.find(keys, hashes)
        slots = distinct(slots[slots >= 0])
        return self._rows(slots, np.zeros(len(slots), dtype=np.int64))

    def of_partials(self, partials: pa.RecordBatch) -> Changes:
        """Merge partials, one per group, and give the changes that follow."""
        groups, store = self.groups, self.groups.store
        keys = [partials.column(f.name) for f in self.spec.key_fields]
        slots, is_new = store.find_or_add(keys, partials.column(HASH).to_numpy())
        groups.begin(slots[is_new])
        places, seq = np.arange(len(slots)), partials.column(SEQ).to_numpy()
        olds = None
        if self.spec.emit_old and not is_new.all():
            olds = self._rows(slots[~is_new], seq[~is_new], -1)
        groups.merge(slots, partials)
        news = self._rows(slots, seq, keys=keys)
        if olds is None:
            return news, places
        return self._updates(olds, news, slots, ~is_new), np.repeat(places, 2 - is_new)

    def of_rows(self, rows: pa.RecordBatch, hashes: UInt64s | None = None) -> Changes:
        """Merge the stage's rows as they are, and give the changes that follow.

        hashes  of their keys; None if this is the only shard
        """
        groups, store = self.groups, self.groups.store
        keys = keys_of(self.spec, rows)
        slots, is_new = store.find_or_add(keys, hashes)
        groups.begin(slots[is_new])
        last, is_known = self._last.find(slots, is_new)
        places = last.places
        touched, seq = slots[places], rows.column(SEQ).to_numpy()[places]
        olds = None
        if self.spec.emit_old and is_known.any():
            olds = self._rows(touched[is_known], seq[is_known], -1)
        groups.merge_rows(slots, rows, last, has_others_beside=hashes is not None)
        chosen = pa.array(places)
        news = self._rows(touched, seq, keys=[key.take(chosen) for key in keys])
        if olds is None:
            return news, places
        return self._updates(olds, news, touched, is_known), np.repeat(places, is_known + 1)

    def _updates(
        self, olds: pa.RecordBatch, news: pa.RecordBatch, slots: Int64s, has_old: Bools
    ) -> pa.RecordBatch:
        """Before each new row the old one, if there is one."""
        olds = with_times(olds, self.groups.times(slots[has_old]))
        columns = interleaved(olds.columns, news.columns, has_old)
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

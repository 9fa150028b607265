"""Aggregation without windows: one state row per group, one change per changed group and batch.

A batch is grouped first, and the partials of its groups are merged into the state. With nearly as many
groups as rows that pays no more: then the rows themselves are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, WEIGHT
from streamsql.engine.kernel import Workspace, one_batch
from streamsql.engine.operators.aggregate import Aggregate, keys_of
from streamsql.engine.operators.base import Context, Finish, Operator, WindowBounds
from streamsql.engine.operators.changes import by_processing
from streamsql.engine.operators.group_shard import GroupShard
from streamsql.engine.operators.partials import Numbering, Partials, is_rising, numbered
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.state.hashing import HASH
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.state.shards import Shards, taken

_UNGROUPED, _UNGROUPED_AFTER_STATEMENT = 1 / 32, 1 / 4
"""With more groups per row than this, rows are merged one by one instead of being grouped first. Where a
statement computes what is grouped, it groups for little more, and computed rows need not be handed out."""
_LARGE_STATE = 1 << 18
"""Fewer groups are merged into faster by one thread, in which they stay in the caches."""


class AggregateOperator(Operator):
    def __init__(self, spec: Aggregate, context: Context) -> None:
        self.spec = spec
        self._partials = self._grouped(context)
        self._partials_ahead = [self._grouped(replace(context, workspace=w)) for w in context.workspace.ahead]
        self._uses_seq = any(call.uses_seq for call in spec.calls)
        self._progress = StreamTime()
        self.shards = Shards(context.workspace, self._shard, from_rows=_LARGE_STATE)
        self._hasher = self.shards.all[0].groups.store.hasher
        self._may_skip_grouping = self.shards.all[0].groups.takes_rows and not self._uses_seq
        self._groups_per_row = 0.0
        self._ungrouped = _UNGROUPED if spec.stage.moves is not None else _UNGROUPED_AFTER_STATEMENT
        store = self.shards.store(lambda shard: shard.groups.store, self._hasher)
        self.stores = (store, *((self._progress,) if self._uses_seq else ()))

    def _shard(self, workspace: Workspace) -> GroupShard:
        return GroupShard(self.spec, workspace)

    def _grouped(self, context: Context) -> Partials:
        """What a batch is grouped by."""
        spec = self.spec
        return Partials(spec.stage, spec.calls, spec.key_sql, context, coarse=spec.coarse)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        return None if batch is None else self._process(batch, None)

    def prepare(self, batch: pa.RecordBatch, place: int) -> Finish | None:
        is_plain = not self.spec.explodes and not self._uses_seq and is_rising(batch.column(SEQ).to_numpy())
        if self._skips_grouping or not is_plain:
            return None
        partials = self._partials_ahead[place].of_batch(batch)
        return None if partials is None else lambda: self._process(batch, partials)

    def _process(self, batch: pa.RecordBatch, prepared: pa.RecordBatch | None) -> pa.RecordBatch | None:
        if not batch.num_rows:
            return None
        if self._skips_grouping and prepared is None:
            rows = self._partials.rows(batch)
            return self._changes_of_rows(rows) if rows.num_rows else None
        partials, numbering = (prepared, None) if prepared is not None else self._partials_of(batch)
        if not partials.num_rows:
            return None
        self._groups_per_row = partials.num_rows / batch.num_rows
        seq = partials.column(SEQ).to_numpy()
        order = by_processing(seq)
        partials = partials.take(pa.array(order))
        if numbering is not None:
            given = pa.array(numbering.given(seq[order]))
            partials = partials.set_column(partials.schema.get_field_index(SEQ), SEQ, given)
        hashes = partials.column(HASH).to_numpy()
        return self.shards.changes(hashes, lambda shard, own: shard.of_partials(taken(partials, own)))

    def snapshot(self) -> pa.RecordBatch:
        return one_batch(self.spec.output, [shard.table() for shard in self.shards.all])

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        known = self._hasher(keys) if hashes is None else hashes
        found = self.shards.over(
            known, lambda shard, own: shard.look_up([taken(key, own) for key in keys], known[own])
        )
        return one_batch(self.spec.output, found)

    @property
    def _skips_grouping(self) -> bool:
        return self._may_skip_grouping and self._groups_per_row > self._ungrouped

    def _changes_of_rows(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Merge the stage's rows as they are, and give the changes that follow."""
        hashes = self._hasher(keys_of(self.spec, rows)) if len(self.shards.all) > 1 else None
        changes = self.shards.changes(
            hashes,
            lambda shard, own: shard.of_rows(taken(rows, own), None if hashes is None else hashes[own]),
        )
        self._groups_per_row = np.count_nonzero(changes.column(WEIGHT).to_numpy() > 0) / rows.num_rows
        return changes

    def _partials_of(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        if not self.spec.explodes:
            rows, numbering = self._numbered(batch)
            partials = self._partials.of_batch(rows)
            if partials is not None:
                return partials, numbering
        rows, numbering = self._numbered(self._partials.rows(batch))
        return self._partials.of_rows(rows), numbering

    def _numbered(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        return numbered(rows, self._progress, uses_seq=self._uses_seq)

"""Aggregation without windows: one state row per group, one change per changed group and batch.

A batch is grouped first, and the partials of its groups are merged into the state. With nearly as many
groups as rows that pays no more: then the rows themselves are merged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Context, Finish, Operator, WindowBounds
from streamsql.engine.operators.changes import by_processing
from streamsql.engine.operators.group_changes import Groups, Located
from streamsql.engine.operators.number_merging import LastPlaces
from streamsql.engine.operators.partials import Numbering, Partials, is_rising, numbered
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.state.hashing import HASH, KeyHasher
from streamsql.engine.state.keys import UInt64s

_UNGROUPED, _UNGROUPED_AFTER_STATEMENT = 1 / 32, 1 / 4
"""With more groups per row than this, rows are merged one by one instead of being grouped first. Where a
statement computes what is grouped, it groups for little more, and computed rows need not be handed out."""


class _Thread(NamedTuple):
    """What looks up the groups of a batch: one for each thread that does so."""

    partials: Partials
    hasher: KeyHasher
    places: LastPlaces


class AggregateOperator(Operator):
    def __init__(self, spec: Aggregate, context: Context) -> None:
        self.spec = spec
        self.groups = self._groups(context.workspace)
        self._thread = self._for_thread(context)
        self._ahead = [self._for_thread(replace(context, workspace=w)) for w in context.workspace.ahead]
        self._uses_seq = any(call.uses_seq for call in spec.calls)
        self._progress = StreamTime()
        self._may_skip_grouping = self.groups.states.takes_rows and not self._uses_seq
        self._groups_per_row = 0.0
        self._ungrouped = _UNGROUPED if spec.stage.moves is not None else _UNGROUPED_AFTER_STATEMENT
        self.stores = (self.groups.store, *((self._progress,) if self._uses_seq else ()))

    def _groups(self, workspace: Workspace) -> Groups:
        return Groups(self.spec, workspace)

    def _partials(self, context: Context) -> Partials:
        """What a batch is grouped by."""
        spec = self.spec
        return Partials(spec.stage, spec.calls, spec.key_sql, context, coarse=spec.coarse)

    def _for_thread(self, context: Context) -> _Thread:
        hasher = KeyHasher(context.workspace, pa.schema(self.spec.key_fields))
        return _Thread(self._partials(context), hasher, LastPlaces())

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None or not batch.num_rows:
            return None
        if self._skips_grouping:
            return self._changes(batch, self._of_rows(self._thread.partials.rows(batch), self._thread))
        return self._changes(batch, self._of_partials(*self._partials_of(batch)))

    def prepare(self, place: int, *inputs: pa.RecordBatch | None) -> Finish | None:
        (batch,) = inputs
        thread = self._ahead[place]
        if batch is None or not batch.num_rows:
            return None
        if self.spec.explodes or self._uses_seq or not is_rising(batch.column(SEQ).to_numpy()):
            return None
        tell: Callable[[], None] | None = None
        if self._skips_grouping:
            rows, tell = thread.partials.rows_and_failures(batch)
            located = self._of_rows(rows, thread)
        else:
            partials = thread.partials.of_batch(batch)
            if partials is None:
                return None
            located = self._of_partials(partials, None)

        def finish() -> pa.RecordBatch | None:
            if tell is not None:
                tell()
            return self._changes(batch, located)

        return finish

    def snapshot(self) -> pa.RecordBatch:
        return self.groups.table()

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        return self.groups.look_up(keys, hashes)

    @property
    def _skips_grouping(self) -> bool:
        return self._may_skip_grouping and self._groups_per_row > self._ungrouped

    def _changes(self, batch: pa.RecordBatch, located: Located | None) -> pa.RecordBatch | None:
        """What follows from a batch whose groups have been looked up."""
        if located is None:
            return None
        groups = len(located.slots) if located.last is None else len(located.last)
        self._groups_per_row = groups / batch.num_rows
        return self.groups.changes(located)

    def _of_rows(self, rows: pa.RecordBatch, thread: _Thread) -> Located | None:
        return self.groups.located_rows(rows, thread.hasher, thread.places) if rows.num_rows else None

    def _of_partials(self, partials: pa.RecordBatch, numbering: Numbering | None) -> Located | None:
        if not partials.num_rows:
            return None
        seq = partials.column(SEQ).to_numpy()
        order = by_processing(seq)
        partials = partials.take(pa.array(order))
        if numbering is not None:
            given = pa.array(numbering.given(seq[order]))
            partials = partials.set_column(partials.schema.get_field_index(SEQ), SEQ, given)
        return self.groups.located_partials(partials, partials.column(HASH).to_numpy())

    def _partials_of(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        own = self._thread.partials
        if not self.spec.explodes:
            rows, numbering = self._numbered(batch)
            partials = own.of_batch(rows)
            if partials is not None:
                return partials, numbering
        rows, numbering = self._numbered(own.rows(batch))
        return own.of_rows(rows), numbering

    def _numbered(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Numbering | None]:
        return numbered(rows, self._progress, uses_seq=self._uses_seq)

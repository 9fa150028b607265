"""Aggregation in sessions: rows of a key with no long gap between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME
from streamsql.engine.kernel import one_batch
from streamsql.engine.operators.aggregate import Aggregate, keys_of
from streamsql.engine.operators.base import Context, Operator, WindowBounds
from streamsql.engine.operators.changes import order_of_finals
from streamsql.engine.operators.partials import Numbering, numbered
from streamsql.engine.operators.session_shard import SessionRows, SessionShard
from streamsql.engine.operators.session_steps import rounds_in_order
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.stage import StageKernel
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import KeyIndex, UInt64s
from streamsql.engine.state.ordering import order_of
from streamsql.engine.state.shards import Shards, taken
from streamsql.engine.windows import Session


class SessionAggregateOperator(Operator):
    """With `emit_final`, a session is emitted when it is final; should rows still join it within the
    grace, it is taken back, and the longer one is emitted in turn."""

    def __init__(self, spec: Aggregate, context: Context) -> None:
        assert isinstance(spec.window, Session)
        self.spec = spec
        self.window = spec.window
        self._problems = context.problems
        self.stream_time = StreamTime()
        self.shards = Shards(
            context.workspace,
            lambda lane: SessionShard(spec, replace(context, workspace=lane), self.stream_time),
        )
        self._hasher = KeyHasher(context.workspace, pa.schema(spec.key_fields))
        # A session is stored under its key and start, and found by the key alone.
        store = self.shards.store(lambda shard: shard.groups.store, lambda keys: self._hasher(keys[:-1]))
        self.stores = (store, self.stream_time)
        self._stage = StageKernel(spec.stage, context.workspace, context.problems)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None or not batch.num_rows:
            return None
        for shard in self.shards.all:
            shard.catch_up_with_restored_rows()
        rows, numbering = self._rows(batch)
        if not len(rows.time):
            return None
        outputs: list[pa.RecordBatch] = []
        for stretch in self._stretches(rows):
            outputs += self._united(stretch)
            self.stream_time.advance(stretch.partition, stretch.time)
            if self.spec.emit_final:
                outputs += self._closed(stretch)
                self.shards.each(len(stretch.time), SessionShard.expire)
        if not self.spec.emit_final:
            self.shards.each(len(rows.time), SessionShard.expire)
        outputs = [o for o in outputs if o.num_rows]
        if not outputs:
            return None
        # A session's old parts go before it comes, earlier ones first: so they are in each number.
        changes = self._by_number(outputs)
        if numbering is None:
            return changes
        seq = numbering.given(changes.column(SEQ).to_numpy())
        return changes.set_column(changes.schema.get_field_index(SEQ), SEQ, pa.array(seq))

    def snapshot(self) -> pa.RecordBatch:
        return one_batch(self.spec.output, [shard.table() for shard in self.shards.all])

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        known = self._hasher(keys) if hashes is None else hashes
        found = self.shards.over(
            known, lambda shard, own: shard.look_up([taken(k, own) for k in keys], bounds, known[own])
        )
        return one_batch(self.spec.output, found)

    def _rows(self, batch: pa.RecordBatch) -> tuple[SessionRows, Numbering | None]:
        uses_seq = any(call.uses_seq for call in self.spec.calls)
        rows, numbering = numbered(self._stage.run(batch), self.stream_time, uses_seq=uses_seq)
        seq, time = rows.column(SEQ).to_numpy(), rows.column(TIME).to_numpy()
        partition = np.zeros(len(time), dtype=np.int64)
        if self.spec.by_partition:
            partition = rows.column(PARTITION).to_numpy().astype(np.int64)
        hashes = self._hasher(keys_of(self.spec, rows))
        stream_time = self.stream_time.running(partition, time)
        return SessionRows(rows, hashes, partition, time, seq, stream_time), numbering

    def _stretches(self, rows: SessionRows) -> list[SessionRows]:
        """What can be united at once, one stretch after the other.

        With EMIT FINAL the batch is cut before each row that may join a session which rows before it have
        made final: it is out of order by more than the grace. If every change counts, the rows of a key that
        are out of order come in stretches of their own. Else it makes no difference.
        """
        if self.spec.emit_every:
            keys, _ = KeyIndex(pa.schema(self.spec.key_fields)).find_or_add(
                rows.hashes, keys_of(self.spec, rows.rows)
            )
            number = rounds_in_order(keys, rows.time)
            rounds = int(number.max()) + 1
            return [rows] if rounds == 1 else [rows.at(np.flatnonzero(number == n)) for n in range(rounds)]
        if not self.spec.emit_final:
            return [rows]
        cuts = np.flatnonzero(rows.time < rows.stream_time - self.window.grace_ms).tolist()
        places = [0, *(cut for cut in cuts if cut), len(rows.time)]
        return [rows.at(slice(begin, end)) for begin, end in itertools.pairwise(places)]

    def _united(self, rows: SessionRows) -> list[pa.RecordBatch]:
        """Let rows join the sessions of their keys; gives the changes."""
        found = self.shards.over(rows.hashes, lambda shard, own: shard.unite(rows.at(own)))
        self._problems.late(sum(late for _, late in found), "the sessions they belong to had closed")
        return [changes for parts, _ in found for changes in parts]

    def _closed(self, rows: SessionRows) -> list[pa.RecordBatch]:
        """The sessions that these rows made final, each at the row that did."""
        parts = self.shards.each(len(rows.time), lambda shard: shard.close(rows))
        closed = [part for part in parts if part is not None]
        return [self.shards.taken(closed, order_of_finals(closed, self.spec.keys))] if closed else []

    def _by_number(self, outputs: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
        """All of them by `$seq`; those of one number in the order they are in."""
        seq = np.concatenate([output.column(SEQ).to_numpy() for output in outputs])
        if (seq[1:] >= seq[:-1]).all():
            return one_batch(self.spec.output, outputs)
        return self.shards.taken(outputs, order_of(seq, np.zeros_like(seq)))

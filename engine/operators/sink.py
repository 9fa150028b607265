"""Sinks: where rows leave the graph, to a topic or to one reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import WINDOW_END, WINDOW_START
from streamsql.engine.by_partition import split
from streamsql.engine.codec import OpenEncoder
from streamsql.engine.kernel import one_batch
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.record_encoder import Encoded, RecordEncoder
from streamsql.engine.operators.upserts import without_paired_retractions
from streamsql.engine.parallel import PerThread
from streamsql.engine.state.columns import Int64s
from streamsql.engine.windowed_keys import WindowedKey


@dataclass(frozen=True, slots=True)
class Sink:
    """Writes rows to a topic.

    key, value       columns of the input in the order of the encoders
    key_bytes        for partitioning a key that is not bytes (format ARROW); None with one partition
    no_key_if_null   a stream's key of several columns that are all null is no key (one column: always so)
    keeps_retractions  a lone or paired -1 is written as a tombstone (sessions); else only lone ones
    """

    topic: str
    partitions: int
    input: pa.Schema
    key: tuple[str, ...]
    value: tuple[str, ...]
    key_encoder: OpenEncoder | None
    value_encoder: OpenEncoder | None
    key_bytes: OpenEncoder | None = None
    windowed_key: WindowedKey | None = None
    is_table: bool = False
    keeps_retractions: bool = False
    no_key_if_null: bool = False

    @property
    def output(self) -> pa.Schema:
        return self.input

    def open(self, context: Context) -> SinkOperator:
        return SinkOperator(self, context)

    def describe(self) -> str:
        kind = "table" if self.is_table else "stream"
        return (
            f"sink {kind} to topic {self.topic}: key ({', '.join(self.key)}), value ({', '.join(self.value)})"
        )


class SinkOperator(Operator):
    """Collects records until `take` hands them to a commit."""

    def __init__(self, spec: Sink, context: Context) -> None:
        self.spec = spec
        self._counters = context.problems.counters
        self._encoders = PerThread(context.workspace, lambda workspace: RecordEncoder(spec, workspace))
        self._pending: list[Encoded] = []
        self.pending_rows = 0

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is not None:
            spec = self.spec
            if spec.is_table and not spec.keeps_retractions:
                bounds = () if spec.windowed_key is None else (WINDOW_START, WINDOW_END)
                batch = without_paired_retractions(batch, (*spec.key, *bounds))
            self._collect(self._encoders.cut(batch))
        return None

    def process_pieces(self, pieces: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
        if len(pieces) == 1 or self.spec.is_table:
            # Two rows that make one update may be in two pieces.
            return super().process_pieces(pieces)
        self._collect(pieces)
        return ()

    def take(self) -> Sequence[tuple[str, int, pa.RecordBatch]]:
        """The records since the last call, in order, as (topic, partition, records).

        They are parted here, not batch by batch: a partition is written once per commit.
        """
        pending, self._pending = self._pending, []
        self.pending_rows = 0
        if self.spec.partitions == 1:
            return [(self.spec.topic, 0, encoded.records) for encoded in pending]
        return [(self.spec.topic, *part) for alike in _alike(pending) for part in split(*alike)]

    def _collect(self, pieces: Sequence[pa.RecordBatch]) -> None:
        pieces = [piece for piece in pieces if piece.num_rows]
        partitions = self.spec.partitions
        for encoded in self._encoders.over(pieces, lambda encoder, piece: encoder.records(piece, partitions)):
            self._counters.emitted += encoded.records.num_rows
            self.pending_rows += encoded.records.num_rows
            self._pending.append(encoded)


def _alike(pending: Sequence[Encoded]) -> Iterator[tuple[pa.RecordBatch, Int64s]]:
    """Neighbours of one schema as one: headers may come and go."""
    for schema, group in groupby(pending, lambda encoded: encoded.records.schema):
        together = list(group)
        chosen = np.concatenate([one.partitions for one in together if one.partitions is not None])
        yield one_batch(schema, [one.records for one in together]), chosen


@dataclass(frozen=True, slots=True)
class Collect:
    """Hands rows to one reader, a push query's."""

    input: pa.Schema

    @property
    def output(self) -> pa.Schema:
        return self.input

    def open(self, context: Context) -> CollectOperator:
        return CollectOperator(context)

    def describe(self) -> str:
        return "to the reader"


class CollectOperator(Operator):
    def __init__(self, context: Context) -> None:
        self._context = context
        self._pending: list[pa.RecordBatch] = []

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is not None:
            self._context.problems.counters.emitted += batch.num_rows
            self._pending.append(batch)
        return None

    def take(self) -> Sequence[pa.RecordBatch]:
        """The batches since the last call."""
        pending, self._pending = self._pending, []
        return pending

"""Sinks: where rows leave the graph, to a topic or to one reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import HEADERS, NULL_VALUE, PARTITION, SEQ, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.codec import OpenEncoder
from streamsql.engine.log.partitioner import partition_keys
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.windowed_keys import WindowedKey, join_windowed_keys


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
        self._context = context
        self._key = spec.key_encoder(context.workspace) if spec.key_encoder else None
        self._value = spec.value_encoder(context.workspace) if spec.value_encoder else None
        self._key_bytes = spec.key_bytes(context.workspace) if spec.key_bytes else None
        self._pending: list[tuple[int, pa.RecordBatch]] = []
        self.pending_rows = 0

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None:
            return None
        spec = self.spec
        if spec.is_table and not spec.keeps_retractions:
            batch = without_paired_retractions(batch, spec.key, spec.windowed_key is not None)
        if not batch.num_rows:
            return None
        absent = None
        if spec.is_table:
            absent = pc.less(batch.column(WEIGHT), 0)
        elif NULL_VALUE in batch.schema.names:
            absent = batch.column(NULL_VALUE)
        if absent is not None and not absent.true_count:
            absent = None
        key_columns = [batch.column(name) for name in spec.key]
        bare = self._bare_keys(batch.num_rows, key_columns)
        keys = bare
        if spec.windowed_key and self._key:
            bounds = batch.column(WINDOW_START), batch.column(WINDOW_END)
            keys = join_windowed_keys(bare, *bounds, spec.windowed_key)
        if self._value:
            values = self._value.encode([batch.column(name) for name in spec.value], absent)
        else:
            values = pa.nulls(batch.num_rows, pa.binary())
        arrays, names = [keys, values, batch.column(TIME)], ["key", "value", "timestamp"]
        if HEADERS in batch.schema.names:
            arrays.append(_log_headers(batch.column(HEADERS)))
            names.append("headers")
        records = pa.RecordBatch.from_arrays(arrays, names=names)
        self._context.problems.counters.emitted += records.num_rows
        self.pending_rows += records.num_rows
        if spec.partitions == 1:
            self._pending.append((0, records))
        else:
            self._split(records, self._partitions(batch, bare, key_columns))
        return None

    def take(self) -> Sequence[tuple[str, int, pa.RecordBatch]]:
        """The records since the last call, in order, as (topic, partition, records)."""
        pending, self._pending = self._pending, []
        self.pending_rows = 0
        return [(self.spec.topic, partition, records) for partition, records in pending]

    def _bare_keys(self, rows: int, columns: Sequence[pa.Array[Any]]) -> pa.Array[Any]:
        """The encoded keys without the bounds of windows."""
        if not self._key:
            return pa.nulls(rows, pa.binary())
        return self._key.encode(columns, self._absent_keys(columns))

    def _absent_keys(self, columns: Sequence[pa.Array]) -> pa.Array | None:
        """Rows without a key; None if every row has one."""
        spec = self.spec
        if spec.is_table or (len(columns) > 1 and not spec.no_key_if_null):
            return None
        if not all(column.null_count for column in columns):
            return None
        absent = columns[0].is_null()
        for column in columns[1:]:
            absent = pc.and_(absent, column.is_null())
        return absent

    def _partitions(
        self, batch: pa.RecordBatch, keys: pa.Array[Any], columns: Sequence[pa.Array[Any]]
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where each record goes: by the hash of its key; a record without one stays on its partition.

        All windows of a key go to the partition of the key, as in Kafka Streams: so they meet in a join.
        """
        hashed = self._key_bytes.encode(columns) if self._key_bytes else keys
        index = batch.schema.get_field_index(PARTITION)
        own = batch.column(index).to_numpy() if index >= 0 else np.zeros(batch.num_rows, np.int32)
        if not pa.types.is_binary(hashed.type) or hashed.null_count == len(hashed):
            return own.astype(np.int64) % self.spec.partitions
        chosen = partition_keys(hashed, self.spec.partitions).astype(np.int64)
        without = hashed.is_null().to_numpy(zero_copy_only=False)
        return np.where(without, own % self.spec.partitions, chosen)

    def _split(self, records: pa.RecordBatch, partitions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        for partition in np.unique(partitions):
            chosen = np.flatnonzero(partitions == partition)
            self._pending.append((int(partition), records.take(pa.array(chosen))))


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


def without_paired_retractions(
    batch: pa.RecordBatch, key: Sequence[str], is_windowed: bool
) -> pa.RecordBatch:
    """Leave out every -1 that a +1 of the same key and `$seq` follows: an upsert says both."""
    weights = batch.column(WEIGHT).to_numpy()
    if not (weights < 0).any():
        return batch
    columns = [*key, SEQ, *((WINDOW_START, WINDOW_END) if is_windowed else ())]
    paired = (weights[:-1] < 0) & (weights[1:] > 0)
    rest = batch.num_rows - 1
    for name in columns:
        column = batch.column(name)
        same = (
            pc.fill_null(pc.equal(column.slice(0, rest), column.slice(1)), False)
            if not pa.types.is_nested(column.type)
            else pa.array(
                [a == b for a, b in zip(column[:-1].to_pylist(), column[1:].to_pylist(), strict=True)]
            )
        )
        paired &= same.to_numpy(zero_copy_only=False)
    return batch.filter(pa.array(np.append(~paired, True)))


_LOG_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))


def _log_headers(headers: pa.Array[Any]) -> pa.Array[Any]:
    items = pa.StructArray.from_arrays(headers.values.flatten(), fields=list(_LOG_HEADERS.value_type))
    return pa.ListArray.from_arrays(headers.offsets, items, type=_LOG_HEADERS)

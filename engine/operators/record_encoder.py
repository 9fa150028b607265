"""Rows to records: what a sink writes for each of its rows, and to which partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import HEADERS, NULL_VALUE, PARTITION, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.codec import Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.log.partitioner import partition_keys
from streamsql.engine.state.columns import Int64s
from streamsql.engine.windowed_keys import join_windowed_keys

if TYPE_CHECKING:
    from streamsql.engine.operators.sink import Sink


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a sink writes.

    partitions  int64[n]: where each record goes; None if there is one partition
    """

    records: pa.RecordBatch
    partitions: Int64s | None


class RecordEncoder:
    """Encodes the rows of a sink; for one thread.

    What encodes is opened for the first row: it may need a schema registry, and a database opens without.
    """

    def __init__(self, spec: Sink, workspace: Workspace) -> None:
        self.spec = spec
        self._workspace = workspace

    @cached_property
    def _key(self) -> Encoder | None:
        return self.spec.key_encoder(self._workspace) if self.spec.key_encoder else None

    @cached_property
    def _value(self) -> Encoder | None:
        return self.spec.value_encoder(self._workspace) if self.spec.value_encoder else None

    @cached_property
    def _key_bytes(self) -> Encoder | None:
        return self.spec.key_bytes(self._workspace) if self.spec.key_bytes else None

    def records(self, batch: pa.RecordBatch, partitions: int) -> Encoded:
        """The records of one or more rows, in their order: key, value, timestamp, [headers].

        partitions  how many there are
        raises      DataError if a value cannot be written
        """
        spec = self.spec
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
        if partitions == 1:
            return Encoded(records, None)
        return Encoded(records, self._partitions(batch, bare, key_columns, partitions))

    def _bare_keys(self, rows: int, columns: Sequence[pa.Array[Any]]) -> pa.Array[Any]:
        """The encoded keys without the bounds of windows; of the type null if there are none."""
        if not self._key:
            return pa.nulls(rows)
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
        self, batch: pa.RecordBatch, keys: pa.Array[Any], columns: Sequence[pa.Array[Any]], count: int
    ) -> Int64s:
        """Where each record goes: by the hash of its key; a record without one stays on its partition.

        All windows of a key go to the partition of the key, as in Kafka Streams: so they meet in a join.
        """
        hashed = self._key_bytes.encode(columns) if self._key_bytes else keys
        index = batch.schema.get_field_index(PARTITION)
        own = batch.column(index).to_numpy() if index >= 0 else np.zeros(batch.num_rows, np.int32)
        if not pa.types.is_binary(hashed.type) or hashed.null_count == len(hashed):
            return own.astype(np.int64) % count
        chosen = partition_keys(hashed, count).astype(np.int64)
        without = hashed.is_null().to_numpy(zero_copy_only=False)
        return np.where(without, own % count, chosen)


_LOG_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))


def _log_headers(headers: pa.Array[Any]) -> pa.Array[Any]:
    items = pa.StructArray.from_arrays(headers.values.flatten(), fields=list(_LOG_HEADERS.value_type))
    return pa.ListArray.from_arrays(headers.offsets, items, type=_LOG_HEADERS)

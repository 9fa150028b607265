"""Writing rows to a topic in the format of the stream or table declared on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.clock import Clock
from streamsql.engine.by_partition import split
from streamsql.engine.kernel import Workspace
from streamsql.engine.log.log import Log
from streamsql.engine.log.partitioner import Partitioner
from streamsql.errors import DataError, PlanError
from streamsql.formats.format import SchemaStore
from streamsql.plan.persistent import key_bytes
from streamsql.plan.sources import open_encoder
from streamsql.types import from_arrow, widens

_EMPTY = {"JSON": b"{}"}
"""The value of a record whose stream has only key columns, where it is not no bytes."""


class Encoded(NamedTuple):
    """records: key, value, timestamp; hashed: binary[n] or null[n], what the partition is chosen by."""

    records: pa.RecordBatch
    hashed: pa.Array[Any]


class TopicWriter:
    """Encodes typed columns and appends them; not thread-safe.

    info  the stream or table declared on the topic; None: rows are stored as typed columns, no key
    """

    def __init__(
        self, log: Log, topic: str, info: SourceInfo | None, schemas: SchemaStore | None, clock: Clock
    ) -> None:
        self._log = log
        self.topic = topic
        self._info = info
        self._clock = clock
        self._workspace = Workspace()
        self._round = Partitioner(log.topic_config(topic).partitions)
        self._key = self._value = self._key_bytes = None
        if info is not None:
            if info.schema.key:
                self._key = open_encoder(info, is_key=True, schemas=schemas)(self._workspace)
                if self.partitions > 1 and info.key_format.name == "ARROW":
                    self._key_bytes = key_bytes(info)(self._workspace)
            if info.schema.value:
                self._value = open_encoder(info, is_key=False, schemas=schemas)(self._workspace)

    def append(self, parts: Sequence[tuple[int, pa.RecordBatch]]) -> None:
        """Append records, as `split` gives them."""
        for partition, records in parts:
            self._log.append(self.topic, partition, records)

    @property
    def partitions(self) -> int:
        """How many the topic has."""
        return self._round.partitions

    def write(
        self,
        rows: pa.RecordBatch,
        timestamps: pa.Array[Any] | None = None,
        *,
        absent: pa.BooleanArray | None = None,
    ) -> int:
        """Append rows, one column per column of the stream; columns left out are null.

        timestamps  int64[n] ms; None: the wall clock
        absent      rows that are tombstones
        gives       the number of rows
        raises      DataError for unknown columns or types that do not widen
        """
        if rows.num_rows:
            self.append(self.split(*self.encode(self.fitted(rows), timestamps, absent=absent)))
        return rows.num_rows

    def write_text(self, payloads: pa.Array[Any], timestamps: pa.Array[Any] | None = None) -> int:
        """Append values that are already in the topic's format; string[n] or binary[n]."""
        self.append(self.split(*self.encode_text(payloads, timestamps)))
        return len(payloads)

    def fitted(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows' columns in the order of the stream's, with its types; those left out are null.

        raises  DataError for unknown columns or types that do not widen
        """
        return rows if self._info is None else _fitted(rows, self._info)

    def encode(
        self,
        rows: pa.RecordBatch,
        timestamps: pa.Array[Any] | None = None,
        *,
        absent: pa.BooleanArray | None = None,
    ) -> Encoded:
        """Fitted rows as records, and their keys as bytes for hashing."""
        keys: pa.Array[Any]
        values: pa.Array[Any]
        if self._info is None:
            keys = hashed = pa.nulls(rows.num_rows)
            values = pa.StructArray.from_arrays(rows.columns, fields=list(rows.schema))
        else:
            width = len(self._info.schema.key)
            key_columns, value_columns = rows.columns[:width], rows.columns[width:]
            keys = hashed = pa.nulls(rows.num_rows)
            if self._key is not None:
                no_key = key_columns[0].is_null() if width == 1 and key_columns[0].null_count else None
                keys = self._key.encode(key_columns, no_key)
                hashed = self._key_bytes.encode(key_columns) if self._key_bytes else keys
            if self._value is not None:
                values = self._value.encode(value_columns, absent)
            else:
                values = pa.repeat(pa.scalar(_EMPTY.get(self._info.value_format.name, b"")), rows.num_rows)
        return Encoded(self._records(keys, values, timestamps), hashed)

    def encode_text(self, payloads: pa.Array[Any], timestamps: pa.Array[Any] | None = None) -> Encoded:
        """Values that are already in the topic's format as records without a key."""
        values = payloads.cast(pa.binary()) if not pa.types.is_binary(payloads.type) else payloads
        keys = pa.nulls(len(values))
        return Encoded(self._records(keys, values, timestamps), keys)

    def split(self, records: pa.RecordBatch, hashed: pa.Array[Any]) -> list[tuple[int, pa.RecordBatch]]:
        """The records by partition: by the hash of the key; those without a key go round."""
        if self.partitions == 1:
            return [(0, records)]
        return split(records, self._round.assign(hashed))

    def partition_of(self, key: Any) -> int:
        """Where the records of a key go; of a key of several columns a tuple. PlanError without a key."""
        if self._info is None or not self._info.schema.key or key is None:
            raise PlanError(
                f"topic {self.topic} has {self.partitions} partitions: say which, or a key",
                code="APPEND-PARTITIONS",
            )
        names = [c.name for c in self._info.schema.key]
        row = dict(zip(names, key if len(names) > 1 else [key], strict=True))
        encoded = self.encode(self.fitted(as_batch(as_table(row, self._info))))
        return int(self._round.assign(encoded.hashed)[0])

    def close(self) -> None:
        self._workspace.close()

    def _records(
        self, keys: pa.Array[Any], values: pa.Array[Any], timestamps: pa.Array[Any] | None
    ) -> pa.RecordBatch:
        if timestamps is None:
            timestamps = pa.array(np.full(len(values), self._clock.now_ms(), dtype=np.int64))
        return pa.RecordBatch.from_arrays([keys, values, timestamps], names=["key", "value", "timestamp"])


def _fitted(rows: pa.RecordBatch, info: SourceInfo) -> pa.RecordBatch:
    by_name = {name.upper(): i for i, name in enumerate(rows.schema.names)}
    by_name.update({name: i for i, name in enumerate(rows.schema.names)})
    columns = info.schema.key + info.schema.value
    known = {c.name for c in columns}
    unknown = [n for n in rows.schema.names if n not in known and n.upper() not in known]
    if unknown:
        raise DataError(
            f"{info.title} has no column {unknown[0]}",
            code="DATA-COLUMN",
            hint=f"its columns are {', '.join(c.name for c in columns)}",
        )
    found: list[pa.Array[Any]] = []
    for column in columns:
        index = by_name.get(column.name)
        if index is None:
            found.append(pa.nulls(rows.num_rows, column.type.arrow))
            continue
        array = rows.column(index)
        if array.type != column.type.arrow:
            array = _converted(array, column.name, info, column.type.arrow)
        found.append(array)
    return pa.RecordBatch.from_arrays(found, names=[c.name for c in columns])


def _converted(array: pa.Array[Any], name: str, info: SourceInfo, target: pa.DataType) -> pa.Array[Any]:
    try:
        fits = widens(from_arrow(array.type), from_arrow(target)) or pa.types.is_null(array.type)
    except KeyError:
        fits = pa.types.is_null(array.type)
    try:
        if fits or pa.types.is_nested(target):
            return array.cast(target)
        # A wider number or a time of another unit is taken if every value fits.
        return array.cast(target, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name} of {info.title} is {target}, and the {array.type} values given "
            f"do not fit: {error}",
            code="DATA-TYPE",
        ) from error


def as_batch(table: pa.Table) -> pa.RecordBatch:
    """A table in one piece."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if len(batches) == 1 else pa.RecordBatch.from_pylist([], schema=table.schema)


def as_table(data: Any, info: SourceInfo) -> pa.Table:
    """Rows as users hand them in: Arrow, a data frame, dicts with the types of the stream's columns."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, Mapping):
        data = [data]
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        types = {c.name: c.type.arrow for c in info.schema.columns}
        names = list(dict.fromkeys(name for row in data for name in row))
        fields = {n: types.get(n, types.get(n.upper())) for n in names}
        return pa.table({n: pa.array([row.get(n) for row in data], fields[n]) for n in names})
    return pa.table(data)

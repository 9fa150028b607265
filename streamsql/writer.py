"""Writing rows to a topic in the format of the stream or table declared on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.clock import Clock
from streamsql.engine.kernel import Workspace
from streamsql.engine.log.log import Log
from streamsql.engine.log.partitioner import partition_keys
from streamsql.errors import DataError
from streamsql.formats.format import SchemaStore
from streamsql.plan.persistent import key_bytes
from streamsql.plan.sources import open_encoder
from streamsql.types import from_arrow, widens

_EMPTY = {"JSON": b"{}"}
"""The value of a record whose stream has only key columns, where it is not no bytes."""


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
        self._partitions = log.topic_config(topic).partitions
        self._next = 0
        self._key = self._value = self._key_bytes = None
        if info is not None:
            if info.schema.key:
                self._key = open_encoder(info, is_key=True, schemas=schemas)(self._workspace)
                if self._partitions > 1 and info.key_format.name == "ARROW":
                    self._key_bytes = key_bytes(info)(self._workspace)
            if info.schema.value:
                self._value = open_encoder(info, is_key=False, schemas=schemas)(self._workspace)

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
        if not rows.num_rows:
            return 0
        if self._info is None:
            fields = list(rows.schema)
            keys: pa.Array[Any] = pa.nulls(rows.num_rows)
            values: pa.Array[Any] = pa.StructArray.from_arrays(rows.columns, fields=fields)
            hashed = None
        else:
            columns = self._fitted(rows, self._info)
            width = len(self._info.schema.key)
            key_columns, value_columns = columns[:width], columns[width:]
            keys = pa.nulls(rows.num_rows, pa.binary())
            hashed = None
            if self._key is not None:
                no_key = key_columns[0].is_null() if width == 1 and key_columns[0].null_count else None
                keys = self._key.encode(key_columns, no_key)
                hashed = self._key_bytes.encode(key_columns) if self._key_bytes else keys
            if self._value is not None:
                values = self._value.encode(value_columns, absent)
            else:
                values = pa.repeat(pa.scalar(_EMPTY.get(self._info.value_format.name, b"")), rows.num_rows)
        self._append(keys, values, timestamps, hashed)
        return rows.num_rows

    def write_text(self, payloads: pa.Array[Any], timestamps: pa.Array[Any] | None = None) -> int:
        """Append values that are already in the topic's format; string[n] or binary[n]."""
        values = payloads.cast(pa.binary()) if not pa.types.is_binary(payloads.type) else payloads
        self._append(pa.nulls(len(values), pa.binary()), values, timestamps, None)
        return len(values)

    def close(self) -> None:
        self._workspace.close()

    def _fitted(self, rows: pa.RecordBatch, info: SourceInfo) -> Sequence[pa.Array[Any]]:
        """The rows' columns in the order of the schema, with its types."""
        by_name = {name.upper(): i for i, name in enumerate(rows.schema.names)}
        by_name.update({name: i for i, name in enumerate(rows.schema.names)})
        columns = info.schema.key + info.schema.value
        unknown = [
            n
            for n in rows.schema.names
            if n not in {c.name for c in columns} and n.upper() not in {c.name for c in columns}
        ]
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
        return found

    def _append(
        self,
        keys: pa.Array[Any],
        values: pa.Array[Any],
        timestamps: pa.Array[Any] | None,
        hashed: pa.Array[Any] | None,
    ) -> None:
        if timestamps is None:
            timestamps = pa.array(np.full(len(values), self._clock.now_ms(), dtype=np.int64))
        records = pa.RecordBatch.from_arrays([keys, values, timestamps], names=["key", "value", "timestamp"])
        if self._partitions == 1:
            self._log.append(self.topic, 0, records)
            return
        partitions = self._partition(len(values), hashed)
        for partition in np.unique(partitions):
            self._log.append(self.topic, int(partition), records.filter(pa.array(partitions == partition)))

    def _partition(self, rows: int, hashed: pa.Array[Any] | None) -> npt.NDArray[np.int64]:
        """By the key's hash; records without a key go round."""
        around = (self._next + np.arange(rows)) % self._partitions
        if hashed is None or hashed.null_count == rows:
            self._next = int(around[-1] + 1) % self._partitions
            return around
        chosen = partition_keys(hashed, self._partitions).astype(np.int64)
        return np.where(hashed.is_null().to_numpy(zero_copy_only=False), around, chosen)


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

"""Batches of records: the columns they have, and small operations on them.

    key        binary | struct<...> | null      null: no key
    value      binary | struct<...> | null      null: a tombstone
    timestamp  int64, no nulls                  ms since epoch
    headers    list<struct<key: string, value: binary>>, optional; absent means no record has any

binary holds a byte format (JSON, AVRO, ...), struct the typed columns of format ARROW. The log stores
keys and values as they are, and every batch of a partition may have another schema.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamsql.errors import InternalError

HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))


# Schemas that passed lately: comparing with them is far cheaper than checking again.
_passed: tuple[pa.Schema, ...] = ()
_REMEMBERED = 8


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch itself if it is a batch of records, else InternalError LOG-BAD-BATCH."""
    global _passed
    if not any(batch.schema.equals(schema) for schema in _passed):
        check_schema(batch.schema)
        _passed = (batch.schema, *_passed[: _REMEMBERED - 1])
    if batch.column("timestamp").null_count:
        raise _bad("column timestamp has nulls")
    return batch


def check_schema(schema: pa.Schema) -> None:
    """InternalError LOG-BAD-BATCH unless the schema is one of a batch of records."""
    if schema.names not in (["key", "value", "timestamp"], ["key", "value", "timestamp", "headers"]):
        raise _bad(f"its columns are {', '.join(schema.names)}")
    for name in ("key", "value"):
        kind = schema.field(name).type
        if not (pa.types.is_binary(kind) or pa.types.is_struct(kind) or pa.types.is_null(kind)):
            raise _bad(f"column {name} is {kind}, not binary, struct or null")
        if has_dictionary(kind):
            raise _bad(f"column {name} has a dictionary-encoded field: decode it first")
    if not pa.types.is_int64(schema.field("timestamp").type):
        raise _bad(f"column timestamp is {schema.field('timestamp').type}, not int64")
    if len(schema) == 4 and not schema.field("headers").type.equals(HEADERS):
        raise _bad(f"column headers is {schema.field('headers').type}, not {HEADERS}")


def has_dictionary(kind: pa.DataType) -> bool:
    """Whether a dictionary-encoded type is anywhere inside this one."""
    if pa.types.is_dictionary(kind):
        return True
    return any(has_dictionary(kind.field(i).type) for i in range(kind.num_fields))


def time_range(batch: pa.RecordBatch) -> tuple[int, int]:
    """Smallest and largest timestamp, ms, of a batch with at least one row."""
    times = timestamps(batch)
    return int(times.min()), int(times.max())


def timestamps(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """int64[n] timestamps, ms, without copying."""
    array: np.ndarray[tuple[int], np.dtype[np.int64]] = batch.column("timestamp").to_numpy()
    return array


def with_offsets(batch: pa.RecordBatch, base_offset: int) -> pa.RecordBatch:
    """The batch with a first column `offset`, int64, counting up from `base_offset`."""
    offsets = pa.array(np.arange(base_offset, base_offset + batch.num_rows, dtype=np.int64))
    return pa.RecordBatch.from_arrays(
        [offsets, *batch.columns], schema=batch.schema.insert(0, pa.field("offset", pa.int64()))
    )


def _bad(what: str) -> InternalError:
    return InternalError(f"not a batch of records: {what}", code="LOG-BAD-BATCH")

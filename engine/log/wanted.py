"""What of a topic's records a reader wants, and the shape in which it gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streamsql.engine.log import records
from streamsql.engine.ramps import repeated

PARTITION = "$partition"
OFFSET = "$offset"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The columns of typed keys and values that a reader needs, and whether it needs headers.

    key, value  names of struct fields; None for all. Bytes are read as they are
    """

    key: frozenset[str] | None = None
    value: frozenset[str] | None = None
    headers: bool = True

    def __or__(self, other: Wanted) -> Wanted:
        """What either of two readers needs."""
        return Wanted(
            None if self.key is None or other.key is None else self.key | other.key,
            None if self.value is None or other.value is None else self.value | other.value,
            self.headers or other.headers,
        )


EVERYTHING = Wanted()


class Shape:
    """Makes of batches as a log gives them: key, value, timestamp, [headers], `$partition`, `$offset`.

    Batches of one schema get one schema object, so that whether two are alike is mostly seen at once.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._latest: tuple[pa.Schema, pa.Schema] | None = None

    def given(self, batch: pa.RecordBatch, partition: int) -> tuple[pa.RecordBatch, pa.Schema]:
        """The batch without what is not wanted, and its schema; no column of the log is copied."""
        columns: list[pa.Array[Any]] = [
            _with_fields(batch.column("key"), self._wanted.key),
            _with_fields(batch.column("value"), self._wanted.value),
            batch.column("timestamp"),
        ]
        if self._wanted.headers and "headers" in batch.schema.names:
            columns.append(batch.column("headers"))
        columns += [
            repeated(partition, batch.num_rows),
            batch.column("offset"),
        ]
        if self._latest is None or not self._latest[0].equals(batch.schema):
            names = ["key", "value", "timestamp", *(["headers"] if len(columns) == 6 else [])]
            types = [column.type for column in columns]
            schema = pa.schema(list(zip([*names, PARTITION, OFFSET], types, strict=True)))
            self._latest = batch.schema, schema
        schema = self._latest[1]
        return pa.RecordBatch.from_arrays(columns, schema=schema), schema


def common(one: pa.Schema, other: pa.Schema) -> pa.Schema | None:
    """A schema both fit into, or None. Only `key`, `value` and whether there are headers can differ."""
    if one is other or one.equals(other):
        return one
    for name in ("key", "value"):
        mine, theirs = one.field(name).type, other.field(name).type
        if pa.types.is_null(mine) and not pa.types.is_null(theirs):
            one = one.set(one.get_field_index(name), other.field(name))
        elif not mine.equals(theirs) and not pa.types.is_null(theirs):
            return None
    if "headers" in other.names and "headers" not in one.names:
        one = one.insert(one.get_field_index(PARTITION), other.field("headers"))
    return one


def widened(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in a schema that it fits into."""
    if batch.schema.equals(schema):
        return batch
    return pa.RecordBatch.from_arrays([_column(batch, field) for field in schema], schema=schema)


def _with_fields(column: pa.Array[Any], wanted: frozenset[str] | None) -> pa.Array[Any]:
    """A struct array with the wanted fields only, its nulls kept; other arrays as they are."""
    kind = column.type
    if wanted is None or not pa.types.is_struct(kind):
        return column
    if all(kind.field(i).name in wanted for i in range(kind.num_fields)):
        return column
    # One field stays at least: the length of a struct array is that of its fields.
    chosen: Sequence[int] = [i for i in range(kind.num_fields) if kind.field(i).name in wanted] or [0]
    return pa.StructArray.from_arrays(
        [column.field(i) for i in chosen],
        fields=[kind.field(i) for i in chosen],
        mask=column.is_null() if column.null_count else None,
    )


def _column(batch: pa.RecordBatch, field: pa.Field[Any]) -> pa.Array[Any]:
    """A column of the batch, or what stands for it where the batch has none, or no value in it."""
    if field.name not in batch.schema.names:
        nothing: list[list[Any]] = [[]] * batch.num_rows
        empty: pa.Array[Any] = pa.array(nothing, type=records.HEADERS)
        return empty
    column: pa.Array[Any] = batch.column(field.name)
    if pa.types.is_null(column.type) and not pa.types.is_null(field.type):
        column = pa.nulls(batch.num_rows, field.type)
    return column

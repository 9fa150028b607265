"""What the formats with registered schemas share: subjects, the frame around a payload, raw values.

The frame, after the wire format of Confluent's serializers: one byte 0x00, the schema's id as four
bytes big-endian, then the format's own bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded
from streamsql.engine.texts import Ints, Vector, parts
from streamsql.errors import DataError, ExternalError, PlanError
from streamsql.formats.arrays import mask_of, nulls, put_at, valid_mask
from streamsql.formats.format import Layout, SchemaStore
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column
from streamsql.types import DATE, TIME, TIMESTAMP, Array, Map, SqlType, Struct

FRAME_BYTES = 5
UNFRAMED = "no schema id stands before the record: it does not begin with a zero byte and four bytes of id"

NAME_COLUMNS = "name the columns: CREATE .. (NAME TYPE, ..) WITH (..)"
"""What to do about a schema that gives none."""

Convert: TypeAlias = "Callable[[Any], Any]"
"""One value to another; raises Mismatch."""

ReadRecord: TypeAlias = "Callable[[bytes], Sequence[Any]]"
"""The bytes of a record to one Python value per wanted column; raises ValueError with a reason."""


def frame(schema_id: int) -> bytes:
    return struct.pack(">bI", 0, schema_id)


def subject(layout: Layout) -> str:
    return f"{layout.topic}-{'key' if layout.is_key else 'value'}"


def schemas_of(layout: Layout) -> SchemaStore:
    """raises  PlanError if there is no registry"""
    if layout.schemas is None:
        raise PlanError("there is no schema registry here", code="PLAN-SCHEMA-REGISTRY")
    return layout.schemas


def schema_id_of(layout: Layout) -> int | None:
    """The id that a *_SCHEMA_ID property gives.

    raises  PlanError if it is no number
    """
    given = layout.properties.get("SCHEMA_ID")
    if given is None:
        return None
    if not given.strip().isdecimal():
        side = "KEY" if layout.is_key else "VALUE"
        raise PlanError(f"{side}_SCHEMA_ID is '{given}', and an id is a whole number", code="PLAN-SCHEMA-ID")
    return int(given)


def registered_schema(layout: Layout, kind: str) -> tuple[int, str] | None:
    """(id, text) of the schema that the layout names by its id, else of the subject's newest one.

    raises  PlanError if there is none of that id, or it is of another kind
    """
    store = schemas_of(layout)
    wanted = schema_id_of(layout)
    if wanted is None:
        latest = store.latest(subject(layout))
        return (latest[0], latest[1]) if latest is not None and latest[2] == kind else None
    found = store.by_id(wanted)
    if found is None:
        raise PlanError(f"no schema with id {wanted} is registered", code="PLAN-SCHEMA-ID")
    if found[1] != kind:
        raise PlanError(f"schema {wanted} is {found[1]}, not {kind}", code="PLAN-SCHEMA-ID")
    return wanted, found[0]


def schema_to_write(layout: Layout, kind: str, text_of: Callable[[Layout], str]) -> tuple[int, str]:
    """(id, text) of the schema that a layout is written with: the one it names, else one of its columns.

    text_of  the schema of the columns, registered if it is new
    raises   PlanError if the registry refuses it
    """
    if schema_id_of(layout) is not None:
        found = registered_schema(layout, kind)
        assert found is not None
        return found
    text = text_of(layout)
    return schemas_of(layout).register(subject(layout), text, kind), text


def inferred(
    layout: Layout, kind: str, columns_of: Callable[[Any, Layout], tuple[Column, ...]]
) -> tuple[Column, ...] | None:
    """The columns of a registered schema that is JSON; None if there is none.

    raises  PlanError if it is no such schema, or one that SQL has no type for
    """
    found = registered_schema(layout, kind)
    if found is None:
        return None
    try:
        return columns_of(json.loads(found[1]), layout)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PlanError(
            f"the registered schema {found[0]} is no {kind} schema that can be read",
            code="PLAN-SCHEMA",
            hint=NAME_COLUMNS,
        ) from error


def spelt(name: str, layout: Layout) -> str:
    """An inferred name as a column's: in upper case, unless a schema id asks for the schema as it is."""
    return name if "SCHEMA_ID" in layout.properties else name.upper()


def bare_name(layout: Layout) -> str:
    """What an inferred value without a name is called."""
    return "ROWKEY" if layout.is_key else "ROWVAL"


def by_name(names: Sequence[str], wanted: str) -> str | None:
    """The name that is the wanted one, exactly or in another case."""
    if wanted in names:
        return wanted
    return next((name for name in names if name.upper() == wanted.upper()), None)


class FramedDecoder:
    """Reads framed payloads record by record, each with the reader of its own schema.

    open_reader  the schema's id -> how its records are read; raises ValueError if they cannot be
    """

    def __init__(self, columns: Sequence[Column], open_reader: Callable[[int], ReadRecord]) -> None:
        self._columns = columns
        self._open_reader = open_reader
        self._readers: dict[int, ReadRecord] = {}

    def decode(self, payloads: Vector) -> Decoded:
        ids, reasons = _ids(payloads)
        readers: dict[int, ReadRecord | str] = {i: self._reader(i) for i in np.unique(ids[ids >= 0]).tolist()}
        rows = np.flatnonzero(ids >= 0)
        chosen = payloads if len(rows) == len(payloads) else payloads.take(pa.array(rows))

        def records() -> Iterator[tuple[int, Sequence[Any] | str]]:
            for row, payload in zip(rows.tolist(), chosen.to_pylist(), strict=True):
                reader = readers[int(ids[row])]
                if isinstance(reader, str):
                    yield row, reader
                    continue
                try:
                    yield row, reader(payload[FRAME_BYTES:])
                except ValueError as error:
                    yield row, str(error)

        return gather(self._columns, records(), reasons)

    def _reader(self, schema_id: int) -> ReadRecord | str:
        known = self._readers.get(schema_id)
        if known is None:
            try:
                known = self._readers[schema_id] = self._open_reader(schema_id)
            except ValueError as error:
                return str(error)
        return known


def gather(
    columns: Sequence[Column], records: Iterator[tuple[int, Sequence[Any] | str]], reasons: Reasons
) -> Decoded:
    """Columns from records that come one by one: (row, its values, or what is wrong).

    A row at a time: these formats are read by libraries that know one record at a time.
    """
    n = len(reasons.of)
    wrong: dict[int, str] = {}
    good: list[int] = []
    read: list[Sequence[Any]] = []
    for row, found in records:
        if isinstance(found, str):
            wrong[row] = found
        else:
            good.append(row)
            read.append(found)
    places: Ints = np.array(good, dtype=np.int64)
    arrays: list[Vector] = []
    by_column = zip(*read, strict=True) if read else [()] * len(columns)
    for column, values in zip(columns, by_column, strict=True):
        arrays.append(put_at(nulls(n, column.type.arrow), places, pa.array(values, column.type.arrow)))
    reasons.note(np.fromiter(wrong, np.int64, len(wrong)), pa.array(wrong.values(), pa.string()))
    return reasons.decoded(arrays)


def _ids(payloads: Vector) -> tuple[Ints, Reasons]:
    """The schema id of each payload, -1 where there is none; and why, unless the payload is null."""
    offsets, data = parts(payloads)
    lengths = np.diff(offsets)
    present = valid_mask(payloads)
    ids: Ints = np.full(len(payloads), -1, dtype=np.int64)
    framed = present & (lengths >= FRAME_BYTES)
    framed[framed] = data[offsets[:-1][framed]] == 0
    rows = np.flatnonzero(framed)
    if len(rows):
        places = offsets[:-1][rows][:, None] + np.arange(1, FRAME_BYTES)
        ids[rows] = data[places].view(">u4").ravel()
    reasons = Reasons(len(payloads))
    reasons.note(np.flatnonzero(present & ~framed), UNFRAMED)
    return ids, reasons


# Values on their way out: Arrow -> Python, times as counts.


def raw_values(column: Vector, t: SqlType) -> list[Any]:
    """A column as Python values; TIME and TIMESTAMP as microseconds, DATE as days, MAP as pairs."""
    values: list[Any] = column.cast(raw_type(t)).to_pylist() if holds_times(t) else column.to_pylist()
    return values


def holds_times(t: SqlType) -> bool:
    match t:
        case Array(inner) | Map(_, inner):
            return holds_times(inner)
        case Struct(fields):
            return any(holds_times(inner) for _, inner in fields)
    return t in (DATE, TIME, TIMESTAMP)


def raw_type(t: SqlType) -> pa.DataType:
    match t:
        case Array(element):
            return pa.list_(pa.field("l", raw_type(element)))
        case Map(key, item):
            return pa.map_(key.arrow, raw_type(item))
        case Struct(fields):
            return pa.struct([pa.field(name, raw_type(inner)) for name, inner in fields])
    if t == DATE:
        return pa.int32()
    return pa.int64() if t in (TIME, TIMESTAMP) else t.arrow


def same(value: Any) -> Any:
    """A value that needs no conversion."""
    return value


def write_all(n: int, absent: Vector | None, write: Callable[[int], bytes | None]) -> Vector:
    """One payload per row from `write(row)`; null where absent, and where it gives None."""
    skipped = None if absent is None else mask_of(absent.fill_null(False))
    # A row at a time, as in `gather`.
    payloads = [None if skipped is not None and skipped[row] else write(row) for row in range(n)]
    return pa.array(payloads, pa.binary())


def unwritable(kind: str, error: Exception) -> DataError:
    """The error for a record that a format has no bytes for, or that its schema forbids."""
    return DataError(
        f"a record cannot be written as {kind}: {error}",
        code=f"DATA-{kind.upper()}",
        hint="leave such rows out with WHERE, or choose a format that holds them: JSON, ARROW",
    )


def missing_extra(name: str, package: str, extra: str) -> ExternalError:
    return ExternalError(
        f"format {name} needs the package {package}, which is not installed",
        code="EXTERNAL-MISSING-PACKAGE",
        hint=f"pip install 'streamsql[{extra}]'",
    )

"""AVRO: Avro's binary encoding behind the registry's frame; the schemas are told in `avro_schema`.

Reading follows the schema a record was written with, found by the id in its frame: fields are matched
by name, exactly or in any case, missing ones are null; int, long and float widen, numbers and enums
are read as VARCHAR too; a union of null and one type is that type. fastavro reads and writes one
record at a time; it is given the schemas without logical types, so that dates and decimals pass as
the numbers they are.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal as Number
from types import ModuleType
from typing import Any, TypeAlias

import pyarrow as pa

from streamsql.engine.codec import Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.errors import DataError, PlanError
from streamsql.formats import scalars
from streamsql.formats.arrays import Vector
from streamsql.formats.avro_schema import columns_of, schema_of
from streamsql.formats.checks import (
    is_record,
    refuse_properties,
    require_columns,
    require_text_keys,
    wanted_columns,
)
from streamsql.formats.compatibility import avro_kind, named_schemas
from streamsql.formats.format import Format, Layout
from streamsql.formats.registered import (
    FramedDecoder,
    ReadRecord,
    by_name,
    frame,
    missing_extra,
    raw_values,
    registered_schema,
    schema_id_of,
    schemas_of,
    subject,
    write_all,
)
from streamsql.formats.scalars import Mismatch
from streamsql.java_text import double_text
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    is_numeric,
)

Convert: TypeAlias = "Callable[[Any], Any]"

# What fastavro raises on bytes that are no record of the schema; EOFError where they end too early.
_UNREADABLE = (
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
    RecursionError,
    struct.error,
)


def _fastavro() -> ModuleType:
    try:
        import fastavro
    except ImportError as error:
        raise missing_extra("AVRO", "fastavro", "avro") from error
    return fastavro


def without_logical_types(schema: Any) -> Any:
    """The schema as its plain types; names and defaults stay."""
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: v for k, v in schema.items() if k not in ("logicalType", "precision", "scale")}
    for part in ("type", "items", "values"):
        if part in kept:
            kept[part] = without_logical_types(kept[part])
    if "fields" in kept:
        kept["fields"] = [{**f, "type": without_logical_types(f["type"])} for f in kept["fields"]]
    return kept


class _Schema:
    """A schema and the names in it."""

    def __init__(self, text: str) -> None:
        self.root = json.loads(text)
        self._named = named_schemas(self.root)
        self.parsed = _fastavro().parse_schema(without_logical_types(self.root))

    def resolve(self, schema: Any) -> Any:
        return self._named.get(schema, schema) if isinstance(schema, str) else schema

    def one_of(self, schema: Any) -> Any:
        """The only branch of a union beside null, or the schema itself; None for other unions."""
        schema = self.resolve(schema)
        if not isinstance(schema, list):
            return schema
        branches = [branch for branch in schema if branch != "null"]
        return self.resolve(branches[0]) if len(branches) == 1 else None


# Reading.


def open_reader(text: str, columns: Sequence[Column], *, is_record: bool) -> ReadRecord:
    """How records of a schema are read as the columns.

    raises  ValueError if the schema cannot be read as them
    """
    schema = _Schema(text)
    read_one = _fastavro().schemaless_reader
    convert: Callable[[Any], Sequence[Any]]
    if is_record:
        convert = _record_reader(schema, schema.root, [(c.name, c.type) for c in columns])
    else:
        inner = _reader(schema, schema.root, columns[0].type)
        convert = lambda value: (inner(value),)  # noqa: E731

    def read(body: bytes) -> Sequence[Any]:
        try:
            value = read_one(io.BytesIO(body), schema.parsed, None)
        except _UNREADABLE as error:
            what = "ends too early" if isinstance(error, EOFError) else f"does not read: {error}"
            raise ValueError(f"the Avro record {what}") from None
        return convert(value)

    return read


def _record_reader(
    schema: _Schema, writer: Any, fields: Sequence[tuple[str, SqlType]]
) -> Callable[[Any], list[Any]]:
    record = schema.one_of(writer)
    if avro_kind(record) != "record":
        raise ValueError(f"the record was written as Avro {avro_kind(record)}, not as a record of fields")
    written = {f["name"]: f["type"] for f in record["fields"]}
    readers: list[tuple[str | None, Convert]] = []
    for name, t in fields:
        given = by_name(list(written), name)
        readers.append((given, _reader(schema, written[given], t) if given else _nothing))

    def read(value: Any) -> list[Any]:
        found: list[Any] = []
        try:
            for given, convert in readers:
                found.append(None if given is None or value is None else convert(value[given]))
        except Mismatch as mismatch:
            mismatch.inside(f".{fields[len(found)][0]}")
            raise
        return found

    return read


def _nothing(value: Any) -> Any:
    return None


def _reader(schema: _Schema, writer: Any, t: SqlType) -> Convert:
    """How a value of an Avro schema becomes one of a SQL type; refuses at the value, not before."""
    inner = schema.one_of(writer)
    convert = None if inner is None else _converter(schema, inner, t)
    shown = "a union" if inner is None else f"Avro {avro_kind(inner)}"

    def refuse(value: Any) -> Any:
        raise Mismatch(f"{shown} cannot be read as {t}")

    found = convert or refuse
    return lambda value: None if value is None else found(value)


def _converter(schema: _Schema, writer: Any, t: SqlType) -> Convert | None:
    kind = avro_kind(writer)
    logical = writer.get("logicalType") if isinstance(writer, dict) else None
    match t:
        case Array(element) if kind == "array":
            return _list_reader(_reader(schema, writer["items"], element))
        case Map(_, item) if kind == "map":
            return _map_reader(_reader(schema, writer["values"], item))
        case Map(_, item) if kind == "array":
            return _entries_reader(schema, writer["items"], item)
        case Struct(fields) if kind == "record":
            read = _record_reader(schema, writer, fields)
            names = [name for name, _ in fields]
            return lambda value: dict(zip(names, read(value), strict=True))
        case Decimal():
            return _decimal_reader(writer, kind, logical, t)
    if t == VARCHAR:
        return _text_reader(kind, logical)
    if t == BYTES and kind in ("bytes", "fixed"):
        return _same
    if t == BOOLEAN and kind == "boolean":
        return _same
    if t == DOUBLE and kind in ("int", "long", "float", "double"):
        return float
    if kind in ("int", "long"):
        return _whole_reader(logical, t)
    return None


def _same(value: Any) -> Any:
    return value


def _whole_reader(logical: str | None, t: SqlType) -> Convert | None:
    if t in (INTEGER, BIGINT, DATE):
        return lambda value: scalars.in_range(value, t)
    if t in (TIME, TIMESTAMP):
        # micros as they are, millis as micros
        if logical in ("time-micros", "timestamp-micros"):
            return lambda value: scalars.in_range(value // 1000, t) * 1000 + value % 1000
        return lambda value: scalars.in_range(value, t) * 1000
    return None


def _text_reader(kind: str, logical: str | None) -> Convert | None:
    if kind in ("string", "enum"):
        return _same
    if logical is not None:
        return None
    if kind in ("int", "long"):
        return str
    if kind in ("float", "double"):
        return double_text
    return (lambda value: "true" if value else "false") if kind == "boolean" else None


def _decimal_reader(writer: Any, kind: str, logical: str | None, t: Decimal) -> Convert | None:
    if kind in ("bytes", "fixed") and logical == "decimal":
        scale = writer.get("scale", 0)

        def read(value: bytes) -> Any:
            unscaled = int.from_bytes(value, "big", signed=True)
            return scalars.fit(Number(unscaled).scaleb(-scale, context=scalars.EXACT), t)

        return read
    if kind in ("int", "long") and logical is None:
        return lambda value: scalars.fit(Number(value), t)
    return None


def _list_reader(element: Convert) -> Convert:
    def read(value: Any) -> list[Any]:
        found: list[Any] = []
        try:
            for inner in value:
                found.append(element(inner))
        except Mismatch as mismatch:
            mismatch.inside(f"[{len(found)}]")
            raise
        return found

    return read


def _map_reader(item: Convert) -> Convert:
    def read(value: Any) -> list[Any]:
        found: list[Any] = []
        key = ""
        try:
            for key, inner in value.items():
                found.append((key, item(inner)))
        except Mismatch as mismatch:
            mismatch.inside(f".{key}")
            raise
        return found

    return read


def _entries_reader(schema: _Schema, entry: Any, item: SqlType) -> Convert | None:
    """A map that was written as an array of records of key and value, as Connect does."""
    record = schema.one_of(entry)
    if avro_kind(record) != "record" or {f["name"] for f in record["fields"]} != {"key", "value"}:
        return None
    read = _record_reader(schema, record, [("key", VARCHAR), ("value", item)])
    return lambda value: [tuple(read(inner)) for inner in value if inner["key"] is not None]


# Writing.


class AvroEncoder:
    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._is_record = is_record(layout)
        schema_id, text = register(layout)
        self._frame = frame(schema_id)
        self._schema = _Schema(text)
        self._write = _fastavro().schemaless_writer
        if self._is_record:
            fields = [(c.name, c.type) for c in layout.columns]
            self._record = _record_writer(self._schema, self._schema.root, fields)
        else:
            self._value = _writer(self._schema, self._schema.root, layout.columns[0].type)

    def encode(self, columns: Sequence[Vector], absent: pa.BooleanArray | None = None) -> Vector:
        values = [raw_values(a, c.type) for a, c in zip(columns, self._columns, strict=True)]
        if self._is_record:
            records = list(zip(*values, strict=True))
            return write_all(len(records), absent, lambda row: self._bytes(self._record, records[row]))
        bare = values[0]
        return write_all(
            len(bare), absent, lambda row: None if bare[row] is None else self._bytes(self._value, bare[row])
        )

    def _bytes(self, convert: Convert, value: Any) -> bytes:
        target = io.BytesIO()
        target.write(self._frame)
        try:
            self._write(target, self._schema.parsed, convert(value))
        except Mismatch as mismatch:
            raise DataError(f"a record cannot be written as Avro: {mismatch}", code="DATA-AVRO") from None
        except _UNREADABLE as error:
            raise DataError(f"a record cannot be written as Avro: {error}", code="DATA-AVRO") from error
        return target.getvalue()


def register(layout: Layout) -> tuple[int, str]:
    """(id, text) of the schema that a layout is written with; a new one is registered.

    raises  PlanError if the registry refuses it
    """
    if schema_id_of(layout) is not None:
        found = registered_schema(layout, "AVRO")
        assert found is not None
        return found
    text = json.dumps(schema_of(layout), ensure_ascii=False)
    return schemas_of(layout).register(subject(layout), text, "AVRO"), text


_ABSENT = object()


def _record_writer(schema: _Schema, target: Any, fields: Sequence[tuple[str, SqlType]]) -> Convert:
    """A row, or a STRUCT's values in order, as a record; fields that no column has take their defaults."""
    record = schema.one_of(target)
    if avro_kind(record) != "record":
        raise PlanError(f"the schema is Avro {avro_kind(record)}, not a record", code="PLAN-SCHEMA")
    names = [name for name, _ in fields]
    writers: list[tuple[str, int, Convert]] = []
    for field in record["fields"]:
        given = by_name(names, field["name"])
        if given is not None:
            place = names.index(given)
            has_default = "default" in field
            writers.append(
                (field["name"], place, _writer(schema, field["type"], fields[place][1], has_default))
            )

    def write(row: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, place, convert in writers:
            try:
                value = convert(row[place])
            except Mismatch as mismatch:
                mismatch.inside(f".{name}")
                raise
            if value is not _ABSENT:
                found[name] = value
        return found

    return write


def _writer(schema: _Schema, target: Any, t: SqlType, has_default: bool = False) -> Convert:
    """How a value of a SQL type becomes one of an Avro schema."""
    resolved = schema.resolve(target)
    inner = schema.one_of(target)
    convert = None if inner is None else _datum(schema, inner, t)
    if convert is None:
        raise PlanError(
            f"a column of type {t} cannot be written as Avro {avro_kind(resolved)}", code="PLAN-SCHEMA"
        )
    nullable = avro_kind(resolved) == "null" or isinstance(resolved, list) and "null" in resolved
    write = convert

    def of(value: Any) -> Any:
        if value is not None:
            return write(value)
        if nullable:
            return None
        if has_default:
            return _ABSENT
        raise Mismatch("the schema does not allow null here, and has no default")

    return of


def _datum(schema: _Schema, target: Any, t: SqlType) -> Convert | None:
    kind = avro_kind(target)
    logical = target.get("logicalType") if isinstance(target, dict) else None
    match t:
        case Array(element) if kind == "array":
            write = _writer(schema, target["items"], element)
            return lambda value: [write(inner) for inner in value]
        case Map(_, item) if kind == "map":
            write = _writer(schema, target["values"], item)
            return lambda value: {key: write(inner) for key, inner in value}
        case Map(_, item) if kind == "array":
            entry = schema.one_of(target["items"])
            record = _record_writer(schema, entry, [("key", VARCHAR), ("value", item)])
            return lambda value: [record(pair) for pair in value]
        case Struct(fields) if kind == "record":
            names = [name for name, _ in fields]
            record = _record_writer(schema, target, fields)
            return lambda value: record([value[name] for name in names])
        case Decimal(_, scale) if logical == "decimal":
            return _decimal_writer(target, scale)
    if kind in ("double", "float") and is_numeric(t):
        return float
    if t in (INTEGER, BIGINT, DATE) and kind in ("int", "long"):
        return _same
    if t in (TIME, TIMESTAMP) and kind in ("int", "long"):
        return _same if logical in ("time-micros", "timestamp-micros") else lambda value: value // 1000
    same: dict[SqlType, tuple[str, ...]] = {
        BOOLEAN: ("boolean",),
        VARCHAR: ("string", "enum"),
        BYTES: ("bytes", "fixed"),
    }
    return _same if kind in same.get(t, ()) else None


def _decimal_writer(target: Any, scale: int) -> Convert:
    written = Decimal(target.get("precision", 38), target.get("scale", 0))
    size = target.get("size")

    def write(value: Number) -> bytes:
        fitted = scalars.fit(value, written)
        unscaled = int(fitted.scaleb(written.scale, context=scalars.EXACT))
        length = (
            size if size is not None else (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
        )
        return unscaled.to_bytes(length, "big", signed=True)

    return write


class AvroFormat(Format):
    name = "AVRO"
    can_infer = True
    can_wrap = True
    can_unwrap = True
    properties = frozenset({"SCHEMA_ID", "SCHEMA_FULL_NAME"})

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        _fastavro()
        if not layout.is_key:
            require_columns(self.name, layout)
        require_text_keys(self.name, layout)
        if layout.columns and schema_id_of(layout) is None:
            schema_of(layout)

    def infer(self, layout: Layout) -> tuple[Column, ...] | None:
        found = registered_schema(layout, "AVRO")
        return None if found is None else columns_of(json.loads(found[1]), layout)

    def register(self, layout: Layout) -> None:
        if layout.columns:
            register(layout)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        columns = wanted_columns(layout, wanted)
        store = schemas_of(layout)
        as_record = is_record(layout)

        def open_one(schema_id: int) -> ReadRecord:
            found = store.by_id(schema_id)
            if found is None or found[1] != "AVRO":
                raise ValueError(f"no Avro schema with id {schema_id} is registered")
            return open_reader(found[0], columns, is_record=as_record)

        return FramedDecoder(columns, open_one)

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return AvroEncoder(layout)


AVRO = AvroFormat()

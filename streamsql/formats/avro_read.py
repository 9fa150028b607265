"""Records of an Avro schema as SQL values; the rules are told in `streamsql.formats.avro`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from decimal import Decimal as Number
from typing import Any

from streamsql.formats import scalars
from streamsql.formats.avro_values import UNREADABLE, AvroSchema, fastavro_package
from streamsql.formats.compatibility import avro_kind
from streamsql.formats.registered import Convert, ReadRecord, by_name, same
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
)


def open_reader(text: str, columns: Sequence[Column], *, is_record: bool) -> ReadRecord:
    """How records of a schema are read as the columns.

    raises  ValueError if the schema cannot be read as them
    """
    schema = AvroSchema(text)
    read_one = fastavro_package().schemaless_reader
    convert: Callable[[Any], Sequence[Any]]
    if is_record:
        convert = _record_reader(schema, schema.root, [(c.name, c.type) for c in columns])
    else:
        inner = _reader(schema, schema.root, columns[0].type)
        convert = lambda value: (inner(value),)  # noqa: E731

    def read(body: bytes) -> Sequence[Any]:
        try:
            value = read_one(io.BytesIO(body), schema.parsed, None)
        except UNREADABLE as error:
            what = "ends too early" if isinstance(error, EOFError) else f"does not read: {error}"
            raise ValueError(f"the Avro record {what}") from None
        return convert(value)

    return read


def _record_reader(
    schema: AvroSchema, writer: Any, fields: Sequence[tuple[str, SqlType]]
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


def _reader(schema: AvroSchema, writer: Any, t: SqlType) -> Convert:
    """How a value of an Avro schema becomes one of a SQL type; refuses at the value, not before."""
    inner = schema.one_of(writer)
    convert = None if inner is None else _converter(schema, inner, t)
    shown = "a union" if inner is None else f"Avro {avro_kind(inner)}"

    def refuse(value: Any) -> Any:
        raise Mismatch(f"{shown} cannot be read as {t}")

    found = convert or refuse
    return lambda value: None if value is None else found(value)


def _converter(schema: AvroSchema, writer: Any, t: SqlType) -> Convert | None:
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
        return same
    if t == BOOLEAN and kind == "boolean":
        return same
    if t == DOUBLE and kind in ("int", "long", "float", "double"):
        return float
    if kind in ("int", "long"):
        return _whole_reader(logical, t)
    return None


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
        return same
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


def _entries_reader(schema: AvroSchema, entry: Any, item: SqlType) -> Convert | None:
    """A map that was written as an array of records of key and value, as Connect does."""
    record = schema.one_of(entry)
    if avro_kind(record) != "record" or {f["name"] for f in record["fields"]} != {"key", "value"}:
        return None
    read = _record_reader(schema, record, [("key", VARCHAR), ("value", item)])
    return lambda value: [tuple(read(inner)) for inner in value if inner["key"] is not None]

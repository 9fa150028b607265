"""SQL values as records of an Avro schema; the rules are told in `streamsql.formats.avro`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as Number
from typing import Any

from streamsql.errors import PlanError
from streamsql.formats import scalars
from streamsql.formats.avro_values import AvroSchema
from streamsql.formats.compatibility import avro_kind
from streamsql.formats.registered import Convert, by_name, same
from streamsql.formats.scalars import Mismatch
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
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

_ABSENT = object()


def record_writer(schema: AvroSchema, target: Any, fields: Sequence[tuple[str, SqlType]]) -> Convert:
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
                (field["name"], place, value_writer(schema, field["type"], fields[place][1], has_default))
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


def value_writer(schema: AvroSchema, target: Any, t: SqlType, has_default: bool = False) -> Convert:
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


def _datum(schema: AvroSchema, target: Any, t: SqlType) -> Convert | None:
    kind = avro_kind(target)
    logical = target.get("logicalType") if isinstance(target, dict) else None
    match t:
        case Array(element) if kind == "array":
            write = value_writer(schema, target["items"], element)
            return lambda value: [write(inner) for inner in value]
        case Map(_, item) if kind == "map":
            write = value_writer(schema, target["values"], item)
            return lambda value: {key: write(inner) for key, inner in value}
        case Map(_, item) if kind == "array":
            entry = schema.one_of(target["items"])
            record = record_writer(schema, entry, [("key", VARCHAR), ("value", item)])
            return lambda value: [record(pair) for pair in value]
        case Struct(fields) if kind == "record":
            names = [name for name, _ in fields]
            record = record_writer(schema, target, fields)
            return lambda value: record([value[name] for name in names])
        case Decimal(_, scale) if logical == "decimal":
            return _decimal_writer(target, scale)
    if kind in ("double", "float") and is_numeric(t):
        return float
    if t in (INTEGER, BIGINT, DATE) and kind in ("int", "long"):
        return same
    if t in (TIME, TIMESTAMP) and kind in ("int", "long"):
        return same if logical in ("time-micros", "timestamp-micros") else lambda value: value // 1000
    return same if kind in _SAME.get(t, ()) else None


_SAME: dict[SqlType, tuple[str, ...]] = {
    BOOLEAN: ("boolean",),
    VARCHAR: ("string", "enum"),
    BYTES: ("bytes", "fixed"),
}


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

"""Avro schemas: what a layout's columns are in Avro, and what columns a schema has.

Written: record KsqlDataSourceSchema in namespace io.confluent.ksql.avro_schemas (a key's record: the
topic's name in camel case and Key), or the layout's SCHEMA_FULL_NAME. Every field is a union of null
and its type with default null:

    BOOLEAN boolean · INTEGER int · BIGINT long · DOUBLE double · VARCHAR string · BYTES bytes
    DECIMAL bytes/decimal · DATE int/date · TIME int/time-millis · TIMESTAMP long/timestamp-millis
    ARRAY array · MAP map · STRUCT record `<parent>_<FIELD>`

A bare value is its type alone: null is a null payload.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from streamsql.errors import PlanError
from streamsql.formats.checks import ColumnRefused, is_record
from streamsql.formats.compatibility import avro_kind, named_schemas
from streamsql.formats.format import Layout
from streamsql.formats.registered import NAME_COLUMNS, bare_name, spelt
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

_NAMESPACE = "io.confluent.ksql.avro_schemas"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_DIGITS = 38

_SCALARS: dict[SqlType, Any] = {
    BOOLEAN: "boolean",
    INTEGER: "int",
    BIGINT: "long",
    DOUBLE: "double",
    VARCHAR: "string",
    BYTES: "bytes",
    DATE: {"type": "int", "logicalType": "date"},
    TIME: {"type": "int", "logicalType": "time-millis"},
    TIMESTAMP: {"type": "long", "logicalType": "timestamp-millis"},
}


def schema_of(layout: Layout) -> Any:
    """The Avro schema that a layout's columns are written with, as JSON values.

    raises  PlanError for a name that Avro forbids
    """
    full_name = layout.properties.get("SCHEMA_FULL_NAME") or _default_name(layout)
    if is_record(layout):
        return _record(full_name, [(c.name, c.type) for c in layout.columns])
    return _type(layout.columns[0].type, full_name)


def _default_name(layout: Layout) -> str:
    if not layout.is_key:
        return f"{_NAMESPACE}.KsqlDataSourceSchema"
    words = re.split(r"[^A-Za-z0-9]+", layout.topic)
    camel = "".join(word[:1].upper() + word[1:].lower() for word in words)
    return f"{_NAMESPACE}.{camel if _NAME.match(camel) else '_' + camel}Key"


def _record(full_name: str, fields: Sequence[tuple[str, SqlType]]) -> Any:
    namespace, _, name = full_name.rpartition(".")
    for part in full_name.split("."):
        check_name(part)
    return {
        "type": "record",
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "fields": [
            {"name": check_name(field), "type": ["null", _type(t, f"{full_name}_{field}")], "default": None}
            for field, t in fields
        ],
        "connect.name": full_name,
    }


def _type(t: SqlType, name: str) -> Any:
    match t:
        case Decimal(precision, scale):
            return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
        case Array(element):
            return {"type": "array", "items": ["null", _type(element, name)]}
        case Map(_, item):
            return {"type": "map", "values": ["null", _type(item, name)]}
        case Struct(fields):
            return _record(name, fields)
    return _SCALARS[t]


def check_name(name: str) -> str:
    """raises  PlanError if Avro does not allow the name"""
    if not _NAME.fullmatch(name):
        raise ColumnRefused(
            f"`{name}` is no name in Avro: letters, digits and _ only, and no digit first",
            name,
            code="PLAN-FORMAT-NAME",
        )
    return name


def columns_of(schema: Any, layout: Layout) -> tuple[Column, ...]:
    """The columns that a registered schema gives.

    A record is one column per field, unless it stands for a bare value or a key: that is one STRUCT.
    Fields whose type SQL has none for are left out.
    raises  PlanError for a schema that holds itself
    """
    reader = _Reader(schema, layout)
    if avro_kind(schema) == "record" and layout.is_wrapped and not layout.is_key:
        fields = reader.fields(schema, ())
        return tuple(Column(name, t) for name, t in fields)
    found = reader.type(schema, ())
    return () if found is None else (Column(bare_name(layout), found),)


class _Reader:
    def __init__(self, schema: Any, layout: Layout) -> None:
        self._layout = layout
        self._named = named_schemas(schema)

    def fields(self, record: Any, outer: tuple[str, ...]) -> list[tuple[str, SqlType]]:
        if record["name"] in outer:
            raise PlanError(
                f"the schema's record {record['name']} holds itself: SQL has no such type",
                code="PLAN-SCHEMA-RECURSIVE",
                hint=NAME_COLUMNS,
            )
        outer = (*outer, record["name"])
        typed = [(f["name"], self.type(f["type"], outer)) for f in record["fields"]]
        return [(spelt(name, self._layout), t) for name, t in typed if t is not None]

    def type(self, schema: Any, outer: tuple[str, ...]) -> SqlType | None:
        """The SQL type of a schema, None if there is none."""
        if isinstance(schema, str):
            schema = self._named.get(schema, schema)
        if isinstance(schema, list):
            branches = [branch for branch in schema if branch != "null"]
            return self.type(branches[0], outer) if len(branches) == 1 else None
        logical = schema.get("logicalType") if isinstance(schema, dict) else None
        match avro_kind(schema):
            case "boolean":
                return BOOLEAN
            case "int" | "long" as kind:
                return _whole(kind, logical)
            case "float" | "double":
                return DOUBLE
            case "string" | "enum":
                return VARCHAR
            case "bytes" | "fixed":
                return _decimal(schema) if logical == "decimal" else BYTES
            case "array":
                return self._element(schema["items"], outer)
            case "map":
                item = self.type(schema["values"], outer)
                return None if item is None else Map(VARCHAR, item)
            case "record":
                fields = self.fields(schema, outer)
                return Struct(tuple(fields)) if fields else None
        return None

    def _element(self, items: Any, outer: tuple[str, ...]) -> SqlType | None:
        """An array, or a map that was written as an array of its entries."""
        entry = self._named.get(items, items) if isinstance(items, str) else items
        if is_entry(entry):
            value = self.type(entry["fields"][1]["type"], outer)
            return None if value is None else Map(VARCHAR, value)
        element = self.type(items, outer)
        return None if element is None else Array(element)


def is_entry(schema: Any) -> bool:
    """Whether a record is a map's entry as Connect writes maps whose keys may be null."""
    return (
        isinstance(schema, dict)
        and schema.get("type") == "record"
        and [f["name"] for f in schema["fields"]] == ["key", "value"]
        and (schema["name"].endswith("MapEntry") or "connect.internal.type" in schema)
    )


def _whole(kind: str, logical: str | None) -> SqlType:
    if logical == "date":
        return DATE
    if logical in ("time-millis", "time-micros"):
        return TIME
    if logical in ("timestamp-millis", "timestamp-micros"):
        return TIMESTAMP
    return INTEGER if kind == "int" else BIGINT


def _decimal(schema: Any) -> SqlType | None:
    precision, scale = schema.get("precision", 64), schema.get("scale", 0)
    return Decimal(precision, scale) if 0 <= scale <= precision <= _MAX_DIGITS else None

"""JSON Schemas: what a layout's columns are in JSON Schema, and what columns a schema has.

After the mapping of Kafka Connect's JSON Schema converter: `connect.type` tells int32 from int64, MAP
from STRUCT and BYTES from VARCHAR, `connect.index` a field's place, a `title` the logical types; every
value is `oneOf` null and its type.
"""

from __future__ import annotations

from typing import Any

from streamsql.errors import PlanError
from streamsql.formats.checks import is_record
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

_LOGICAL = "org.apache.kafka.connect.data."
_SCALARS: dict[SqlType, dict[str, Any]] = {
    BOOLEAN: {"type": "boolean"},
    INTEGER: {"type": "integer", "connect.type": "int32"},
    BIGINT: {"type": "integer", "connect.type": "int64"},
    DOUBLE: {"type": "number", "connect.type": "float64"},
    VARCHAR: {"type": "string"},
    BYTES: {"type": "string", "connect.type": "bytes"},
    DATE: {"type": "integer", "title": _LOGICAL + "Date", "connect.version": 1, "connect.type": "int32"},
    TIME: {"type": "integer", "title": _LOGICAL + "Time", "connect.version": 1, "connect.type": "int32"},
    TIMESTAMP: {
        "type": "integer",
        "title": _LOGICAL + "Timestamp",
        "connect.version": 1,
        "connect.type": "int64",
    },
}


def schema_of(layout: Layout) -> Any:
    """The JSON Schema that a layout's columns are written with, as JSON values."""
    if is_record(layout):
        return _object([(c.name, c.type) for c in layout.columns])
    return _nullable(layout.columns[0].type)


def _nullable(t: SqlType) -> dict[str, Any]:
    return {"oneOf": [{"type": "null"}, _type(t)]}


def _object(fields: list[tuple[str, SqlType]]) -> dict[str, Any]:
    properties = {name: {"connect.index": i, **_nullable(t)} for i, (name, t) in enumerate(fields)}
    return {"type": "object", "properties": properties}


def _type(t: SqlType) -> dict[str, Any]:
    match t:
        case Decimal(precision, scale):
            return {
                "type": "number",
                "title": _LOGICAL + "Decimal",
                "connect.version": 1,
                "connect.type": "bytes",
                "connect.parameters": {"scale": str(scale), "connect.decimal.precision": str(precision)},
            }
        case Array(element):
            return {"type": "array", "items": _nullable(element)}
        case Map(_, item):
            return {"type": "object", "connect.type": "map", "additionalProperties": _nullable(item)}
        case Struct(fields):
            return _object(list(fields))
    return _SCALARS[t]


def columns_of(schema: Any, layout: Layout) -> tuple[Column, ...]:
    """The columns that a registered schema gives; see `avro_schema.columns_of`.

    raises  PlanError for a schema that holds itself
    """
    reader = _Reader(schema, layout)
    found = reader.type(schema, ())
    if isinstance(found, Struct) and layout.is_wrapped and not layout.is_key:
        return tuple(Column(name, t) for name, t in found.fields)
    return () if found is None else (Column(bare_name(layout), found),)


def property_names(schema: Any) -> list[str]:
    """The names of an object's fields, in order, as they are spelt."""
    return [name for name, _ in _properties(_body(schema, schema))]


class _Reader:
    def __init__(self, schema: Any, layout: Layout) -> None:
        self._root = schema
        self._layout = layout

    def type(self, schema: Any, outer: tuple[str, ...]) -> SqlType | None:
        """The SQL type of a schema, None if there is none."""
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if reference is not None:
            if reference in outer:
                raise PlanError(
                    f"the schema's {reference} holds itself: SQL has no such type",
                    code="PLAN-SCHEMA-RECURSIVE",
                    hint=NAME_COLUMNS,
                )
            outer = (*outer, reference)
        body = _body(schema, self._root)
        if body is None:
            return None
        if "$ref" in body and body is not schema:
            return self.type(body, outer)
        connect, title = body.get("connect.type"), str(body.get("title", ""))
        match _kind(body):
            case "boolean":
                return BOOLEAN
            case "integer":
                return _whole(connect, title)
            case "number":
                return _number(body, title)
            case "string":
                return BYTES if connect == "bytes" else VARCHAR
            case "array":
                element = self.type(body.get("items", {}), outer)
                return None if element is None else Array(element)
            case "object":
                return self._object(body, connect, outer)
        return None

    def _object(self, body: Any, connect: str | None, outer: tuple[str, ...]) -> SqlType | None:
        if connect == "map":
            item = self.type(body.get("additionalProperties", {}), outer)
            return None if item is None else Map(VARCHAR, item)
        typed = [(spelt(name, self._layout), self.type(inner, outer)) for name, inner in _properties(body)]
        fields = tuple((name, t) for name, t in typed if t is not None)
        return Struct(fields) if fields else None


def _body(schema: Any, root: Any) -> Any:
    """The schema behind a reference, or the branch of a union that is not null; None if there is none."""
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return _referred(root, schema["$ref"])
    for union in ("oneOf", "anyOf"):
        if union in schema:
            branches = [b for b in schema[union] if not (isinstance(b, dict) and b.get("type") == "null")]
            return branches[0] if len(branches) == 1 else None
    return schema


def _referred(root: Any, reference: str) -> Any:
    """A schema in the same document; None for one elsewhere."""
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference.lstrip("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _kind(body: Any) -> str | None:
    kind = body.get("type")
    if isinstance(kind, list):
        kinds = [k for k in kind if k != "null"]
        return kinds[0] if len(kinds) == 1 else None
    return kind if isinstance(kind, str) else None


def _properties(body: Any) -> list[tuple[str, Any]]:
    properties = body.get("properties", {}) if isinstance(body, dict) else {}
    # A property may have any value there is: its schema is `true` then.
    indexed = [
        (inner.get("connect.index", i) if isinstance(inner, dict) else i, i, name, inner)
        for i, (name, inner) in enumerate(properties.items())
    ]
    return [(name, inner) for _, _, name, inner in sorted(indexed, key=lambda entry: entry[:2])]


def _whole(connect: str | None, title: str) -> SqlType:
    logical: dict[str, SqlType] = {"Date": DATE, "Time": TIME, "Timestamp": TIMESTAMP}
    found = logical.get(title.removeprefix(_LOGICAL))
    if found is not None:
        return found
    return INTEGER if connect in ("int8", "int16", "int32") else BIGINT


def _number(body: Any, title: str) -> SqlType:
    if title != _LOGICAL + "Decimal":
        return DOUBLE
    given = body.get("connect.parameters", {})
    return Decimal(int(given.get("connect.decimal.precision", 64)), int(given.get("scale", 0)))

"""Values of the corpus as Avro bytes by a registered schema, and back."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

import fastavro

_EXACT = Context(prec=100)


def encode(spec: Any, schema_text: str) -> bytes:
    """The bytes without the registry's frame.

    raises  KeyError, ValueError for a spec that does not fit the schema
    """
    schema = json.loads(schema_text)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), _Fitter().fit(spec, schema))
    return out.getvalue()


def decode(data: bytes, schema_text: str) -> Any:
    """JSON-like Python; a record gives all fields of the schema, empty bytes at the top level a null."""
    schema = fastavro.parse_schema(_without_times(json.loads(schema_text)))
    found = _plain(fastavro.schemaless_reader(io.BytesIO(data), schema, None))
    return None if found == "" and _is_bytes(json.loads(schema_text)) else found


class _Fitter:
    """Brings a spec into the shape of a schema; names of types are learnt on the way."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}

    def fit(self, spec: Any, schema: Any) -> Any:
        if isinstance(schema, list):
            return self._fit_union(spec, schema)
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        kind = schema["type"]
        if not isinstance(kind, str):
            return self.fit(spec, kind)
        if spec is None:
            return self._nothing(kind)
        if "name" in schema:
            self._named[schema["name"]] = schema
        match kind:
            case "record":
                given = {k.upper(): v for k, v in spec.items()}
                return {f["name"]: self._field(given, f) for f in schema["fields"]}
            case "array":
                return [self.fit(item, schema["items"]) for item in spec]
            case "map":
                return {k: self.fit(v, schema["values"]) for k, v in spec.items()}
            case "bytes" | "fixed" if schema.get("logicalType") == "decimal":
                return Decimal(spec).quantize(Decimal(1).scaleb(-schema.get("scale", 0)), context=_EXACT)
            case "bytes" | "fixed":
                return base64.b64decode(spec)
            case "int" | "long":
                return int(spec)
            case "float" | "double":
                return float(spec)
            case "string":
                return spec if isinstance(spec, str) else str(spec)
        return self.fit(spec, self._named[kind]) if kind in self._named else spec

    def _field(self, given: Mapping[str, Any], field: Mapping[str, Any]) -> Any:
        name = field["name"].upper()
        self._learn(field["type"])
        if name not in given and "default" in field:
            return field["default"]
        return self.fit(given.get(name), field["type"])

    def _fit_union(self, spec: Any, branches: list[Any]) -> Any:
        others = [b for b in branches if b != "null"]
        return None if spec is None else self.fit(spec, others[0])

    def _learn(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._learn(branch)
        elif isinstance(schema, dict):
            if "name" in schema:
                self._named[schema["name"]] = schema
            for field in schema.get("fields", ()):
                self._learn(field["type"])
            for part in ("items", "values"):
                self._learn(schema.get(part))

    @staticmethod
    def _nothing(kind: str) -> Any:
        """What the original writes for a missing value of a type that cannot be null."""
        return {"int": 0, "long": 0, "float": 0.0, "double": 0.0, "boolean": False, "string": ""}.get(kind)


def _without_times(schema: Any) -> Any:
    """The schema with dates and times as the integers they are: Python has none before the year 1."""
    if isinstance(schema, list):
        return [_without_times(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: _without_times(v) for k, v in schema.items()}
    if kept.get("logicalType") != "decimal":
        kept.pop("logicalType", None)
    return kept


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {k: _plain(v) for k, v in value.items()}
        case list():
            return [_plain(v) for v in value]
        case bytes():
            return base64.b64encode(value).decode()
    return value


def _is_bytes(schema: Any) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else schema
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), None)
    return kind == "bytes"

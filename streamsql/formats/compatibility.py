"""Whether a new version of a schema may follow the older ones.

BACKWARD: the new schema reads what was written with the last one. FORWARD: the last one reads what the
new one writes. FULL: both. _TRANSITIVE: with every older version. The rules are Avro's schema
resolution (Avro specification 1.11, "Schema Resolution"), and their like for JSON Schema objects and
for .proto messages: a field that is there in both keeps its type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from streamsql.formats.proto_text import ProtoField, parse_proto
from streamsql.formats.protobuf_schema import messages_in

Avro: TypeAlias = Any
"""An Avro schema as its JSON: a name, a union's list, or an object."""


def incompatibilities(schema: str, kind: str, older: Sequence[tuple[str, str]], level: str) -> list[str]:
    """What forbids the schema after the older ones (text, kind), newest first; empty if nothing does."""
    if level == "NONE" or not older:
        return []
    found: list[str] = []
    for text, old_kind in older if level.endswith("_TRANSITIVE") else older[:1]:
        if old_kind != kind:
            return [f"it is {kind}, and the registered one {old_kind}"]
        if not level.startswith("FORWARD"):
            found += _unreadable(kind, reader=schema, writer=text)
        if not level.startswith("BACKWARD"):
            found += _unreadable(kind, reader=text, writer=schema)
    return found


def _unreadable(kind: str, *, reader: str, writer: str) -> list[str]:
    return _CHECKS[kind](reader, writer)


def _avro(reader: str, writer: str) -> list[str]:
    return _Avro(json.loads(reader), json.loads(writer)).check()


class _Avro:
    """Avro's rules for a reader's schema over a writer's."""

    _PROMOTIONS = {
        "int": {"long", "float", "double"},
        "long": {"float", "double"},
        "float": {"double"},
        "string": {"bytes"},
        "bytes": {"string"},
    }

    def __init__(self, reader: Avro, writer: Avro) -> None:
        self._reader, self._writer = reader, writer
        self._readers = named_schemas(reader)
        self._writers = named_schemas(writer)
        self._seen: set[tuple[str, str]] = set()

    def check(self) -> list[str]:
        return self._check(self._reader, self._writer, "the schema")

    def _check(self, reader: Avro, writer: Avro, place: str) -> list[str]:
        reader, writer = self._readers.get(_key(reader), reader), self._writers.get(_key(writer), writer)
        if isinstance(writer, list):
            return [problem for branch in writer for problem in self._check(reader, branch, place)]
        if isinstance(reader, list):
            if any(not self._check(branch, writer, place) for branch in reader):
                return []
            return [f"{place} was {_shown(writer)}, which is none of {_shown(reader)}"]
        kind, written = avro_kind(reader), avro_kind(writer)
        if kind != written:
            return (
                []
                if kind in self._PROMOTIONS.get(written, ())
                else [f"{place} was {_shown(writer)}, and is {_shown(reader)}"]
            )
        if kind == "record":
            return self._record(reader, writer, place)
        if kind == "array":
            return self._check(reader["items"], writer["items"], f"{place}'s items")
        if kind == "map":
            return self._check(reader["values"], writer["values"], f"{place}'s values")
        if kind == "enum":
            gone = [s for s in writer["symbols"] if s not in reader["symbols"]]
            return [f"{place} lost the symbol {gone[0]}"] if gone and "default" not in reader else []
        if kind == "fixed" and reader["size"] != writer["size"]:
            return [f"{place} had {writer['size']} bytes, and has {reader['size']}"]
        if isinstance(reader, dict) and isinstance(writer, dict):
            return _changed_decimal(reader, writer, place)
        return []

    def _record(self, reader: Avro, writer: Avro, place: str) -> list[str]:
        pair = (str(reader.get("name")), str(writer.get("name")))
        if pair in self._seen:
            return []
        self._seen.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        found: list[str] = []
        for field in reader["fields"]:
            names = [field["name"], *field.get("aliases", ())]
            old = next((written[name] for name in names if name in written), None)
            if old is not None:
                found += self._check(field["type"], old["type"], f"field {field['name']}")
            elif "default" not in field:
                found.append(f"field {field['name']} is new and has no default")
        return found


def _changed_decimal(reader: Avro, writer: Avro, place: str) -> list[str]:
    if reader.get("logicalType") != "decimal" or writer.get("logicalType") != "decimal":
        return []
    new, old = ((s.get("precision"), s.get("scale", 0)) for s in (reader, writer))
    return [] if new == old else [f"{place} was a decimal of {old}, and is one of {new}"]


def avro_kind(schema: Avro) -> str:
    """int, record, union, ..: the name or the `type` of an Avro schema."""
    if isinstance(schema, list):
        return "union"
    kind = schema if isinstance(schema, str) else schema["type"]
    return kind if isinstance(kind, str) else avro_kind(kind)


def named_schemas(schema: Avro) -> dict[str, Avro]:
    """The records, enums and fixed types in an Avro schema, by name and by full name."""
    found: dict[str, Avro] = {}

    def visit(inner: Avro, namespace: str) -> None:
        if isinstance(inner, list):
            for branch in inner:
                visit(branch, namespace)
        if not isinstance(inner, dict):
            return
        space = inner.get("namespace", namespace)
        if "name" in inner:
            name = inner["name"]
            full = name if "." in name or not space else f"{space}.{name}"
            space = full.rpartition(".")[0]
            found[full] = inner
            found.setdefault(full.rpartition(".")[2], inner)
        for field in inner.get("fields", ()):
            visit(field["type"], space)
        for part in ("items", "values", "type"):
            if part in inner:
                visit(inner[part], space)

    visit(schema, "")
    return found


def _key(schema: Avro) -> str:
    return schema if isinstance(schema, str) else ""


def _shown(schema: Avro) -> str:
    if isinstance(schema, list):
        return " or ".join(_shown(branch) for branch in schema)
    return schema if isinstance(schema, str) else str(schema.get("name") or avro_kind(schema))


def _json_schema(reader: str, writer: str) -> list[str]:
    return _json_check(json.loads(reader), json.loads(writer), "the schema")


def _json_check(reader: Any, writer: Any, place: str) -> list[str]:
    """Fields in both keep their type; a field that the new schema requires was required before."""
    if not isinstance(reader, dict) or not isinstance(writer, dict):
        return []
    kinds, written = _json_kinds(reader), _json_kinds(writer)
    if "number" in kinds:
        kinds = kinds | {"integer"}
    if kinds and written and not written <= kinds:
        return [f"{place} was {'/'.join(sorted(written))}, and is {'/'.join(sorted(kinds))}"]
    reader, writer = _json_body(reader), _json_body(writer)
    found = [
        f"field {name} is required now"
        for name in reader.get("required", ())
        if name not in writer.get("required", ())
    ]
    old = writer.get("properties", {})
    for name, inner in reader.get("properties", {}).items():
        if name in old:
            found += _json_check(inner, old[name], f"field {name}")
    if "items" in reader and "items" in writer:
        found += _json_check(reader["items"], writer["items"], f"{place}'s items")
    return found


def _json_kinds(schema: Any) -> frozenset[str]:
    if not isinstance(schema, dict):
        return frozenset()
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return frozenset().union(*(_json_kinds(branch) for branch in schema[union]))
    kind = schema.get("type", ())
    return frozenset([kind] if isinstance(kind, str) else kind)


def _json_body(schema: Any) -> Any:
    """The part of a nullable schema that is not null."""
    for union in ("oneOf", "anyOf"):
        for branch in schema.get(union, ()):
            if _json_kinds(branch) != {"null"}:
                return branch
    return schema


def _protobuf(reader: str, writer: str) -> list[str]:
    new, old = messages_in([parse_proto(reader)]).messages, messages_in([parse_proto(writer)]).messages
    found: list[str] = []
    for name, message in old.items():
        if name not in new:
            found.append(f"message {name} is gone")
            continue
        fields = {field.number: field for field in new[name].fields}
        for field in message.fields:
            kept = fields.get(field.number)
            if kept is not None and _wire(kept) != _wire(field):
                found.append(f"field {name}.{field.name} has another type")
    return found


def _wire(field: ProtoField) -> tuple[str, bool, str | None]:
    """What must stay the same for the bytes to read; optional or not is the same."""
    return field.type.lstrip("."), field.label == "repeated", field.map_key


_CHECKS: dict[str, Callable[[str, str], list[str]]] = {
    "AVRO": _avro,
    "JSON": _json_schema,
    "PROTOBUF": _protobuf,
}

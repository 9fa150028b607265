"""What reading and writing Avro share: the fastavro package, and schemas with their names."""

from __future__ import annotations

import json
import struct
from types import ModuleType
from typing import Any

from streamsql.formats.compatibility import named_schemas
from streamsql.formats.registered import missing_extra

# What fastavro raises on bytes that are no record of the schema; EOFError where they end too early.
UNREADABLE = (
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


def fastavro_package() -> ModuleType:
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


class AvroSchema:
    """A schema and the names in it."""

    def __init__(self, text: str) -> None:
        self.root = json.loads(text)
        self._named = named_schemas(self.root)
        self.parsed = fastavro_package().parse_schema(without_logical_types(self.root))

    def resolve(self, schema: Any) -> Any:
        return self._named.get(schema, schema) if isinstance(schema, str) else schema

    def one_of(self, schema: Any) -> Any:
        """The only branch of a union beside null, or the schema itself; None for other unions."""
        schema = self.resolve(schema)
        if not isinstance(schema, list):
            return schema
        branches = [branch for branch in schema if branch != "null"]
        return self.resolve(branches[0]) if len(branches) == 1 else None

"""The CREATE STREAM statement for what is in a topic, to be shown to people who have just filled it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from streamsql.grammar.names import quote_name
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    VARCHAR,
    Array,
    SqlType,
    Struct,
    duckdb_string,
    from_arrow,
)

if TYPE_CHECKING:
    from streamsql.database import Database


def for_topic(db: Database, topic: str, format: str) -> str | None:
    """A statement that declares a stream over a topic by what its first record looks like.

    format  that of the files it was loaded from
    gives   None if something is declared on the topic already, or the record does not tell
    """
    if db.catalog.on_topic(topic):
        return None
    found = db.log.read(topic, 0, db.log.start_offset(topic, 0), 1)
    if not found or not found[0].num_rows:
        return None
    if format == "lines":
        return declaration(name_of(topic), [("LINE", "VARCHAR")], topic, {"VALUE_FORMAT": "KAFKA"})
    values = found[0].column("value")
    if format == "jsonl":
        return _for_json(topic, values[0].as_py())
    columns = [(field.name, str(from_arrow(field.type))) for field in values.type]
    return declaration(name_of(topic), columns, topic)


def declaration(
    name: str,
    columns: Iterable[tuple[str, str]],
    topic: str,
    properties: Mapping[str, str] | None = None,
    *,
    kind: str = "STREAM",
) -> str:
    """CREATE STREAM with columns (name, type as written) over a topic.

    >>> declaration("LOGS", [("LINE", "VARCHAR")], "logs", {"VALUE_FORMAT": "KAFKA"})
    "CREATE STREAM LOGS (LINE VARCHAR) WITH (KAFKA_TOPIC = 'logs', VALUE_FORMAT = 'KAFKA');"
    """
    listed = ", ".join(f"{quote_name(column)} {written}" for column, written in columns)
    given = {"KAFKA_TOPIC": topic, **(properties or {})}
    extra = ", ".join(f"{key} = {duckdb_string(value)}" for key, value in given.items())
    return f"CREATE {kind} {quote_name(name)} ({listed}) WITH ({extra});"


def name_of(topic: str) -> str:
    """A name for a stream over a topic that needs no quotes.

    >>> name_of("page-views"), name_of("2024")
    ('PAGE_VIEWS', 'S_2024')
    """
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in topic).upper()
    return name if quote_name(name) == name else "S_" + name


def _for_json(topic: str, line: bytes) -> str | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not found:
        return None
    columns = [(_json_name(name), str(_json_type(value))) for name, value in found.items()]
    return declaration(name_of(topic), columns, topic, {"VALUE_FORMAT": "JSON"})


def _json_name(name: str) -> str:
    """Format JSON finds a field under a column's name in any case."""
    return name.upper() if quote_name(name.upper()) == name.upper() else name


def _json_type(value: Any) -> SqlType:
    """A type that holds a value of a first line; text where there is nothing to go by."""
    match value:
        case bool():
            return BOOLEAN
        case int():
            return BIGINT
        case float():
            return DOUBLE
        case [first, *_]:
            return Array(_json_type(first))
        case dict() if value:
            return Struct(tuple((_json_name(n), _json_type(v)) for n, v in value.items()))
    return VARCHAR

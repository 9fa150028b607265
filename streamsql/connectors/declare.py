"""The CREATE STREAM statement for what is in a topic, to be shown to people who have just filled it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from streamsql.grammar.names import quote_name
from streamsql.schema import RESERVED_COLUMNS
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    VARCHAR,
    Array,
    Decimal,
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
    return _declared(topic, [(field.name, from_arrow(field.type)) for field in values.type], {})


def sql_names(names: Sequence[str]) -> list[str]:
    """The names of a file's columns as a stream has them: in upper case where they then need no quotes.

    As they are they stay where two would become one, or the database's own.

    >>> sql_names(["user_id", "user id", "a", "A", "rowtime"])
    ['USER_ID', 'user id', 'a', 'A', 'rowtime']
    """
    upper = [name.upper() for name in names]
    times = Counter(upper)
    return [
        other if quote_name(other) == other and times[other] == 1 and other not in RESERVED_COLUMNS else name
        for name, other in zip(names, upper, strict=True)
    ]


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
    if not isinstance(found, dict):
        return None
    return _declared(topic, _json_fields(found), {"VALUE_FORMAT": "JSON"})


def _declared(
    topic: str, columns: Iterable[tuple[str, SqlType]], properties: Mapping[str, str]
) -> str | None:
    """A stream of those of the columns that a stream can have; None if there are none."""
    kept = [(name, str(t)) for name, t in columns if name not in RESERVED_COLUMNS]
    return declaration(name_of(topic), kept, topic, properties) if kept else None


def _json_fields(found: Mapping[str, Any]) -> list[tuple[str, SqlType]]:
    """Names and types; format JSON finds a field under a column's name in any case."""
    named = zip(sql_names(list(found)), found.values(), strict=True)
    return [(name, _json_type(value)) for name, value in named if name]


def _json_type(value: Any) -> SqlType:
    """A type that holds a value of a first line; text where there is nothing to go by."""
    match value:
        case bool():
            return BOOLEAN
        case int():
            # The largest that is read as a whole number has 20 digits.
            return BIGINT if -(1 << 63) <= value < 1 << 63 else Decimal(20, 0)
        case float():
            return DOUBLE
        case [first, *_]:
            return Array(_json_type(first))
        case dict() if fields := _json_fields(value):
            # A STRUCT has no two fields that differ in case alone; as a text it is all there.
            has_own_names = len({name.upper() for name, _ in fields}) == len(fields)
            return Struct(tuple(fields)) if has_own_names else VARCHAR
    return VARCHAR

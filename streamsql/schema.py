"""Columns and schemas: what a stream or table looks like."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamsql.grammar.names import quote_name
from streamsql.types import VARCHAR, Array, Map, SqlType, Struct

PSEUDO_COLUMNS = ("ROWTIME", "ROWPARTITION", "ROWOFFSET")
WINDOW_BOUNDS = ("WINDOWSTART", "WINDOWEND")
RESERVED_COLUMNS = frozenset(PSEUDO_COLUMNS + WINDOW_BOUNDS)


@dataclass(frozen=True, slots=True)
class Column:
    """A named, typed column.

    header  None for a key or value column; '' for all headers; else the name of one header
    """

    name: str
    type: SqlType
    header: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Schema:
    """Key columns, value columns and header columns, each in the order of their declaration."""

    key: tuple[Column, ...] = ()
    value: tuple[Column, ...] = ()
    headers: tuple[Column, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.key + self.value + self.headers

    def find(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)

    def is_key(self, name: str) -> bool:
        return any(c.name == name for c in self.key)

    def describe(self, key_word: str = "KEY") -> str:
        """The columns as SQL text: `` `ID` BIGINT KEY, `NAME` VARCHAR``."""
        keys = [f"{quote_name(c.name, always=True)} {type_text(c.type)} {key_word}" for c in self.key]
        values = [f"{quote_name(c.name, always=True)} {type_text(c.type)}" for c in self.value + self.headers]
        return ", ".join(keys + values)


def type_text(t: SqlType) -> str:
    """A type as ksqlDB's schemas print it: STRING for VARCHAR, names always quoted in structs."""
    match t:
        case Array(element):
            return f"ARRAY<{type_text(element)}>"
        case Map(key, value):
            return f"MAP<{type_text(key)}, {type_text(value)}>"
        case Struct(fields):
            inner = ", ".join(f"{quote_name(n, always=True)} {type_text(f)}" for n, f in fields)
            return f"STRUCT<{inner}>"
    return "STRING" if t == VARCHAR else str(t)

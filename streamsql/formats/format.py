"""What a format is: typed columns to bytes and back, a column at a time.

A topic has a format for its keys and one for its values. Each format is one file with one `Format`
object; `streamsql.formats.get` finds it by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.schema import Column

__all__ = ["Decoded", "Decoder", "Encoder", "Format", "Layout", "SchemaStore"]


class SchemaStore(Protocol):
    """Where schemas are registered: the embedded registry or a Schema Registry's HTTP client."""

    def register(self, subject: str, schema: str, kind: str) -> int:
        """Register a schema (kind AVRO, PROTOBUF or JSON), give its id; the same text has the same id."""

    def latest(self, subject: str) -> tuple[int, str, str] | None:
        """(id, text, kind) of the subject's newest schema, or None."""

    def by_id(self, schema_id: int) -> tuple[str, str] | None:
        """(text, kind), or None."""

    def ids(self, subject: str) -> tuple[int, ...]:
        """The ids of a subject's versions, oldest first; () if there is no such subject."""

    def delete(self, subject: str) -> tuple[int, ...]:
        """Forget a subject; gives the versions it had."""

    def references(self, schema_id: int) -> Mapping[str, str]:
        """The texts of the schemas that a schema refers to, by name, theirs included."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One side, key or value, of a topic: everything a format needs to know.

    columns     in the order they are written
    is_key      a key (one key column is written bare, several as one record)
    is_wrapped  a single value column is written as a record with one field
    properties  DELIMITER, SCHEMA_ID, SCHEMA_FULL_NAME, NULLABLE_REPRESENTATION where given, upper case
    topic       for the registry's subject, `<topic>-key` or `<topic>-value`
    schemas     the registry, for the formats that use one
    """

    columns: tuple[Column, ...]
    is_key: bool
    is_wrapped: bool
    properties: Mapping[str, str] = field(default_factory=dict)
    topic: str = ""
    schemas: SchemaStore | None = None


class Format(ABC):
    """A way of writing columns as bytes.

    name                  upper case
    can_infer             columns may come from a registered schema
    can_wrap, can_unwrap  for a single value column; a key column is bare wherever can_unwrap
    is_typed              payloads are the columns themselves: decoding costs nothing
    properties            names of the layout properties it understands
    """

    name: str
    can_infer = False
    can_wrap = False
    can_unwrap = False
    is_typed = False
    properties: frozenset[str] = frozenset()

    @abstractmethod
    def check(self, layout: Layout) -> None:
        """Refuse columns and properties that the format cannot hold.

        raises  PlanError that names the format, the column and the type; NotSupportedError for an extra
                that is not installed is wrong: that is an ExternalError saying what to pip install
        """

    @abstractmethod
    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        """A decoder of the named columns only, in that order; kernels are prepared in `workspace`."""

    @abstractmethod
    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        """An encoder of all the layout's columns in their order."""

    def register(self, layout: Layout) -> None:
        """Register the schema that the layout will be written with, where the format has schemas.

        raises  PlanError if the registry refuses it
        """
        return None

    def infer(self, layout: Layout) -> tuple[Column, ...] | None:
        """The columns of the registered schema, or None if there is none.

        raises  PlanError if the SCHEMA_ID is unknown, or the schema holds itself
        """
        return None

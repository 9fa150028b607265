"""Nodes of the syntax tree: statements."""

from __future__ import annotations

from dataclasses import dataclass

from streamsql.grammar.ast_expressions import Expression, Node, TypeNode
from streamsql.grammar.ast_queries import Duration, Query


@dataclass(frozen=True, slots=True)
class Statement(Node):
    """One statement; its span ends before the ';'."""


@dataclass(frozen=True, slots=True)
class Property(Node):
    """`NAME = literal` in a WITH list. The name is upper case unless it was a string; the value a literal."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class ColumnDefinition(Node):
    """A column of CREATE STREAM/TABLE.

    role    '' (value), 'KEY', 'PRIMARY KEY', 'HEADERS' or 'HEADER'
    header  the header's name, for HEADER('name')
    """

    name: str
    type: TypeNode
    role: str = ""
    header: str | None = None


@dataclass(frozen=True, slots=True)
class CreateSource(Statement):
    """CREATE STREAM/TABLE over a topic. kind: STREAM or TABLE."""

    kind: str
    name: str
    columns: tuple[ColumnDefinition, ...] = ()
    properties: tuple[Property, ...] = ()
    or_replace: bool = False
    if_not_exists: bool = False
    is_source: bool = False


@dataclass(frozen=True, slots=True)
class CreateAsSelect(Statement):
    """CREATE STREAM/TABLE .. AS SELECT. kind: STREAM or TABLE."""

    kind: str
    name: str
    query: Query
    properties: tuple[Property, ...] = ()
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class InsertSelect(Statement):
    target: str
    query: Query
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class InsertValues(Statement):
    """rows: the values of each; columns is None where no list was given."""

    target: str
    rows: tuple[tuple[Expression, ...], ...]
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class QueryStatement(Statement):
    """A push query (with EMIT) or a pull query."""

    query: Query


@dataclass(frozen=True, slots=True)
class DropSource(Statement):
    kind: str
    name: str
    if_exists: bool = False
    delete_topic: bool = False


@dataclass(frozen=True, slots=True)
class AlterSource(Statement):
    kind: str
    name: str
    columns: tuple[ColumnDefinition, ...]


@dataclass(frozen=True, slots=True)
class AlterTopic(Statement):
    """`topic` keeps its case."""

    topic: str
    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True)
class CreateType(Statement):
    name: str
    type: TypeNode
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropType(Statement):
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateConnector(Statement):
    """kind: SOURCE or SINK."""

    kind: str
    name: str
    properties: tuple[Property, ...] = ()
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropConnector(Statement):
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Show(Statement):
    """SHOW/LIST of one kind of thing.

    what         STREAMS, TABLES, TOPICS, QUERIES, FUNCTIONS, PROPERTIES, TYPES, VARIABLES, CONNECTORS,
                 SOURCE CONNECTORS, SINK CONNECTORS, CONNECTOR PLUGINS, CONSUMER GROUPS
    is_all       SHOW ALL TOPICS
    """

    what: str
    is_extended: bool = False
    is_all: bool = False


@dataclass(frozen=True, slots=True)
class Describe(Statement):
    """kind: SOURCE (a stream or table), FUNCTION, CONNECTOR, STREAMS or TABLES (then name is '')."""

    kind: str
    name: str
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Explain(Statement):
    """Either a statement or the id of a running query."""

    statement: Statement | None = None
    query_id: str | None = None


@dataclass(frozen=True, slots=True)
class PrintTopic(Statement):
    """`topic` keeps its case."""

    topic: str
    from_beginning: bool = False
    interval: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SetProperty(Statement):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class UnsetProperty(Statement):
    name: str


@dataclass(frozen=True, slots=True)
class AlterSystem(Statement):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Define(Statement):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Undefine(Statement):
    name: str


@dataclass(frozen=True, slots=True)
class QueryControl(Statement):
    """action: TERMINATE, PAUSE or RESUME; query_id is None for ALL."""

    action: str
    query_id: str | None


@dataclass(frozen=True, slots=True)
class RunScript(Statement):
    path: str


@dataclass(frozen=True, slots=True)
class AssertTopic(Statement):
    """`topic` keeps its case."""

    topic: str
    properties: tuple[Property, ...] = ()
    timeout: Duration | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class AssertSchema(Statement):
    subject: str | None = None
    schema_id: int | None = None
    timeout: Duration | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class AssertValues(Statement):
    """is_tombstone: ASSERT NULL VALUES .. KEY (..), then columns and values are the key's."""

    source: str
    values: tuple[Expression, ...]
    columns: tuple[str, ...] | None = None
    is_tombstone: bool = False


@dataclass(frozen=True, slots=True)
class AssertSource(Statement):
    """ASSERT STREAM/TABLE name (columns) WITH (..). kind: STREAM or TABLE."""

    kind: str
    name: str
    columns: tuple[ColumnDefinition, ...] = ()
    properties: tuple[Property, ...] = ()

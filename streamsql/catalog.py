"""What exists: streams, tables, types and persistent queries.

The catalog is a fold over the command topic: every statement that changed it is a record there, and
replaying them at start gives the same catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from streamsql.engine.windowed_keys import WindowedKey
from streamsql.errors import PlanError
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.plan.scope import suggestion
from streamsql.schema import Schema
from streamsql.types import SqlType

STREAM, TABLE = "STREAM", "TABLE"


@dataclass(frozen=True, slots=True)
class SideFormat:
    """How keys or values of a source are written.

    name        format name, upper case
    properties  DELIMITER, SCHEMA_ID, SCHEMA_FULL_NAME, NULLABLE_REPRESENTATION where given
    is_wrapped  a single value column is written as a record; None where the choice does not arise
    """

    name: str
    properties: Mapping[str, str] = field(default_factory=dict)
    is_wrapped: bool | None = None


@dataclass(frozen=True, slots=True)
class TimestampColumn:
    """The column that holds a record's time, and its Java pattern if it is text."""

    name: str
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A stream or a table.

    kind       STREAM or TABLE
    window     the topic's keys carry window bounds
    is_source  CREATE SOURCE: read-only
    query_id   the persistent query that made it, None for a plain CREATE
    sql        the statement that made it, canonical
    """

    kind: str
    name: str
    schema: Schema
    topic: str
    key_format: SideFormat
    value_format: SideFormat
    timestamp: TimestampColumn | None = None
    window: WindowedKey | None = None
    is_source: bool = False
    query_id: str | None = None
    sql: str = ""

    @property
    def is_table(self) -> bool:
        return self.kind == TABLE

    @property
    def title(self) -> str:
        """'stream VIEWS', for messages."""
        return f"{self.kind.lower()} {quote_name(self.name)}"


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """A persistent query.

    reads, writes  names of sources
    sql            the statement, canonical
    """

    id: str
    sql: str
    reads: tuple[str, ...]
    writes: str | None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Catalog:
    """Everything that has a name. Changes go through the methods, which keep it consistent."""

    sources: dict[str, SourceInfo] = field(default_factory=dict)
    types: dict[str, SqlType] = field(default_factory=dict)
    queries: dict[str, QueryInfo] = field(default_factory=dict)

    def copy(self) -> Catalog:
        return Catalog(dict(self.sources), dict(self.types), dict(self.queries))

    def type(self, name: str) -> SqlType | None:
        return self.types.get(name)

    def source(self, name: str) -> SourceInfo:
        """The stream or table of this name.

        raises  PlanError PLAN-UNKNOWN-SOURCE
        """
        found = self.sources.get(name)
        if found is None:
            raise PlanError(
                f"there is no stream or table {quote_name(name)}",
                code="PLAN-UNKNOWN-SOURCE",
                span=place_of(name),
                hint=_source_hint(name, self.sources),
            )
        return found

    def check_free(self, name: str) -> None:
        """raises PlanError PLAN-EXISTS if a stream or table has this name."""
        found = self.sources.get(name)
        if found is not None:
            raise PlanError(
                f"a {found.title} already exists",
                code="PLAN-EXISTS",
                span=place_of(name),
                hint="use IF NOT EXISTS or OR REPLACE",
            )

    def readers(self, name: str) -> list[str]:
        """Ids of the queries that read a source."""
        return [q.id for q in self.queries.values() if name in q.reads]

    def writers(self, name: str) -> list[str]:
        """Ids of the queries that write a source."""
        return [q.id for q in self.queries.values() if q.writes == name]

    def on_topic(self, topic: str) -> list[SourceInfo]:
        """The sources over a topic."""
        return [s for s in self.sources.values() if s.topic == topic]

    def update(self, name: str, change: Callable[[SourceInfo], SourceInfo]) -> None:
        self.sources[name] = change(self.sources[name])

    def add_query(self, query: QueryInfo, makes: SourceInfo | None) -> None:
        """Add a query, and the source that it makes, if it does not write to one that is there."""
        self.queries[query.id] = query
        if makes is not None:
            self.sources[makes.name] = replace(makes, query_id=query.id)


def _source_hint(name: str, sources: Mapping[str, SourceInfo]) -> str | None:
    other_case = [n for n in sources if n.upper() == name.upper()]
    if other_case:
        return f"there is {sources[other_case[0]].title}: names in quotes keep their case"
    if not sources:
        return "there are none yet: CREATE STREAM name (column TYPE, ..) WITH (KAFKA_TOPIC = 'topic');"
    return suggestion(name, sources, "streams and tables")

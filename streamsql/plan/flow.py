"""What planning hands on: the edge that the next step reads, and what a planned SELECT came to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa

from streamsql.engine.graph import Graph
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.windowed_keys import WindowedKey
from streamsql.errors import Span
from streamsql.plan.items import KeyColumn
from streamsql.plan.scope import Scope, physical
from streamsql.plan.stages import StageBuilder
from streamsql.schema import Column, Schema
from streamsql.types import SqlType


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of the result; `physical` is its name in the batches of the result's node.

    is_hidden  a table's key column that the SELECT list left out, carried along for what reads the table
    title      what a hidden column is called in messages
    span       where it is written
    """

    name: str
    column: Column
    is_key: bool = False
    is_hidden: bool = False
    title: str = ""
    span: Span | None = field(default=None, compare=False)

    @property
    def physical(self) -> str:
        return physical(self.name)


@dataclass(slots=True)
class Flow:
    """The edge that the next step reads: a node of the graph and the steps of the stage on top of it.

    scope   the columns in reach
    kind    STREAM or TABLE
    key     the columns that make up the key, as the projection must name them
    names   what the columns of its sources are called, used or not
    window  the key is windowed
    has_old_rows  of a table: a change takes back the row that it replaces, whole
    is_final      of a table: a row that is put in stays as it is
    is_rekeyed    the key was computed, by PARTITION BY: it is there even if all of its parts are null
    is_spread     rows of one key may come from several partitions
    stand_ins     columns for groups and aggregates: name -> what was written
    """

    graph: Graph
    node: int
    builder: StageBuilder
    scope: Scope
    kind: str
    key: tuple[KeyColumn, ...]
    sources: tuple[str, ...]
    names: frozenset[str]
    window: WindowedKey | None = None
    titles: list[str] = field(default_factory=list)
    null_key: bool = False
    has_old_rows: bool = False
    is_final: bool = False
    is_rekeyed: bool = False
    is_spread: bool = False
    retention_ms: int | None = None
    stand_ins: dict[str, str] = field(default_factory=dict)

    def type_of(self, name: str) -> SqlType:
        """The type of a column of the batch, by its physical name."""
        found = next((c for c in self.scope.columns if physical(c.name) == name), None)
        if found is None:
            raise AssertionError(name)
        return found.type

    @property
    def passing(self) -> list[str]:
        """The columns of the batch that are in reach; the others were only there for the step before."""
        in_reach = {physical(c.name) for c in self.scope.columns}
        return [name for name in self.builder.schema.names if name in in_reach]

    def close_stage(self) -> int:
        """Put the steps so far into the graph as a node and give its number."""
        if not self.builder.is_empty:
            self.node = self.graph.add(Stateless(self.builder.build(), ", ".join(self.titles)), self.node)
            self.builder = StageBuilder(self.builder.schema, self.stand_ins)
            self.titles = []
        return self.node

    def take(self, node: int, schema: pa.Schema) -> None:
        """Go on from another node, whose output has this schema; it took the steps so far in."""
        self.node = node
        self.builder = StageBuilder(schema, self.stand_ins)
        self.titles = []

    def branch(self) -> Flow:
        """Another flow from the same node, which must be closed: both read what it gives."""
        assert self.builder.is_empty
        return replace(self, builder=StageBuilder(self.builder.schema, self.stand_ins), titles=[])


@dataclass(frozen=True, slots=True)
class Selected:
    """A SELECT planned up to its projection, which may still be an open stage of `flow`.

    columns  in SELECT order, hidden ones last; the key columns among them are marked
    key      names of the key columns in the order of the key
    is_repeatable  the same row gives the same result whenever it is computed
    """

    flow: Flow
    columns: tuple[OutputColumn, ...]
    key: tuple[str, ...]
    is_repeatable: bool

    def closed(self) -> PlannedSelect:
        """The same as a node of the graph."""
        flow = self.flow
        return PlannedSelect(
            flow.kind,
            flow.graph,
            flow.close_stage(),
            self.columns,
            self.key,
            flow.sources,
            flow.window,
            flow.retention_ms,
            flow.null_key,
            flow.is_rekeyed,
        )


@dataclass(frozen=True, slots=True)
class PlannedSelect:
    """A query planned up to, and without, its sink.

    kind       STREAM or TABLE
    node       the graph's node whose output is the result
    columns    in SELECT order; the key columns among them are marked
    key        names of the key columns in the order of the key
    window     the result's key is windowed
    sources    names read, left-most first
    null_key   PARTITION BY NULL
    is_rekeyed the key was computed, by PARTITION BY: it is there even if all of its parts are null
    """

    kind: str
    graph: Graph
    node: int
    columns: tuple[OutputColumn, ...]
    key: tuple[str, ...]
    sources: tuple[str, ...]
    window: WindowedKey | None = None
    retention_ms: int | None = None
    null_key: bool = False
    is_rekeyed: bool = False

    @property
    def schema(self) -> Schema:
        by_name = {c.name: c.column for c in self.columns}
        return Schema(
            tuple(by_name[name] for name in self.key),
            tuple(c.column for c in self.columns if not c.is_key),
        )


def source_names(flows: Iterable[Flow]) -> tuple[str, ...]:
    """The sources of several flows, left-most first, each once."""
    return tuple(dict.fromkeys(name for flow in flows for name in flow.sources))


def first_free(name: str, taken: Collection[str]) -> str:
    """The name, or name_1 and so on if it is taken."""
    names = (name if number == 0 else f"{name}_{number}" for number in range(len(taken) + 1))
    return next(n for n in names if n not in taken)

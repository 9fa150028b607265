"""A SELECT that keeps running, from its syntax tree to a graph without a sink.

The order of processing: source, WHERE, PARTITION BY, table functions, GROUP BY, HAVING, projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from streamsql.catalog import TABLE, SourceInfo
from streamsql.engine.batch import NULL_VALUE
from streamsql.engine.graph import Graph
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.windowed_keys import WindowedKey
from streamsql.errors import NotSupportedError, PlanError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.printer import to_sql
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import Compiled, compile_expression, compile_filter
from streamsql.plan.group_by import bounds_in_select, group_by
from streamsql.plan.items import Item, KeyColumn, expand_items, key_column, qualify
from streamsql.plan.joins import plan_join
from streamsql.plan.rewrite import columns_used, walk
from streamsql.plan.scope import Scope, at, physical
from streamsql.plan.sources import Needs, build_source, source_scope
from streamsql.plan.stages import Output, StageBuilder
from streamsql.plan.table_functions import explode
from streamsql.schema import Column, Schema
from streamsql.types import NULL, SqlType, duckdb_name


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of the result; `physical` is its name in the batches of `PlannedSelect.node`."""

    name: str
    column: Column
    is_key: bool = False

    @property
    def physical(self) -> str:
        return physical(self.name)


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
    is_aggregate: bool = False
    null_key: bool = False
    is_rekeyed: bool = False

    @property
    def schema(self) -> Schema:
        by_name = {c.name: c.column for c in self.columns}
        return Schema(
            tuple(by_name[name] for name in self.key),
            tuple(c.column for c in self.columns if not c.is_key),
        )


@dataclass(slots=True)
class Flow:
    """The edge that the next step reads: a node of the graph and the steps of the stage on top of it.

    scope   the columns in reach
    kind    STREAM or TABLE
    key     the columns that make up the key, as the projection must name them
    equal_to_key  columns that are equal to a join's key: any of them may stand for it
    joined_on     expressions, columns among them, that are equal to it
    """

    graph: Graph
    node: int
    builder: StageBuilder
    scope: Scope
    kind: str
    key: tuple[KeyColumn, ...]
    sources: tuple[str, ...]
    window: WindowedKey | None = None
    titles: list[str] = field(default_factory=list)
    null_key: bool = False
    has_old_rows: bool = False
    equal_to_key: tuple[ast.Expression, ...] = ()
    joined_on: tuple[ast.Expression, ...] = ()
    is_join: bool = False
    retention_ms: int | None = None

    def type_of(self, name: str) -> SqlType:
        """The type of a column of the batch, by its physical name."""
        found = next((c for c in self.scope.columns if physical(c.name) == name), None)
        if found is None:
            raise AssertionError(name)
        return found.type

    def close_stage(self) -> int:
        """Put the steps so far into the graph as a node and give its number."""
        if not self.builder.is_empty:
            self.node = self.graph.add(Stateless(self.builder.build(), ", ".join(self.titles)), self.node)
            self.builder = StageBuilder(self.builder.schema)
            self.titles = []
        return self.node

    def take(self, node: int, schema: pa.Schema) -> None:
        """Go on from another node, whose output has this schema; it took the steps so far in."""
        self.node = node
        self.builder = StageBuilder(schema)
        self.titles = []


@dataclass(frozen=True, slots=True)
class SelectPlanner:
    """Plans SELECTs against a catalog.

    is_persistent  the result goes to a topic: key columns must be projected, pseudo columns aliased
    """

    env: Environment
    is_persistent: bool

    def plan(self, query: ast.Query) -> PlannedSelect:
        """Plan a query that keeps running.

        raises  PlanError with the span of what is wrong; NotSupportedError
        """
        if not isinstance(query, ast.Select):
            raise NotSupportedError("set operations in a query that keeps running", span=query.span)
        self._refuse_pull_only(query)
        flow = self._relation(query)
        return self._finish(query, flow)

    # --- FROM -----------------------------------------------------------------------------------

    def _refuse_pull_only(self, query: ast.Select) -> None:
        for clause, found in (
            ("ORDER BY", query.order_by),
            ("OFFSET", query.offset),
            ("DISTINCT", query.is_distinct),
            ("a WITH list", query.ctes),
        ):
            if found:
                raise NotSupportedError(
                    f"{clause} in a query that keeps running",
                    span=query.span,
                    hint="it works in pull queries",
                )
        if self.is_persistent and query.limit is not None:
            raise at(
                query.span,
                "LIMIT cannot be used in a persistent query",
                "PLAN-LIMIT",
                "a push query may have one",
            )

    def _relation(self, query: ast.Select) -> Flow:
        relation = query.relation
        if isinstance(relation, ast.Join):
            return plan_join(self, relation, query)
        if not isinstance(relation, ast.SourceRef):
            raise NotSupportedError("a subquery in FROM of a query that keeps running", span=relation.span)
        return self.source_flow(relation, query)

    def source_flow(self, relation: ast.SourceRef, query: ast.Select) -> Flow:
        """One source, with the columns of it that the query uses."""
        info = self._source(relation)
        qualifier = relation.alias or relation.name
        graph = Graph()
        source = build_source(info, self._needs(query, info), self.env.schemas)
        node = graph.add(source)
        key = tuple(KeyColumn(ast.ColumnRef(c.name), c.name) for c in info.schema.key)
        return Flow(
            graph,
            node,
            StageBuilder(source.output),
            source_scope(info, qualifier),
            info.kind,
            key,
            (info.name,),
            info.window,
        )

    def _source(self, relation: ast.SourceRef) -> SourceInfo:
        if relation.as_of is not None:
            raise NotSupportedError(
                "AS OF in a query that keeps running",
                span=relation.as_of.span,
                hint="it works in pull queries",
            )
        try:
            info = self.env.catalog.source(relation.name)
        except PlanError as error:
            error.span = relation.span
            raise
        if self.is_persistent and info.is_table and info.window:
            raise at(
                relation.span,
                f"{info.title} is windowed: a persistent query cannot read a windowed table",
                "PLAN-WINDOWED-TABLE",
                f"declare a stream with WINDOW_TYPE on its topic {info.topic}",
            )
        return info

    def _needs(self, query: ast.Select, info: SourceInfo) -> Needs:
        """The columns of the source that the query uses."""
        parts = (query.items, query.where, query.group_by, query.partition_by, query.having, query.relation)
        names = {ref.name for ref in columns_used(parts)}
        if any(isinstance(item, ast.SelectAll) for item in query.items):
            names |= {c.name for c in info.schema.columns}
        if self.is_persistent or info.is_table:
            names |= {c.name for c in info.schema.key}
        if isinstance(query.relation, ast.Join):
            # A column of a join may also be called ALIAS_COLUMN.
            names |= {c.name for c in info.schema.columns if any(n.endswith(f"_{c.name}") for n in names)}
        if query.partition_by is not None and any(isinstance(item, ast.SelectAll) for item in query.items):
            names |= {c.name for c in info.schema.key}
        passes_nulls = (
            self.is_persistent
            and query.where is None
            and query.group_by is None
            and not isinstance(query.relation, ast.Join)
            and not any(self.is_table_function(node) for node in walk(query.items))
        )
        throws = self.env.config.flag("ksql.timestamp.throw.on.invalid")
        return Needs(frozenset(names), passes_nulls, throws)

    # --- the steps ------------------------------------------------------------------------------

    def _finish(self, query: ast.Select, flow: Flow) -> PlannedSelect:
        has_bounds = (
            query.window is not None and not isinstance(query.relation, ast.Join) and flow.window is None
        )
        listed = bounds_in_select(flow.scope) if has_bounds else flow.scope
        items = expand_items(query, listed, flow.key, self.env, self.is_persistent, flow.window is not None)
        if query.where is not None:
            self._where(query.where, flow)
        is_grouped = query.group_by is not None or any(self.is_aggregate(n) for n in walk(query.items))
        if query.partition_by is not None:
            items = self._partition_by(query, items, flow)
        if is_grouped or query.having is not None:
            items = group_by(self, query, items, flow)
        elif query.window is not None:
            raise at(query.window.span, "WINDOW needs a GROUP BY", "PLAN-WINDOW")
        else:
            if query.emit == "FINAL":
                raise at(query.span, "EMIT FINAL needs a windowed aggregation", "PLAN-EMIT-FINAL")
            items = explode(items, flow, self.env)
        return self._project(query, items, flow, is_grouped)

    def _where(self, where: ast.Expression, flow: Flow) -> None:
        for node in walk(where):
            if self.is_aggregate(node):
                raise at(
                    node.span,
                    f"aggregate {to_sql(node)} cannot be used in WHERE",
                    "PLAN-AGGREGATE",
                    "use HAVING",
                )
            if self.is_table_function(node):
                raise at(
                    node.span, f"table function {to_sql(node)} cannot be used in WHERE", "PLAN-TABLE-FUNCTION"
                )
        if flow.kind == TABLE and not flow.has_old_rows:
            self.materialise(flow, emit_old=True)
        condition = compile_filter(where, flow.scope.in_clause("WHERE"), self.env)
        flow.builder.filter(condition)
        flow.titles.append(f"filter {to_sql(where)}")

    def is_aggregate(self, node: ast.Node) -> bool:
        return isinstance(node, ast.FunctionCall) and node.name in self.env.library.aggregates

    def is_table_function(self, node: ast.Node) -> bool:
        return isinstance(node, ast.FunctionCall) and node.name in self.env.library.tables

    def materialise(self, flow: Flow, *, emit_old: bool) -> None:
        """Keep the table that the flow is, so that its changes come with the rows they replace."""
        node = flow.close_stage()
        keys = tuple(_key_column(k) for k in flow.key)
        spec = Materialise(flow.builder.schema, keys, emit_old=emit_old)
        flow.take(flow.graph.add(spec, node), spec.output)
        flow.has_old_rows = emit_old

    def _partition_by(self, query: ast.Select, items: Sequence[Item], flow: Flow) -> list[Item]:
        assert query.partition_by is not None
        if flow.kind == TABLE:
            raise at(
                query.span,
                "PARTITION BY works on streams only",
                "PLAN-PARTITION-BY",
                "to re-key a table, aggregate it",
            )
        if flow.window is not None:
            raise at(query.span, "a windowed source cannot be re-keyed", "PLAN-PARTITION-BY")
        expressions = query.partition_by
        if not expressions:
            raise at(query.span, "PARTITION BY needs an expression", "PLAN-PARTITION-BY")
        if any(isinstance(e, ast.NullLiteral) for e in expressions):
            if len(expressions) > 1:
                raise at(query.span, "PARTITION BY NULL stands alone", "PLAN-PARTITION-BY")
            flow.key, flow.null_key = (), True
            return list(items)
        scope = flow.scope.in_clause("PARTITION BY")
        resolved = [qualify(e, scope) for e in expressions]
        if len(set(resolved)) < len(resolved):
            raise at(query.span, "PARTITION BY has the same expression twice", "PLAN-PARTITION-BY")
        for expression in resolved:
            compiled = compile_expression(expression, scope, self.env)
            if compiled.type == NULL:
                raise at(expression.span, "the type of this NULL is unknown", "PLAN-PARTITION-BY")
        flow.key = tuple(key_column(e, items, flow.scope) for e in resolved)
        return expand_items(query, flow.scope, flow.key, self.env, self.is_persistent, False)

    def _project(
        self, query: ast.Select, items: Sequence[Item], flow: Flow, is_grouped: bool
    ) -> PlannedSelect:
        scope = flow.scope.in_clause("SELECT")
        key_names = self._key_names(query, items, flow)
        if flow.equal_to_key:
            # The key column carries the join's key, which is there even where its own side is not.
            items = [
                replace(i, expression=flow.key[0].expression) if i.name in key_names else i for i in items
            ]
        compiled = [compile_expression(item.expression, scope, self.env) for item in items]
        if query.partition_by is not None and NULL_VALUE in flow.builder.schema.names:
            compiled = [self._without_value(value, flow) for value in compiled]
        for item, value in zip(items, compiled, strict=True):
            if value.type == NULL:
                raise at(
                    item.span,
                    f"the type of column {quote_name(item.name)} is unknown: it is NULL",
                    "PLAN-NULL-COLUMN",
                    "CAST(NULL AS VARCHAR), say",
                )
        names = [item.name for item in items]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            place = [item for item in items if item.name == twice][1].span
            raise at(
                place,
                f"two columns of the result are called {quote_name(twice)}",
                "PLAN-DUPLICATE-COLUMN",
                "give one an alias: .. AS name",
            )
        columns = tuple(
            OutputColumn(item.name, Column(item.name, value.type), item.name in key_names)
            for item, value in zip(items, compiled, strict=True)
        )
        if self.is_persistent and all(c.is_key for c in columns):
            raise at(
                query.span,
                "the result has no value columns: only the key is selected",
                "PLAN-NO-VALUES",
                "select another column too",
            )
        outputs = [Output(c.physical, value) for c, value in zip(columns, compiled, strict=True)]
        flow.builder.project(outputs)
        flow.titles.append(f"select {', '.join(names)}")
        node = flow.close_stage()
        return PlannedSelect(
            flow.kind,
            flow.graph,
            node,
            columns,
            key_names,
            flow.sources,
            flow.window,
            flow.retention_ms,
            is_grouped,
            flow.null_key,
            query.partition_by is not None,
        )

    def _without_value(self, value: Compiled, flow: Flow) -> Compiled:
        """NULL for a record without a value, unless only key columns are used."""
        used = {ref.name for ref in columns_used(value.node)}
        if used <= {c.name for c in flow.scope.columns if c.is_key}:
            return value
        text = f"CASE WHEN {duckdb_name(NULL_VALUE)} THEN NULL ELSE {{}} END"
        return replace(value, sql=text.format(value.sql), safe=text.format(value.safe))

    def _key_names(self, query: ast.Select, items: Sequence[Item], flow: Flow) -> tuple[str, ...]:
        """The names that the result's key columns have; every one must be selected once if it is kept."""
        found: list[str] = []
        for key in flow.key:
            matching = [item for item in items if item.expression == key.expression]
            if not matching and flow.equal_to_key:
                # Of the columns equal to a join's key the first that is selected stands for it.
                viable = [e for e in flow.equal_to_key if any(item.expression == e for item in items)]
                matching = [item for item in items if viable and item.expression == viable[0]]
            if not self.is_persistent:
                found += [item.name for item in matching[:1]]
                continue
            if not matching:
                raise at(
                    query.span,
                    f"the key column {to_sql(key.expression)} is missing from the SELECT list",
                    "PLAN-KEY-MISSING",
                    f"SELECT {to_sql(key.expression)}, ..",
                )
            if len(matching) > 1:
                raise at(
                    matching[1].span,
                    f"the key column {to_sql(key.expression)} is selected twice",
                    "PLAN-KEY-TWICE",
                    f"AS_VALUE({to_sql(key.expression)}) copies it into the value",
                )
            found.append(matching[0].name)
        return tuple(found)


def _key_column(key: KeyColumn) -> str:
    """What a key column is called in batches."""
    column = key.expression
    return physical(column.name if isinstance(column, ast.ColumnRef) else key.name)

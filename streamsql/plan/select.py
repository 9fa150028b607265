"""A SELECT that keeps running, from its syntax tree to a graph without a sink.

The order of processing: source, WHERE, PARTITION BY, table functions, GROUP BY, HAVING, projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamsql.catalog import TABLE, SourceInfo
from streamsql.engine.batch import NULL_VALUE
from streamsql.engine.graph import Graph
from streamsql.errors import PlanError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.distinct import distinct, refuse_key_of_distinct
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression, compile_filter
from streamsql.plan.flow import Flow, OutputColumn, PlannedSelect, Selected
from streamsql.plan.group_by import bounds_in_select, group_by
from streamsql.plan.items import Item, KeyColumn, as_named, expand_items, key_column, qualify
from streamsql.plan.join_conditions import conjuncts
from streamsql.plan.join_rest import conjunction
from streamsql.plan.joins import plan_join
from streamsql.plan.push_down import push_down
from streamsql.plan.rewrite import columns_used, walk
from streamsql.plan.scope import Scope, at, result_place
from streamsql.plan.sources import Needs, build_source, source_scope
from streamsql.plan.stages import Output, StageBuilder
from streamsql.plan.stand_ins import as_written
from streamsql.plan.subqueries import (
    CommonTable,
    as_of_has_no_meaning,
    common_table_flow,
    common_tables,
    subquery_flow,
)
from streamsql.plan.table_changes import is_volatile, reads_time, with_old_rows
from streamsql.plan.table_functions import explode
from streamsql.plan.unions import union
from streamsql.schema import Column
from streamsql.types import NULL, duckdb_name


@dataclass(frozen=True, slots=True)
class SelectPlanner:
    """Plans SELECTs against a catalog, all of a statement into one graph.

    is_persistent  the result goes to a topic: key columns must be projected, pseudo columns aliased
    is_nested      the result is read by an outer query
    common         the WITH queries in reach, by name
    """

    env: Environment
    is_persistent: bool
    is_nested: bool = False
    common: Mapping[str, CommonTable] = field(default_factory=dict)
    graph: Graph = field(default_factory=Graph)

    def plan(self, query: ast.Query) -> PlannedSelect:
        """Plan a query that keeps running.

        raises  PlanError with the span of what is wrong; NotSupportedError
        """
        return self.select(query).closed()

    def nested(self) -> SelectPlanner:
        """The planner for a subquery."""
        return replace(self, is_persistent=False, is_nested=True)

    def select(self, query: ast.Query) -> Selected:
        """A query with its last stage still open."""
        self._refuse_what_needs_an_end(query)
        planner = replace(self, common=common_tables(self, query.ctes))
        if isinstance(query, ast.SetOperation):
            united = union(planner, query)
            return united if query.op == "UNION ALL" else distinct(planner, query, united)
        assert isinstance(query, ast.Select)
        if query.is_distinct:
            every = replace(query, is_distinct=False)
            inner = planner.nested()
            rows = inner.finish(every, inner.relation_flow(every.relation, every))
            return distinct(planner, query, rows)
        return planner.finish(query, planner.relation_flow(query.relation, query))

    # --- FROM -----------------------------------------------------------------------------------

    def _refuse_what_needs_an_end(self, query: ast.Query) -> None:
        if query.order_by:
            raise at(
                query.order_by[0].span,
                "ORDER BY has no meaning in a query that keeps running: a later row may belong before all",
                "PLAN-ORDER-BY",
                "ORDER BY in a pull query over the result; TOPK(column, n) keeps the largest of a group",
            )
        if query.offset is not None:
            raise at(
                place_of(query.offset),
                "OFFSET has no meaning in a query that keeps running: its rows are in no order",
                "PLAN-OFFSET",
                "OFFSET in a pull query over the result",
            )
        if self.is_nested and query.limit is not None:
            raise at(
                place_of(query.limit),
                "LIMIT has no meaning in a subquery of a query that keeps running: "
                "which rows came first is chance, and after them nothing would ever change",
                "PLAN-LIMIT",
                "WHERE chooses rows; a push query may have LIMIT at its end",
            )
        if self.is_persistent and query.limit is not None:
            raise at(
                place_of(query.limit),
                "LIMIT cannot be used in a persistent query",
                "PLAN-LIMIT",
                "a push query may have one",
            )

    def relation_flow(self, relation: ast.Relation, query: ast.Select) -> Flow:
        """What stands in FROM: a source, a WITH query, a subquery, or a join of them."""
        match relation:
            case ast.Join():
                return plan_join(self, relation, query)
            case ast.SubqueryRef():
                return subquery_flow(self, relation)
            case ast.SourceRef(name=name) if name in self.common:
                return common_table_flow(self.common[name], relation)
        assert isinstance(relation, ast.SourceRef)
        return self._source_flow(relation, query)

    def _source_flow(self, relation: ast.SourceRef, query: ast.Select) -> Flow:
        """One source, with the columns of it that the query uses."""
        info = self._source(relation)
        qualifier = relation.alias or relation.name
        source = build_source(info, self._needs(query, info), self.env.schemas)
        return Flow(
            self.graph,
            self.graph.add(source),
            StageBuilder(source.output),
            source_scope(info, qualifier),
            info.kind,
            tuple(KeyColumn(ast.ColumnRef(c.name), c.name) for c in info.schema.key),
            (info.name,),
            frozenset(c.name for c in info.schema.columns),
            info.window,
        )

    def _source(self, relation: ast.SourceRef) -> SourceInfo:
        if relation.as_of is not None:
            raise as_of_has_no_meaning(relation.as_of)
        try:
            info = self.env.catalog.source(relation.name)
        except PlanError as error:
            error.span = relation.span
            raise
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

    def finish(self, query: ast.Select, flow: Flow) -> Selected:
        """The steps after FROM."""
        with as_written(flow.stand_ins):
            return self._finish(query, flow)

    def _finish(self, query: ast.Select, flow: Flow) -> Selected:
        has_bounds = (
            query.window is not None and not isinstance(query.relation, ast.Join) and flow.window is None
        )
        listed = bounds_in_select(flow.scope) if has_bounds else flow.scope
        # Bounds of a subquery's windows go with its rows: they are columns only where they are named.
        with_bounds = flow.window is not None and not self.is_nested
        items = expand_items(query, listed, flow.key, self.env, self.is_persistent, with_bounds)
        if query.where is not None:
            self._where(query, query.where, flow)
        is_grouped = query.group_by is not None or any(self.is_aggregate(n) for n in walk(query.items))
        if query.partition_by is not None:
            items = self._partition_by(query, items, flow)
        if is_grouped or query.having is not None:
            items = group_by(self, query, items, flow)
        elif query.window is not None:
            raise at(
                query.window.span,
                "WINDOW needs a GROUP BY",
                "PLAN-WINDOW",
                "SELECT column, COUNT(*) .. GROUP BY column",
            )
        else:
            if query.emit == "FINAL":
                raise at(
                    place_of(query.emit),
                    "EMIT FINAL needs a windowed aggregation",
                    "PLAN-EMIT-FINAL",
                    "WINDOW TUMBLING (SIZE 1 MINUTE) .. GROUP BY ..; or EMIT CHANGES",
                )
            items = explode(items, flow, self.env)
        return self._project(query, items, flow)

    def _where(self, query: ast.Select, where: ast.Expression, flow: Flow) -> None:
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
        if isinstance(query.relation, ast.Join):
            compile_filter(where, flow.scope.in_clause("WHERE"), self.env)  # what is wrong with it goes first
            parts = push_down(self, flow, conjuncts(where), "WHERE")
            if not parts:
                return
            where = conjunction(parts)
        with_old_rows(flow, query)
        condition = compile_filter(where, flow.scope.in_clause("WHERE"), self.env)
        flow.builder.filter(condition)
        flow.titles.append(f"filter {to_sql(where)}")

    def is_aggregate(self, node: ast.Node) -> bool:
        return isinstance(node, ast.FunctionCall) and node.name in self.env.library.aggregates

    def is_table_function(self, node: ast.Node) -> bool:
        return isinstance(node, ast.FunctionCall) and node.name in self.env.library.tables

    def _partition_by(self, query: ast.Select, items: Sequence[Item], flow: Flow) -> list[Item]:
        assert query.partition_by is not None
        if flow.kind == TABLE:
            raise at(
                place_of(*query.partition_by),
                "PARTITION BY works on streams only",
                "PLAN-PARTITION-BY",
                "to re-key a table, aggregate it",
            )
        if flow.window is not None:
            raise at(
                place_of(*query.partition_by), "a windowed source cannot be re-keyed", "PLAN-PARTITION-BY"
            )
        expressions = query.partition_by
        if not expressions:
            hint = "PARTITION BY NULL gives records without a key"
            raise at(
                place_of(query.partition_by), "PARTITION BY needs an expression", "PLAN-PARTITION-BY", hint
            )
        if any(isinstance(e, ast.NullLiteral) for e in expressions):
            if len(expressions) > 1:
                raise at(place_of(*expressions), "PARTITION BY NULL stands alone", "PLAN-PARTITION-BY")
            flow.key, flow.null_key, flow.is_rekeyed, flow.is_spread = (), True, True, True
            return list(items)
        scope = flow.scope.in_clause("PARTITION BY")
        try:
            resolved = [qualify(e, scope) for e in expressions]
        except PlanError as error:
            _explain_alias(error, query)
            raise
        if len(set(resolved)) < len(resolved):
            raise at(
                place_of(*expressions), "PARTITION BY has the same expression twice", "PLAN-PARTITION-BY"
            )
        for expression in resolved:
            compiled = compile_expression(expression, scope, self.env)
            if compiled.type == NULL:
                raise at(expression.span, "the type of this NULL is unknown", "PLAN-PARTITION-BY")
        flow.key = tuple(key_column(e, items, flow.scope) for e in resolved)
        flow.null_key, flow.is_rekeyed, flow.is_spread = False, True, True
        return expand_items(query, flow.scope, flow.key, self.env, self.is_persistent, False)

    def _project(self, query: ast.Select, items: Sequence[Item], flow: Flow) -> Selected:
        scope = flow.scope.in_clause("SELECT")
        shown = len(items)
        items, key_names = self._with_key(query, items, flow)
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
        titles = dict(zip(key_names, (key.name for key in flow.key), strict=False))
        columns = tuple(
            OutputColumn(
                item.name,
                Column(item.name, value.type),
                item.name in key_names,
                place >= shown,
                titles.get(item.name, ""),
                item.span,
            )
            for place, (item, value) in enumerate(zip(items, compiled, strict=True))
        )
        if self.is_persistent and all(c.is_key for c in columns):
            raise at(
                result_place(query),
                "the result has no value columns: only the key is selected",
                "PLAN-NO-VALUES",
                "select another column too",
            )
        expressions = tuple(item.expression for item in items)
        is_repeatable = not (reads_time(flow, expressions) or is_volatile(expressions, self.env))
        flow.builder.project([Output(c.physical, value) for c, value in zip(columns, compiled, strict=True)])
        flow.titles.append(f"select {', '.join(names[:shown])}")
        return Selected(flow, columns, key_names, is_repeatable)

    def _without_value(self, value: Compiled, flow: Flow) -> Compiled:
        """NULL for a record without a value, unless only key columns are used."""
        used = {ref.name for ref in columns_used(value.node)}
        if used <= {c.name for c in flow.scope.columns if c.is_key}:
            return value
        text = f"CASE WHEN {duckdb_name(NULL_VALUE)} THEN NULL ELSE {{}} END"
        return replace(value, sql=text.format(value.sql), safe=text.format(value.safe))

    def _with_key(
        self, query: ast.Select, items: Sequence[Item], flow: Flow
    ) -> tuple[list[Item], tuple[str, ...]]:
        """The items, and the names that the key columns have among them.

        A persistent query must select every key column, once. Of a subquery that is a table those that it
        leaves out are added: its rows are told apart by them.
        """
        found, names = list(items), []
        for number, key in enumerate(flow.key):
            matching = [item for item in items if item.expression == key.expression]
            if not matching and key.viable:
                # Of the columns equal to a join's key the first that is selected stands for it.
                viable = [e for e in key.viable if any(item.expression == e for item in items)]
                matching = [item for item in items if viable and item.expression == viable[0]]
            if self.is_persistent:
                _check_key(query, key, matching, flow.scope)
            elif not matching and self.is_nested and flow.kind == TABLE:
                matching = [Item(f"KSQL_KEY_{number}", key.expression, query.span)]
                found += matching
            if matching:
                names.append(matching[0].name)
                # The key column carries the join's key, which is there even where its own side is not.
                place = next(n for n, item in enumerate(found) if item.name == matching[0].name)
                found[place] = replace(found[place], expression=key.expression)
        return found, tuple(names)


def _check_key(query: ast.Select, key: KeyColumn, matching: Sequence[Item], scope: Scope) -> None:
    name = _shown(key, scope)
    refuse_key_of_distinct(key, query)
    if key.is_hidden:
        raise at(
            query.relation.span,
            f"the key column {quote_name(key.name)} is missing from the SELECT list of the subquery",
            "PLAN-KEY-MISSING",
            f"SELECT {quote_name(key.name)}, .. there, and here too",
        )
    if not matching:
        why = "" if key.viable or not key.equal else ", added by the join as neither side always has one,"
        raise at(
            result_place(query),
            f"the key column {name}{why} is missing from the SELECT list",
            "PLAN-KEY-MISSING",
            f"SELECT {name}, ..",
        )
    if len(matching) > 1:
        raise at(
            matching[1].span,
            f"the key column {name} is selected twice",
            "PLAN-KEY-TWICE",
            f"AS_VALUE({name}) copies it into the value",
        )


def _shown(key: KeyColumn, scope: Scope) -> str:
    """A key column as one would write it: a join's own key is that of one of its sides, or ROWKEY."""
    if key.viable:
        return to_sql(as_named(key.viable[0], scope))
    return quote_name(key.name) if key.equal else to_sql(as_named(key.expression, scope))


def _explain_alias(error: PlanError, query: ast.Select) -> None:
    """PARTITION BY comes before SELECT: an alias of it is no column yet."""
    aliases = {i.alias: i.expression for i in query.items if isinstance(i, ast.SelectExpression) and i.alias}
    for expression in query.partition_by or ():
        if isinstance(expression, ast.ColumnRef) and expression.name in aliases:
            meant = to_sql(aliases[expression.name])
            error.hint = f"PARTITION BY reads the source's columns, not aliases: PARTITION BY {meant}"

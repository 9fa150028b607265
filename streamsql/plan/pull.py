"""Pull queries: a SELECT over snapshots, from its syntax tree to one DuckDB statement.

Every stream or table in FROM becomes a feed `{s0}`, `{s1}`, .. that the session fills with a snapshot: a
table's rows, or a stream's history. Expressions keep KSQL's rules; joins, grouping, ordering and the
rest are DuckDB's. Aggregates are computed as everywhere: partials per group, then their results.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from streamsql.catalog import SourceInfo
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import NotSupportedError, PlanError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.plan.aggregates import find_aggregates, resolve_aggregate
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import Compiled, compile_expression, compile_filter
from streamsql.plan.items import Item, KeyColumn, expand_items, qualify
from streamsql.plan.pull_gates import check_gates
from streamsql.plan.rewrite import columns_used, rewrite
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql
from streamsql.plan.sources import source_scope
from streamsql.schema import WINDOW_BOUNDS, Column
from streamsql.types import NULL, duckdb_name


@dataclass(frozen=True, slots=True)
class PullSource:
    """A snapshot the query reads: feed name, what it is, and the columns it uses (None: all)."""

    feed: str
    info: SourceInfo
    columns: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class PullPlan:
    """One statement over feeds.

    sql, safe_sql  plain, and with TRY around what can fail; result columns have physical names
    keys           names of result columns that are key columns of the one table read, else ()
    """

    sql: str
    safe_sql: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    sources: tuple[PullSource, ...]
    functions: tuple[ArrowFunction, ...]


def plan_pull(query: ast.Query, env: Environment) -> PullPlan:
    """raises PlanError with the span of what is wrong, NotSupportedError"""
    check_gates(query, env)
    planner = _Planner(env)
    found = planner.query(query, {})
    keys: tuple[str, ...] = ()
    if isinstance(query, ast.Select) and isinstance(query.relation, ast.SourceRef):
        info = env.catalog.sources.get(query.relation.name)
        if info is not None and info.is_table:
            own = {c.name for c in info.schema.key} | set(WINDOW_BOUNDS if info.window else ())
            keys = tuple(c.name for c in found.columns if c.name in own)
    return PullPlan(
        found.sql,
        found.safe,
        tuple(Column(c.name, c.type) for c in found.columns),
        keys,
        tuple(planner.sources),
        tuple(planner.functions),
    )


@dataclass(frozen=True, slots=True)
class _Relation:
    """Something in FROM, printed: SQL with an alias, and the columns it brings into scope."""

    sql: str
    safe: str
    columns: tuple[ScopeColumn, ...]
    key: tuple[KeyColumn, ...] = ()
    is_windowed: bool = False
    is_table: bool = False


@dataclass(frozen=True, slots=True)
class _Result:
    sql: str
    safe: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class _Grouped:
    """FROM a subquery of groups; what groups and aggregates are called there."""

    sql: str
    safe: str
    scope: Scope
    replaced: dict[ast.Expression, str]

    def swap(self, expression: ast.Expression) -> ast.Expression:
        """The expression over the groups.

        raises  PlanError PLAN-NOT-GROUPED for a column that is neither grouped nor aggregated
        """
        names = self.replaced
        result: ast.Expression = rewrite(
            expression, lambda node: ast.ColumnRef(names[node], span=node.span) if node in names else None
        )
        for ref in columns_used(result):
            if ref.name not in names.values():
                raise at(
                    expression.span,
                    f"column {quote_name(ref.name)} is neither grouped nor aggregated",
                    "PLAN-NOT-GROUPED",
                    f"GROUP BY {quote_name(ref.name)}, or use an aggregate",
                )
        return result


@dataclass(slots=True)
class _Planner:
    env: Environment
    sources: list[PullSource] = field(default_factory=list)
    functions: dict[ArrowFunction, None] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def query(self, query: ast.Query, ctes: dict[str, _Result]) -> _Result:
        for cte in query.ctes:
            ctes = {**ctes, cte.name: self.query(cte.query, ctes)}
        if isinstance(query, ast.SetOperation):
            return self._set_operation(query, ctes)
        assert isinstance(query, ast.Select)
        return self._select(query, ctes)

    # --- SELECT ---------------------------------------------------------------------------------

    def _select(self, query: ast.Select, ctes: dict[str, _Result]) -> _Result:
        for clause, found in (("WINDOW", query.window), ("PARTITION BY", query.partition_by)):
            if found is not None:
                raise at(
                    query.span, f"{clause} needs a query that keeps running", "PLAN-PULL", "add EMIT CHANGES"
                )
        relation = self._relation(query.relation, query, ctes)
        scope = Scope(relation.columns)
        items = expand_items(query, scope, relation.key, self.env, False, relation.is_windowed)
        plain, safe = relation.sql, relation.safe
        if query.where is not None:
            self._refuse_aggregates(query.where)
            where = self._noted(
                compile_filter(qualify(query.where, scope), scope.in_clause("WHERE"), self.env)
            )
            plain += f" WHERE {where.sql}"
            safe += f" WHERE {where.safe}"
        order = [self._order_target(item, items, scope) for item in query.order_by]
        having = qualify(query.having, scope) if query.having is not None else None
        parts = ([item.expression for item in items], having, order)
        calls = find_aggregates(tuple(itertools.chain(parts[0], [having] if having else [], order)), self.env)
        if query.group_by is not None or calls:
            grouped = self._grouped(query, plain, safe, scope, calls)
            plain, safe, scope = grouped.sql, grouped.safe, grouped.scope
            items = [replace(item, expression=grouped.swap(item.expression)) for item in items]
            order = [grouped.swap(target) for target in order]
            having = grouped.swap(having) if having is not None else None
        if having is not None:
            condition = self._noted(compile_filter(having, scope.in_clause("HAVING"), self.env))
            plain += f" WHERE {condition.sql}"
            safe += f" WHERE {condition.safe}"
        if query.limit is not None and not order and query.group_by is None and not calls:
            order = [] if query.is_distinct else _key_order(relation)
        return self._projected(query, items, order, plain, safe, scope)

    def _refuse_aggregates(self, where: ast.Expression) -> None:
        calls = find_aggregates((where,), self.env)
        if calls:
            raise at(calls[0].span, "aggregates cannot be used in WHERE", "PLAN-AGGREGATE", "use HAVING")

    def _projected(
        self,
        query: ast.Select,
        items: Sequence[Item],
        order: Sequence[ast.Expression],
        plain: str,
        safe: str,
        scope: Scope,
    ) -> _Result:
        compiled = [
            self._noted(compile_expression(i.expression, scope.in_clause("SELECT"), self.env)) for i in items
        ]
        columns: list[Column] = []
        for item, value in zip(items, compiled, strict=True):
            if value.type == NULL:
                raise at(
                    item.span,
                    f"the type of column {quote_name(item.name)} is unknown: it is NULL",
                    "PLAN-NULL-COLUMN",
                    "CAST(NULL AS VARCHAR), say",
                )
            if any(item.name == c.name for c in columns):
                raise at(
                    item.span,
                    f"two columns of the result are called {quote_name(item.name)}",
                    "PLAN-DUPLICATE-COLUMN",
                    "give one an alias: .. AS name",
                )
            columns.append(Column(item.name, value.type))
        names = [column_sql(c.name) for c in columns]
        distinct = "DISTINCT " if query.is_distinct else ""

        def text(source: str, values: Sequence[str], ordering: Sequence[str]) -> str:
            listed = ", ".join(f"{v} AS {n}" for v, n in zip(values, names, strict=True))
            sql = f"SELECT {distinct}{listed} {source}"
            if ordering:
                directions = [_direction(item) for item in query.order_by] or [""] * len(ordering)
                sql += " ORDER BY " + ", ".join(f"{o}{d}" for o, d in zip(ordering, directions, strict=True))
            return sql + _limits(query)

        ordering = [self._noted(compile_expression(o, scope.in_clause("ORDER BY"), self.env)) for o in order]
        return _Result(
            text(plain, [c.sql for c in compiled], [o.sql for o in ordering]),
            text(safe, [c.safe for c in compiled], [o.safe for o in ordering]),
            tuple(columns),
        )

    def _order_target(self, item: ast.OrderItem, items: Sequence[Item], scope: Scope) -> ast.Expression:
        """ORDER BY takes a result column's name, its number, or any expression over the sources."""
        match item.expression:
            case ast.IntegerLiteral(value=number):
                if not 1 <= number <= len(items):
                    raise at(
                        item.span, f"ORDER BY {number}: the result has {len(items)} columns", "PLAN-ORDER-BY"
                    )
                return items[number - 1].expression
            case ast.ColumnRef(name=name, qualifier=None):
                for result in items:
                    if result.name == name:
                        return result.expression
        return qualify(item.expression, scope.in_clause("ORDER BY"))

    def _grouped(
        self, query: ast.Select, plain: str, safe: str, scope: Scope, calls: Sequence[ast.FunctionCall]
    ) -> _Grouped:
        """Aggregate as a query that keeps running does: a partial is itself a state, from which the result
        is read. Groups and partials are a subquery."""
        clause = scope.in_clause("GROUP BY")
        group = [qualify(e, clause) for e in query.group_by or ()]
        keys = [self._noted(compile_expression(e, clause, self.env)) for e in group]
        names = [f"KSQL_GROUP_{n}" for n in range(len(group))]
        columns = [
            ScopeColumn(name, duckdb_name(name), key.type) for name, key in zip(names, keys, strict=True)
        ]
        replaced: dict[ast.Expression, str] = dict(zip(group, names, strict=True))
        partials = [f"{k.sql} AS {duckdb_name(n)}" for k, n in zip(keys, names, strict=True)]
        safe_partials = [f"{k.safe} AS {duckdb_name(n)}" for k, n in zip(keys, names, strict=True)]
        results = [duckdb_name(n) for n in names]
        for number, node in enumerate(calls):
            found = resolve_aggregate(node, scope.in_clause(f"{node.name}(..)"), self.env)
            for argument in found.arguments:
                self._noted(argument)
            name = f"KSQL_AGG_{number}"
            call = found.call(name, f"a{number}_", [a.sql for a in found.arguments], on_table=False)
            safe_call = found.call(name, f"a{number}_", [a.safe for a in found.arguments], on_table=False)
            self.functions.update(dict.fromkeys(call.functions))
            for place, state in enumerate(call.state):
                column = duckdb_name(state.name)
                partials.append(f"{call.partial[place]} AS {column}")
                safe_partials.append(f"{safe_call.partial[place]} AS {column}")
            results.append(f"{call.result} AS {duckdb_name(name)}")
            columns.append(ScopeColumn(name, duckdb_name(name), found.type))
            replaced[node] = name
        places = ", ".join(str(n + 1) for n in range(len(group)))
        tail = f" GROUP BY {places}" if group else ""

        def wrap(source: str, parts: Sequence[str]) -> str:
            groups = f"(SELECT {', '.join(parts)} {source}{tail}) AS s"
            return f"FROM (SELECT {', '.join(results)} FROM {groups}) AS g"

        return _Grouped(wrap(plain, partials), wrap(safe, safe_partials), Scope(tuple(columns)), replaced)

    def _set_operation(self, query: ast.SetOperation, ctes: dict[str, _Result]) -> _Result:
        left, right = self.query(query.left, ctes), self.query(query.right, ctes)
        if [c.type for c in left.columns] != [c.type for c in right.columns]:
            raise at(
                query.span,
                f"the sides of {query.op} have different columns: "
                f"{', '.join(str(c.type) for c in left.columns)} and "
                f"{', '.join(str(c.type) for c in right.columns)}",
                "PLAN-SET-OPERATION",
            )
        order = []
        for item in query.order_by:
            match item.expression:
                case ast.ColumnRef(name=name, qualifier=None) if any(c.name == name for c in left.columns):
                    order.append(column_sql(name) + _direction(item))
                case ast.IntegerLiteral(value=number) if 1 <= number <= len(left.columns):
                    order.append(str(number) + _direction(item))
                case _:
                    raise at(item.span, f"ORDER BY of {query.op} takes the result's columns", "PLAN-ORDER-BY")
        tail = (" ORDER BY " + ", ".join(order) if order else "") + _limits(query)
        return _Result(
            f"({left.sql}) {query.op} ({right.sql}){tail}",
            f"({left.safe}) {query.op} ({right.safe}){tail}",
            left.columns,
        )

    # --- FROM -----------------------------------------------------------------------------------

    def _relation(self, relation: ast.Relation, query: ast.Select, ctes: dict[str, _Result]) -> _Relation:
        found = self._from(relation, query, ctes)
        return replace(found, sql="FROM " + found.sql, safe="FROM " + found.safe)

    def _from(self, relation: ast.Relation, query: ast.Select, ctes: dict[str, _Result]) -> _Relation:
        match relation:
            case ast.SourceRef(name=name, alias=alias) if name in ctes:
                return self._derived(ctes[name], alias or name)
            case ast.SourceRef():
                return self._source(relation, query)
            case ast.SubqueryRef(query=inner, alias=alias):
                return self._derived(self.query(inner, ctes), alias)
            case ast.Join():
                return self._join(relation, query, ctes)
        raise AssertionError(relation)

    def _source(self, relation: ast.SourceRef, query: ast.Select) -> _Relation:
        if relation.as_of is not None:
            raise NotSupportedError("AS OF", span=relation.as_of.span)
        try:
            info = self.env.catalog.source(relation.name)
        except PlanError as error:
            error.span = relation.span
            raise
        if not info.is_table and not self.env.config.flag("ksql.query.pull.stream.enabled"):
            raise at(
                relation.span,
                "pull queries on streams are switched off (ksql.query.pull.stream.enabled)",
                "PLAN-GATE",
            )
        number = next(self._numbers)
        feed, alias = f"s{number}", f"t{number}"
        qualifier = relation.alias or relation.name
        columns = source_scope(info, qualifier, alias).columns
        if info.is_table:
            # A table's row is the last of many records: it has no place in the topic.
            columns = tuple(c for c in columns if c.name not in ("ROWPARTITION", "ROWOFFSET"))
        self.sources.append(PullSource(feed, info, _used(query, info)))
        key = tuple(KeyColumn(ast.ColumnRef(c.name), c.name) for c in info.schema.key)
        text = f"{{{feed}}} AS {alias}"
        return _Relation(text, text, columns, key, info.window is not None, info.is_table)

    def _derived(self, result: _Result, alias: str | None) -> _Relation:
        own = f"t{next(self._numbers)}"
        columns = tuple(
            ScopeColumn(c.name, f"{own}.{column_sql(c.name)}", c.type, alias or own, c.name)
            for c in result.columns
        )
        return _Relation(f"({result.sql}) AS {own}", f"({result.safe}) AS {own}", columns)

    def _join(self, join: ast.Join, query: ast.Select, ctes: dict[str, _Result]) -> _Relation:
        if join.within is not None:
            raise at(
                join.within.span,
                "WITHIN needs a query that keeps running",
                "PLAN-PULL",
                "compare ROWTIMEs in ON",
            )
        left, right = self._from(join.left, query, ctes), self._from(join.right, query, ctes)
        qualifiers = {c.qualifier for c in left.columns}
        twice = next((c.qualifier for c in right.columns if c.qualifier in qualifiers), None)
        if twice is not None:
            raise at(
                join.right.span, f"{quote_name(twice)} stands in FROM twice", "PLAN-JOIN", "give one an alias"
            )
        columns = _uniquely_named(left.columns + right.columns)
        scope = Scope(columns, "JOIN ON")
        on = self._noted(compile_filter(qualify(join.condition, scope), scope, self.env))
        text = f"{{}} {join.kind} JOIN {{}} ON {{}}"
        return _Relation(
            text.format(left.sql, right.sql, on.sql), text.format(left.safe, right.safe, on.safe), columns
        )

    def _noted(self, compiled: Compiled) -> Compiled:
        self.functions.update(dict.fromkeys(compiled.functions))
        return compiled


def _uniquely_named(columns: Sequence[ScopeColumn]) -> tuple[ScopeColumn, ...]:
    """In a join every column is called ALIAS_COLUMN."""
    return tuple(
        c if "_" in c.name and c.name != c.short else replace(c, name=f"{c.qualifier}_{c.short}")
        for c in columns
    )


def _used(query: ast.Select, info: SourceInfo) -> frozenset[str] | None:
    """The columns of a source that a SELECT uses; None for all."""
    if any(isinstance(item, ast.SelectAll) for item in query.items):
        return None
    return frozenset(ref.name for ref in columns_used(query)) | {
        c.name for c in info.schema.key if info.is_table
    }


def _key_order(relation: _Relation) -> list[ast.Expression]:
    """The order in which LIMIT takes the rows of a table, so that one query gives one answer."""
    if not relation.is_table:
        return []
    bounds = [ast.ColumnRef(name) for name in WINDOW_BOUNDS] if relation.is_windowed else []
    return [*(key.expression for key in relation.key), *bounds]


def _direction(item: ast.OrderItem) -> str:
    nulls = item.nulls or ("FIRST" if item.descending else "LAST")
    return f"{' DESC' if item.descending else ''} NULLS {nulls}"


def _limits(query: ast.Query) -> str:
    limit = f" LIMIT {query.limit}" if query.limit is not None else ""
    return limit + (f" OFFSET {query.offset}" if query.offset is not None else "")

"""Pull queries: a SELECT over snapshots, from its syntax tree to one DuckDB statement.

Every stream or table in FROM becomes a feed `{s0}`, `{s1}`, .. that the session fills with a snapshot: a
table's rows, or a stream's history. Expressions keep KSQL's rules; joins, grouping, ordering and the
rest are DuckDB's. The parts: FROM (pull_from), groups (pull_groups), window functions (pull_windows),
subqueries in expressions (pull_nested), UNION and its kin (pull_sets).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from streamsql.engine.kernel import ArrowFunction
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.aggregates import find_aggregates
from streamsql.plan.compiled import Compiled
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression, compile_filter
from streamsql.plan.items import Item, expand_items, qualify
from streamsql.plan.pull_from import PullSource, Relation, relation
from streamsql.plan.pull_gates import check_gates
from streamsql.plan.pull_groups import grouped
from streamsql.plan.pull_layers import exploded
from streamsql.plan.pull_lookup import Lookup, plan_lookup
from streamsql.plan.pull_nested import compile_nested
from streamsql.plan.pull_sets import set_operation
from streamsql.plan.pull_sql import Sql, joined, limits, sql
from streamsql.plan.pull_windows import direction, needs_numbers, numbered
from streamsql.plan.rewrite import rewrite
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql
from streamsql.plan.stand_ins import as_written
from streamsql.schema import WINDOW_BOUNDS, Column
from streamsql.types import NULL


@dataclass(frozen=True, slots=True)
class PullPlan:
    """One statement over feeds.

    sql, safe_sql  plain, and with TRY around what can fail; result columns have physical names
    keys           names of result columns that are key columns of the one table read, else ()
    lookup         the keys of the one table read that can be in the answer; None: any may be
    """

    sql: str
    safe_sql: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    sources: tuple[PullSource, ...]
    functions: tuple[ArrowFunction, ...]
    lookup: Lookup | None = None


def plan_pull(query: ast.Query, env: Environment) -> PullPlan:
    """raises PlanError with the span of what is wrong, NotSupportedError"""
    check_gates(query, env)
    planner = Planner(env)
    found = planner.query(query, {}, None)
    keys: tuple[str, ...] = ()
    lookup = None
    if isinstance(query, ast.Select) and isinstance(query.relation, ast.SourceRef):
        info = env.catalog.sources.get(query.relation.name)
        if info is not None and info.is_table:
            if len(planner.sources) == 1 and query.relation.as_of is None and not query.ctes:
                lookup = plan_lookup(query, info, planner.items, env)
            own = {c.name for c in info.schema.key} | set(WINDOW_BOUNDS if info.window else ())
            keys = tuple(c.name for c in found.columns if c.name in own)
    return PullPlan(
        found.text.plain,
        found.text.safe,
        tuple(Column(c.name, c.type) for c in found.columns),
        keys,
        tuple(planner.sources),
        tuple(planner.functions),
        lookup,
    )


@dataclass(frozen=True, slots=True)
class Result:
    """A query, printed; `name` is what a WITH list calls it, None if it stands for itself."""

    text: Sql
    columns: tuple[Column, ...]
    name: str | None = None


@dataclass(slots=True)
class Planner:
    """Plans one pull query; sources and functions gather what it needs.

    items  the SELECT list of the query planned last, which is the outermost in the end
    ctes, in the methods, are the WITH names in reach.
    """

    env: Environment
    sources: list[PullSource] = field(default_factory=list)
    functions: dict[ArrowFunction, None] = field(default_factory=dict)
    items: Sequence[Item] = ()
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def query(self, query: ast.Query, ctes: dict[str, Result], outer: Scope | None) -> Result:
        """Plan a query; `outer` is the scope around it, if it is a subquery of an expression.

        raises  PlanError
        """
        named: list[Sql] = []
        for place, cte in enumerate(query.ctes):
            if any(cte.name == other.name for other in query.ctes[:place]):
                raise at(cte.span, f"WITH gives {quote_name(cte.name)} twice", "PLAN-DUPLICATE-NAME")
            found = self.query(cte.query, ctes, outer)
            name = self.alias("c")
            named.append(sql("{} AS ({})", name, found.text))
            ctes = {**ctes, cte.name: replace(found, name=name)}
        if isinstance(query, ast.SetOperation):
            result = set_operation(self, query, ctes, outer)
        else:
            assert isinstance(query, ast.Select)
            result = self._select(query, ctes, outer)
        if not named:
            return result
        return replace(result, text=sql("WITH {} {}", joined(", ", named), result.text))

    def alias(self, prefix: str) -> str:
        """A name for a subquery that nothing else has."""
        return f"{prefix}{next(self._numbers)}"

    def noted(self, compiled: Compiled) -> Compiled:
        """The expression, its functions remembered."""
        self.functions.update(dict.fromkeys(compiled.functions))
        return compiled

    def scope(
        self, columns: tuple[ScopeColumn, ...], clause: str, ctes: dict[str, Result], outer: Scope | None
    ) -> Scope:
        """The scope of a SELECT's expressions."""
        return Scope(
            columns, clause, outer=outer, nested=lambda node, scope: compile_nested(self, ctes, node, scope)
        )

    # --- SELECT ---------------------------------------------------------------------------------

    def _select(self, query: ast.Select, ctes: dict[str, Result], outer: Scope | None) -> Result:
        for clause, place in (
            ("WINDOW", place_of(query.window)),
            ("PARTITION BY", place_of(query.partition_by, *(query.partition_by or ()))),
        ):
            if place is not None:
                raise at(place, f"{clause} needs a query that keeps running", "PLAN-PULL", "add EMIT CHANGES")
        read = relation(self, query.relation, query, ctes, outer)
        source = sql("FROM {}", read.text)
        scope = self.scope(read.columns, "SELECT", ctes, outer)
        items = selected = expand_items(query, scope, read.key, self.env, False, read.is_windowed)
        if query.where is not None:
            source = sql("{} WHERE {}", source, self._condition(query.where, scope.in_clause("WHERE")))
        order = [self._order_target(item, items, scope) for item in query.order_by]
        having = qualify(query.having, scope) if query.having is not None else None
        calls = find_aggregates(
            (*(i.expression for i in items), *([having] if having else []), *order), self.env
        )
        is_grouped = query.group_by is not None or bool(calls) or having is not None
        stand_ins: dict[str, str] = {}
        with as_written(stand_ins):
            if is_grouped:
                sequence = read.sequence if isinstance(query.relation, ast.Join) else ()
                groups = grouped(self, query, source, scope, calls, sequence)
                stand_ins.update({name: to_sql(written) for written, name in groups.names.items()})
                source, scope = groups.source, groups.scope
                items = [replace(item, expression=groups.swap(item.expression)) for item in items]
                order = [groups.swap(target) for target in order]
                if having is not None:
                    condition = compile_filter(groups.swap(having), scope.in_clause("HAVING"), self.env)
                    source = sql("{} WHERE {}", source, self.noted(condition))
            if query.limit is not None and not order and not is_grouped and not query.is_distinct:
                order = _key_order(read)
            if not is_grouped:
                source, scope, items, order = exploded(self, source, scope, items, order)
            expressions = (*(i.expression for i in items), *order)
            windows = needs_numbers(self, expressions)
            if windows:
                source, scope = numbered(self, source, scope, windows, expressions)
            result = self._projected(query, items, order, source, scope)
        self.items = selected
        return result

    def _condition(self, where: ast.Expression, scope: Scope) -> Compiled:
        calls = find_aggregates((where,), self.env)
        if calls:
            raise at(calls[0].span, "aggregates cannot be used in WHERE", "PLAN-AGGREGATE", "use HAVING")
        return self.noted(compile_filter(qualify(where, scope), scope, self.env))

    def _projected(
        self,
        query: ast.Select,
        items: Sequence[Item],
        order: Sequence[ast.Expression],
        source: Sql,
        scope: Scope,
    ) -> Result:
        selected = scope.in_clause("SELECT")
        columns: list[Column] = []
        values: list[Sql] = []
        for item in items:
            value = self.noted(compile_expression(item.expression, selected, self.env))
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
            values.append(sql("{} AS {}", value, column_sql(item.name)))
        text = sql("SELECT {}{} {}", "DISTINCT " if query.is_distinct else "", joined(", ", values), source)
        if order:
            ordered = scope.in_clause("ORDER BY")
            directions = [direction(item) for item in query.order_by] or [""] * len(order)
            targets = [self.noted(compile_expression(o, ordered, self.env)) for o in order]
            parts = [sql("{}{}", t, d) for t, d in zip(targets, directions, strict=True)]
            text = sql("{} ORDER BY {}", text, joined(", ", parts))
        return Result(sql("{}{}", text, limits(query)), tuple(columns))

    def _order_target(self, item: ast.OrderItem, items: Sequence[Item], scope: Scope) -> ast.Expression:
        """ORDER BY takes a result column's number, and expressions over result columns and the sources."""
        if isinstance(item.expression, ast.IntegerLiteral):
            number = item.expression.value
            if not 1 <= number <= len(items):
                raise at(
                    item.span, f"ORDER BY {number}: the result has {len(items)} columns", "PLAN-ORDER-BY"
                )
            return items[number - 1].expression
        own = {c.short for c in scope.columns} | {c.name for c in scope.columns}
        is_name = isinstance(item.expression, ast.ColumnRef)
        # A name alone is a result column's first; inside an expression it is the sources' first.
        named = {i.name: i.expression for i in items if is_name or i.name not in own}

        def result(node: ast.Expression) -> ast.Expression | None:
            if isinstance(node, ast.ColumnRef) and node.qualifier is None:
                return named.get(node.name)
            return None

        changed: ast.Expression = rewrite(item.expression, result)
        return qualify(changed, scope.in_clause("ORDER BY"))


def _key_order(read: Relation) -> list[ast.Expression]:
    """The order in which LIMIT takes the rows of a table, so that one query gives one answer."""
    if not read.is_table:
        return []
    bounds = [ast.ColumnRef(name) for name in WINDOW_BOUNDS] if read.is_windowed else []
    return [*(key.expression for key in read.key), *bounds]

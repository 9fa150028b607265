"""FROM of a pull query: streams, tables, subqueries, WITH names, and joins of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamsql.catalog import SourceInfo
from streamsql.engine.batch import SEQ
from streamsql.errors import PlanError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.plan.expressions import compile_filter
from streamsql.plan.items import KeyColumn, qualify
from streamsql.plan.pull_bounds import PLACES, AsOfPoint, Bound, as_of_point, bounds_in
from streamsql.plan.pull_sql import Sql, sql
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql
from streamsql.plan.sources import source_scope

if TYPE_CHECKING:
    from streamsql.plan.pull import Planner, Result


@dataclass(frozen=True, slots=True)
class PullSource:
    """A snapshot the query reads: feed name, what it is, and the names of the columns it uses.

    bounds  of a stream: what WHERE says about the places and times of its records
    as_of   the point of its history from which it is seen; None: now
    """

    feed: str
    info: SourceInfo
    columns: frozenset[str]
    bounds: tuple[Bound, ...] = ()
    as_of: AsOfPoint | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """Something in FROM, printed with an alias, and the columns it brings into scope.

    sequence  SQL of what puts the rows of a join in the order of its streams
    """

    text: Sql
    columns: tuple[ScopeColumn, ...]
    key: tuple[KeyColumn, ...] = ()
    is_windowed: bool = False
    is_table: bool = False
    sequence: tuple[str, ...] = ()


def relation(
    planner: Planner, node: ast.Relation, query: ast.Select, ctes: dict[str, Result], outer: Scope | None
) -> Relation:
    """What a query reads.

    outer   the scope around the query, if it is a subquery of an expression
    raises  PlanError
    """
    match node:
        case ast.SourceRef(name=name, alias=alias) if name in ctes:
            if node.as_of is not None:
                raise at(
                    node.as_of.span, f"{quote_name(name)} is a WITH name: AS OF is for sources", "PLAN-AS-OF"
                )
            return _derived(planner, ctes[name], alias or name)
        case ast.SourceRef():
            return _source(planner, node, query)
        case ast.SubqueryRef(query=inner, alias=alias):
            return _derived(planner, planner.query(inner, ctes, outer), alias)
        case ast.Join():
            return _join(planner, node, query, ctes, outer)
    raise AssertionError(node)


def _source(planner: Planner, node: ast.SourceRef, query: ast.Select) -> Relation:
    env = planner.env
    try:
        info = env.catalog.source(node.name)
    except PlanError as error:
        error.span = node.span
        raise
    if not info.is_table and not env.config.flag("ksql.query.pull.stream.enabled"):
        raise at(
            node.span,
            "pull queries on streams are switched off (ksql.query.pull.stream.enabled)",
            "PLAN-GATE",
        )
    alias = planner.alias("t")
    feed = f"s{len(planner.sources)}"
    columns = source_scope(info, node.alias or node.name, alias).columns
    if info.is_table:
        # A table's row is the last of many records: it has no place in the topic.
        columns = tuple(c for c in columns if c.name not in ("ROWPARTITION", "ROWOFFSET"))
    bounds: tuple[Bound, ...] = ()
    if not info.is_table:
        # A bare name may be another source's in a join.
        alone = (None,) if query.relation is node else ()
        bounds = bounds_in(query.where, PLACES, (node.alias or node.name, *alone), env)
    as_of = None if node.as_of is None else as_of_point(node.as_of, env)
    planner.sources.append(PullSource(feed, info, _used(query, info), bounds, as_of))
    key = tuple(KeyColumn(ast.ColumnRef(c.name), c.name) for c in info.schema.key)
    text = f"{{{feed}}} AS {alias}"
    sequence = () if info.is_table else (f'{alias}."{SEQ}"',)
    return Relation(Sql(text, text), columns, key, info.window is not None, info.is_table, sequence)


def _derived(planner: Planner, result: Result, alias: str | None) -> Relation:
    own = planner.alias("t")
    columns = tuple(
        ScopeColumn(c.name, f"{own}.{column_sql(c.name)}", c.type, alias or own, c.name)
        for c in result.columns
    )
    text = sql("({}) AS {}", result.text, own) if result.name is None else sql("{} AS {}", result.name, own)
    return Relation(text, columns)


def _join(
    planner: Planner, join: ast.Join, query: ast.Select, ctes: dict[str, Result], outer: Scope | None
) -> Relation:
    if join.within is not None:
        raise at(
            join.within.span,
            "WITHIN needs a query that keeps running",
            "PLAN-PULL",
            "compare ROWTIMEs in ON",
        )
    left = relation(planner, join.left, query, ctes, outer)
    right = relation(planner, join.right, query, ctes, outer)
    qualifiers = {c.qualifier for c in left.columns}
    twice = next((c.qualifier for c in right.columns if c.qualifier in qualifiers), None)
    if twice is not None:
        raise at(
            join.right.span, f"{quote_name(twice)} stands in FROM twice", "PLAN-JOIN", "give one an alias"
        )
    columns = _uniquely_named(left.columns + right.columns)
    scope = planner.scope(columns, "JOIN ON", ctes, outer)
    on = planner.noted(compile_filter(qualify(join.condition, scope), scope, planner.env))
    text = sql("{} {} JOIN {} ON {}", left.text, join.kind, right.text, on)
    return Relation(text, columns, sequence=left.sequence + right.sequence)


def _uniquely_named(columns: Sequence[ScopeColumn]) -> tuple[ScopeColumn, ...]:
    """In a join every column is called ALIAS_COLUMN."""
    return tuple(
        c if "_" in c.name and c.name != c.short else replace(c, name=f"{c.qualifier}_{c.short}")
        for c in columns
    )


def _used(query: ast.Select, info: SourceInfo) -> frozenset[str]:
    """The columns of a source that a SELECT uses, here or in subqueries."""
    own = {c.name for c in info.schema.columns}
    names = {ref.name for ref in columns_used(query, in_subqueries=True)}
    if any(isinstance(item, ast.SelectAll) for item in query.items):
        names |= own
    if isinstance(query.relation, ast.Join):
        # A column of a join may also be called ALIAS_COLUMN.
        pseudo = {"ROWTIME", "ROWPARTITION", "ROWOFFSET"}
        names |= {name for name in own | pseudo if any(n.endswith(f"_{name}") for n in names)}
    if info.is_table:
        names |= {c.name for c in info.schema.key}
    return frozenset(names)

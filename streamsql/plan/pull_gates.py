"""What a pull query may do, by the settings: LIMIT, streams, scans of tables.

A WHERE condition in disjunctive form looks keys up if every disjunct fixes all key columns by `=` or IN;
a single VARCHAR key may also be bounded once (a range scan); everything else scans the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from streamsql.catalog import SourceInfo
from streamsql.errors import Span
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.plan.environment import Environment
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import at
from streamsql.types import VARCHAR

_RANGE = ("<", "<=", ">", ">=")
_MOST_DISJUNCTS = 1_000


def check_gates(query: ast.Query, env: Environment) -> None:
    """raises  PlanError PLAN-GATE for what is switched off, PLAN-NULL-KEY for a look-up of a null key"""
    flag = env.config.flag
    if query.limit is not None and not flag("ksql.query.pull.limit.clause.enabled"):
        raise at(
            place_of(query.limit),
            "LIMIT in pull queries is switched off (ksql.query.pull.limit.clause.enabled)",
            "PLAN-GATE",
        )
    scans = flag("ksql.query.pull.table.scan.enabled")
    info = _table(query, env)
    if info is None or (not scans and len(list(_sources(query))) > 1):
        if not scans and not _reads_streams_only(query, env):
            raise at(
                _from(query), f"only a look-up of keys in one table is allowed here: {_OFF}", "PLAN-GATE"
            )
        return
    assert isinstance(query, ast.Select)
    _refuse_null_keys(query, info)
    if not scans:
        _refuse_scans(query, info, ranges=flag("ksql.query.pull.range.scan.enabled"))


_OFF = "scans of tables are switched off (ksql.query.pull.table.scan.enabled)"


def _table(query: ast.Query, env: Environment) -> SourceInfo | None:
    """The table that a query over a single table reads."""
    if not isinstance(query, ast.Select) or not isinstance(query.relation, ast.SourceRef) or query.ctes:
        return None
    info = env.catalog.sources.get(query.relation.name)
    return info if info is not None and info.is_table else None


def _from(query: ast.Query) -> Span | None:
    return place_of(query.relation if isinstance(query, ast.Select) else query)


def _reads_streams_only(query: ast.Query, env: Environment) -> bool:
    infos = (env.catalog.sources.get(ref.name) for ref in _sources(query))
    return not any(info is not None and info.is_table for info in infos)


def _sources(node: Any) -> Iterator[ast.SourceRef]:
    """Every source named anywhere in a query, in its subqueries too."""
    if isinstance(node, ast.SourceRef):
        yield node
    elif isinstance(node, ast.Node):
        for f in fields(node):
            yield from _sources(getattr(node, f.name))
    elif isinstance(node, tuple):
        for item in node:
            yield from _sources(item)


def _refuse_null_keys(query: ast.Select, info: SourceInfo) -> None:
    for node in _conditions(query.where):
        if isinstance(node, ast.In) and _key(node.value, info) is not None and not node.negated:
            for item in node.items:
                if isinstance(item, ast.NullLiteral):
                    raise at(item.span, "a primary key is never NULL: nothing can be found", "PLAN-NULL-KEY")


def _refuse_scans(query: ast.Select, info: SourceInfo, *, ranges: bool) -> None:
    keys = [c.name for c in info.schema.key]
    wanted = " AND ".join(f"{quote_name(key)} = .." for key in keys)
    if query.where is None:
        raise at(
            query.relation.span, f"a WHERE on the key is missing: {_OFF}", "PLAN-GATE", f"WHERE {wanted}"
        )
    for disjunct in disjuncts(query.where):
        fixed = {key for part in disjunct if (key := fixed_key(part, info)) is not None}
        if fixed.issuperset(keys):
            continue
        bounds = [part for part in disjunct if _bounds_key(part, info)]
        if ranges and len(keys) == 1 and len(bounds) == 1 and info.window is None:
            if info.schema.key[0].type == VARCHAR:
                continue
        raise at(
            query.where.span,
            f"this condition does not look up {'the key' if len(keys) == 1 else 'every key column'} of "
            f"{info.title}: {_OFF}",
            "PLAN-GATE",
            f"WHERE {wanted}",
        )


def disjuncts(condition: ast.Expression) -> Iterator[Sequence[ast.Expression]]:
    """The condition as ORs of ANDs; each item gives the parts of one AND."""
    match condition:
        case ast.Logical(op="OR", left=left, right=right):
            yield from disjuncts(left)
            yield from disjuncts(right)
        case ast.Logical(op="AND", left=left, right=right):
            lefts, rights = list(disjuncts(left)), list(disjuncts(right))
            if len(lefts) * len(rights) > _MOST_DISJUNCTS:
                yield (condition,)
                return
            for a in lefts:
                for b in rights:
                    yield (*a, *b)
        case _:
            yield (condition,)


def _conditions(condition: ast.Expression | None) -> Iterator[ast.Expression]:
    if isinstance(condition, ast.Logical):
        yield from _conditions(condition.left)
        yield from _conditions(condition.right)
    elif condition is not None:
        yield condition


def _key(node: ast.Expression, info: SourceInfo) -> str | None:
    """The name of a key column, if the expression is nothing but one."""
    return node.name if isinstance(node, ast.ColumnRef) and info.schema.is_key(node.name) else None


def fixed_key(part: ast.Expression, info: SourceInfo) -> str | None:
    """The key column that a condition fixes to given values."""
    match part:
        case ast.Comparison(op="=", left=left, right=right):
            for side, other in ((left, right), (right, left)):
                if _key(side, info) is not None and not columns_used(other):
                    return _key(side, info)
        case ast.In(value=value, items=items, negated=False) if not columns_used(items):
            return _key(value, info)
    return None


def _bounds_key(part: ast.Expression, info: SourceInfo) -> bool:
    if not isinstance(part, ast.Comparison) or part.op not in _RANGE:
        return False
    return any(
        _key(side, info) is not None and not columns_used(other)
        for side, other in ((part.left, part.right), (part.right, part.left))
    )

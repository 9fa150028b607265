"""Look-ups: pull queries over one table that say which keys they want.

A condition in disjunctive form looks keys up if every disjunct fixes all key columns by `=` or IN. Windows
may be bounded besides. The rows found go through the query's statement, unless there is nothing left to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamsql.catalog import SourceInfo
from streamsql.engine.batch import TIME, WINDOW_END, WINDOW_START
from streamsql.grammar import ast
from streamsql.plan import typing
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import Compiled, convert
from streamsql.plan.items import Item
from streamsql.plan.pull_bounds import WINDOWS, Bound, bound_of, constant
from streamsql.plan.pull_gates import disjuncts, fixed_key
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import physical
from streamsql.schema import Column

_MOST_KEYS = 10_000
_PSEUDO = {"ROWTIME": TIME, "WINDOWSTART": WINDOW_START, "WINDOWEND": WINDOW_END}


@dataclass(frozen=True, slots=True)
class Lookup:
    """The keys a query wants.

    keys    per key sought the values of the key columns, of their types
    bounds  which windows of them; () if they are all wanted, or it is left to the statement
    moves   physical columns of the table that are the answer, in order; None if the statement must run
    """

    keys: tuple[tuple[Compiled, ...], ...]
    bounds: tuple[Bound, ...]
    moves: tuple[str, ...] | None


def plan_lookup(query: ast.Query, info: SourceInfo, items: Sequence[Item], env: Environment) -> Lookup | None:
    """How to answer a query over one table by key; None if it does not fix the key.

    items  of the SELECT list, their columns called by their own names
    """
    if not isinstance(query, ast.Select) or query.where is None or not info.schema.key:
        return None
    keys: list[tuple[Compiled, ...]] = []
    parts: Sequence[ast.Expression] = ()
    every = list(disjuncts(query.where))
    exact = len(every) == 1
    for parts in every:
        found = _values(parts, info, env)
        if found is None:
            return None
        values, used = found
        keys += itertools.islice(itertools.product(*values), _MOST_KEYS + 1)
        if len(keys) > _MOST_KEYS:
            return None
        parts = [part for part in parts if part not in used]
    bounds: list[Bound] = []
    assert isinstance(query.relation, ast.SourceRef)
    qualifiers = (None, query.relation.alias or query.relation.name)
    if len(every) == 1:
        for part in parts:
            bound = bound_of(part, WINDOWS if info.window else (), qualifiers, env)
            exact &= bound is not None
            bounds += [bound] if bound is not None else []
    is_plain = not (query.is_distinct or query.order_by or query.group_by or query.having) and (
        query.limit is None and query.offset is None
    )
    moves = _moves(items) if exact and is_plain else None
    return Lookup(tuple(keys), tuple(bounds), moves)


def _values(
    parts: Sequence[ast.Expression], info: SourceInfo, env: Environment
) -> tuple[list[list[Compiled]], list[ast.Expression]] | None:
    """For each key column the values that an AND fixes it to, and the parts of the AND that say so."""
    fixed: dict[str, list[Compiled]] = {}
    used: list[ast.Expression] = []
    for part in parts:
        name = fixed_key(part, info)
        if name is None or name in fixed:
            continue
        column = next(c for c in info.schema.key if c.name == name)
        values = list(_constants(part, column, env))
        if any(value is None for value in values):
            continue
        fixed[name] = [value for value in values if value is not None]
        used.append(part)
    if len(fixed) < len(info.schema.key):
        return None
    return [fixed[c.name] for c in info.schema.key], used


def _constants(part: ast.Expression, column: Column, env: Environment) -> Iterator[Compiled | None]:
    """The values a condition compares a key column with; None for one that has not the key's type."""
    match part:
        case ast.In(items=items):
            others: Sequence[ast.Expression] = items
        case ast.Comparison(left=left, right=right):
            others = (right if columns_used(left) else left,)
        case _:
            raise AssertionError(part)
    for other in others:
        value = constant(other, env)
        if value is None:
            yield None
        elif isinstance(part, ast.In) and value.is_literal:
            # IN takes literals more freely: '7' beside a number is one.
            is_same = typing.unify(column.type, value.type, value.node) == column.type
            yield convert(value, column.type) if is_same else None
        else:
            is_same = typing.comparison_type(column.type, value.type, "=") == column.type
            yield convert(value, column.type) if is_same else None


def _moves(items: Sequence[Item]) -> tuple[str, ...] | None:
    """The physical columns that the items are, if they are no more than that."""
    if not all(isinstance(item.expression, ast.ColumnRef) for item in items):
        return None
    names = [item.expression.name for item in items if isinstance(item.expression, ast.ColumnRef)]
    return tuple(_PSEUDO.get(name) or physical(name) for name in names)

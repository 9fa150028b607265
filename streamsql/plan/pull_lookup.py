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
from streamsql.plan.compiled import Compiled, convert
from streamsql.plan.environment import Environment
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
    left: list[ast.Expression] = []
    every = list(disjuncts(query.where))
    for parts in every:
        found = _values(parts, info, env)
        if found is None:
            return None
        values, used = found
        keys += itertools.islice(itertools.product(*values), _MOST_KEYS + 1)
        if len(keys) > _MOST_KEYS:
            return None
        left += [part for part in parts if part not in used]
    if len(every) > 1:
        # Which of the rest goes with which key, only the statement can tell.
        return Lookup(tuple(keys), (), None)
    assert isinstance(query.relation, ast.SourceRef)
    qualifiers = (None, query.relation.alias or query.relation.name)
    found_bounds = [bound_of(part, WINDOWS if info.window else (), qualifiers, env) for part in left]
    bounds = tuple(bound for bound in found_bounds if bound is not None)
    is_all_said = len(bounds) == len(left)
    return Lookup(tuple(keys), bounds, _moves(query, items) if is_all_said else None)


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


def _moves(query: ast.Select, items: Sequence[Item]) -> tuple[str, ...] | None:
    """The physical columns that the answer consists of, if it is no more than columns of the rows."""
    if query.is_distinct or query.order_by or query.group_by or query.having:
        return None
    if query.limit is not None or query.offset is not None:
        return None
    names = [item.expression.name for item in items if isinstance(item.expression, ast.ColumnRef)]
    if len(names) < len(items):
        return None
    return tuple(_PSEUDO.get(name) or physical(name) for name in names)

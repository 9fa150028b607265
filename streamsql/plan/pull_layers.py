"""A query put into FROM of another, so that what is computed in it has a name: for pull queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.grammar import ast
from streamsql.plan.items import Item
from streamsql.plan.pull_sql import Sql, joined, sql
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, ScopeColumn
from streamsql.plan.table_functions import compile_table_function, table_function_calls, with_columns
from streamsql.types import SqlType, duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.pull import Planner


def layered(
    planner: Planner,
    source: Sql,
    scope: Scope,
    added: Sequence[tuple[str, SqlType, Sql]],
    expressions: Sequence[ast.Expression],
) -> tuple[Sql, Scope]:
    """`FROM (SELECT .. source)` with further columns, and those of the scope that expressions use.

    added  name, type and SQL over the source
    """
    own = planner.alias("l")
    used = columns_used(tuple(expressions), in_subqueries=True)
    kept = [c for c in scope.columns if any(ref.name in (c.name, c.short) for ref in used)]
    parts = [sql("{} AS {}", c.sql, f'"KSQL_{n}"') for n, c in enumerate(kept)]
    parts += [sql("{} AS {}", text, duckdb_name(name)) for name, _, text in added]
    columns = [replace(c, sql=f'{own}."KSQL_{n}"') for n, c in enumerate(kept)]
    columns += [ScopeColumn(name, f"{own}.{duckdb_name(name)}", t, is_hidden=True) for name, t, _ in added]
    text = sql("FROM (SELECT {} {}) AS {}", joined(", ", parts), source, own)
    return text, replace(scope, columns=tuple(columns))


def exploded(
    planner: Planner, source: Sql, scope: Scope, items: Sequence[Item], order: Sequence[ast.Expression]
) -> tuple[Sql, Scope, list[Item], list[ast.Expression]]:
    """A row per element of the table functions among the items; several go side by side, short ones padded.

    gives  the source, its scope, and items and order over it
    """
    calls = table_function_calls(items, planner.env)
    if not calls:
        return source, scope, list(items), list(order)
    added: list[tuple[str, SqlType, Sql]] = []
    for call, name in calls.items():
        value = planner.noted(compile_table_function(call, scope.in_clause("SELECT"), planner.env))
        added.append((name, value.type, sql("unnest({})", value)))
    items = with_columns(items, calls)
    targets = [item.expression for item in with_columns([Item("", o, o.span) for o in order], calls)]
    text, scope = layered(planner, source, scope, added, [*(i.expression for i in items), *targets])
    return text, scope, items, targets

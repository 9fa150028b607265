"""Grouping in pull queries: aggregates computed as a query that keeps running computes them.

A partial is itself a state, from which the result is read, so the groups are three queries inside each
other: keys and arguments of each row, partials of each group, results of each group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.plan.aggregates import resolve_aggregate
from streamsql.plan.expressions import compile_expression
from streamsql.plan.items import qualify
from streamsql.plan.pull_sql import Sql, joined, sql
from streamsql.plan.rewrite import columns_used, rewrite
from streamsql.plan.scope import Scope, ScopeColumn, at
from streamsql.types import SqlType, duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.pull import Planner


@dataclass(frozen=True, slots=True)
class Grouped:
    """FROM a subquery of groups; what groups and aggregates are called there."""

    source: Sql
    scope: Scope
    names: dict[ast.Expression, str]
    before: Scope

    def swap(self, expression: ast.Expression) -> ast.Expression:
        """The expression over the groups.

        raises  PlanError PLAN-NOT-GROUPED for a column that is neither grouped nor aggregated
        """
        result: ast.Expression = rewrite(expression, self._swapped)
        for ref in columns_used(result):
            if ref.name not in self.names.values() and self.before.resolve(ref) in self.before.columns:
                raise at(
                    expression.span,
                    f"column {quote_name(ref.name)} is neither grouped nor aggregated",
                    "PLAN-NOT-GROUPED",
                    f"GROUP BY {quote_name(ref.name)}, or use an aggregate",
                )
        return result

    def _swapped(self, node: ast.Expression) -> ast.Expression | None:
        if node in self.names:
            return ast.ColumnRef(self.names[node], span=node.span)
        if isinstance(node, ast.WindowFunction):
            # The function itself runs over the groups; only what it reads is grouped or aggregated.
            arguments = rewrite(node.call.arguments, self._swapped)
            return replace(
                node,
                call=replace(node.call, arguments=arguments),
                partition_by=rewrite(node.partition_by, self._swapped),
                order_by=rewrite(node.order_by, self._swapped),
            )
        return None


def grouped(
    planner: Planner,
    query: ast.Select,
    source: Sql,
    scope: Scope,
    calls: Sequence[ast.FunctionCall],
    sequence: Sequence[str],
) -> Grouped:
    """The groups of a query.

    source    `FROM .. WHERE ..`
    calls     its aggregates
    sequence  SQL of the order in which aggregates see the rows; empty: the order in which they come
    raises    PlanError
    """
    own = planner.alias("g")
    clause = scope.in_clause("GROUP BY")
    group = [qualify(e, clause) for e in query.group_by or ()]
    keys = [planner.noted(compile_expression(e, clause, planner.env)) for e in group]
    key_names = [f"KSQL_GROUP_{n}" for n in range(len(group))]
    columns = [
        _key_column(f'{own}."{name}"', name, expression, scope, key.type)
        for name, expression, key in zip(key_names, group, keys, strict=True)
    ]
    rows = [sql('{} AS "{}"', key, name) for name, key in zip(key_names, keys, strict=True)]
    partials: list[Sql | str] = [f'"{name}"' for name in key_names]
    results = [f'"{name}"' for name in key_names]
    names: dict[ast.Expression, str] = dict(zip(group, key_names, strict=True))
    uses_seq = False
    for number, node in enumerate(calls):
        found = resolve_aggregate(node, scope.in_clause(f"{node.name}(..)"), planner.env)
        places = [f'"KSQL_ARGUMENT_{number}_{n}"' for n in range(len(found.arguments))]
        for place, argument in zip(places, found.arguments, strict=True):
            rows.append(sql("{} AS {}", planner.noted(argument), place))
        name = f"KSQL_AGG_{number}"
        call = found.call(name, f"a{number}_", places, on_table=False)
        planner.functions.update(dict.fromkeys(call.functions))
        uses_seq |= call.uses_seq
        partials += [f"{column.partial} AS {duckdb_name(column.name)}" for column in call.state]
        results.append(f'{call.result} AS "{name}"')
        columns.append(ScopeColumn(name, f'{own}."{name}"', found.type))
        names[node] = name
    if uses_seq:
        order = f"ORDER BY {', '.join(sequence)}" if sequence else ""
        rows.append(sql('row_number() OVER ({}) AS "$seq"', order))
    if not rows:
        rows.append(sql('true AS "KSQL_ROW"'))
    if not results:
        # HAVING alone: everything is one group, with nothing to say about it.
        partials.append('count(*) AS "KSQL_ROWS"')
        results.append('"KSQL_ROWS"')
    tail = f" GROUP BY {', '.join(str(n + 1) for n in range(len(group)))}" if group else ""
    text = sql(
        "FROM (SELECT {} FROM (SELECT {} FROM (SELECT {} {}) AS r{}) AS s) AS {}",
        ", ".join(results),
        joined(", ", partials),
        joined(", ", rows),
        source,
        tail,
        own,
    )
    return Grouped(text, replace(scope, columns=tuple(columns)), names, scope)


def _key_column(text: str, name: str, expression: ast.Expression, scope: Scope, t: SqlType) -> ScopeColumn:
    """A grouping column; a plain one is still found by its old name, in subqueries of HAVING and SELECT."""
    column = scope.named(expression.name) if isinstance(expression, ast.ColumnRef) else None
    if column is None:
        return ScopeColumn(name, text, t)
    return ScopeColumn(name, text, t, column.qualifier, column.short)

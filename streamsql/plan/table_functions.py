"""Table functions in the SELECT list: each call becomes a column of an exploding step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from streamsql.catalog import TABLE
from streamsql.errors import PlanError
from streamsql.functions.call import print_call
from streamsql.functions.resolve import resolve
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.flow import Flow
from streamsql.plan.items import Item
from streamsql.plan.rewrite import rewrite, walk
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql


def explode(items: Sequence[Item], flow: Flow, env: Environment) -> list[Item]:
    """Add an exploding step for the table functions among the items; gives the items with columns in
    their place. Nothing happens if there are none."""
    calls = table_function_calls(items, env)
    if not calls:
        return list(items)
    if flow.kind == TABLE:
        raise at(next(iter(calls)).span, "table functions work on streams only", "PLAN-TABLE-FUNCTION")
    lists, columns = [], []
    for call, name in calls.items():
        value = compile_table_function(call, flow.scope.in_clause("SELECT"), env)
        lists.append((name, value, value.type.arrow))
        columns.append(ScopeColumn(name, column_sql(name), value.type))
    flow.builder.explode(lists)
    flow.titles.append("explode " + ", ".join(to_sql(call) for call in calls))
    flow.scope = replace(flow.scope, columns=(*flow.scope.columns, *columns))
    return with_columns(items, calls)


def table_function_calls(items: Sequence[Item], env: Environment) -> dict[ast.FunctionCall, str]:
    """Every call of a table function among the items, each once, and a name for it.

    raises  PlanError PLAN-TABLE-FUNCTION for one inside another, or inside CASE
    """
    calls: dict[ast.FunctionCall, str] = {}
    for item in items:
        _check(item, env)
        for node in walk(item.expression):
            if _is_table_function(node, env):
                assert isinstance(node, ast.FunctionCall)
                calls.setdefault(node, f"KSQL_SYNTH_{len(calls)}")
    return calls


def with_columns(items: Sequence[Item], calls: Mapping[ast.FunctionCall, str]) -> list[Item]:
    """The items with columns in the place of the calls."""

    def change(node: ast.Expression) -> ast.Expression | None:
        return (
            ast.ColumnRef(calls[node], span=node.span)
            if isinstance(node, ast.FunctionCall) and node in calls
            else None
        )

    return [replace(item, expression=rewrite(item.expression, change)) for item in items]


def compile_table_function(call: ast.FunctionCall, scope: Scope, env: Environment) -> Compiled:
    """The list that a call gives per row; its type is that of an element.

    raises  PlanError
    """
    arguments = [compile_expression(a, scope, env) for a in call.arguments]
    try:
        match = resolve(call.name, env.library.tables.overloads(call.name), [a.type for a in arguments])
        plain, functions, can_fail = print_call(match, [a.sql for a in arguments])
        safe, twins, _ = print_call(match, [a.safe for a in arguments], is_safe=True)
    except PlanError as error:
        if error.span is None:
            error.span = call.span
        raise
    return Compiled(
        plain,
        safe,
        match.result,
        call,
        can_fail or any(a.can_fail for a in arguments),
        tuple(dict.fromkeys((*functions, *twins, *(f for a in arguments for f in a.functions)))),
    )


def _check(item: Item, env: Environment) -> None:
    for node in walk(item.expression):
        if _is_table_function(node, env) and any(_is_table_function(n, env) for n in list(walk(node))[1:]):
            raise at(node.span, "table functions cannot be nested", "PLAN-TABLE-FUNCTION")
        if isinstance(node, ast.Case) and any(_is_table_function(n, env) for n in walk(node)):
            raise at(node.span, "a table function cannot stand inside CASE", "PLAN-TABLE-FUNCTION")


def _is_table_function(node: ast.Node, env: Environment) -> bool:
    return isinstance(node, ast.FunctionCall) and node.name in env.library.tables

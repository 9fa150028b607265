"""Aggregate calls in expressions: finding them, and binding each to its declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.errors import PlanError
from streamsql.functions.aggregate import AggregateFunction, StateNames, bind
from streamsql.functions.registry import unknown_function
from streamsql.functions.resolve import Match, resolve
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.rewrite import walk
from streamsql.plan.scope import Scope, at
from streamsql.types import SqlType


@dataclass(frozen=True, slots=True)
class ResolvedAggregate:
    """An aggregate call with its overload.

    arguments  the column arguments, compiled; the literal parameters are in `literals`
    """

    node: ast.FunctionCall
    match: Match[AggregateFunction]
    arguments: tuple[Compiled, ...]
    literals: tuple[Any, ...]
    settings: Mapping[str, str]

    @property
    def type(self) -> SqlType:
        return self.match.result

    def call(
        self,
        name: str,
        prefix: str,
        argument_sql: Sequence[str],
        *,
        on_table: bool,
        names: StateNames | None = None,
    ) -> AggregateCall:
        """The declaration for the engine, over arguments read by this SQL; see `bind`."""
        try:
            return bind(
                self.match,
                argument_sql,
                self.literals,
                name,
                prefix,
                on_table=on_table,
                settings=self.settings,
                names=names,
            )
        except PlanError as error:
            if error.span is None:
                error.span = self.node.span
            raise


def find_aggregates(expressions: Sequence[ast.Expression], env: Environment) -> list[ast.FunctionCall]:
    """Every aggregate call, each once, in the order of the text; one with OVER is none.

    raises  PlanError PLAN-AGGREGATE for an aggregate inside another one
    """
    found: dict[ast.FunctionCall, None] = {}
    for expression in expressions:
        nodes = list(walk(expression))
        with_over = {id(node.call) for node in nodes if isinstance(node, ast.WindowFunction)}
        for node in nodes:
            if not (isinstance(node, ast.FunctionCall) and node.name in env.library.aggregates):
                continue
            if id(node) in with_over:
                continue
            inner = [n for a in node.arguments for n in walk(a)]
            if any(isinstance(n, ast.FunctionCall) and n.name in env.library.aggregates for n in inner):
                raise at(node.span, f"aggregates cannot be nested: {to_sql(node)}", "PLAN-AGGREGATE")
            if any(isinstance(n, ast.FunctionCall) and n.name in env.library.tables for n in inner):
                raise at(
                    node.span,
                    f"a table function cannot stand in an aggregate: {to_sql(node)}",
                    "PLAN-AGGREGATE",
                )
            found.setdefault(node)
    return list(found)


def resolve_aggregate(node: ast.FunctionCall, scope: Scope, env: Environment) -> ResolvedAggregate:
    """Choose the overload of an aggregate call; its columns are looked up in the scope.

    raises  PlanError
    """
    written = () if node.is_star else node.arguments
    arguments = [compile_expression(a, scope, env) for a in written]
    try:
        match = resolve(
            node.name,
            env.library.aggregates.overloads(node.name),
            [a.type for a in arguments],
            widening=False,
        )
    except PlanError as error:
        if error.span is None:
            error.span = node.span
        raise
    columns: list[Compiled] = []
    literals: list[Any] = []
    for argument, parameter in zip(arguments, match.parameters, strict=True):
        if parameter.is_literal:
            literals.append(_literal(argument, node))
        else:
            columns.append(argument)
    return ResolvedAggregate(node, match, tuple(columns), tuple(literals), env.config.values)


def _literal(argument: Compiled, call: ast.FunctionCall) -> Any:
    match argument.node:
        case (
            ast.IntegerLiteral(value=value) | ast.StringLiteral(value=value) | ast.BooleanLiteral(value=value)
        ):
            return value
        case ast.DoubleLiteral(value=value):
            return value
        case ast.DecimalLiteral(text=text):
            return text
        case ast.NullLiteral():
            return None
    raise at(
        argument.node.span,
        f"this argument of {call.name} must be a literal, not {to_sql(argument.node)}",
        "PLAN-LITERAL",
    )


def refuse_unknown_functions(parts: Any, env: Environment) -> None:
    """raises PlanError PLAN-UNKNOWN-FUNCTION for the first call of a function that is of no kind"""
    for node in walk(parts):
        if isinstance(node, ast.FunctionCall) and node.name not in env.library:
            raise unknown_function(node.name, env.library.names())

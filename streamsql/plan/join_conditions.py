"""The condition of a join taken apart: what must be equal, and what is left to filter by."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from streamsql.errors import NotSupportedError
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import Compiled, compile_expression
from streamsql.plan.items import qualify
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, at
from streamsql.types import Map, walk


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a condition: the expression and the alias whose columns it uses."""

    expression: ast.Expression
    value: Compiled
    qualifiers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Condition:
    """A join condition taken apart.

    equalities  pairs of sides that must be equal, left one first; the first pair is the join's key
    rest        other conditions, for the rows of an inner join
    """

    equalities: tuple[tuple[Side, Side], ...]
    rest: tuple[ast.Expression, ...]


def take_apart(join: ast.Join, left: Scope, right: Scope, env: Environment) -> Condition:
    """The condition taken apart: equalities of the two sides, and what an inner join filters by."""
    scope = Scope((*left.columns, *right.columns), "JOIN ON")
    ours = {c.qualifier for c in left.columns if c.qualifier}
    theirs = {c.qualifier for c in right.columns if c.qualifier}
    parts = _conjuncts(join.condition)
    equalities: list[tuple[Side, Side]] = []
    rest: list[ast.Expression] = []
    for part in parts:
        found = _equality(env, part, scope, ours, theirs, is_only=len(parts) == 1)
        if found is None:
            rest.append(qualify(part, scope))
        elif found not in equalities:
            equalities.append(found)
    if not equalities:
        raise at(
            join.condition.span,
            "a join condition needs an equality between a column of each side",
            "PLAN-JOIN",
            "put other conditions into WHERE",
        )
    if rest and join.kind != "INNER":
        raise NotSupportedError(
            f"a {join.kind} join on more than equalities",
            span=join.condition.span,
            hint="put the rest into WHERE: it then drops rows, also those without a match",
        )
    return Condition(tuple(equalities), tuple(rest))


def _conjuncts(node: ast.Expression) -> list[ast.Expression]:
    if isinstance(node, ast.Logical) and node.op == "AND":
        return [part for operand in (node.left, node.right) for part in _conjuncts(operand)]
    return [node]


def _equality(
    env: Environment,
    node: ast.Expression,
    scope: Scope,
    ours: Set[str],
    theirs: Set[str],
    *,
    is_only: bool,
) -> tuple[Side, Side] | None:
    """The sides of an equality, left one first; None if it is something else and not the only condition."""
    if not isinstance(node, ast.Comparison) or node.op != "=":
        if not is_only:
            return None
        raise at(
            node.span, "a join condition must be an equality", "PLAN-JOIN", "put other conditions into WHERE"
        )
    sides = [_side(env, e, scope) for e in (node.left, node.right)]
    first, second = sides
    if first.qualifiers <= theirs and second.qualifiers <= ours:
        first, second = second, first
    fits = first.qualifiers <= ours and second.qualifiers <= theirs
    if not fits and not is_only:
        return None
    for side in sides:
        if not side.qualifiers:
            if not is_only:
                return None
            raise at(side.expression.span, "each side of a join condition must use a column", "PLAN-JOIN")
        if len(side.qualifiers) > 1:
            if not is_only:
                return None
            raise at(
                side.expression.span,
                "each side of a join condition must use the columns of one source",
                "PLAN-JOIN",
            )
    if not fits:
        raise at(
            node.span, "a join condition must compare the source it adds with one before it", "PLAN-JOIN"
        )
    if first.value.type != second.value.type:
        raise at(
            node.span,
            f"the sides of a join condition must have one type: {to_sql(node.left)} is "
            f"{sides[0].value.type}, {to_sql(node.right)} is {sides[1].value.type}",
            "PLAN-JOIN-TYPE",
            "CAST one of them",
        )
    if any(isinstance(part, Map) for part in walk(first.value.type)):
        raise at(node.span, f"a {first.value.type} cannot be joined on: it holds a MAP", "PLAN-JOIN-TYPE")
    return first, second


def _side(env: Environment, expression: ast.Expression, scope: Scope) -> Side:
    resolved = qualify(expression, scope)
    value = compile_expression(resolved, scope, env)
    used = [scope.named(ref.name) for ref in columns_used(resolved)]
    qualifiers = frozenset(c.qualifier for c in used if c is not None and c.qualifier is not None)
    return Side(resolved, value, qualifiers)

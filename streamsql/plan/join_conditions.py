"""The condition of a join taken apart: what must be equal, and what else must hold."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.flow import Flow
from streamsql.plan.items import as_named, qualify
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, at
from streamsql.types import Map, walk


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an equality: the expression, and which columns it uses."""

    expression: ast.Expression
    value: Compiled
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Equality:
    """An expression of the left relations that must be equal to one of the right relation."""

    left: Side
    right: Side

    @property
    def condition(self) -> ast.Expression:
        left, right = self.left.expression, self.right.expression
        return ast.Comparison("=", left, right, span=left.span)


@dataclass(frozen=True, slots=True)
class Condition:
    """A join condition taken apart.

    equalities  the first one is the key of a stream's join
    rest        what else must hold for a pair of rows to match
    """

    equalities: tuple[Equality, ...]
    rest: tuple[ast.Expression, ...]


def take_apart(join: ast.Join, left: Scope, right: Scope, env: Environment) -> Condition:
    """The condition taken apart: equalities of the two sides, and the rest.

    raises  PlanError if there is no equality, or if the only condition is of another form
    """
    scope = Scope((*left.columns, *right.columns), "JOIN ON")
    ours, theirs = ({c.name for c in side.columns} for side in (left, right))
    parts = conjuncts(join.condition)
    equalities: list[Equality] = []
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
    return Condition(tuple(equalities), tuple(rest))


def cover_key(
    join: ast.Join, condition: Condition, right: Flow
) -> tuple[list[Equality], list[ast.Expression]]:
    """The equalities that cover the right table's primary key, in its order, and everything else.

    raises  PlanError if they do not cover it
    """
    pairs = [
        next((e for e in condition.equalities if key.is_given_by(e.right.expression)), None)
        for key in right.key
    ]
    chosen = [pair for pair in pairs if pair is not None]
    if not chosen or len(chosen) < len(right.key):
        given = ", ".join(to_sql(as_named(e.right.expression, right.scope)) for e in condition.equalities)
        columns = [right.scope.named(key.column) for key in right.key]
        refs = [ast.ColumnRef(c.short, c.qualifier) for c in columns if c is not None and not c.is_hidden]
        names = ", ".join(map(to_sql, refs)) or "which the subquery does not select"
        raise at(
            join.condition.span,
            f"the table on the right is joined on its primary key, {names}, not on {given}",
            "PLAN-JOIN",
            f"ON .. = {names}" if refs else None,
        )
    left_over = [e.condition for e in condition.equalities if e not in chosen]
    return chosen, [*left_over, *condition.rest]


def conjuncts(node: ast.Expression) -> list[ast.Expression]:
    """The conditions that a condition joins by AND."""
    if isinstance(node, ast.Logical) and node.op == "AND":
        return [part for operand in (node.left, node.right) for part in conjuncts(operand)]
    return [node]


def _equality(
    env: Environment,
    node: ast.Expression,
    scope: Scope,
    ours: Set[str],
    theirs: Set[str],
    *,
    is_only: bool,
) -> Equality | None:
    """The sides of an equality, left one first; None if it is something else and not the only condition."""
    if not isinstance(node, ast.Comparison) or node.op != "=":
        if not is_only:
            return None
        raise at(
            node.span, "a join condition must be an equality", "PLAN-JOIN", "put other conditions into WHERE"
        )
    sides = [_side(env, e, scope) for e in (node.left, node.right)]
    first, second = sides
    if first.columns <= theirs and second.columns <= ours:
        first, second = second, first
    is_of_both = bool(first.columns) and bool(second.columns)
    if not is_of_both or not (first.columns <= ours and second.columns <= theirs):
        if not is_only:
            return None
        _refuse(node, sides, theirs)
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
    return Equality(first, second)


def _refuse(node: ast.Comparison, sides: list[Side], theirs: Set[str]) -> None:
    """Say why an equality that is the only condition is none of one side with the other."""
    for side in sides:
        if not side.columns:
            raise at(
                side.expression.span,
                "each side of a join condition must use a column",
                "PLAN-JOIN",
                "put other conditions into WHERE",
            )
        if side.columns & theirs and side.columns - theirs:
            raise at(
                side.expression.span,
                "a side of a join condition cannot use columns of both sides of the join",
                "PLAN-JOIN",
            )
    raise at(node.span, "a join condition must compare the source it adds with one before it", "PLAN-JOIN")


def _side(env: Environment, expression: ast.Expression, scope: Scope) -> Side:
    resolved = qualify(expression, scope)
    value = compile_expression(resolved, scope, env)
    used = [scope.named(ref.name) for ref in columns_used(resolved)]
    return Side(resolved, value, frozenset(c.name for c in used if c is not None))

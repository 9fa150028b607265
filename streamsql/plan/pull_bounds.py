"""What a pull query's WHERE says about places and times: which windows, which part of a stream's history.

Bounds only save work: the condition itself is checked all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from streamsql.errors import Span
from streamsql.grammar import ast
from streamsql.plan.compiled import Compiled, coerce
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.rewrite import columns_used, walk
from streamsql.plan.scope import Scope, at
from streamsql.types import BIGINT, INTEGER, NULL, TIMESTAMP, VARCHAR

PLACES = ("ROWTIME", "ROWOFFSET", "ROWPARTITION")
WINDOWS = ("WINDOWSTART", "WINDOWEND")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


@dataclass(frozen=True, slots=True)
class Bound:
    """`ROWTIME >= value`: column, sign, and a BIGINT (milliseconds, for a time)."""

    column: str
    op: str
    value: Compiled


@dataclass(frozen=True, slots=True)
class AsOfPoint:
    """Where AS OF looks from: kind TIMESTAMP (ms) or OFFSET, and a BIGINT."""

    kind: str
    value: Compiled
    span: Span


def conjuncts(condition: ast.Expression | None) -> Iterator[ast.Expression]:
    """The parts of an AND."""
    if isinstance(condition, ast.Logical) and condition.op == "AND":
        yield from conjuncts(condition.left)
        yield from conjuncts(condition.right)
    elif condition is not None:
        yield condition


def bounds_in(
    condition: ast.Expression | None,
    columns: Collection[str],
    qualifiers: Collection[str | None],
    env: Environment,
) -> tuple[Bound, ...]:
    """What the parts of an AND say about some columns of one source, called by these qualifiers."""
    found: list[Bound] = []
    for part in conjuncts(condition):
        pieces = [part]
        if isinstance(part, ast.Between) and not part.negated:
            pieces = [ast.Comparison(">=", part.value, part.low), ast.Comparison("<=", part.value, part.high)]
        bounds = (bound_of(piece, columns, qualifiers, env) for piece in pieces)
        found += [bound for bound in bounds if bound is not None]
    return tuple(found)


def bound_of(
    part: ast.Expression, columns: Collection[str], qualifiers: Collection[str | None], env: Environment
) -> Bound | None:
    """A comparison of one of the columns with a constant."""
    if not isinstance(part, ast.Comparison) or part.op not in _FLIPPED:
        return None
    for side, other, op in ((part.left, part.right, part.op), (part.right, part.left, _FLIPPED[part.op])):
        if not isinstance(side, ast.ColumnRef) or side.name not in columns:
            continue
        if side.qualifier not in qualifiers or columns_used(other):
            continue
        value = constant(other, env)
        if value is None:
            return None
        if isinstance(other, ast.StringLiteral) and side.name not in ("ROWOFFSET", "ROWPARTITION"):
            return Bound(side.name, op, _milliseconds(value))
        if value.type in (INTEGER, BIGINT):
            return Bound(side.name, op, coerce(value, BIGINT))
    return None


def constant(node: ast.Expression, env: Environment) -> Compiled | None:
    """An expression over nothing, if it has one value for the whole query and a type."""
    for part in walk(node):
        if isinstance(part, ast.FunctionCall):
            if part.name not in env.library.scalars:
                return None
            if any(row.volatile for row in env.library.scalars.overloads(part.name)):
                return None
        elif isinstance(part, ast.ScalarSubquery | ast.InSubquery | ast.Exists | ast.WindowFunction):
            return None
    value = compile_expression(node, Scope(()), env)
    return None if value.type == NULL else value


def as_of_point(node: ast.AsOf, env: Environment) -> AsOfPoint:
    """raises  PlanError PLAN-AS-OF for what is no constant of the right type"""
    value = None if columns_used(node.value) else constant(node.value, env)
    if value is not None and value.type in (INTEGER, BIGINT):
        return AsOfPoint(node.kind, coerce(value, BIGINT), node.value.span)
    if value is not None and node.kind == "TIMESTAMP" and value.type in (VARCHAR, TIMESTAMP):
        return AsOfPoint(node.kind, _milliseconds(value), node.value.span)
    wanted = "'2026-01-01T00:00:00', or milliseconds" if node.kind == "TIMESTAMP" else "a whole number"
    raise at(node.value.span, f"AS OF {node.kind} takes a constant: {wanted}", "PLAN-AS-OF")


def _milliseconds(value: Compiled) -> Compiled:
    time = coerce(value, TIMESTAMP)
    return Compiled(
        f"epoch_ms({time.sql})", f"epoch_ms({time.safe})", BIGINT, value.node, True, time.functions
    )

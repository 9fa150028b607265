"""A compiled expression, and the ways to make one of others: conversions, templates, constants.

Every expression is printed twice. `sql` is the fast form: it raises when a row fails (overflow, a bad
cast). `safe` never raises: what can fail stands under TRY, and integer overflow wraps as it does in
Java. A stage runs the fast form and falls back to the safe one for a batch that raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from streamsql.engine.kernel import ArrowFunction
from streamsql.functions.call import Places, converted, widened
from streamsql.functions.registry import Fragment
from streamsql.grammar import ast
from streamsql.plan import typing
from streamsql.types import NULL, SqlType, widens


@dataclass(frozen=True, slots=True)
class Compiled:
    """A typed expression, printed.

    sql, safe  DuckDB SQL, in parentheses where needed; see the module
    can_fail   whether the fast form can raise on a row
    functions  Arrow functions that both forms call
    node       where it came from, for names and errors
    """

    sql: str
    safe: str
    type: SqlType
    node: ast.Expression
    can_fail: bool = False
    functions: tuple[ArrowFunction, ...] = ()

    @property
    def is_literal(self) -> bool:
        return isinstance(self.node, typing.LITERALS)


def coerce(value: Compiled, target: SqlType) -> Compiled:
    """The value as `target`, to which its type widens (see types.widens)."""
    if value.type == target:
        return value
    return with_type(value, target, widened)


def convert(value: Compiled, target: SqlType) -> Compiled:
    """The value as `target`, a type it widens to or may be cast to; a NULL stays one."""
    if value.type in (target, NULL):
        return value
    if widens(value.type, target):
        return coerce(value, target)
    return with_type(value, target, converted)


def with_type(value: Compiled, target: SqlType, how: Callable[..., Fragment]) -> Compiled:
    """The value as `target`, by `widened` or `converted`."""
    plain = how(value.sql, value.type, target)
    safe = how(value.safe, value.type, target, tried=True)
    return replace(
        value,
        sql=plain.sql,
        safe=safe.sql,
        type=target,
        can_fail=value.can_fail or bool(plain.can_fail),
        functions=tuple(dict.fromkeys((*value.functions, *plain.functions, *safe.functions))),
    )


def constant(sql: str, t: SqlType, node: ast.Expression) -> Compiled:
    return Compiled(sql, sql, t, node)


def combine(
    node: ast.Expression, t: SqlType, template: str, parts: Sequence[Compiled], *, can_fail: bool = False
) -> Compiled:
    """Fill a template's {} with the parts, in both forms."""
    sql = template.format(*(p.sql for p in parts))
    if can_fail:
        places = Places([p.safe for p in parts])
        safe = places.fill(template.format(*places.names), tried=True)
    else:
        safe = template.format(*(p.safe for p in parts))
    return Compiled(
        sql,
        safe,
        t,
        node,
        can_fail or any(p.can_fail for p in parts),
        tuple(dict.fromkeys(f for p in parts for f in p.functions)),
    )

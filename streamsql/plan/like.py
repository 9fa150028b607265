"""LIKE: DuckDB's, but for patterns that end in their escape character.

DuckDB raises on those what no TRY catches, so they never get as far.
"""

from __future__ import annotations

from streamsql.functions.call import rewritten
from streamsql.functions.cast import CastPrint
from streamsql.functions.registry import Fragment
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled, combine, with_type
from streamsql.plan.scope import at
from streamsql.sqltext import FAIL, cannot, once
from streamsql.types import BOOLEAN, NULL, VARCHAR, SqlType, duckdb_string


def like(node: ast.Like, value: Compiled, pattern: Compiled) -> Compiled:
    """`value LIKE pattern [ESCAPE ..]`; NOT is left to the caller.

    raises  PlanError PLAN-LIKE for what is not VARCHAR, and for a literal that ends in its escape character
    """
    for side in (value, pattern):
        if side.type not in (VARCHAR, NULL):
            raise at(
                side.node.span, f"LIKE needs VARCHAR, but {to_sql(side.node)} is {side.type}", "PLAN-LIKE"
            )
    escape = node.escape
    if escape is None:
        return combine(node, BOOLEAN, "({} LIKE {})", [value, pattern])
    if isinstance(pattern.node, ast.StringLiteral):
        _check_end(pattern.node, escape)
    elif pattern.type == VARCHAR:
        pattern = _with_checked_end(pattern, escape)
    return combine(node, BOOLEAN, f"({{}} LIKE {{}} ESCAPE {duckdb_string(escape)})", [value, pattern])


def _check_end(literal: ast.StringLiteral, escape: str) -> None:
    text = literal.value
    if (len(text) - len(text.rstrip(escape))) % 2:
        raise at(
            literal.span,
            f"the pattern {to_sql(literal)} ends in its escape character, with nothing to follow it",
            "PLAN-LIKE",
            f"write the character twice to match it: {duckdb_string(text + escape)}",
        )


def _with_checked_end(pattern: Compiled, escape: str) -> Compiled:
    """The pattern, which fails a row where it ends in the escape character."""
    trimmed = f"rtrim({{x}}, {duckdb_string(escape)})"

    def checked(x: str) -> str:
        is_cut = f"(length({x}) - length({trimmed.format(x=x)})) % 2 = 1"
        refused = cannot("match a pattern that ends in its escape character", x, "VARCHAR")
        return f"CASE WHEN {is_cut} THEN {refused} ELSE {x} END"

    def printed(sql: str, source: SqlType, target: SqlType) -> CastPrint:
        return CastPrint(once(sql, checked), (FAIL,), True)

    def how(sql: str, source: SqlType, target: SqlType, *, tried: bool = False) -> Fragment:
        return rewritten(printed, sql, source, target, tried=tried)

    return with_type(pattern, VARCHAR, how)

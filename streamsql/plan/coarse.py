"""Grouping by less than a text: what is equal where a group's expression is, and is computed for less.

The day of a timestamp as a text costs ten times as much to compute, and to group by, as the day. So a batch
is grouped by that, and the text is computed once for each group.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from streamsql.engine.stage import Stage
from streamsql.functions.call import print_coarse
from streamsql.functions.resolve import resolve
from streamsql.grammar import ast
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.scope import Scope
from streamsql.plan.stages import Output, StageBuilder


def coarse_stage(
    builder: StageBuilder, outputs: Sequence[Output], groups: int, scope: Scope, env: Environment
) -> Stage | None:
    """The stage of some steps and these outputs, the first of which are groups; those for less where that is
    known how. None if for none is.

    builder  the steps so far, which stay as they are
    """
    found = [_coarse(output.value.node, scope, env) for output in outputs[:groups]]
    if not any(found):
        return None
    builder, cheaper = deepcopy(builder), list(outputs)
    for number, sql in enumerate(found):
        if sql is not None:
            value = replace(outputs[number].value, sql=sql, safe=sql, can_fail=False)
            cheaper[number] = replace(outputs[number], value=value)
    builder.project(cheaper)
    for output in outputs[:groups]:
        builder.drop_nulls(output.name, output.value.node)
    return builder.build()


def _coarse(expression: ast.Expression, scope: Scope, env: Environment) -> str | None:
    """SQL that is equal for two rows where the expression is, and only there; null where it is."""
    if not isinstance(expression, ast.FunctionCall) or not all(
        isinstance(a, ast.ColumnRef | ast.StringLiteral) for a in expression.arguments
    ):
        return None
    arguments = [compile_expression(a, scope, env) for a in expression.arguments]
    match = resolve(expression.name, env.library.scalar(expression.name), [a.type for a in arguments])
    return print_coarse(match, [a.sql for a in arguments])

"""ALTER STREAM/TABLE .. ADD COLUMN."""

from __future__ import annotations

from dataclasses import replace

from streamsql.catalog import SourceInfo
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.plan.create import check_formats, read_columns
from streamsql.plan.environment import Environment
from streamsql.plan.properties import Properties
from streamsql.plan.scope import at


def plan_alter(statement: ast.AlterSource, env: Environment) -> SourceInfo:
    """The source with the new value columns at its end.

    raises  PlanError if it cannot be altered or has such a column
    """
    info = env.catalog.source(statement.name)
    if info.kind != statement.kind:
        raise at(
            place_of(statement.kind, statement.name),
            f"{info.title} is not a {statement.kind}",
            "PLAN-KIND",
            f"ALTER {info.kind} {quote_name(info.name)} ..",
        )
    if info.query_id is not None:
        raise at(
            place_of(statement.name),
            f"{info.title} is made by query {info.query_id}: it cannot be altered",
            "PLAN-ALTER",
            f"CREATE OR REPLACE {info.kind} {quote_name(info.name)} AS SELECT .., the new column at the end",
        )
    if info.is_source:
        raise at(
            place_of(statement.name), f"{info.title} is read-only: it cannot be altered", "PLAN-READ-ONLY"
        )
    added = read_columns(statement.columns, statement.kind, env)
    for column in added.value:
        if info.schema.find(column.name) is not None:
            raise at(
                next(c.span for c in statement.columns if c.name == column.name),
                f"{info.title} has a column {quote_name(column.name)} already",
                "PLAN-DUPLICATE-COLUMN",
            )
    altered = replace(info, schema=replace(info.schema, value=info.schema.value + added.value))
    place = place_of(*statement.columns)
    check_formats(altered, env, Properties({}, {}, place), {c.name: c.span for c in statement.columns})
    return altered

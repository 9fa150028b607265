"""SHOW, DESCRIBE, EXPLAIN and PRINT: which question goes to which part of show.py and plan/explain.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from streamsql import show
from streamsql.errors import NotSupportedError, Span
from streamsql.grammar import ast
from streamsql.grammar.places import place_of
from streamsql.plan.scope import at
from streamsql.printing import PRINTED, print_topic
from streamsql.result import Result, rows
from streamsql.schema import Column
from streamsql.types import VARCHAR

if TYPE_CHECKING:
    from streamsql.database import Database


def introspect(
    database: Database, statement: ast.Show | ast.Describe | ast.Explain | ast.PrintTopic
) -> Result:
    """Answer SHOW, DESCRIBE, EXPLAIN or PRINT.

    raises  PlanError for a name that is unknown, NotSupportedError
    """
    match statement:
        case ast.Show():
            return _show(database, statement)
        case ast.Describe(kind="FUNCTION", name=name):
            return show.describe_function(database.library, name)
        case ast.Describe(kind="SOURCE", name=name, is_extended=is_extended):
            info = database.catalog.source(name)
            if is_extended:
                return show.describe_extended(info, database.catalog, database.log, database.queries)
            return show.describe(info)
        case ast.Describe(kind="STREAMS" | "TABLES" as kind):
            return _describe_all(database, kind.removesuffix("S"), is_extended=statement.is_extended)
        case ast.Explain():
            return _explain(database, statement)
        case ast.PrintTopic():
            printed = print_topic(
                database.log,
                statement.topic,
                database.catalog.on_topic(statement.topic),
                database.environment.schemas,
                from_beginning=statement.from_beginning,
                interval=statement.interval,
                limit=statement.limit,
            )
            return Result("ROWS", PRINTED, is_listing=True, _changes=printed)
        case ast.Describe(kind="CONNECTOR"):
            raise no_connectors(statement.span)
    raise AssertionError(statement)


def no_connectors(span: Span) -> NotSupportedError:
    """What every statement about connectors gets."""
    return NotSupportedError(
        "connectors are not built: there is no Kafka Connect that could run them",
        span=span,
        hint="streamsql load FILE puts files into a topic; db.producer and db.consumer move records",
    )


def _describe_all(database: Database, kind: str, *, is_extended: bool) -> Result:
    """DESCRIBE of every stream or table, each row with its name."""
    infos = sorted((s for s in database.catalog.sources.values() if s.kind == kind), key=lambda s: s.name)
    if is_extended:
        known = (database.catalog, database.log, database.queries)
        parts = [(s.name, show.describe_extended(s, *known)) for s in infos]
    else:
        parts = [(s.name, show.describe(s)) for s in infos]
    return _named("NAME", parts, ("WHAT", "VALUE") if is_extended else ("COLUMN", "TYPE", "ROLE"))


def _named(title: str, parts: Iterable[tuple[str, Result]], columns: Sequence[str]) -> Result:
    """Several results as one, each row with the name of what it is about."""
    found = [(name, *row) for name, part in parts for row in part.fetchall()]
    return rows([Column(name, VARCHAR) for name in (title, *columns)], found)


def _show(database: Database, statement: ast.Show) -> Result:
    match statement.what:
        case "STREAMS" | "TABLES" if statement.is_extended:
            return _describe_all(database, statement.what.removesuffix("S"), is_extended=True)
        case "STREAMS" | "TABLES":
            return show.show_sources(database.catalog, statement.what.removesuffix("S"))
        case "TOPICS":
            groups = database.groups if statement.is_extended else None
            return show.show_topics(database.log, groups, is_all=statement.is_all)
        case "QUERIES" if statement.is_extended:
            explained = [(name, _explain_running(database, name)) for name in database.catalog.queries]
            return _named("ID", explained, ("WHAT", "VALUE"))
        case "QUERIES":
            return show.show_queries(database.catalog, database.queries)
        case "FUNCTIONS":
            return show.show_functions(database.library)
        case "PROPERTIES":
            return show.show_properties(database.config)
        case "TYPES":
            return show.show_types(database.catalog)
        case "CONSUMER GROUPS":
            return show.show_consumer_groups(database.groups)
        case "VARIABLES":
            return rows(
                [Column("NAME", VARCHAR), Column("VALUE", VARCHAR)], sorted(database.variables.items())
            )
    raise no_connectors(statement.span)


def _explain_running(database: Database, query_id: str) -> Result:
    from streamsql.plan.explain import explain_persistent

    runner = database.queries.get(query_id)
    state = runner.state if runner.error is None else f"{runner.state}: {runner.error.message}"
    return explain_persistent(database.queries.plans[runner.name], state)


def _explain(database: Database, statement: ast.Explain) -> Result:
    from streamsql.plan.explain import explain_persistent, explain_pull, explain_push
    from streamsql.plan.pull import plan_pull
    from streamsql.plan.push import plan_push

    inner = statement.statement
    if statement.query_id is not None:
        return _explain_running(database, statement.query_id)
    match inner:
        case ast.CreateAsSelect() | ast.InsertSelect():
            return explain_persistent(database.definitions.plan_query(inner), None)
        case ast.QueryStatement(query=query) if query.emit is not None:
            return explain_push(plan_push(query, database.environment))
        case ast.QueryStatement(query=query):
            return explain_pull(plan_pull(query, database.environment))
    raise at(
        place_of(inner),
        "EXPLAIN takes a SELECT, a CREATE .. AS SELECT, an INSERT .. SELECT or a query's id",
        "PLAN-EXPLAIN",
    )

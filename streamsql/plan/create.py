"""CREATE STREAM and CREATE TABLE over a topic: from the statement to a catalog entry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from streamsql import formats
from streamsql.catalog import SideFormat, SourceInfo, TimestampColumn
from streamsql.errors import PlanError, Span
from streamsql.formats.checks import ColumnRefused
from streamsql.functions.java_time import timestamp_sql
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.parser import parse_expression, parse_type
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.environment import Environment
from streamsql.plan.properties import (
    OF_CREATE,
    Properties,
    read_properties,
    side_formats,
    windowed_key,
    with_wrapping,
)
from streamsql.plan.scope import at
from streamsql.plan.sources import layout_of
from streamsql.plan.type_names import resolve_type
from streamsql.schema import RESERVED_COLUMNS, Column, Schema
from streamsql.types import BIGINT, BYTES, TIMESTAMP, VARCHAR, Array, Map, Struct, walk

HEADERS_TYPE = Array(Struct((("KEY", VARCHAR), ("VALUE", BYTES))))


@dataclass(frozen=True, slots=True)
class NewSource:
    """A stream or table to be, and what the statement asks of its topic.

    statement     with the columns that came from a registered schema: they stay as they are from now on
    partitions    None: not said
    retention_ms  None: not said
    """

    statement: ast.CreateSource
    info: SourceInfo
    partitions: int | None
    retention_ms: int | None


def plan_create(statement: ast.CreateSource, env: Environment, *, is_new: bool = True) -> NewSource:
    """CREATE STREAM or TABLE over a topic.

    is_new  False: it was accepted before, and says all its columns; no registry is asked
    raises  PlanError with the span of what is wrong
    """
    check_source_name(statement.name)
    properties = read_properties(statement.properties, OF_CREATE, statement.name)
    schema = read_columns(statement.columns, statement.kind, env)
    key_default, value_default = default_formats(env)
    key_format, value_format = side_formats(properties, key_default, value_default, has_key=bool(schema.key))
    if properties.flag("WRAP_SINGLE_VALUE") is False:
        # Then a registered record is not the row: it is the one value.
        value_format = replace(value_format, is_wrapped=False)
    topic = properties.get("KAFKA_TOPIC") or str(statement.name)
    draft = SourceInfo(
        str(statement.kind),
        str(statement.name),
        schema,
        topic,
        key_format,
        value_format,
        is_source=statement.is_source,
    )
    if is_new or not schema.columns:
        draft = with_inferred_columns(draft, statement, env, properties)
    statement = _with_columns(statement, schema, draft.schema)
    draft = replace(draft, sql=to_sql(statement))
    schema = draft.schema
    check_columns(draft, place_of(*statement.columns) or place_of(statement.name), {})
    wrap = env.config.text("ksql.persistence.wrap.single.values")
    draft = replace(
        draft,
        value_format=with_wrapping(properties, value_format, len(schema.value), wrap),
        window=windowed_key(properties, has_key=bool(schema.key)),
    )
    draft = replace(draft, timestamp=timestamp_column(properties, schema))
    if draft.is_source and draft.is_table and draft.window:
        raise properties.error("WINDOW_TYPE", "a SOURCE TABLE cannot be windowed", code="PLAN-SOURCE-TABLE")
    check_formats(draft, env, properties, {c.name: c.span for c in statement.columns})
    retention = properties.number("RETENTION_MS", 0)
    check_retention(draft, retention, properties)
    return NewSource(statement, draft, properties.number("PARTITIONS", 1), retention)


def check_retention(info: SourceInfo, retention_ms: int | None, properties: Properties) -> None:
    """raises PlanError for a table that would lose its oldest rows"""
    if retention_ms is not None and info.is_table and not info.window:
        raise properties.error("RETENTION_MS", "RETENTION_MS is for streams and windowed tables")


def check_source_name(name: str) -> None:
    """raises PlanError for a character that is no part of a stream's or table's name"""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise at(
            place_of(name),
            f"{quote_name(name)} is no name for a stream or table: letters, digits, _ and - are allowed",
            "PLAN-SOURCE-NAME",
            quote_name(re.sub(r"[^A-Za-z0-9_-]+", "_", name)),
        )


def default_formats(env: Environment) -> tuple[SideFormat | None, SideFormat | None]:
    """Key and value format of the settings, None where they name none."""
    key = env.config.text("ksql.persistence.default.format.key")
    value = env.config.text("ksql.persistence.default.format.value")
    return SideFormat(key.upper()) if key else None, SideFormat(value.upper()) if value else None


def read_columns(columns: Sequence[ast.ColumnDefinition], kind: str, env: Environment) -> Schema:
    """The column list of a CREATE statement.

    raises  PlanError for a name or a key word that cannot stand there
    """
    seen: set[str] = set()
    key: list[Column] = []
    value: list[Column] = []
    headers: list[Column] = []
    for column in columns:
        name = quote_name(column.name)
        if column.name in RESERVED_COLUMNS:
            raise at(column.span, f"{name} is a reserved name and cannot be a column", "PLAN-RESERVED-NAME")
        if column.name in seen:
            raise at(column.span, f"column {name} is declared twice", "PLAN-DUPLICATE-COLUMN")
        seen.add(column.name)
        t = resolve_type(column.type, env.type)
        if column.role in ("KEY", "PRIMARY KEY"):
            right = "PRIMARY KEY" if kind == "TABLE" else "KEY"
            if column.role != right:
                raise at(
                    column.span,
                    f"column {name} of a {kind} is a {right}, not a {column.role}",
                    "PLAN-KEY-WORD",
                )
            key.append(Column(column.name, t))
            check_key_type(key[-1], column.span)
        elif column.role == "HEADERS":
            if t != HEADERS_TYPE:
                raise at(
                    column.span, f"HEADERS column {name} must be {HEADERS_TYPE}, not {t}", "PLAN-HEADERS"
                )
            headers.append(Column(column.name, t, header=""))
        elif column.role == "HEADER":
            if t != BYTES:
                raise at(column.span, f"HEADER column {name} must be BYTES, not {t}", "PLAN-HEADERS")
            headers.append(Column(column.name, t, header=column.header))
        else:
            value.append(Column(column.name, t))
    if headers:
        first = next(column.span for column in columns if column.role in ("HEADERS", "HEADER"))
        if not env.config.flag("ksql.headers.columns.enabled"):
            raise at(
                first,
                "HEADERS columns are switched off (ksql.headers.columns.enabled)",
                "PLAN-HEADERS",
            )
        if any(h.header == "" for h in headers) and len(headers) > 1:
            raise at(first, "a HEADERS column stands alone: there can be no other one", "PLAN-HEADERS")
        if len({h.header for h in headers}) < len(headers):
            raise at(first, "one header is declared for two columns", "PLAN-HEADERS")
    return Schema(tuple(key), tuple(value), tuple(headers))


def with_inferred_columns(
    draft: SourceInfo, statement: ast.CreateSource, env: Environment, properties: Properties
) -> SourceInfo:
    """Columns that are not declared come from the registered schema, where the format has one."""
    schema = draft.schema
    for is_key in (True, False):
        side = draft.key_format if is_key else draft.value_format
        has_id = "SCHEMA_ID" in side.properties
        declared = schema.key if is_key else schema.value
        if declared and has_id:
            word = "KEY" if is_key else "VALUE"
            roles = ("KEY", "PRIMARY KEY") if is_key else ("",)
            raise at(
                place_of(*(c for c in statement.columns if c.role in roles)),
                f"{word}_SCHEMA_ID gives the columns: none can be declared",
                "PLAN-SCHEMA-ID",
                f"leave out the columns, or {word}_SCHEMA_ID",
            )
        if declared or (is_key and draft.window is None and not formats.get(side.name).can_infer):
            continue
        try:
            inferred = formats.get(side.name).infer(layout_of(draft, is_key=is_key, schemas=env.schemas))
        except PlanError as error:
            error.span = error.span or _format_place(properties, is_key, error)
            raise
        if inferred is None and not is_key and not schema.columns and formats.get(side.name).can_infer:
            raise at(
                place_of(statement.name),
                f"{draft.title} has no columns, and no schema {draft.topic}-value is registered to give them",
                "PLAN-NO-COLUMNS",
                "(NAME VARCHAR, ..)",
            )
        if inferred:
            schema = replace(schema, key=inferred) if is_key else replace(schema, value=inferred)
    return replace(draft, schema=schema)


def _with_columns(statement: ast.CreateSource, declared: Schema, found: Schema) -> ast.CreateSource:
    """The statement with what was inferred written out."""
    key_role = "PRIMARY KEY" if statement.kind == "TABLE" else "KEY"
    added = [
        ast.ColumnDefinition(column.name, parse_type(str(column.type)), role, span=statement.span)
        for inferred, known, role in ((found.key, declared.key, key_role), (found.value, declared.value, ""))
        if not known
        for column in inferred
    ]
    return replace(statement, columns=(*statement.columns, *added)) if added else statement


def check_columns(info: SourceInfo, span: Span | None, keys: Mapping[str, Span | None]) -> None:
    """What makes up a stream or table.

    span, keys  where the columns, and the key columns by name, are written
    raises      PlanError
    """
    schema = info.schema
    if not schema.columns:
        raise at(span, f"{info.title} has no columns", "PLAN-NO-COLUMNS", "(NAME VARCHAR, ..)")
    if info.is_table and not schema.key:
        hint = "(ID BIGINT PRIMARY KEY, ..)"
        raise at(span, f"{info.title} needs a PRIMARY KEY", "PLAN-NO-PRIMARY-KEY", hint)
    for column in schema.key:
        check_key_type(column, keys.get(column.name, span))
    names = [c.name for c in schema.columns]
    for name in names:
        if names.count(name) > 1:
            is_key = any(c.name == name for c in schema.key)
            where = "stands in key and value" if is_key else "is there twice"
            raise at(span, f"column {quote_name(name)} {where}", "PLAN-DUPLICATE-COLUMN")


def check_key_type(column: Column, span: Span | None) -> None:
    """raises PlanError for a key with a MAP in it: the order of its entries would make one key many"""
    if any(isinstance(part, Map) for part in walk(column.type)):
        raise at(
            span,
            f"key column {quote_name(column.name)} is {column.type}: a key cannot hold a MAP",
            "PLAN-KEY-TYPE",
        )


def check_formats(
    info: SourceInfo, env: Environment, properties: Properties, columns: Mapping[str, Span]
) -> None:
    """raises PlanError if a format cannot hold the columns: at the column at fault, or at the property

    columns  where each is written
    """
    for is_key in (True, False):
        side = info.key_format if is_key else info.value_format
        if not is_key and not info.schema.value:
            continue  # its values are never read
        try:
            formats.get(side.name).check(layout_of(info, is_key=is_key, schemas=env.schemas))
        except PlanError as error:
            if error.span is None:
                refused = error.column if isinstance(error, ColumnRefused) else ""
                error.span = columns.get(refused) or _format_place(properties, is_key, error)
            raise


def _format_place(properties: Properties, is_key: bool, error: PlanError) -> Span | None:
    """Where a side's format, or the schema that it reads, is chosen."""
    side = "KEY" if is_key else "VALUE"
    schema = (f"{side}_SCHEMA_ID",) if error.code == "PLAN-SCHEMA-ID" else ()
    return properties.place(*schema, f"{side}_FORMAT", "FORMAT") or properties.span


def timestamp_column(properties: Properties, schema: Schema) -> TimestampColumn | None:
    """TIMESTAMP and TIMESTAMP_FORMAT.

    raises  PlanError if there is no such column, or its type and the pattern do not go together
    """
    name, pattern = properties.get("TIMESTAMP"), properties.get("TIMESTAMP_FORMAT")
    if name is None:
        if pattern is not None:
            raise properties.error("TIMESTAMP_FORMAT", "TIMESTAMP_FORMAT needs TIMESTAMP")
        return None
    try:
        parsed = parse_expression(name)
    except PlanError:
        parsed = ast.ColumnRef(name)
    folded = parsed.name if isinstance(parsed, ast.ColumnRef) else name
    column = schema.find(folded)
    if column is None:
        raise properties.error("TIMESTAMP", f"the TIMESTAMP column {quote_name(folded)} does not exist")
    if column.type in (BIGINT, TIMESTAMP):
        if pattern is not None:
            raise properties.error(
                "TIMESTAMP_FORMAT", f"TIMESTAMP_FORMAT is for a VARCHAR column, not {column.type}"
            )
    elif column.type == VARCHAR:
        if pattern is None:
            raise properties.error(
                "TIMESTAMP",
                f"column {quote_name(folded)} is VARCHAR: how to read it must be said",
                "TIMESTAMP_FORMAT = 'yyyy-MM-dd HH:mm:ss'",
            )
        try:
            timestamp_sql("text", pattern)
        except PlanError as error:
            error.span = properties.spans["TIMESTAMP_FORMAT"]
            raise
    else:
        raise properties.error(
            "TIMESTAMP", f"the TIMESTAMP column must be BIGINT, TIMESTAMP or VARCHAR, not {column.type}"
        )
    return TimestampColumn(folded, pattern)


def register_schemas(info: SourceInfo, env: Environment, *, only_missing: bool) -> None:
    """Register the schemas that a source's records are written with, where its formats have them.

    only_missing  leave a subject alone that has a schema: a source declared over records of others
    raises        PlanError if the registry finds the schema incompatible with the one before
    """
    for is_key, side in ((True, info.key_format), (False, info.value_format)):
        found = formats.get(side.name)
        subject = f"{info.topic}-{'key' if is_key else 'value'}"
        if not found.can_infer or env.schemas is None or not (info.schema.key or not is_key):
            continue
        if only_missing and env.schemas.latest(subject) is not None:
            continue
        found.register(layout_of(info, is_key=is_key, schemas=env.schemas))

"""Makes statements, see streamsql.grammar.build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streamsql.errors import ParseError, Span
from streamsql.grammar import ast
from streamsql.grammar.build_text import span_of, string_value
from streamsql.grammar.lexer import Token
from streamsql.grammar.places import PlacedText

Elements = tuple[ast.ColumnDefinition, ...]
Properties = tuple[ast.Property, ...]


class CreateHead(NamedTuple):
    """What CREATE STREAM/TABLE begins with, whether AS SELECT follows or not."""

    kind: str
    name: str
    or_replace: bool
    if_not_exists: bool
    is_source: bool
    span: Span


# --- queries ------------------------------------------------------------------------------------


def _query_statement(span: Span, query: ast.Query) -> ast.QueryStatement:
    return ast.QueryStatement(query, span=span)


def _insert_select(
    span: Span, target: str, properties: Properties | None, query: ast.Query
) -> ast.InsertSelect:
    return ast.InsertSelect(target, query, properties or (), span=span)


def _insert_values(
    span: Span, target: str, columns: tuple[str, ...] | None, rows: tuple[tuple[ast.Expression, ...], ...]
) -> ast.InsertValues:
    return ast.InsertValues(target, rows, columns, span=span)


# --- definitions --------------------------------------------------------------------------------


def _create_head(
    span: Span, or_replace: bool | None, source: Token | None, kind: str, if_not_exists: bool, name: str
) -> CreateHead:
    return CreateHead(kind, name, or_replace is not None, if_not_exists, source is not None, span)


def _create_source(
    span: Span, head: CreateHead, elements: Elements | None, properties: Properties | None
) -> ast.CreateSource:
    columns = elements or ()
    _check_key_words(head.kind, columns)
    return ast.CreateSource(
        head.kind,
        head.name,
        columns,
        properties or (),
        head.or_replace,
        head.if_not_exists,
        head.is_source,
        span=span,
    )


def _create_as_select(
    span: Span, head: CreateHead, properties: Properties | None, query: ast.Query
) -> ast.CreateAsSelect:
    if head.is_source:
        raise ParseError(
            f"a SOURCE {head.kind} reads a topic that others write, so it has no AS SELECT",
            code="PARSE-SOURCE-AS-SELECT",
            span=head.span,
            hint=f"leave out the word SOURCE: CREATE {head.kind} {head.name} AS SELECT ..",
        )
    return ast.CreateAsSelect(
        head.kind, head.name, query, properties or (), head.or_replace, head.if_not_exists, span=span
    )


def _check_key_words(kind: str, columns: Elements) -> None:
    """Streams have KEY columns, tables PRIMARY KEY columns."""
    right, wrong = ("KEY", "PRIMARY KEY") if kind == "STREAM" else ("PRIMARY KEY", "KEY")
    for column in columns:
        if column.role == wrong:
            raise ParseError(
                f"column {column.name} of a {kind} is marked {wrong}, a {kind} has {right} columns",
                code="PARSE-KEY",
                span=column.span,
                hint=f"write {right} in place of {wrong}",
            )


def _element(span: Span, name: str, kind: ast.TypeNode, role: Any) -> ast.ColumnDefinition:
    if isinstance(role, _Header):
        return ast.ColumnDefinition(str(name), kind, "HEADER", role.name, span=span)
    return ast.ColumnDefinition(str(name), kind, role or "", span=span)


class _Header(NamedTuple):
    name: str


def _header_role(_span: Span, name: Token) -> _Header:
    return _Header(string_value(name))


def _property(span: Span, name: str, value: ast.Expression) -> ast.Property:
    return ast.Property(name, value, span=span)


def _drop_source(span: Span, kind: str, if_exists: bool, name: str, delete_topic: bool) -> ast.DropSource:
    return ast.DropSource(kind, name, if_exists, delete_topic, span=span)


def _alter_source(span: Span, kind: str, name: str, *columns: ast.ColumnDefinition) -> ast.AlterSource:
    return ast.AlterSource(kind, name, columns, span=span)


def _alter_topic(span: Span, topic: str, properties: tuple[ast.Property, ...]) -> ast.AlterTopic:
    return ast.AlterTopic(topic, properties, span=span)


def _addition(span: Span, name: str, kind: ast.TypeNode) -> ast.ColumnDefinition:
    return ast.ColumnDefinition(str(name), kind, span=span)


def _create_type(span: Span, if_not_exists: bool, name: str, kind: ast.TypeNode) -> ast.CreateType:
    return ast.CreateType(name, kind, if_not_exists, span=span)


def _drop_type(span: Span, if_exists: bool, name: str) -> ast.DropType:
    return ast.DropType(name, if_exists, span=span)


def _create_connector(
    span: Span, kind: Token, if_not_exists: bool, name: str, properties: Properties | None
) -> ast.CreateConnector:
    return ast.CreateConnector(kind.text.upper(), name, properties or (), if_not_exists, span=span)


def _drop_connector(span: Span, if_exists: bool, name: str) -> ast.DropConnector:
    return ast.DropConnector(name, if_exists, span=span)


# --- looking around -----------------------------------------------------------------------------


def _show(span: Span, what: str) -> ast.Show:
    return ast.Show(what, span=span)


def _show_extensible(span: Span, what: Token, is_extended: bool) -> ast.Show:
    return ast.Show(what.text.upper(), is_extended, span=span)


def _show_topics(span: Span, every: Token | None, is_extended: bool) -> ast.Show:
    return ast.Show("TOPICS", is_extended, every is not None, span=span)


def _describe_source(span: Span, name: str, is_extended: bool) -> ast.Describe:
    return ast.Describe("SOURCE", name, is_extended, span=span)


def _describe_all(span: Span, what: Token, is_extended: bool) -> ast.Describe:
    return ast.Describe(what.text.upper(), "", is_extended, span=span)


def _describe_function(span: Span, name: str) -> ast.Describe:
    return ast.Describe("FUNCTION", name, span=span)


def _describe_connector(span: Span, name: str) -> ast.Describe:
    return ast.Describe("CONNECTOR", name, span=span)


def _explain_statement(span: Span, statement: ast.Statement) -> ast.Explain:
    return ast.Explain(statement, span=span)


def _explain_query(span: Span, query_id: str) -> ast.Explain:
    return ast.Explain(None, query_id, span=span)


def _print_topic(
    span: Span, topic: str, from_beginning: bool, interval: int | None, limit: int | None
) -> ast.PrintTopic:
    return ast.PrintTopic(topic, from_beginning, interval, limit, span=span)


# --- settings and control -----------------------------------------------------------------------


def _placed(token: Token) -> PlacedText:
    return PlacedText(string_value(token), span_of(token))


def _set_property(span: Span, name: Token, value: Token) -> ast.SetProperty:
    return ast.SetProperty(_placed(name), _placed(value), span=span)


def _unset_property(span: Span, name: Token) -> ast.UnsetProperty:
    return ast.UnsetProperty(_placed(name), span=span)


def _alter_system(span: Span, name: Token, value: Token) -> ast.AlterSystem:
    return ast.AlterSystem(_placed(name), _placed(value), span=span)


def _define(span: Span, name: str, value: Token) -> ast.Define:
    return ast.Define(name, string_value(value), span=span)


def _undefine(span: Span, name: str) -> ast.Undefine:
    return ast.Undefine(name, span=span)


def _control_query(span: Span, action: Token, query_id: str) -> ast.QueryControl:
    return ast.QueryControl(action.text.upper(), query_id, span=span)


def _control_all(span: Span, action: Token) -> ast.QueryControl:
    return ast.QueryControl(action.text.upper(), None, span=span)


def _run_script(span: Span, path: Token) -> ast.RunScript:
    return ast.RunScript(_placed(path), span=span)


# --- ASSERT -------------------------------------------------------------------------------------


def _assert_topic(
    span: Span,
    negation: bool | None,
    topic: str,
    properties: Properties | None,
    timeout: ast.Duration | None,
) -> ast.AssertTopic:
    return ast.AssertTopic(topic, properties or (), timeout, negation is None, span=span)


def _assert_schema(
    span: Span,
    negation: bool | None,
    subject: str,
    schema_id: int | None,
    timeout: ast.Duration | None,
) -> ast.AssertSchema:
    return ast.AssertSchema(subject, schema_id, timeout, negation is None, span=span)


def _assert_schema_id(
    span: Span, negation: bool | None, schema_id: int, timeout: ast.Duration | None
) -> ast.AssertSchema:
    return ast.AssertSchema(None, schema_id, timeout, negation is None, span=span)


def _subject(_span: Span, subject: str) -> str:
    return subject


def _assert_values(
    span: Span, source: str, columns: tuple[str, ...] | None, values: tuple[ast.Expression, ...]
) -> ast.AssertValues:
    return ast.AssertValues(source, values, columns, span=span)


def _assert_tombstone(
    span: Span, source: str, columns: tuple[str, ...] | None, values: tuple[ast.Expression, ...]
) -> ast.AssertValues:
    return ast.AssertValues(source, values, columns, True, span=span)


def _assert_source(
    span: Span, kind: str, name: str, elements: Elements | None, properties: Properties | None
) -> ast.AssertSource:
    columns = elements or ()
    _check_key_words(kind, columns)
    return ast.AssertSource(kind, name, columns, properties or (), span=span)


STATEMENT_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "addition": _addition,
    "alter_source": _alter_source,
    "alter_system": _alter_system,
    "alter_topic": _alter_topic,
    "assert_schema": _assert_schema,
    "assert_schema_id": _assert_schema_id,
    "assert_source": _assert_source,
    "assert_tombstone": _assert_tombstone,
    "assert_topic": _assert_topic,
    "assert_values": _assert_values,
    "control_all": _control_all,
    "control_query": _control_query,
    "create_as_select": _create_as_select,
    "create_connector": _create_connector,
    "create_head": _create_head,
    "create_source": _create_source,
    "create_type": _create_type,
    "define": _define,
    "describe_all": _describe_all,
    "describe_connector": _describe_connector,
    "describe_function": _describe_function,
    "describe_source": _describe_source,
    "drop_connector": _drop_connector,
    "drop_source": _drop_source,
    "drop_type": _drop_type,
    "element": _element,
    "explain_query": _explain_query,
    "explain_statement": _explain_statement,
    "header_role": _header_role,
    "insert_select": _insert_select,
    "insert_values": _insert_values,
    "print_topic": _print_topic,
    "property": _property,
    "query_statement": _query_statement,
    "run_script": _run_script,
    "set_property": _set_property,
    "show": _show,
    "show_extensible": _show_extensible,
    "show_topics": _show_topics,
    "subject": _subject,
    "undefine": _undefine,
    "unset_property": _unset_property,
}

"""Queries, relations and statements as canonical SQL, see streamsql.grammar.printer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamsql.grammar import ast
from streamsql.grammar.names import quote_name, quote_topic
from streamsql.grammar.printer import (
    CONCAT,
    PRIMARY,
    comma,
    expression,
    expressions,
    string,
    to_sql,
    type_text,
    when,
)


def other(node: ast.Node) -> str:
    """Any node that is neither an expression nor a type."""
    return _TEXT[type(node)](node)


def _join(*parts: str | None) -> str:
    """The parts that are there, with a blank between them."""
    return " ".join(part for part in parts if part)


def _if(condition: bool, words: str) -> str | None:
    return words if condition else None


# --- queries ------------------------------------------------------------------------------------


def _select(node: ast.Select) -> str:
    body = _join(
        "SELECT",
        _if(node.is_distinct, "DISTINCT"),
        comma([to_sql(item) for item in node.items]),
        "FROM",
        to_sql(node.relation),
        None if node.window is None else to_sql(node.window),
        None if node.where is None else f"WHERE {expression(node.where)}",
        None if node.group_by is None else f"GROUP BY {_grouping(node.group_by)}",
        None if node.partition_by is None else f"PARTITION BY {_grouping(node.partition_by)}",
        None if node.having is None else f"HAVING {expression(node.having)}",
    )
    return _framed(node, body)


def _grouping(items: Sequence[ast.Expression]) -> str:
    return comma([expression(item, CONCAT) for item in items]) or "()"


def _set_operation(node: ast.SetOperation) -> str:
    binds = node.op == "INTERSECT"
    return _framed(node, f"{_side(node.left, binds, False)} {node.op} {_side(node.right, binds, True)}")


def _side(query: ast.Query, under_intersect: bool, is_right: bool) -> str:
    """One side; INTERSECT binds tighter than the others, and all are left associative."""
    text = to_sql(query)
    if not isinstance(query, ast.SetOperation):
        return text
    looser = under_intersect and query.op != "INTERSECT"
    same_on_the_right = is_right and under_intersect == (query.op == "INTERSECT")
    return f"({text})" if looser or same_on_the_right else text


def _framed(node: ast.Query, body: str) -> str:
    return _join(
        f"WITH {comma([to_sql(table) for table in node.ctes])}" if node.ctes else None,
        body,
        f"ORDER BY {comma([to_sql(item) for item in node.order_by])}" if node.order_by else None,
        f"EMIT {node.emit}" if node.emit else None,
        None if node.limit is None else f"LIMIT {node.limit}",
        None if node.offset is None else f"OFFSET {node.offset}",
    )


def _common_table(node: ast.CommonTable) -> str:
    return f"{quote_name(node.name)} AS ({to_sql(node.query)})"


def _order_item(node: ast.OrderItem) -> str:
    return _join(
        expression(node.expression),
        _if(node.descending, "DESC"),
        f"NULLS {node.nulls}" if node.nulls else None,
    )


def _alias(alias: str | None) -> str | None:
    return None if alias is None else f"AS {quote_name(alias)}"


def _select_expression(node: ast.SelectExpression) -> str:
    return _join(expression(node.expression), _alias(node.alias))


def _select_all(node: ast.SelectAll) -> str:
    return "*" if node.qualifier is None else f"{quote_name(node.qualifier)}.*"


def _select_struct_all(node: ast.SelectStructAll) -> str:
    return f"{expression(node.base, PRIMARY)}->*"


def _source(node: ast.SourceRef) -> str:
    return _join(
        quote_name(node.name), _alias(node.alias), None if node.as_of is None else to_sql(node.as_of)
    )


def _subquery(node: ast.SubqueryRef) -> str:
    return _join(f"({to_sql(node.query)})", _alias(node.alias))


def _join_text(node: ast.Join) -> str:
    kind = "JOIN" if node.kind == "INNER" else f"{node.kind} JOIN"
    within = None if node.within is None else to_sql(node.within)
    return _join(to_sql(node.left), kind, to_sql(node.right), within, f"ON {expression(node.condition)}")


def _within(node: ast.Within) -> str:
    before, after = to_sql(node.before), to_sql(node.after)
    grace = f"GRACE PERIOD {to_sql(node.grace)}" if node.grace else None
    return _join("WITHIN", before if node.before == node.after else f"({before}, {after})", grace)


def _duration(node: ast.Duration) -> str:
    return f"{node.amount} {node.unit}S"


def _as_of(node: ast.AsOf) -> str:
    return f"AS OF {node.kind} {expression(node.value, CONCAT)}"


def _window(node: ast.Window) -> str:
    size = to_sql(node.size)
    parts = [size if node.kind == "SESSION" else f"SIZE {size}"]
    if node.advance is not None:
        parts.append(f"ADVANCE BY {to_sql(node.advance)}")
    if node.retention is not None:
        parts.append(f"RETENTION {to_sql(node.retention)}")
    if node.grace is not None:
        parts.append(f"GRACE PERIOD {to_sql(node.grace)}")
    name = None if node.name is None else quote_name(node.name)
    return _join("WINDOW", name, node.kind, f"({comma(parts)})")


# --- parts of statements ------------------------------------------------------------------------


def _element(node: ast.ColumnDefinition) -> str:
    role = f"HEADER({string(node.header or '')})" if node.role == "HEADER" else node.role
    return _join(quote_name(node.name), type_text(node.type), role)


def _elements(columns: Sequence[ast.ColumnDefinition]) -> str | None:
    return f"({comma([_element(column) for column in columns])})" if columns else None


def _property(node: ast.Property) -> str:
    plain = quote_name(node.name) == node.name
    return f"{node.name if plain else string(node.name)} = {expression(node.value)}"


def _properties(properties: Sequence[ast.Property]) -> str | None:
    return f"WITH ({comma([_property(p) for p in properties])})" if properties else None


def _columns(names: Sequence[str] | None) -> str | None:
    return None if names is None else f"({comma([quote_name(name) for name in names])})"


def _timeout(timeout: ast.Duration | None) -> str | None:
    return None if timeout is None else f"TIMEOUT {to_sql(timeout)}"


# --- statements ---------------------------------------------------------------------------------


def _create_source(node: ast.CreateSource) -> str:
    return _join(
        "CREATE",
        _if(node.or_replace, "OR REPLACE"),
        _if(node.is_source, "SOURCE"),
        node.kind,
        _if(node.if_not_exists, "IF NOT EXISTS"),
        quote_name(node.name),
        _elements(node.columns),
        _properties(node.properties),
    )


def _create_as_select(node: ast.CreateAsSelect) -> str:
    return _join(
        "CREATE",
        _if(node.or_replace, "OR REPLACE"),
        node.kind,
        _if(node.if_not_exists, "IF NOT EXISTS"),
        quote_name(node.name),
        _properties(node.properties),
        "AS",
        to_sql(node.query),
    )


def _insert_select(node: ast.InsertSelect) -> str:
    return _join("INSERT INTO", quote_name(node.target), _properties(node.properties), to_sql(node.query))


def _insert_values(node: ast.InsertValues) -> str:
    rows = ", ".join(f"({expressions(row)})" for row in node.rows)
    return _join("INSERT INTO", quote_name(node.target), _columns(node.columns), f"VALUES {rows}")


def _query_statement(node: ast.QueryStatement) -> str:
    return to_sql(node.query)


def _drop_source(node: ast.DropSource) -> str:
    return _join(
        "DROP",
        node.kind,
        _if(node.if_exists, "IF EXISTS"),
        quote_name(node.name),
        _if(node.delete_topic, "DELETE TOPIC"),
    )


def _alter_source(node: ast.AlterSource) -> str:
    additions = comma([f"ADD COLUMN {_element(column)}" for column in node.columns])
    return f"ALTER {node.kind} {quote_name(node.name)} {additions}"


def _alter_topic(node: ast.AlterTopic) -> str:
    return _join("ALTER TOPIC", quote_topic(node.topic), _properties(node.properties))


def _create_type(node: ast.CreateType) -> str:
    exists = _if(node.if_not_exists, "IF NOT EXISTS")
    return _join("CREATE TYPE", exists, quote_name(node.name), "AS", type_text(node.type))


def _drop_type(node: ast.DropType) -> str:
    return _join("DROP TYPE", _if(node.if_exists, "IF EXISTS"), quote_name(node.name))


def _create_connector(node: ast.CreateConnector) -> str:
    exists = _if(node.if_not_exists, "IF NOT EXISTS")
    return _join(
        "CREATE", node.kind, "CONNECTOR", exists, quote_name(node.name), _properties(node.properties)
    )


def _drop_connector(node: ast.DropConnector) -> str:
    return _join("DROP CONNECTOR", _if(node.if_exists, "IF EXISTS"), quote_name(node.name))


def _show(node: ast.Show) -> str:
    return _join("SHOW", _if(node.is_all, "ALL"), node.what, _if(node.is_extended, "EXTENDED"))


def _describe(node: ast.Describe) -> str:
    named = quote_name(node.name) if node.name else None
    kind = None if node.kind == "SOURCE" else node.kind
    return _join("DESCRIBE", kind, named, _if(node.is_extended, "EXTENDED"))


def _explain(node: ast.Explain) -> str:
    return f"EXPLAIN {to_sql(node.statement) if node.statement else quote_name(node.query_id or '')}"


def _print_topic(node: ast.PrintTopic) -> str:
    return _join(
        "PRINT",
        quote_topic(node.topic),
        _if(node.from_beginning, "FROM BEGINNING"),
        None if node.interval is None else f"INTERVAL {node.interval}",
        None if node.limit is None else f"LIMIT {node.limit}",
    )


def _set_property(node: ast.SetProperty) -> str:
    return f"SET {string(node.name)} = {string(node.value)}"


def _unset_property(node: ast.UnsetProperty) -> str:
    return f"UNSET {string(node.name)}"


def _alter_system(node: ast.AlterSystem) -> str:
    return f"ALTER SYSTEM {string(node.name)} = {string(node.value)}"


def _define(node: ast.Define) -> str:
    return f"DEFINE {quote_name(node.name)} = {string(node.value)}"


def _undefine(node: ast.Undefine) -> str:
    return f"UNDEFINE {quote_name(node.name)}"


def _query_control(node: ast.QueryControl) -> str:
    return f"{node.action} {'ALL' if node.query_id is None else quote_name(node.query_id)}"


def _run_script(node: ast.RunScript) -> str:
    return f"RUN SCRIPT {string(node.path)}"


def _assert_topic(node: ast.AssertTopic) -> str:
    return _join(
        "ASSERT",
        _if(not node.exists, "NOT EXISTS"),
        "TOPIC",
        quote_topic(node.topic),
        _properties(node.properties),
        _timeout(node.timeout),
    )


def _assert_schema(node: ast.AssertSchema) -> str:
    return _join(
        "ASSERT",
        _if(not node.exists, "NOT EXISTS"),
        "SCHEMA",
        None if node.subject is None else f"SUBJECT {quote_topic(node.subject)}",
        None if node.schema_id is None else f"ID {node.schema_id}",
        _timeout(node.timeout),
    )


def _assert_values(node: ast.AssertValues) -> str:
    first, second = ("NULL VALUES", "KEY") if node.is_tombstone else ("VALUES", "VALUES")
    values = f"({expressions(node.values)})"
    return _join("ASSERT", first, quote_name(node.source), _columns(node.columns), second, values)


def _assert_source(node: ast.AssertSource) -> str:
    return _join(
        "ASSERT", node.kind, quote_name(node.name), _elements(node.columns), _properties(node.properties)
    )


_TEXT: dict[type[ast.Node], Callable[[Any], str]] = {
    ast.AlterSource: _alter_source,
    ast.AlterSystem: _alter_system,
    ast.AlterTopic: _alter_topic,
    ast.AsOf: _as_of,
    ast.AssertSchema: _assert_schema,
    ast.AssertSource: _assert_source,
    ast.AssertTopic: _assert_topic,
    ast.AssertValues: _assert_values,
    ast.ColumnDefinition: _element,
    ast.CommonTable: _common_table,
    ast.CreateAsSelect: _create_as_select,
    ast.CreateConnector: _create_connector,
    ast.CreateSource: _create_source,
    ast.CreateType: _create_type,
    ast.Define: _define,
    ast.Describe: _describe,
    ast.DropConnector: _drop_connector,
    ast.DropSource: _drop_source,
    ast.DropType: _drop_type,
    ast.Duration: _duration,
    ast.Explain: _explain,
    ast.InsertSelect: _insert_select,
    ast.InsertValues: _insert_values,
    ast.Join: _join_text,
    ast.OrderItem: _order_item,
    ast.PrintTopic: _print_topic,
    ast.Property: _property,
    ast.QueryControl: _query_control,
    ast.QueryStatement: _query_statement,
    ast.RunScript: _run_script,
    ast.Select: _select,
    ast.SelectAll: _select_all,
    ast.SelectExpression: _select_expression,
    ast.SelectStructAll: _select_struct_all,
    ast.SetOperation: _set_operation,
    ast.SetProperty: _set_property,
    ast.Show: _show,
    ast.SourceRef: _source,
    ast.SubqueryRef: _subquery,
    ast.Undefine: _undefine,
    ast.UnsetProperty: _unset_property,
    ast.When: when,
    ast.Window: _window,
    ast.Within: _within,
}

"""The shape of the tree, and the span of every node."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from streamsql.grammar import ast
from streamsql.grammar.parser import parse, parse_expression

A, B, C, D = (ast.ColumnRef(name) for name in "ABCD")


def one(value: int) -> ast.IntegerLiteral:
    return ast.IntegerLiteral(value)


PRECEDENCE: list[tuple[str, ast.Expression]] = [
    ("a OR b AND c", ast.Logical("OR", A, ast.Logical("AND", B, C))),
    ("NOT a AND b", ast.Logical("AND", ast.Not(A), B)),
    ("NOT a = b", ast.Not(ast.Comparison("=", A, B))),
    ("a = b || c", ast.Comparison("=", A, ast.Binary("||", B, C))),
    ("a || b + c", ast.Binary("||", A, ast.Binary("+", B, C))),
    ("a - b - c", ast.Binary("-", ast.Binary("-", A, B), C)),
    ("a + b * c % d", ast.Binary("+", A, ast.Binary("%", ast.Binary("*", B, C), D))),
    ("-a * b", ast.Binary("*", ast.Unary("-", A), B)),
    ("-a[1]", ast.Unary("-", ast.Subscript(A, one(1)))),
    ("-5", one(-5)),
    ("- 5", one(-5)),
    ("-(5)", ast.Unary("-", one(5))),
    ("- -5", ast.Unary("-", one(-5))),
    ("a -5", ast.Binary("-", A, one(5))),
    ("a - -5", ast.Binary("-", A, one(-5))),
    ("2*-3", ast.Binary("*", one(2), one(-3))),
    ("+5", ast.Unary("+", one(5))),
    ("-9223372036854775808", one(-(2**63))),
    ("9223372036854775807", one(2**63 - 1)),
    ("-1.50", ast.DecimalLiteral("-1.50")),
    ("-1e2", ast.DoubleLiteral(-100.0)),
    ("1.7976931348623157E308", ast.DoubleLiteral(1.7976931348623157e308)),
    ("a BETWEEN b AND c AND d", ast.Logical("AND", ast.Between(A, B, C), D)),
    ("NOT a IN (b)", ast.Not(ast.In(A, (B,)))),
    ("a NOT IN (b)", ast.In(A, (B,), True)),
    ("a LIKE b ESCAPE '!' OR c", ast.Logical("OR", ast.Like(A, B, "!"), C)),
    ("a IS NOT NULL AND b", ast.Logical("AND", ast.IsNull(A, True), B)),
    ("-a AT TIME ZONE 'x'", ast.Unary("-", ast.AtTimeZone(A, ast.StringLiteral("x")))),
    ("a.b->c[1]->d", ast.FieldRef(ast.Subscript(ast.FieldRef(ast.ColumnRef("B", "A"), "C"), one(1)), "D")),
    ("f(a => b)", ast.FunctionCall("F", (ast.Lambda(("A",), B),))),
    ("f((a) + 1)", ast.FunctionCall("F", (ast.Binary("+", A, one(1)),))),
    ("f((a, b) => c = d)", ast.FunctionCall("F", (ast.Lambda(("A", "B"), ast.Comparison("=", C, D)),))),
    ("DATEADD(day, 1, a)", ast.FunctionCall("DATEADD", (ast.TimeUnit("DAY"), one(1), A))),
    ("DATEADD(`DAY`, 1, a)", ast.FunctionCall("DATEADD", (ast.ColumnRef("DAY"), one(1), A))),
    ("DATEADD(s.day, 1)", ast.FunctionCall("DATEADD", (ast.ColumnRef("DAY", "S"), one(1)))),
    ("f(day)", ast.FunctionCall("F", (ast.ColumnRef("DAY"),))),
    ("f(years)", ast.FunctionCall("F", (ast.TimeUnit("YEAR"),))),
    ("COUNT(*)", ast.FunctionCall("COUNT", (), True)),
    ("COUNT()", ast.FunctionCall("COUNT")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), PRECEDENCE, ids=[text for text, _ in PRECEDENCE])
def test_what_binds_tighter(text: str, tree: ast.Expression) -> None:
    assert parse_expression(text) == tree


def select(text: str) -> ast.Select:
    (statement,) = parse(text)
    assert isinstance(statement, ast.QueryStatement) and isinstance(statement.query, ast.Select)
    return statement.query


def test_set_operations_are_left_associative_and_intersect_binds_tighter() -> None:
    (statement,) = parse(
        "SELECT a FROM p UNION ALL SELECT a FROM q INTERSECT SELECT a FROM r EXCEPT SELECT a FROM s LIMIT 3;"
    )
    assert isinstance(statement, ast.QueryStatement)
    whole = statement.query
    assert isinstance(whole, ast.SetOperation) and (whole.op, whole.limit) == ("EXCEPT", 3)
    left = whole.left
    assert isinstance(left, ast.SetOperation) and left.op == "UNION ALL" and left.limit is None
    assert isinstance(left.right, ast.SetOperation) and left.right.op == "INTERSECT"


def test_the_frame_belongs_to_the_query_and_not_to_its_parts() -> None:
    query = select("SELECT a FROM (SELECT b FROM t LIMIT 1) AS x EMIT CHANGES LIMIT 2;")
    assert (query.emit, query.limit) == ("CHANGES", 2)
    assert isinstance(query.relation, ast.SubqueryRef)
    assert (query.relation.query.emit, query.relation.query.limit) == (None, 1)


def test_joins_lean_left() -> None:
    relation = select("SELECT * FROM a JOIN b ON x = y LEFT JOIN c WITHIN 1 DAY ON z = w;").relation
    assert isinstance(relation, ast.Join) and relation.kind == "LEFT"
    assert relation.within == ast.Within(ast.Duration(1, "DAY"), ast.Duration(1, "DAY"))
    assert isinstance(relation.left, ast.Join) and relation.left.kind == "INNER"
    assert relation.right == ast.SourceRef("C")


def test_an_empty_grouping_is_not_a_missing_one() -> None:
    assert select("SELECT a FROM s GROUP BY ();").group_by == ()
    assert select("SELECT a FROM s;").group_by is None


def nodes(value: object) -> Iterator[ast.Node]:
    """A node and all below it."""
    if isinstance(value, ast.Node):
        yield value
        for f in dataclasses.fields(value):
            yield from nodes(getattr(value, f.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from nodes(item)


SPANNED = """CREATE TABLE hot WITH (partitions = 3) AS
  SELECT userid AS u, COUNT(*) AS n, CAST(a AS MAP<STRING, INT>), CASE WHEN x THEN -1 END, s->f[1]
  FROM views v LEFT JOIN users WITHIN 1 HOUR GRACE PERIOD 2 MINUTES ON v.id = users.id
  WINDOW TUMBLING (SIZE 10 SECONDS) WHERE name LIKE 'a%' AND NOT (b IN (1, 2)) GROUP BY userid
  EMIT FINAL;"""


def test_every_node_knows_its_place() -> None:
    (statement,) = parse(SPANNED)
    found = [(type(node).__name__, SPANNED[node.span.start : node.span.end]) for node in nodes(statement)]
    expected = {
        ("CreateAsSelect", SPANNED[:-1]),
        ("Property", "partitions = 3"),
        ("SelectExpression", "userid AS u"),
        ("FunctionCall", "COUNT(*)"),
        ("Cast", "CAST(a AS MAP<STRING, INT>)"),
        ("MapType", "MAP<STRING, INT>"),
        ("NamedType", "STRING"),
        ("When", "WHEN x THEN -1"),
        ("IntegerLiteral", "-1"),
        ("Subscript", "s->f[1]"),
        ("FieldRef", "s->f"),
        ("SourceRef", "views v"),
        ("Within", "WITHIN 1 HOUR GRACE PERIOD 2 MINUTES"),
        ("Duration", "2 MINUTES"),
        ("Comparison", "v.id = users.id"),
        ("ColumnRef", "users.id"),
        ("Window", "WINDOW TUMBLING (SIZE 10 SECONDS)"),
        ("Like", "name LIKE 'a%'"),
        ("Logical", "name LIKE 'a%' AND NOT (b IN (1, 2))"),
        ("In", "b IN (1, 2)"),
        ("Select", SPANNED[SPANNED.index("SELECT") : -1]),
    }
    assert expected <= set(found)
    assert all(text for _, text in found)


def test_spans_count_in_the_whole_text() -> None:
    text = "SHOW STREAMS;\n-- two\n  DROP STREAM s ;"
    assert [text[s.span.start : s.span.end] for s in parse(text)] == ["SHOW STREAMS", "DROP STREAM s"]


def test_spans_take_no_part_in_equality() -> None:
    assert parse("SELECT a FROM s;") == parse("  SELECT  a  FROM  s ;")

"""For generated trees of every kind: what is printed reads back as the same tree."""

from __future__ import annotations

import inspect

import grammar_trees as trees
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import ParseError
from streamsql.grammar import ast
from streamsql.grammar.names import RESERVED
from streamsql.grammar.parser import parse, parse_expression, parse_statement, parse_type
from streamsql.grammar.printer import to_sql
from streamsql.grammar.statements import is_complete, split


@given(trees.EXPRESSIONS)
def test_an_expression_reads_back(tree: ast.Expression) -> None:
    assert parse_expression(to_sql(tree)) == tree


@given(trees.TYPES)
def test_a_type_reads_back(tree: ast.TypeNode) -> None:
    assert parse_type(to_sql(tree)) == tree


@pytest.mark.parametrize("kind", trees.STATEMENTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_statement_reads_back(kind: type[ast.Statement], data: st.DataObject) -> None:
    tree = data.draw(trees.STATEMENTS[kind])
    text = to_sql(tree)
    assert parse_statement(text) == tree
    assert to_sql(parse_statement(text)) == text


def test_every_statement_has_a_strategy() -> None:
    kinds = {c for _, c in inspect.getmembers(ast, inspect.isclass) if issubclass(c, ast.Statement)}
    assert kinds - {ast.Statement} == set(trees.STATEMENTS)


@given(trees.SCRIPTS)
def test_a_script_is_cut_where_it_is_parsed(statements: list[ast.Statement]) -> None:
    script = "\n-- next;\n".join(to_sql(statement) + ";" for statement in statements)
    assert parse(script) == tuple(statements)
    pieces = split(script)
    assert [parse(piece.text) for piece in pieces] == [(statement,) for statement in statements]
    assert all(script[piece.start :].startswith(piece.text) for piece in pieces)
    assert is_complete(script) == bool(statements)


@given(st.text(alphabet="abSELCTFROM ,;'`\"()*-/=<>.:$[]{}1e9\n\0é🙂", max_size=40))
def test_any_text_gives_statements_or_one_error_with_a_place(text: str) -> None:
    try:
        parse(text)
    except ParseError as error:
        assert error.span is not None and error.source == text
        assert 0 <= error.span.start <= error.span.end <= len(text)
        assert str(error).startswith(f"[{error.code}] ")


@given(
    st.lists(
        st.sampled_from(sorted(RESERVED) + ["A", "1", "'x'", "(", ")", ",", "=", ".", ";", "*"]),
        max_size=12,
    )
)
def test_any_words_give_statements_or_one_error_with_a_place(words: list[str]) -> None:
    text = " ".join(words)
    try:
        parse(text)
    except ParseError as error:
        assert error.span is not None and error.source == text
        assert 0 <= error.span.start <= error.span.end <= len(text)

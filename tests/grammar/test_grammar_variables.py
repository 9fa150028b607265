"""Filling in variables: what may stand where, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import ParseError
from streamsql.grammar import ast
from streamsql.grammar.lexer import tokenize
from streamsql.grammar.parser import parse
from streamsql.grammar.variables import substitute

VALUES = {
    "NAME": "views",
    "ENV": "dev",
    "TEXT": "'a topic'",
    "PHRASE": "it's",
    "N": "42",
    "MINUS": "-1",
    "REAL": "-1.5e3",
    "YES": "TRUE",
    "QUOTED": "`Views`",
    "WORD": "select",
    "EVIL": "x; DROP STREAM y",
    "REF": "${NAME}",
    "E": "e5",
    "TICK": "a`b",
    "EMPTY": "",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("nothing here", "nothing here"),
        ("SELECT * FROM ${name};", "SELECT * FROM views;"),
        ("SELECT * FROM ${NaMe};", "SELECT * FROM views;"),
        ("WITH (kafka_topic=${text})", "WITH (kafka_topic='a topic')"),
        ("'topic-${env}-${n}'", "'topic-dev-42'"),
        ("'${phrase}'", "'it''s'"),
        ("'${evil}'", "'x; DROP STREAM y'"),
        ("`${tick}`", "`a``b`"),
        ('"${phrase}"', '"it\'s"'),
        ("'${empty}'", "''"),
        ("LIMIT ${n}", "LIMIT 42"),
        ("a = ${yes}", "a = TRUE"),
        ("FROM ${quoted}", "FROM `Views`"),
        ("s_${env}_${n}", "s_dev_42"),
        ("${name}${n}", "views42"),
        ("${name}.${name}->${name}", "views.views->views"),
        # a value never runs into its neighbour
        ("1 -${minus}", "1 - -1"),
        ("'a'${text}", "'a' 'a topic'"),
        ("${text}'a'", "'a topic' 'a'"),
        # escapes, unknown names, comments, no second round
        ("$${name} '$${name}'", "${name} '${name}'"),
        ("${other} '${other}' a_${other}", "${other} '${other}' a_${other}"),
        ("-${other}", "-${other}"),
        ("-- ${name}\n/* ${name} */ ${name}", "-- ${name}\n/* ${name} */ views"),
        ("'${ref}'", "'${NAME}'"),
        ("${ name} ${} $name $", "${ name} ${} $name $"),
        ("'open ${name}", "'open ${name}"),
        # definitions in the text
        ("DEFINE x = 'a'; ${x};", "DEFINE x = 'a'; a;"),
        ("${x}; DEFINE x = 'a'; ${X}; UNDEFINE x; ${x};", "${x}; DEFINE x = 'a'; a; UNDEFINE x; ${x};"),
        ("DEFINE x = '${env}_1'; s_${x};", "DEFINE x = 'dev_1'; s_dev_1;"),
        ("-- set\ndefine x = '''t''';\n${x};", "-- set\ndefine x = '''t''';\n't';"),
    ],
)
def test_substitute(text: str, filled: str) -> None:
    assert substitute(text, VALUES) == filled


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("SELECT * FROM ${evil};", "${evil}"),
        ("SELECT ${phrase} FROM s;", "${phrase}"),
        ("SELECT ${word} FROM s;", "${word}"),
        ("SELECT ${ref} FROM s;", "${ref}"),
        ("SELECT ${empty} FROM s;", "${empty}"),
        ("SELECT ${tick} FROM s;", "${tick}"),
        ("SELECT a_${text} FROM s;", "${text}"),
        ("SELECT a_${minus} FROM s;", "${minus}"),
        ("SHOW STREAMS; SELECT a_${minus} FROM s;", "${minus}"),
    ],
)
def test_a_value_that_is_more_than_one_token_is_refused(text: str, span: str) -> None:
    with pytest.raises(ParseError) as caught:
        substitute(text, VALUES)
    error = caught.value
    assert error.code == "PARSE-VARIABLE" and error.span is not None
    assert text[error.span.start : error.span.end] == span and error.source == text


def test_a_reserved_word_cannot_be_put_together() -> None:
    with pytest.raises(ParseError, match="reserved word"):
        substitute("s${x} * FROM a", {"X": "elect"})


def test_an_undefined_variable_is_a_syntax_error_of_its_own() -> None:
    with pytest.raises(ParseError) as caught:
        parse(substitute("SELECT * FROM ${nowhere};", VALUES))
    assert caught.value.code == "PARSE-VARIABLE"


@given(st.text(alphabet="ab1e.-+'\"`;/* $\n", max_size=8))
def test_a_value_alone_stays_one_token(value: str) -> None:
    """Whatever a value holds, the text around it keeps its tokens, with at most a sign before the value."""
    try:
        filled = substitute("SELECT 1 - ${x}, 'a' FROM s;", {"x": value})
    except ParseError:
        return
    kinds = [token.kind for token in tokenize(filled)]
    assert kinds[:3] == ["WORD", "INTEGER_LITERAL", "MINUS"]
    assert kinds[-6:] == ["COMMA", "STRING_LITERAL", "WORD", "WORD", "SEMICOLON", "$END"]
    assert len(kinds) == 10 or (len(kinds) == 11 and kinds[3] == "MINUS")


@given(st.text(max_size=12))
def test_a_value_in_a_string_stays_in_it(value: str) -> None:
    filled = substitute("SET 'x' = 'a-${x}-b';", {"x": value})
    (statement,) = parse(filled)
    assert statement == ast.SetProperty("x", f"a-{value}-b")

"""Rules for things that other dialects have, or that look as if they should work."""

from __future__ import annotations

import re

from streamsql.errors import ParseError, Span
from streamsql.grammar.keywords import shape
from streamsql.grammar.lexer import END, WORD
from streamsql.grammar.trouble import Trouble, span
from streamsql.grammar.wording import UNITS_IN_WORDS, found

_CLAUSE_WORDS = frozenset({"EMIT", "EXCEPT", "INTERSECT", "OFFSET", "ORDER", "PARTITION", "UNION"})
_DASHED = re.compile(r"[A-Za-z0-9_@]+(?:[-.][A-Za-z0-9_@]+)+")


def _time_unit(trouble: Trouble) -> ParseError | None:
    if {"DAYS", "HOUR"} <= trouble.expected:
        return trouble.error(
            "TIME-UNIT",
            f"found {found(trouble.token)}, expected a time unit",
            f"units are {UNITS_IN_WORDS}",
        )
    return None


def _dashed_name(trouble: Trouble) -> ParseError | None:
    """`PRINT page-views`, `FROM page-views`, `FROM schema.views`"""
    previous = trouble.previous
    if previous is None or previous.kind != WORD or trouble.token.kind not in ("MINUS", "DOT"):
        return None
    run = _DASHED.match(trouble.text, previous.start)
    if run is None or trouble.token.start != previous.end or "ARROW" in trouble.expected:
        return None
    at = Span(run.start(), run.end())
    return trouble.error(
        "NAME", f"{run.group()} cannot be one name as it is", f"put it in backticks: `{run.group()}`", at
    )


def _distinct(trouble: Trouble) -> ParseError | None:
    previous = trouble.previous
    if shape(trouble.token) == "DISTINCT" and previous is not None and previous.kind == "LPAR":
        return trouble.error(
            "DISTINCT", "an aggregate takes no DISTINCT", "COUNT_DISTINCT(x) counts distinct values"
        )
    return None


def _second_dot(trouble: Trouble) -> ParseError | None:
    if trouble.token.kind == "DOT" and "ARROW" in trouble.expected:
        return trouble.error(
            "DOT", "a column has at most one '.', after its source", "fields are read with ->: a.b->c"
        )
    return None


def _list_after_statement(trouble: Trouble) -> ParseError | None:
    """`FROM a, b`"""
    if trouble.token.kind != "COMMA" or END not in trouble.expected or trouble.previous is None:
        return None
    if {"WHERE", "JOIN"} <= trouble.expected:
        return trouble.error("COMMA", "FROM takes one source", "combine sources with JOIN .. ON ..")
    return None


def _empty_parentheses(trouble: Trouble) -> ParseError | None:
    previous = trouble.previous
    is_empty = trouble.token.kind == "RPAR" and previous is not None and previous.kind == "LPAR"
    if is_empty and "NAME" in trouble.expected:
        message = f"there is nothing between the parentheses, expected {trouble.expectation}"
        return trouble.error("EMPTY", message, None)
    return None


def _negative_count(trouble: Trouble) -> ParseError | None:
    expected = trouble.expected
    if trouble.token.kind == "MINUS" and "INTEGER_LITERAL" in expected and "NAME" not in expected:
        return trouble.error("NUMBER", "found '-', expected a whole number from 0 up", None)
    return None


def _columns_with_select(trouble: Trouble) -> ParseError | None:
    begins = shape(trouble.tokens[trouble.begin])
    if shape(trouble.token) == "AS" and "WITH" in trouble.expected and begins == "CREATE":
        hint = "leave the list out: the SELECT gives the columns"
        return trouble.error("AS-SELECT", "AS SELECT takes no list of columns", hint)
    return None


def _not_null(trouble: Trouble) -> ParseError | None:
    if shape(trouble.token) == "NOT" and "PRIMARY" in trouble.expected:
        return trouble.error(
            "CONSTRAINT", "columns have no NOT NULL", "leave it out: every value may be null"
        )
    return None


def _function_in_from(trouble: Trouble) -> ParseError | None:
    if trouble.token.kind == "LPAR" and {"JOIN", "WHERE"} <= trouble.expected:
        return trouble.error(
            "FUNCTION",
            "FROM takes no function",
            "a table function goes into SELECT: SELECT EXPLODE(x) FROM ..",
        )
    return None


def _window_parts(trouble: Trouble) -> ParseError | None:
    """A window whose parts are missing or out of order."""
    message = f"found {found(trouble.token)}, expected {trouble.expectation}"
    if trouble.token.kind == "COMMA" and shape(trouble.tokens[trouble.place + 1]) == "RETENTION":
        at = span(trouble.tokens[trouble.place + 1])
        return trouble.error("WINDOW", "RETENTION comes before GRACE PERIOD", "swap them", at)
    if trouble.expected == {"COMMA"} and trouble.token.kind == "RPAR":
        before = [
            shape(token) for token in trouble.tokens[max(trouble.begin, trouble.place - 5) : trouble.place]
        ]
        if "HOPPING" in before:
            return trouble.error("WINDOW", message, "write HOPPING (SIZE 1 HOUR, ADVANCE BY 10 MINUTES)")
        if "DECIMAL" in before:
            return trouble.error("TYPE", message, "write DECIMAL(precision, scale)")
    if trouble.previous is not None and shape(trouble.previous) == "DECIMAL":
        return trouble.error("TYPE", message, "write DECIMAL(precision, scale)")
    if trouble.expected == {"SIZE"}:
        return trouble.error("WINDOW", message, "write (SIZE 1 HOUR)")
    return None


def _clause_word_as_alias(trouble: Trouble) -> ParseError | None:
    """`FROM s order`: such a word is an alias only with AS."""
    previous = trouble.previous
    if previous is not None and shape(previous) in _CLAUSE_WORDS and "NAME" not in trouble.expected:
        return trouble.error(
            "UNEXPECTED",
            f"found {found(trouble.token)} after {previous.text}, expected {trouble.expectation}",
            f"if {previous.text} is meant as an alias, write AS {previous.text}",
        )
    return None


_CREATED_ELSEWHERE = {
    "VIEW": "a view that is kept up to date is a STREAM or a TABLE: CREATE TABLE .. AS SELECT ..",
    "MATERIALIZED": "CREATE TABLE .. AS SELECT .. keeps its result up to date",
    "INDEX": "tables are indexed by their key; a TABLE .. AS SELECT with another key is another index",
    "DATABASE": "there is one database; names need no schema",
    "SCHEMA": "there is one database; names need no schema",
    "FUNCTION": "functions are written in Python: streamsql --udf FILE.py",
}


def _create_something_else(trouble: Trouble) -> ParseError | None:
    hint = _CREATED_ELSEWHERE.get(shape(trouble.token))
    if hint is None or not {"STREAM", "TABLE"} <= trouble.expected:
        return None
    return trouble.error("CREATE", f"there is no CREATE {shape(trouble.token)}", hint)


def _other_limits(trouble: Trouble) -> ParseError | None:
    """`SELECT TOP 5 *`, `FETCH FIRST 5 ROWS`: the words were taken for a column and an alias."""
    previous = trouble.previous
    if previous is None or (shape(previous), trouble.token.kind) not in (
        ("TOP", "INTEGER_LITERAL"),
        ("FETCH", WORD),
    ):
        return None
    if shape(previous) == "FETCH" and shape(trouble.token) not in ("FIRST", "NEXT"):
        return None
    return trouble.error("LIMIT", f"there is no {shape(previous)}", "LIMIT 5 at the end", span(previous))


def _star_without(trouble: Trouble) -> ParseError | None:
    previous = trouble.previous
    if previous is not None and previous.kind == "STAR" and shape(trouble.token) in ("EXCEPT", "EXCLUDE"):
        word = shape(trouble.token)
        return trouble.error("STAR", f"* takes no {word}", "list the columns that are wanted")
    return None


OTHER_DIALECTS = (_create_something_else, _other_limits, _star_without)
"""Tried before the rules for words and commas that are missing."""

SPECIAL_RULES = (
    _time_unit,
    _dashed_name,
    _distinct,
    _second_dot,
    _list_after_statement,
    _empty_parentheses,
    _negative_count,
    _columns_with_select,
    _not_null,
    _function_in_from,
    _window_parts,
    _clause_word_as_alias,
)

"""Odd texts: each gives exactly one ParseError with a place, no traceback, in time linear in its length."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from streamsql.errors import ParseError, StreamSQLError
from streamsql.grammar.lexer import tokenize
from streamsql.grammar.machine import DEEPEST
from streamsql.grammar.parser import parse, parse_expression
from streamsql.grammar.printer import to_sql

GOOD = [
    "CREATE TABLE t AS SELECT u, COUNT(*) AS n FROM v WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY u;",
    "CREATE STREAM v (u STRING KEY, m MAP<STRING, INT>) WITH (kafka_topic = 'v', format = 'JSON');",
    "SELECT a->b[1], CASE WHEN x > 1 THEN 'y' END FROM s JOIN t ON s.i = t.i WHERE a IN (1) EMIT CHANGES;",
    "INSERT INTO s (a, b) VALUES (1, 'it''s');",
]


def broken() -> list[str]:
    """Good statements with one token left out, doubled, swapped or spoilt, as far as they no longer read."""
    shuffled = random.Random(20240501)
    texts: list[str] = []
    for text in GOOD:
        words = [token.text for token in tokenize(text)[:-1]]
        for place in range(len(words)):
            before, after = words[:place], words[place + 1 :]
            candidates = [
                before + after,
                [*before, words[place], words[place], *after],
                [*before, words[place][:-1] + "~", *after],
                [*before, "\0", *after],
                [*before, shuffled.choice(["'", '"', "`", "/*", "(", "]", "🙂", "FROM", "@", "é"]), *after],
            ]
            texts += [" ".join(candidate) for candidate in candidates]
    return [text for text in dict.fromkeys(texts) if not _reads(text)]


def _reads(text: str) -> bool:
    try:
        parse(text)
    except StreamSQLError:
        return False
    return True


BROKEN = broken()


def refused(text: str) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse(text)
    error = caught.value
    assert error.source == text
    assert error.span is not None and 0 <= error.span.start <= error.span.end <= len(text)
    assert error.code.startswith("PARSE-") and error.message
    assert len(str(error)) < 2_000, "a message is for reading"
    return error


def test_there_are_enough_broken_texts() -> None:
    assert len(BROKEN) > 300


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_text_is_refused_once_with_a_place(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "text", ["\0", "SELECT \0;", "\ud800", "SELECT '\0", "🙂;", "'", "`", '"', "/*", "(", "\\"]
)
def test_strange_characters(text: str) -> None:
    refused(text)


def test_strange_characters_are_fine_in_quotes() -> None:
    text = "SELECT '\0🙂' AS `\0🙂` FROM S"
    assert to_sql(parse(text + ";")[0]) == text


N = 10_000
NESTED = {
    "parentheses": "SELECT " + "(" * N + "1" + ")" * N + " FROM s;",
    "open parentheses": "SELECT " + "(" * N + " FROM s;",
    "too many closed": "SELECT 1" + ")" * N + " FROM s;",
    "NOT": "SELECT * FROM s WHERE " + "NOT " * N + "a;",
    "OR": "SELECT * FROM s WHERE " + " OR ".join(["a = 1"] * N) + ";",
    "minus": "SELECT " + "- " * N + "a FROM s;",
    "arrays": "SELECT " + "ARRAY[" * N + "1" + "]" * N + " FROM s;",
    "functions": "SELECT " + "f(" * N + "1" + ")" * N + " FROM s;",
    "fields": "SELECT a" + "->b" * N + " FROM s;",
    "CASE": "SELECT " + "CASE WHEN a THEN " * N + "1" + " END" * N + " FROM s;",
    "types": "CREATE TYPE x AS " + "ARRAY<" * N + "INT" + ">" * N + ";",
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * N + "s" + ")" * N + ";",
    "bare subqueries": "(" * N + "SELECT * FROM s" + ")" * N + ";",
    "joins": "SELECT * FROM s " + "JOIN t ON a = b " * N + ";",
    "unions": "SELECT * FROM s " + "UNION SELECT * FROM s " * N + ";",
    "EXPLAIN": "EXPLAIN " * N + "SELECT * FROM s;",
    "lambdas": "SELECT f(" + "x => f(" * N + "1" + ")" * N + ") FROM s;",
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_deep_nesting_reads_or_is_refused(text: str) -> None:
    try:
        (statement,) = parse(text)
    except ParseError:
        refused(text)
    else:
        to_sql(statement)


DEEPEST_FORMS: dict[str, Callable[[int], str]] = {
    "NOT": lambda n: "NOT " * n + "a",
    "OR": lambda n: " OR ".join(["a"] * n),
    "f": lambda n: "f(" * n + "a" + ")" * n,
    "MAP": lambda n: "MAP('k' := " * n + "a" + ")" * n,
    "IN": lambda n: "a IN (SELECT b FROM s WHERE " * n + "c" + ")" * n,
    "CAST": lambda n: "CAST(a AS " + "STRUCT<a " * n + "INT" + ">" * n + ")",
}


@pytest.mark.parametrize("form", DEEPEST_FORMS.values(), ids=DEEPEST_FORMS)
def test_the_deepest_tree_can_be_walked(form: Callable[[int], str]) -> None:
    depth = max(n for n in range(1, DEEPEST + 2) if _is_expression(form(n)))
    assert depth >= DEEPEST // 6
    tree = parse_expression(form(depth))
    assert parse_expression(to_sql(tree)) == tree
    assert hash(tree) == hash(parse_expression(form(depth)))
    assert repr(tree)


def _is_expression(text: str) -> bool:
    try:
        parse_expression(text)
    except ParseError as error:
        assert error.code == "PARSE-TOO-DEEP"
        return False
    return True


LONG: dict[str, Callable[[int], str]] = {
    "list": lambda n: "SELECT " + ", ".join(f"c{i} + {i} AS d{i}" for i in range(n // 20)) + " FROM s;",
    "list, misspelt at the end": lambda n: "SELECT " + ", ".join(["col + 1 AS c"] * (n // 14)) + " FORM s;",
    "IN": lambda n: "SELECT * FROM s WHERE a IN (" + "1, " * (n // 3) + "2);",
    "statements": lambda n: "INSERT INTO s (a) VALUES (1);\n" * (n // 30),
    "open parentheses": lambda n: "(" * n,
    "lambda openings": lambda n: "SELECT f(" + "(a, " * (n // 4),
    "lambda lists": lambda n: "SELECT f(" + "(a, b) " * (n // 7),
    "words": lambda n: "SELECT " + "x " * (n // 2) + ";",
    "keyword-like words": lambda n: "SELECT " + "EMIT " * (n // 5) + ";",
    "dots": lambda n: "SELECT " + "a." * (n // 2) + ";",
    "quotes": lambda n: "'" * (n + 1 - n % 2),
    "comment openings": lambda n: "SELECT " + "/*" * (n // 2),
    "digits": lambda n: "SELECT " + "9" * n + " FROM s;",
    "one word": lambda n: "a" * n,
    "dashes": lambda n: "-" * n,
    "blanks": lambda n: " " * n,
    "semicolons": lambda n: ";" * n,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts_read_or_are_refused_in_linear_time(text: Callable[[int], str]) -> None:
    def seconds(length: int) -> float:
        whole, times = text(length), []
        for _ in range(3):  # the best of three: what else runs on the machine only ever adds
            begin = time.process_time()
            _reads(whole)
            times.append(time.process_time() - begin)
        return min(times)

    seconds(1_000)  # what is loaded on first use
    small, large = seconds(12_500), seconds(100_000)
    # Eight times the text; quadratic time would take sixty-four times as long.
    assert large < 32 * small + 0.2


def test_a_megabyte() -> None:
    text = "SELECT " + ", ".join(f"column_{i} AS c{i}" for i in range(44_000)) + " FROM s;"
    assert len(text) > 1_000_000
    (statement,) = parse(text)
    assert len(statement.query.items) == 44_000  # type: ignore[attr-defined]

"""Keywords and names: which words are reserved, and where the others are what."""

from __future__ import annotations

import pytest

from streamsql.errors import ParseError
from streamsql.grammar.keywords import BEFORE, NOT_BEFORE
from streamsql.grammar.names import RESERVED, TYPE_SYNONYMS, quote_name, quote_topic
from streamsql.grammar.parser import parse_expression, parse_statement
from streamsql.grammar.printer import to_sql
from streamsql.grammar.tables import load

# The words that the dialect keeps usable as plain names, and those that only snapshot queries brought.
USABLE = """ADD ALTER ANALYZE ASSERT CHANGES COLUMNS DATE DAY DEFINE EMIT ESCAPE EXPLAIN FINAL FUNCTION
    FUNCTIONS GRACE HEADER HEADERS HOUR ID IF INTEGER INTERVAL KEY MINUTE MONTH PARTITION PARTITIONS PERIOD
    PLUGINS PRIMARY REPLACE RESET SCHEMA SECOND SESSION SET SHOW SINK SOURCE STRING SUBJECT SYSTEM TIME
    TIMEOUT TIMESTAMP TYPE TYPES UNDEFINE VARIABLES YEAR ZONE
    ORDER UNION INTERSECT EXCEPT OFFSET OVER NULLS FIRST LAST ASC DESC ROWS RANGE GROUPS UNBOUNDED CURRENT
    PRECEDING FOLLOWING ROW CONSUMER""".split()
AMBIGUOUS = ["ARRAY", "COLUMN", "MAP", "OF", "STRUCT", "TABLES"]

NAMING = [
    "SELECT {} FROM S",
    "SELECT {}, S.{}, {}->{}, F({}), {} + {} FROM S WHERE {} = {} GROUP BY {}, {} HAVING {} > 1",
    "SELECT A AS {} FROM {} AS {}",
    "SELECT {}.* FROM {} JOIN {} AS X ON {}.{} = X.{} WHERE {} IS NULL",
    "SELECT {} FROM S ORDER BY {}, {} DESC",
    "CREATE STREAM {} ({} INTEGER KEY, {} [type]) WITH ({} = 1)",
    "CREATE TYPE {} AS STRUCT<{} [type]>",
    "INSERT INTO {} ({}, {}) VALUES (1, 2)",
    "DESCRIBE FUNCTION {}",
    "DROP STREAM IF EXISTS {}",
    "TERMINATE {}",
    "PRINT {}",
]


@pytest.mark.parametrize("word", USABLE)
def test_a_word_that_is_not_reserved_is_a_name_everywhere(word: str) -> None:
    for text in NAMING:
        named = text.replace("{}", word).replace("[type]", word)
        printed = text.replace("{}", word).replace("[type]", TYPE_SYNONYMS.get(word, word))
        assert to_sql(parse_statement(named)) == printed
    assert to_sql(parse_statement(f"SELECT A {word} FROM S")) == f"SELECT A AS {word} FROM S"


@pytest.mark.parametrize("word", AMBIGUOUS)
def test_an_ambiguous_word_is_a_name_too_but_prints_quoted(word: str) -> None:
    for text in NAMING[:4]:
        lower, quoted = text.replace("{}", word.lower()), text.replace("{}", f"`{word}`")
        calls = word in ("MAP", "ARRAY", "STRUCT") and "F(" not in text
        if calls:
            assert to_sql(parse_statement(lower)) == quoted
        assert to_sql(parse_statement(quoted)) == quoted


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_a_reserved_word_is_refused_as_a_name_and_works_in_backticks(word: str) -> None:
    with pytest.raises(ParseError):
        parse_statement(f"CREATE STREAM {word} (A INT)")
    with pytest.raises(ParseError) as caught:
        parse_statement(f"CREATE STREAM S ({word.lower()} INT)")
    error = caught.value
    assert error.code == "PARSE-RESERVED-WORD"
    assert error.hint == f"put it in backticks: `{word}`"
    assert error.span is not None and error.source is not None
    assert error.source[error.span.start : error.span.end] == word.lower()
    quoted = f"SELECT `{word}` AS `{word}` FROM `{word}`"
    assert to_sql(parse_statement(quoted)) == quoted


def test_the_rules_about_words_are_about_keywords_that_are_not_reserved() -> None:
    words = load().words
    assert (set(BEFORE) | set(NOT_BEFORE)) <= words - RESERVED
    assert words - RESERVED <= set(USABLE) | set(AMBIGUOUS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PAGE", "PAGE"),
        ("_X@1", "_X@1"),
        ("1ST", "1ST"),
        ("12", "`12`"),
        ("1E5", "`1E5`"),
        ("1E", "1E"),
        ("page", "`page`"),
        ("A B", "`A B`"),
        ("A`B", "`A``B`"),
        ("A.B", "`A.B`"),
        ("É", "`É`"),
        ("A\n", "`A\n`"),
        ("SELECT", "`SELECT`"),
    ],
)
def test_a_name_is_quoted_only_if_it_must_be(name: str, text: str) -> None:
    assert quote_name(name) == text
    tree = parse_expression(text)
    assert getattr(tree, "name", None) == name


def test_topics_keep_their_case() -> None:
    assert [quote_topic(name) for name in ("pageViews", "page-views", "topic", "it's", "")] == [
        "pageViews",
        "'page-views'",
        "'topic'",
        "'it''s'",
        "''",
    ]

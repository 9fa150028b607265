"""What may come next at a cursor, shown as |."""

from __future__ import annotations

import pytest

from streamsql.grammar.complete import expected_keywords, expects_name


@pytest.mark.parametrize(
    ("text", "keywords", "name"),
    [
        ("DROP |", ["CONNECTOR", "STREAM", "TABLE", "TYPE"], None),
        ("DROP STR|", ["CONNECTOR", "STREAM", "TABLE", "TYPE"], None),
        ("DROP STREAM |", ["IF"], "source"),
        ("CREATE STREAM |", ["IF"], None),
        ("SELECT a FROM |", [], "source"),
        ("SELECT a FROM s JOIN |", [], "source"),
        ("SELECT a FROM s EMIT |", ["CHANGES", "FINAL"], None),
        ("SELECT a FROM s EMIT CH|", ["CHANGES", "FINAL"], None),
        ("SELECT a FROM s PARTITION |", ["BY"], None),
        ("SELECT a FROM s WINDOW |", ["HOPPING", "SESSION", "TUMBLING"], None),
        ("SELECT a FROM s WINDOW TUMBLING (|", ["SIZE"], None),
        ("SELECT a.|", [], "column"),
        ("SELECT a->|", [], "field"),
        ("CREATE STREAM s (a |", ["ARRAY", "DECIMAL", "MAP", "STRUCT"], "type"),
        ("CREATE STREAM s (a INT |", ["ARRAY", "HEADER", "HEADERS", "KEY", "PRIMARY KEY"], None),
        ("CREATE STREAM s (a INT) WITH (|", [], "property"),
        ("TERMINATE |", ["ALL"], "query"),
        ("PRINT |", [], "topic"),
        ("DESCRIBE FUNCTION |", [], "function"),
        ("DROP CONNECTOR |", ["IF"], "connector"),
        ("UNDEFINE |", [], "variable"),
        ("SHOW STREAMS; PAUSE |", ["ALL"], "query"),
        ("INSERT INTO s |", ["SELECT", "VALUES", "WITH"], None),
        # nothing to offer: inside quotes and comments, or lost
        ("SELECT 'a|", [], None),
        ("SELECT `a|", [], None),
        ("SELECT a FROM -- which |", [], None),
        ("SELECT /* a |", [], None),
        ("SELECT ) |", [], None),
        ("SELECT a FROM /* b */ |", [], "source"),
        ("SELECT a FROM -- b\n|", [], "source"),
    ],
)
def test_at_the_cursor(text: str, keywords: list[str], name: str | None) -> None:
    before = text.removesuffix("|")
    assert expected_keywords(before) == keywords
    assert expects_name(before) == name


@pytest.mark.parametrize(
    ("text", "some", "name"),
    [
        ("", {"SELECT", "CREATE", "SHOW", "INSERT", "DESCRIBE", "WITH"}, None),
        ("SEL", {"SELECT"}, None),
        ("SELECT ", {"CASE", "CAST", "DISTINCT", "NOT"}, "column"),
        ("SELECT a ", {"FROM", "AS"}, None),
        (
            "SELECT a FROM s ",
            {"WHERE", "GROUP BY", "PARTITION BY", "ORDER BY", "EMIT", "AS OF", "JOIN"},
            None,
        ),
        ("SELECT a FROM s WHERE ", {"NOT", "CASE"}, "column"),
        ("SELECT a FROM s WHERE a = 1 ", {"AND", "OR", "GROUP BY", "EMIT"}, None),
        ("EXPLAIN ", {"SELECT", "CREATE"}, "query"),
    ],
)
def test_among_many(text: str, some: set[str], name: str | None) -> None:
    assert some <= set(expected_keywords(text))
    assert expects_name(text) == name


def test_a_clause_is_not_offered_after_its_time() -> None:
    assert "WHERE" not in expected_keywords("SELECT a FROM s GROUP BY a ")
    assert "FROM" not in expected_keywords("SELECT a FROM s ")

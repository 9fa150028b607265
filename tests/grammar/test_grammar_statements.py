"""Cutting texts at semicolons."""

from __future__ import annotations

import pytest

from streamsql.grammar.statements import Piece, is_complete, split


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \n -- only; a comment\n /* ; */ ", []),
        ("a", [Piece("a", 0)]),
        (" a ; ", [Piece("a ;", 1)]),
        ("a;;b;", [Piece("a;", 0), Piece("b;", 3)]),
        ("';';`;`;\";\";", [Piece("';';", 0), Piece("`;`;", 4), Piece('";";', 8)]),
        ("'it''s;';b", [Piece("'it''s;';", 0), Piece("b", 9)]),
        ("-- c;\na;", [Piece("-- c;\na;", 0)]),
        ("/* ; */;a", [Piece("a", 8)]),
        ("a /* ; \n ; */ ; b", [Piece("a /* ; \n ; */ ;", 0), Piece("b", 16)]),
        ("a - b / c;", [Piece("a - b / c;", 0)]),
        ("a 'open; b", [Piece("a 'open; b", 0)]),
        ("a /* open; b", [Piece("a /* open; b", 0)]),
        ("é;🙂;", [Piece("é;", 0), Piece("🙂;", 2)]),
    ],
)
def test_split(text: str, pieces: list[Piece]) -> None:
    assert split(text) == pieces


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", False),
        ("-- ;", False),
        (";", True),
        ("a", False),
        ("a;", True),
        ("a; \n", True),
        ("a; -- done", True),
        ("a; /* done */", True),
        ("a; /* not", False),
        ("a; b", False),
        ("a ';'", False),
        ("a ';", False),
        ("a ';';", True),
        ("a `;", False),
        ('a ";', False),
        ("a -- ;", False),
        ("a -- x\n;", True),
    ],
)
def test_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete

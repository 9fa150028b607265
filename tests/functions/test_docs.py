"""The printed documentation of the functions."""

from __future__ import annotations

from pathlib import Path

from streamsql.functions.docs import describe, markdown
from streamsql.functions.library import Library
from streamsql.functions.registry import Scalar

PAGE = Path(__file__).parent.parent.parent / "docs" / "functions.md"


def test_the_page_is_what_the_rows_say() -> None:
    message = "run: python -m streamsql.functions.docs > docs/functions.md"
    assert PAGE.read_text(encoding="utf-8") == markdown(Library()), message


def test_every_function_has_its_heading_once() -> None:
    library = Library()
    headings = [line[4:] for line in markdown(library).splitlines() if line.startswith("### ")]
    assert sorted(headings) == library.names()


def test_overloads_of_one_sentence_are_described_together() -> None:
    rows = [
        Scalar("F", "(x INTEGER) -> BIGINT", "One.", sql="", example="F(1)", gives="1"),
        Scalar("F", "(x BIGINT) -> BIGINT", "One.", sql="", example="F(1)", gives="1"),
        Scalar("F", "(x VARCHAR) -> BIGINT", "Other.", sql=""),
    ]
    assert describe(rows) == "\n".join(
        [
            "F(x INTEGER) -> BIGINT",
            "F(x BIGINT) -> BIGINT",
            "    One.",
            "    F(1) gives 1",
            "F(x VARCHAR) -> BIGINT",
            "    Other.",
        ]
    )

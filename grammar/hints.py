"""Syntax errors in a person's words: what was found, what was expected, and what to type instead.

Loaded only when a text does not read. The cost is a few readings of the statement, without making a tree.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.errors import ParseError, Span
from streamsql.grammar.hints_rules import RULES
from streamsql.grammar.lexer import Token
from streamsql.grammar.machine import Machine
from streamsql.grammar.trouble import Trouble, span
from streamsql.grammar.wording import found


def explain(
    machine: Machine, start: str, text: str, tokens: Sequence[Token], begin: int, place: int
) -> ParseError:
    """The error for a token that does not fit. begin: the first token of its statement."""
    trouble = Trouble(machine, start, text, tokens, begin, place)
    for rule in RULES:
        error = rule(trouble)
        if error is not None:
            return error
    return trouble.error("UNEXPECTED", f"found {found(trouble.token)}, expected {trouble.expectation}", None)


def missing_semicolon(text: str, tokens: Sequence[Token], place: int) -> ParseError:
    """For a statement that is whole but for its end. place: of the end of the text."""
    end = tokens[place - 1].end
    return ParseError(
        "the statement has no ';' at its end",
        code="PARSE-MISSING-SEMICOLON",
        span=Span(end, end),
        hint="add ; after it",
        source=text,
    )


def after_the_end(text: str, tokens: Sequence[Token], place: int, start: str) -> ParseError:
    """For text that goes on after the one statement, expression or type that is wanted."""
    follower = tokens[place + 1] if start == "statement" else tokens[place]
    return ParseError(
        f"found {found(follower)} after the end of the {start}, expected nothing more",
        code="PARSE-UNEXPECTED",
        span=span(follower),
        source=text,
    )

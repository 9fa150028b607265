"""Reading SQL: text in, syntax tree out, or one ParseError with a place and advice.

Time is linear in the length of the text. Depth of nesting is limited (streamsql.grammar.machine).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from streamsql.errors import ParseError
from streamsql.grammar import ast
from streamsql.grammar.build import ACTIONS
from streamsql.grammar.lexer import END, SEMICOLON, Token, tokenize
from streamsql.grammar.machine import Machine, Unexpected
from streamsql.grammar.tables import load


@lru_cache(maxsize=1)
def machine() -> Machine:
    """The machine of the dialect, made on first use."""
    return Machine(load(), ACTIONS)


def parse(text: str) -> tuple[ast.Statement, ...]:
    """Every statement of a text, each ended by `;`; spans count in the whole text.

    raises  ParseError, with span and source

    >>> [type(s).__name__ for s in parse("SHOW STREAMS; SELECT * FROM s;")]
    ['Show', 'QueryStatement']
    """
    tokens = tokenize(text)
    statements: list[ast.Statement] = []
    place = 0
    while tokens[place].kind != END:
        if tokens[place].kind == SEMICOLON:
            place += 1
            continue
        statement, place = _run("statement", text, tokens, place)
        if tokens[place].kind == END:
            raise _hints().missing_semicolon(text, tokens, place)
        statements.append(statement)
        place += 1
    return tuple(statements)


def parse_statement(text: str) -> ast.Statement:
    """The one statement of a text; its `;` may be left out. Raises ParseError."""
    return _only_one("statement", text)


def parse_expression(text: str) -> ast.Expression:
    """An expression alone, as in SELECT or WHERE. Raises ParseError."""
    return _only_one("expression", text)


def parse_type(text: str) -> ast.TypeNode:
    """A type alone: `MAP<STRING, DECIMAL(10, 2)>`. Raises ParseError."""
    return _only_one("type", text)


def _only_one(start: str, text: str) -> Any:
    tokens = tokenize(text)
    value, place = _run(start, text, tokens, 0)
    if tokens[place].kind == SEMICOLON and (start != "statement" or tokens[place + 1].kind != END):
        raise _hints().after_the_end(text, tokens, place, start)
    return value


def _run(start: str, text: str, tokens: Sequence[Token], place: int) -> tuple[Any, int]:
    try:
        return machine().run(start, tokens, place)
    except Unexpected as unexpected:
        error = _hints().explain(machine(), start, text, tokens, place, unexpected.place)
    except ParseError as wrong:
        raise wrong.at(text) from None
    raise error


def _hints() -> Any:
    from streamsql.grammar import hints  # loaded only when something is wrong

    return hints

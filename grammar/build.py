"""From productions to the tree: one function per name that the grammar gives a production.

Each takes the span and the production's children (see `plan` in streamsql.grammar.tables): nodes, the
values of helper rules, and a Token for each terminal that the grammar keeps. Here are the names, the
words and the lists; expressions, queries and statements have their own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamsql.errors import Span
from streamsql.grammar.build_expression import EXPRESSION_ACTIONS
from streamsql.grammar.build_query import QUERY_ACTIONS
from streamsql.grammar.build_statement import STATEMENT_ACTIONS
from streamsql.grammar.build_text import exact_name, folded_name, string_value, whole_number
from streamsql.grammar.lexer import Token
from streamsql.grammar.places import PlacedNothing, PlacedNumber, PlacedText


def _name(_span: Span, token: Token) -> str:
    return folded_name(token)


def _placed_name(span: Span, token: Token) -> PlacedText:
    return PlacedText(folded_name(token), span)


def _exact_name(span: Span, token: Token) -> PlacedText:
    return PlacedText(exact_name(token), span)


def _string(span: Span, token: Token) -> PlacedText:
    return PlacedText(string_value(token), span)


def _word(span: Span, token: Token) -> PlacedText:
    return PlacedText(token.text.upper(), span)


def _optional_word(span: Span, token: Token | None) -> PlacedText | None:
    return PlacedText(token.text.upper(), span) if token else None


def _words(span: Span, *tokens: Token | None) -> PlacedText:
    return PlacedText(" ".join(token.text.upper() for token in tokens if token), span)


def _flag(_span: Span, token: Token | None) -> bool:
    return token is not None


def _true(_span: Span) -> bool:
    return True


def _only(_span: Span, value: object) -> object:
    return value


def _sequence(span: Span, *values: object) -> tuple[object, ...]:
    return values or PlacedNothing(span)


def _sequence_or_empty(_span: Span, *values: object) -> tuple[object, ...]:
    return tuple(value for value in values if value is not None)


def _pair(_span: Span, first: object, second: object) -> tuple[object, object]:
    return first, second


def _count(span: Span, token: Token | None) -> PlacedNumber | None:
    return None if token is None else PlacedNumber(whole_number(token), span)


ACTIONS: Mapping[str, Callable[..., Any]] = {
    "count": _count,
    "exact_name": _exact_name,
    "flag": _flag,
    "name": _name,
    "only": _only,
    "optional": _only,
    "optional_word": _optional_word,
    "pair": _pair,
    "placed_name": _placed_name,
    "sequence": _sequence,
    "sequence_or_empty": _sequence_or_empty,
    "string": _string,
    "true": _true,
    "word": _word,
    "words": _words,
    **EXPRESSION_ACTIONS,
    **QUERY_ACTIONS,
    **STATEMENT_ACTIONS,
}

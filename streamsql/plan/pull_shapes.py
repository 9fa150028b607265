"""Look-ups that differ in nothing but the keys they name: the plan of one serves for all of them.

Two texts are of one shape if their tokens are the same but for numbers and strings. Such a text need not be
parsed: its keys are read off the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamsql.grammar import ast
from streamsql.grammar.build_text import string_value, whole_number
from streamsql.grammar.lexer import Token, tokenize
from streamsql.plan.pull_lookup import Lookup
from streamsql.types import BIGINT, INTEGER, VARCHAR, SqlType

Outline = tuple[str, ...]
_VALUES = ("INTEGER_LITERAL", "STRING_LITERAL")
_DIGITS: dict[SqlType, int] = {INTEGER: 9, BIGINT: 18}
"""Numbers of so many digits fit for certain."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the keys of a look-up stand in its text.

    keys    per key sought the places of its parts among the text's numbers and strings
    others  the numbers and strings that are no keys: place and text
    """

    keys: tuple[tuple[int, ...], ...]
    others: tuple[tuple[int, str], ...]


def outline(text: str) -> tuple[Outline, list[Token]]:
    """The text's tokens without the values of numbers and strings, and the tokens of these."""
    tokens = tokenize(text)
    values = [token for token in tokens if token.kind in _VALUES]
    return tuple(t.kind if t.kind in _VALUES else t.text for t in tokens), values


def shape_of(lookup: Lookup, values: Sequence[Token], types: Sequence[SqlType]) -> Shape | None:
    """The shape of a look-up that was planned from a text; None if others need a plan of their own.

    values  as `outline` gives them for its text
    types   of the key columns
    """
    if lookup.moves is None or not all(t in (INTEGER, BIGINT, VARCHAR) for t in types):
        return None
    places = {token.start: place for place, token in enumerate(values)}
    keys: list[tuple[int, ...]] = []
    for key in lookup.keys:
        found = [
            places.get(value.node.span.start, -1) if isinstance(value.node, _LITERAL[t]) else -1
            for value, t in zip(key, types, strict=True)
        ]
        if -1 in found:
            return None
        keys.append(tuple(found))
    named = {place for key in keys for place in key}
    others = [(place, token.text) for place, token in enumerate(values) if place not in named]
    return Shape(tuple(keys), tuple(others))


def keys_of(shape: Shape, values: Sequence[Token], types: Sequence[SqlType]) -> list[tuple[Any, ...]] | None:
    """The keys that another text of the same outline names; None if it says something else too."""
    if any(values[place].text != text for place, text in shape.others):
        return None
    found = []
    for key in shape.keys:
        parts = [_value(values[place], t) for place, t in zip(key, types, strict=True)]
        if None in parts:
            return None
        found.append(tuple(parts))
    return found


_LITERAL: dict[SqlType, type[ast.Expression]] = {
    INTEGER: ast.IntegerLiteral,
    BIGINT: ast.IntegerLiteral,
    VARCHAR: ast.StringLiteral,
}


def _value(token: Token, t: SqlType) -> Any:
    if t == VARCHAR:
        return string_value(token)
    return whole_number(token) if len(token.text) <= _DIGITS[t] else None

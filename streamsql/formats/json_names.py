"""Patterns for the names of JSON fields: how a column's name may be spelt in a payload.

A column is read from the field with exactly its name, else from one whose upper case is its name.
Upper case is Unicode's, as Java and Python have it: the long s folds to S, the sharp s to SS.
"""

from __future__ import annotations

import re

_ALSO = {"I": "ı", "S": "ſ"}
_JOINED = {"SS": "ß", "FF": "ﬀﬃﬄ", "FI": "ﬁﬃ", "FL": "ﬂﬄ", "ST": "ﬅﬆ"}

ESCAPED_NAME = r'\\u[0-9a-fA-F]{4}[^"]*"\s*:'
"""A field's name that holds a \\u escape, and so may be any name."""


def is_folded(name: str) -> bool:
    """Whether fields in another case can be this column's: quoted mixed-case names match only exactly."""
    return name.upper() == name


def any_spelling(name: str) -> str:
    """A pattern of every name that is read as the column's.

    >>> any_spelling("ID"), any_spelling("Id"), any_spelling("FIT")
    ('[Iiı][Dd]', 'Id', '(?:[Ff][Iiı][Tt]|[^"]*[ﬁﬃ][^"]*)')
    """
    if not is_folded(name):
        return re.escape(name)
    letters = "".join(_letter(_variants(c)) for c in name)
    joined = _with_joined_letters(name)
    return f"(?:{letters}|{joined})" if joined else letters


def other_spellings(name: str, known: str) -> str | None:
    """A pattern of every such name but the `known` one, None if there is none.

    >>> other_spellings("ID", "id"), other_spellings("_1", "_1")
    ('[Iı][Dd]|i[D]', None)
    """
    if not is_folded(name):
        return None
    if len(known) != len(name):
        return any_spelling(name)
    alternatives: list[str] = []
    for i, c in enumerate(name):
        others = [v for v in _variants(c) if v != known[i]]
        if others:
            rest = "".join(_letter(_variants(d)) for d in name[i + 1 :])
            alternatives.append(f"{re.escape(known[:i])}[{''.join(others)}]{rest}")
    joined = _with_joined_letters(name)
    return "|".join([*alternatives, joined] if joined else alternatives) or None


def _variants(c: str) -> list[str]:
    """The characters whose upper case is this one."""
    lower = c.lower()
    found = [c, *(lower if lower != c and lower.upper() == c else ""), *_ALSO.get(c, "")]
    return found


def _letter(variants: list[str]) -> str:
    return re.escape(variants[0]) if len(variants) == 1 else f"[{''.join(variants)}]"


def _with_joined_letters(name: str) -> str | None:
    """Every name that holds a letter whose upper case is two of this name's: more than needed, but rare."""
    glyphs = "".join(dict.fromkeys(g for pair, joined in _JOINED.items() if pair in name for g in joined))
    return f'[^"]*[{glyphs}][^"]*' if glyphs else None

"""Which known word a mistyped one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def distance(left: str, right: str) -> int:
    """How many letters are changed, left out, added, or swapped with their neighbour.

    The restricted edit distance of Damerau (1964); the cost is the product of the lengths.

    >>> distance("FORM", "FROM"), distance("SELCT", "SELECT"), distance("WHERE", "WHERE")
    (1, 1, 0)
    """
    before_last: list[int] = []
    last = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
        before_last, last = last, row
    return last[-1]


def closest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that `word` may be a slip of, nearest first; never the word itself."""
    near = []
    for other in known:
        allowed = 1 if min(len(word), len(other)) <= 4 else 2
        if other != word and abs(len(word) - len(other)) <= allowed and len(other) > 1:
            apart = distance(word, other)
            if apart <= allowed:
                near.append((apart, other))
    return [other for _, other in sorted(near)]

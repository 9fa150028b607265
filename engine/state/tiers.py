"""When to merge: parts that come one after another, small ones and large ones, kept few at little cost.

As in size-tiered compaction of log-structured merge trees (O'Neil et al., 1996): four parts of about one
length become one, so that an element is copied about log4(elements) times, and of each length there are at
most three parts.
"""

from __future__ import annotations

from collections.abc import Sequence

FANOUT = 4


def tier(lengths: Sequence[int]) -> int:
    """How many of the last parts are about as long as the last one, if that is enough to merge them; else 0.

    >>> tier([100, 10, 10, 10]), tier([100, 10, 12, 9, 10])
    (0, 4)
    """
    count = 0
    while count < len(lengths) and lengths[-1 - count] < 2 * lengths[-1]:
        count += 1
    return count if count >= FANOUT else 0

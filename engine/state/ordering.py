"""Sorting rows by integers: by counting digits where that beats comparing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamsql.engine.state.columns import Int64s

_KEY_BITS = 62
_DIGIT_ROWS = 2048
"""Below this many rows a sort is quicker than a distribution by digits."""


def order_of(major: Int64s, minor: Int64s, *, is_nearly: bool = False) -> Int64s:
    """The places of rows by (major, minor), equal ones in the order they are in; int64[n].

    is_nearly  the rows are a few ordered stretches: these are merged
    """
    if not len(major):
        return np.zeros(0, dtype=np.int64)
    least, low = int(major.min()), int(minor.min())
    bits = (int(minor.max()) - low).bit_length()
    if (int(major.max()) - least).bit_length() + bits > _KEY_BITS:
        return np.lexsort((minor, major))
    keys = (major - least) << bits
    keys += minor
    keys -= low
    return np.argsort(keys, kind="stable") if is_nearly else places_by(keys)


def places_by(keys: Int64s) -> Int64s:
    """A stable argsort of numbers that are not negative; int64[n]."""
    if len(keys) < _DIGIT_ROWS:
        return np.argsort(keys, kind="stable")
    # 16 bits at a time: numpy sorts those by counting. Few bytes a row are moved out of order.
    order = np.argsort(keys.astype(np.uint16), kind="stable").astype(np.int32)
    for shift in range(16, int(keys.max()).bit_length(), 16):
        digits = (keys >> shift).astype(np.uint16).take(order)
        order = order.take(np.argsort(digits, kind="stable"))
    return order.astype(np.int64)


def merged(stretches: Sequence[Int64s]) -> list[Int64s]:
    """The place of each number of rising stretches when they are merged; of equal ones the earlier stretch's
    come first.

    cost  all numbers once, and those that are not in the longest stretch times the logarithm of its length

    >>> [places.tolist() for places in merged([np.array([1, 5]), np.array([1, 2, 9])])]
    [[0, 3], [1, 2, 4]]
    """
    longest = max(range(len(stretches)), key=lambda number: len(stretches[number]))
    is_left = np.ones(sum(len(stretch) for stretch in stretches), dtype=np.bool_)
    places: list[Int64s] = []
    for own, stretch in enumerate(stretches):
        place = np.arange(len(stretch))
        if own != longest:
            for number, other in enumerate(stretches):
                if number != own:
                    place += np.searchsorted(other, stretch, side="right" if number < own else "left")
            is_left[place] = False
        places.append(place)
    places[longest] = np.flatnonzero(is_left)
    return places

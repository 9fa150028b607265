"""Which stored sessions a key has, newest first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.keys import KeyIndex, UInt64s
from streamsql.engine.state.ordering import order_of


class SessionIndex:
    """Per key a doubly linked list of session slots, from the latest to the earliest.

    Sessions of a key never overlap, so that the order by start is the order by end too, and whoever
    looks for those that end late enough can stop at the first that does not.

    reached  sessions that `ending_from` has given so far: the work done, for who wants to count it
    """

    def __init__(self, keys: pa.Schema) -> None:
        self.keys = KeyIndex(keys)
        self.reached = 0
        self._first = _Links()
        self._next = _Links()
        self._previous = _Links()
        self._owner = _Links()

    def key_slots(self, hashes: UInt64s, keys: Sequence[pa.Array]) -> Int64s:
        """A number for each key, keys without a session included; int64[n]."""
        slots, is_new = self.keys.find_or_add(hashes, keys)
        self._first.set(slots[is_new], -1)
        return slots

    def ending_from(self, keys: Int64s, bounds: Int64s, ends: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """The sessions of distinct keys that end at or after a bound per key.

        ends   end by session slot
        gives  the place in `keys` and the slot of each session found; and per key the first session that
               was not, -1 if all were
        cost   by the sessions found
        """
        places: list[Int64s] = []
        slots: list[Int64s] = []
        rest = self._first.get(keys)
        going = np.flatnonzero(rest >= 0)
        while len(going):
            going = going[ends[rest[going]] >= bounds[going]]
            places.append(going)
            slots.append(rest[going])
            rest[going] = self._next.get(rest[going])
            going = going[rest[going] >= 0]
        if not places:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, rest
        found = np.concatenate(slots)
        self.reached += len(found)
        return np.concatenate(places), found, rest

    def relink(self, keys: Int64s, rest: Int64s, place: Int64s, slot: Int64s, start: Int64s) -> None:
        """Write anew what precedes `rest` in the lists of distinct keys.

        rest                what `ending_from` gave: the part of each list that stays
        place, slot, start  the sessions before it: place in `keys`, slot and start; in any order
        """
        order = order_of(place, -start)
        place, slot = place[order], slot[order]
        self._owner.set(slot, keys[place])
        is_first = np.append(True, place[1:] != place[:-1])[: len(place)]
        is_last = np.append(is_first[1:], True)[: len(place)]
        self._next.set(slot, np.where(is_last, rest[place], np.append(slot[1:], -1)[: len(slot)]))
        self._previous.set(slot, np.where(is_first, -1, np.append(-1, slot[:-1])[: len(slot)]))
        last = np.full(len(keys), -1, dtype=np.int64)
        last[place[is_last]] = slot[is_last]
        first = rest.copy()
        first[place[is_first]] = slot[is_first]
        self._first.set(keys, first)
        follows = rest >= 0
        self._previous.set(rest[follows], last[follows])

    def remove(self, slots: Int64s) -> None:
        """Take sessions out, each given once; keys without a session stay until `forget`."""
        if not len(slots):
            return
        gone = set_of(slots)
        after, before = self._next.get(slots), self._previous.get(slots)
        after = _skipping(after, gone, self._next)
        before = _skipping(before, gone, self._previous)
        is_first = before < 0
        self._first.set(self._owner.get(slots[is_first]), after[is_first])
        self._next.set(before[~is_first], after[~is_first])
        has_after = after >= 0
        self._previous.set(after[has_after], before[has_after])

    def owners(self, slots: Int64s) -> Int64s:
        """The key of each session."""
        return self._owner.get(slots)

    def forget_empty(self, keys: Int64s) -> None:
        """Drop those of the keys, each given once, that have no session left."""
        self.keys.remove(keys[self._first.get(keys) < 0])


class _Links:
    """A slot by slot, -1 for none; grows as it is written."""

    def __init__(self) -> None:
        self._values: Int64s = np.full(64, -1, dtype=np.int64)

    def get(self, places: Int64s) -> Int64s:
        return self._values[places]

    def set(self, places: Int64s, values: Int64s | int) -> None:
        if not len(places):
            return
        largest = int(places.max())
        if largest >= len(self._values):
            grown = np.full(1 << largest.bit_length(), -1, dtype=np.int64)
            grown[: len(self._values)] = self._values
            self._values = grown
        self._values[places] = values


def set_of(slots: Int64s) -> Int64s:
    """The slots in order, for `is_in`."""
    return np.sort(slots)


def is_in(slots: Int64s, ordered: Int64s) -> Bools:
    """Whether each slot is in an ordered, non-empty set; bool[n]."""
    places = np.minimum(np.searchsorted(ordered, slots), len(ordered) - 1)
    found: Bools = ordered[places] == slots
    return found


def _skipping(slots: Int64s, gone: Int64s, links: _Links) -> Int64s:
    """Follow the links past slots that are gone."""
    slots = slots.copy()
    moving = np.flatnonzero((slots >= 0) & is_in(slots, gone))
    while len(moving):
        slots[moving] = links.get(slots[moving])
        moving = moving[(slots[moving] >= 0) & is_in(slots[moving], gone)]
    return slots

"""Pairs that the rows of a batch make in a stream-stream join, by arriving after their partners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamsql.engine.operators.join_arrivals import NONE, Arrivals, Ordered
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.spine import Spine, may_be_in


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs that rows of one side made by arriving; all int64[m].

    probe    places of the arrived rows
    number   of the arrived rows
    partner  rows in the other side's buffer
    """

    probe: Int64s
    number: Int64s
    partner: Int64s
    partner_time: Int64s

    def __len__(self) -> int:
        return len(self.probe)

    def some(self, chosen: Bools | Int64s) -> Pairs:
        """Those that are chosen, by a mask or by their places."""
        return Pairs(self.probe[chosen], self.number[chosen], self.partner[chosen], self.partner_time[chosen])


def with_earlier(mine: Ordered, arrived: Arrivals, buffered: Spine, earlier_ms: int, later_ms: int) -> Pairs:
    """Pairs with rows of the other side that were there before the batch.

    earlier_ms, later_ms  how much earlier or later than a row its partner may be
    """
    found = buffered.find(mine.slots, mine.time - earlier_ms, mine.time + later_ms)
    probe = mine.places[found.probe]
    return Pairs(probe, arrived.number[probe], found.rows, found.times)


class Meetings(NamedTuple):
    """Rows of one side that meet earlier ones of the other in their batch: the places of both; int64[m]."""

    probe: Int64s
    partner: Int64s

    def pairs(self, arrived: Arrivals, other: Arrivals) -> Pairs:
        """What they make; partners that are not kept are not found."""
        probe, partner = self
        rows = other.rows_of(partner)
        if not other.are_all_kept:
            kept = rows >= 0
            probe, partner, rows = probe[kept], partner[kept], rows[kept]
        return Pairs(probe, arrived.number[probe], rows, other.time[partner])


NO_MEETINGS = Meetings(NONE, NONE)


def among(
    mine: Ordered, other: Ordered, earlier_ms: int, later_ms: int, arrivals: Sequence[Arrivals]
) -> tuple[Meetings, Meetings]:
    """How rows of a batch meet, made by the one that came later: those of this side, of the other.

    arrivals  of this side, of the other
    cost      by the rows of this side and the pairs
    """
    if other.run is None or not len(mine.places):
        return NO_MEETINGS, NO_MEETINGS
    asked = may_be_in(mine.slots, other.run)
    time = mine.time[asked]
    found = None
    if len(asked):
        found = other.run.find(mine.slots[asked], time - earlier_ms, time + (later_ms + 1))
    if found is None:
        return NO_MEETINGS, NO_MEETINGS
    probe, partner = mine.places[asked[found.probe]], found.rows
    is_later = arrivals[0].number[probe] > arrivals[1].number[partner]
    return Meetings(probe[is_later], partner[is_later]), Meetings(partner[~is_later], probe[~is_later])


def joined_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Pairs one after another."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in Pairs.__slots__))

"""The state of a group after each of a batch's rows, not only after the last one.

Every row is a partial of its own. Within a batch the partials of a group are put together as running ones by
a scan: after step k each row's partial covers the 2^k rows up to it, so that the steps are few and each takes
the whole batch at once (Hillis and Steele, Data parallel algorithms, CACM 1986). Merged into the state before
the batch they are the states after each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import TIME
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.aggregate_call import AggregateCall
from streamsql.engine.operators.group_states import GroupStates, StateArithmetic
from streamsql.engine.state.columns import Bools, Int64s


@dataclass(frozen=True, slots=True)
class Steps:
    """What each of a batch's rows made of its group, in the order of the rows.

    new      the calls' results after the row
    old      the same before it; rows that began a group have what is there without any row
    had_row  bool[n]: the group was there before the row
    times    int64[n]: the group's latest time after the row
    """

    new: list[pa.Array[Any]]
    old: list[pa.Array[Any]]
    had_row: Bools
    times: Int64s


class RunningStates:
    """Merges rows into groups one after the other, all of a batch at once."""

    def __init__(self, groups: GroupStates, calls: Sequence[AggregateCall], workspace: Workspace) -> None:
        self._groups = groups
        self._arithmetic = StateArithmetic(calls, workspace)

    def merge(self, slots: Int64s, is_new: Bools, partials: pa.RecordBatch, with_old: bool) -> Steps:
        """Merge a partial per row into the groups' states, in the order given.

        slots, is_new  of the rows' groups, as the store found or added them; new ones have begun
        with_old       whether to give what was before each row; else `old` is empty
        raises         DataError if an aggregate fails
        """
        groups = self._groups
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        begins = np.append(True, ordered[1:] != ordered[:-1])
        stored = groups.states_of(ordered[begins])
        group = np.cumsum(begins) - 1
        states = self._arithmetic.typed(partials.take(pa.array(order)))
        times = partials.column(TIME).to_numpy()[order]
        states, times = scan(self._arithmetic, states, times, begins)
        before = [column.take(pa.array(group)) for column in stored.columns]
        after = self._arithmetic.merged(before, states)
        times = np.maximum(times, groups.times(ordered))
        ends = np.flatnonzero(np.append(begins[1:], True))
        last = pa.array(ends)
        groups.put(ordered[ends], [*(column.take(last) for column in after), pa.array(times[ends])])
        back = np.argsort(order)
        rows = pa.array(back)
        new = self._arithmetic.results(after)
        old: list[pa.Array[Any]] = []
        if with_old:
            # Before a group's first row is what was stored, before any other what the row before it made.
            first = self._arithmetic.results(stored.columns)
            count = len(order)
            previous = pa.array(np.where(begins, count + group, np.arange(count) - 1)[back])
            old = [pa.concat_arrays([a, b]).take(previous) for a, b in zip(new, first, strict=True)]
        return Steps([c.take(rows) for c in new], old, ~is_new, times[back])


def scan(
    arithmetic: StateArithmetic, states: list[pa.Array[Any]], times: Int64s, begins: Bools
) -> tuple[list[pa.Array[Any]], Int64s]:
    """The states of each group's rows up to each row, and their latest times.

    states, times  of the rows, which lie group by group, each in the order of merging
    begins         bool[n]: the row is the first of its group
    """
    times = times.copy()
    own = np.arange(len(begins))
    place = own - np.maximum.accumulate(np.where(begins, own, 0))
    reach = 1
    while reach <= int(place.max(initial=0)):
        later = np.flatnonzero(place >= reach)
        earlier = later - reach
        olds, news = ([s.take(pa.array(rows)) for s in states] for rows in (earlier, later))
        merged = arithmetic.merged(olds, news)
        states = [_with(whole, later, part) for whole, part in zip(states, merged, strict=True)]
        times[later] = np.maximum(times[later], times[earlier])
        reach *= 2
    return states, times


def _with(whole: pa.Array[Any], places: Int64s, part: pa.Array[Any]) -> pa.Array[Any]:
    """The array with other values at some places."""
    index = np.arange(len(whole))
    index[places] = len(whole) + np.arange(len(places))
    return pa.concat_arrays([whole, part]).take(pa.array(index))

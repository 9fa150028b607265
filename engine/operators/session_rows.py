"""Rows and stored sessions of one batch: which rows are late, what unites, in which order it merges.

The answer is the one that row-by-row processing gives. Mostly it can be read off the intervals at once;
where it depends on the order of the rows, the keys concerned are played through one row at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from streamsql.engine.state.columns import Bools, Int64s, distinct
from streamsql.engine.windows import united

_BEFORE_ROWS = -1


@dataclass(frozen=True, slots=True)
class Intervals:
    """Rows in the order they came, and the stored sessions they may join; keys are numbers from 0.

    late_bound  per row: it is late if the session it joins or makes ends before this
    kept_end    per row: it joins no session that ends before this, such a one being past its retention,
                and is late if a session were to begin before this with it
    """

    row_key: Int64s
    row_time: Int64s
    late_bound: Int64s
    kept_end: Int64s
    key: Int64s
    start: Int64s
    end: Int64s


@dataclass(frozen=True, slots=True)
class Merging:
    """What becomes of the rows and the stored sessions.

    is_late      bool[rows]
    row_group, stored_group  what may unite: within a key, only what has one number
    row_piece    int64[rows]: rows of one piece are merged in the order they came
    stored_turn  int64[stored]: the place of a stored session among the pieces of its union
    """

    is_late: Bools
    row_group: Int64s
    stored_group: Int64s
    row_piece: Int64s
    stored_turn: Int64s


def resolve(intervals: Intervals, gap_ms: int, is_ordered: bool) -> Merging:
    """Find the late rows, what may unite and, if the order of merging matters, that order."""
    rows, stored = len(intervals.row_key), len(intervals.key)
    merging = Merging(
        is_late=np.zeros(rows, dtype=np.bool_),
        row_group=np.zeros(rows, dtype=np.int64),
        stored_group=np.zeros(stored, dtype=np.int64),
        row_piece=np.zeros(rows, dtype=np.int64),
        stored_turn=np.full(stored, _BEFORE_ROWS),
    )
    may_be_late = intervals.row_time < intervals.late_bound
    if may_be_late.any():
        # If even all the rows together do not reach the bound, no order of them does.
        merging.is_late[:] = may_be_late & (_reach(intervals, gap_ms) < intervals.late_bound)
    # A row that reaches back to what may be past its retention, and one that comes in time only by the
    # session it joins: for both it matters what has happened before.
    reaches_back = intervals.row_time - gap_ms < intervals.kept_end
    exact = [intervals.row_key[(may_be_late | reaches_back) & ~merging.is_late]]
    if is_ordered:
        exact.append(_keys_out_of_order(intervals))
    for key in distinct(np.concatenate(exact)):
        _play_through(int(key), intervals, gap_ms, merging)
    return merging


def _reach(intervals: Intervals, gap_ms: int) -> Int64s:
    """End of the union that each row belongs to; int64[rows]."""
    key = np.concatenate([intervals.row_key, intervals.key])
    start = np.concatenate([intervals.row_time, intervals.start])
    end = np.concatenate([intervals.row_time, intervals.end])
    order = np.lexsort((start, key))
    union = united(key[order], start[order], end[order], gap_ms)
    begins = np.flatnonzero(np.append(True, union[1:] != union[:-1]))
    reach = np.empty(len(key), dtype=np.int64)
    reach[order] = np.maximum.reduceat(end[order], begins)[union]
    return reach[: len(intervals.row_key)]


def _keys_out_of_order(intervals: Intervals) -> Int64s:
    """The keys where rows came out of time order, or before a session that is stored already."""
    order = np.argsort(intervals.row_key, kind="stable")
    key, time = intervals.row_key[order], intervals.row_time[order]
    falls = (key[1:] == key[:-1]) & (time[1:] < time[:-1])
    begins = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    earliest = np.full(int(key[-1]) + 1, np.iinfo(np.int64).max)
    earliest[key[begins]] = np.minimum.reduceat(time, begins)
    ahead = intervals.start > earliest[intervals.key]
    return np.concatenate([key[1:][falls], intervals.key[ahead]])


@dataclass(slots=True)
class _Session:
    """A session while rows come in; `parts` in the order of merging: rows >= 0, stored ones as -1 - place."""

    start: int
    end: int
    parts: list[int]


def _play_through(key: int, intervals: Intervals, gap_ms: int, merging: Merging) -> None:
    """Process one key's rows one at a time: the order decides, and only the order can tell."""
    stored = np.flatnonzero(intervals.key == key)
    stored = stored[np.argsort(intervals.start[stored])]
    sessions = [_Session(int(intervals.start[i]), int(intervals.end[i]), [-1 - int(i)]) for i in stored]
    for row in np.flatnonzero(intervals.row_key == key).tolist():
        time = int(intervals.row_time[row])
        earliest_end = max(time - gap_ms, int(intervals.kept_end[row]))
        low = bisect_left(sessions, earliest_end, key=lambda s: s.end)
        high = low
        while high < len(sessions) and sessions[high].start <= time + gap_ms:
            high += 1
        joined = sessions[low:high]
        end = max(time, joined[-1].end) if joined else time
        # None may begin where one past its retention did: they would have one key.
        begins_too_early = time < intervals.kept_end[row] and joined and time < joined[0].start
        merging.is_late[row] = end < intervals.late_bound[row] or begins_too_early
        if merging.is_late[row]:
            continue
        parts = joined[0].parts if joined else []
        for other in joined[1:]:
            parts += other.parts
        parts.append(row)
        sessions[low:high] = [_Session(min(time, joined[0].start) if joined else time, end, parts)]
    for group, session in enumerate(sessions):
        rows = [part for part in session.parts if part >= 0]
        merging.row_group[rows] = group
        merging.stored_group[[-1 - part for part in session.parts if part < 0]] = group
        _number_parts(session.parts, merging.row_piece, merging.stored_turn)


def _number_parts(parts: list[int], piece: Int64s, turn: Int64s) -> None:
    """A new piece wherever a stored session comes between, or a row came earlier than the one before it."""
    number, last_row = 0, -1
    for part in parts:
        if part < 0:
            turn[-1 - part] = number = number + 1
            last_row = -1
            number += 1
        else:
            if part < last_row:
                number += 1
            piece[part] = number
            last_row = part

"""Every session that there is while a batch's rows come in, not only those there are in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.operators.group_states import StateArithmetic
from streamsql.engine.operators.running_states import scan
from streamsql.engine.operators.session_unions import Stored, Unions
from streamsql.engine.state.columns import Bools, Int64s, concatenated
from streamsql.engine.windows import running_maximum


def rounds_in_order(key: Int64s, time: Int64s) -> Int64s:
    """Numbers rows so that those of one key and number are in the order of their times; int64[n].

    gives  numbers from 0 on, which never fall within a key

    >>> rounds_in_order(np.array([0, 1, 0, 0, 1]), np.array([5, 1, 4, 9, 7]))
    array([0, 0, 1, 1, 0])
    """
    order = np.argsort(key, kind="stable")
    key, time = key[order], time[order]
    is_same = key[1:] == key[:-1]
    falls = np.cumsum(np.append(False, is_same & (time[1:] < time[:-1]))[: len(key)])
    begins = np.append(True, ~is_same)[: len(key)]
    rounds = np.empty(len(key), dtype=np.int64)
    rounds[order] = falls - falls[begins][np.cumsum(begins) - 1]
    return rounds


@dataclass(frozen=True, slots=True)
class SessionSteps:
    """Stored sessions and those that rows made of them, union by union; the last one of a union stays.

    All but the last are taken back by the next row of their union.

    is_row      bool[n]: what a row made; else a stored session as it was
    row         int64[n]: the number of that row, -1 for a stored session
    union       int64[n]
    start, end  int64[n]
    states      the state columns, n values each
    """

    is_row: Bools
    row: Int64s
    union: Int64s
    start: Int64s
    end: Int64s
    states: list[pa.Array[Any]]

    @property
    def is_last(self) -> Bools:
        return np.append(self.union[1:] != self.union[:-1], True)[: len(self.union)]

    @property
    def next_row(self) -> Int64s:
        """The row that takes each session back; -1 for those that stay."""
        places = np.where(self.is_row, np.arange(len(self.row)), len(self.row))
        following = np.minimum.accumulate(places[::-1])[::-1]
        found = self.row[np.minimum(np.append(following[1:], 0), len(self.row) - 1)]
        return np.where(self.is_last, -1, found)


def steps_of(
    arithmetic: StateArithmetic,
    in_time: Int64s,
    time: Int64s,
    partials: pa.RecordBatch,
    stored: Stored,
    stored_states: Sequence[pa.Array[Any]],
    unions: Unions,
    gap_ms: int,
) -> SessionSteps:
    """Let rows join sessions one after the other, all at once.

    in_time, time  the rows that are not late, rising, and their times; those of a key are in order of time
    partials       a row for each of them
    stored_states  of all stored sessions
    """
    absorbed = np.flatnonzero(unions.of_stored >= 0)
    union = np.concatenate([unions.of_row[in_time], unions.of_stored[absorbed]])
    start = np.concatenate([time, stored.start[absorbed]])
    end = np.concatenate([time, stored.end[absorbed]])
    row = np.concatenate([in_time, np.full(len(absorbed), -1)])
    # Later rows have later times, so that a stored session joins with the first row that comes near it.
    joins = np.concatenate([time, stored.start[absorbed] - gap_ms])
    order = np.lexsort((row >= 0, joins, union))
    union, row, start, end = union[order], row[order], start[order], end[order]
    is_row = row >= 0
    begins = np.append(True, union[1:] != union[:-1])[: len(union)]
    taken = pa.array(absorbed)
    own = [
        concatenated([mine, other.take(taken)], mine.type).take(pa.array(order))
        for mine, other in zip(arithmetic.typed(partials), stored_states, strict=True)
    ]
    running, ends = scan(arithmetic, own, end, begins)
    starts = -running_maximum(np.cumsum(begins) - 1, -start)
    # What is stored stands for itself until a row joins it.
    chosen = pa.array(np.arange(len(row)) + np.where(is_row, len(row), 0))
    states = [concatenated([a, b], a.type).take(chosen) for a, b in zip(own, running, strict=True)]
    return SessionSteps(
        is_row, row, union, np.where(is_row, starts, start), np.where(is_row, ends, end), states
    )

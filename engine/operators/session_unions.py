"""Uniting a batch's rows and the stored sessions they touch to new sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamsql.engine.operators.session_rows import Merging
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.ordering import order_of
from streamsql.engine.windows import united


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored sessions that rows of a batch may join, by key and start; int64[n].

    key  counts the batch's keys
    """

    key: Int64s
    slot: Int64s
    start: Int64s
    end: Int64s


@dataclass(frozen=True, slots=True)
class Unions:
    """New sessions, numbered from 0; int64[n].

    of_row, of_stored  which of them a row, a stored session belongs to; -1: late, or no row joined it
    """

    key: Int64s
    start: Int64s
    end: Int64s
    of_row: Int64s
    of_stored: Int64s


def unions_of(
    row_key: Int64s, row_time: Int64s, in_time: Int64s, stored: Stored, merging: Merging, gap_ms: int
) -> Unions:
    """Unite rows and stored sessions.

    in_time  the rows that are not late, by (key, time)
    """
    rows = len(in_time)
    key = np.concatenate([row_key[in_time], stored.key])
    start = np.concatenate([row_time[in_time], stored.start])
    end = np.concatenate([row_time[in_time], stored.end])
    group = np.concatenate([merging.row_group[in_time], merging.stored_group])
    apart = key * (int(group.max()) + 1) + group
    # Rows and sessions are in order, each for themselves, if they are of one group.
    order = order_of(apart, start, is_nearly=True)
    number = united(apart[order], start[order], end[order], gap_ms)
    begins = np.flatnonzero(np.append(True, number[1:] != number[:-1]))
    has_row = np.add.reduceat(order < rows, begins, dtype=np.int64) > 0
    # Only unions that a row joined are new; they are numbered again without the others.
    renumbered = np.where(has_row, np.cumsum(has_row) - 1, -1)
    of_row = np.full(len(row_key), -1, dtype=np.int64)
    of_stored = np.empty(len(stored.key), dtype=np.int64)
    is_row = order < rows
    union = renumbered[number]
    of_row[in_time[order[is_row]]] = union[is_row]
    of_stored[order[~is_row] - rows] = union[~is_row]
    ends = np.maximum.reduceat(end[order], begins)
    chosen = order[begins[has_row]]
    return Unions(key[chosen], start[chosen], ends[has_row], of_row, of_stored)

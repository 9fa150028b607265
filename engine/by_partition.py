"""The rows of a batch by their partition: one sort, however many partitions there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.state.columns import Int64s

Partitions = np.ndarray[tuple[int], np.dtype[Any]]

_MOST_SHORT = 1 << 15
"""Numbers below this fit 16 bits, which numpy sorts in two passes over the rows."""


def rows_by_partition(partitions: Partitions) -> list[tuple[int, Int64s]]:
    """Each partition that has rows, rising, with its rows in their order; whole numbers >= 0, [n].

    >>> [(number, rows.tolist()) for number, rows in rows_by_partition(np.array([2, 0, 2]))]
    [(0, [1]), (2, [0, 2])]
    """
    if _is_one(partitions):
        return [(int(partitions[0]), np.arange(len(partitions)))]
    rows, spans = _sorted(partitions)
    return [(number, rows[begin:end]) for number, begin, end in spans]


def largest_by_partition(partitions: Partitions, values: Int64s) -> list[tuple[int, int]]:
    """Each partition that has rows, rising, with the largest of its values; [n] and int64[n].

    >>> largest_by_partition(np.array([2, 0, 2]), np.array([5, 7, 3]))
    [(0, 7), (2, 5)]
    """
    if _is_one(partitions):
        return [(int(partitions[0]), int(values.max()))]
    rows, spans = _sorted(partitions)
    if not spans:
        return []
    largest = np.maximum.reduceat(values[rows], [begin for _, begin, _ in spans]).tolist()
    return list(zip((number for number, _, _ in spans), largest, strict=True))


def split(records: pa.RecordBatch, partitions: Partitions) -> list[tuple[int, pa.RecordBatch]]:
    """The records of each partition that has any, rising, in their order; partitions [n].

    All are copied once, and the parts are slices of the copy.
    """
    if _is_one(partitions):
        return [(int(partitions[0]), records)]
    rows, spans = _sorted(partitions)
    ordered = records.take(pa.array(rows))
    return [(number, ordered.slice(begin, end - begin)) for number, begin, end in spans]


def _is_one(partitions: Partitions) -> bool:
    """Whether there are rows, and all of one partition."""
    if not len(partitions) or partitions[0] != partitions[-1]:
        return False
    return bool((partitions == partitions[0]).all())


def _sorted(partitions: Partitions) -> tuple[Int64s, list[tuple[int, int, int]]]:
    """Rows in order of partition; the number of each partition, and where its rows begin and end there."""
    if not len(partitions):
        return np.zeros(0, np.int64), []
    short = partitions.astype(np.uint16) if int(partitions.max()) < _MOST_SHORT else partitions
    rows: Int64s = np.argsort(short, kind="stable")
    ordered = short[rows]
    bounds = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    ends = bounds[1:].tolist()
    begins = bounds[:-1]
    return rows, list(zip(ordered[begins].tolist(), begins.tolist(), ends, strict=True))

"""Taking rows from several pieces at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.state.columns import Int64s, concatenated


def gathered(
    pieces: Sequence[Sequence[pa.Array[Any]]],
    homes: Int64s,
    places: Int64s,
    types: Sequence[pa.DataType],
) -> list[pa.Array[Any]]:
    """Columns put together from pieces that have the same ones.

    homes, places  which piece each row is in, and where in it
    """
    if not len(homes):
        return [pa.array([], t) for t in types]
    order = None
    if (homes[1:] < homes[:-1]).any():
        order = np.argsort(homes, kind="stable")
        homes, places = homes[order], places[order]
    bounds = [0, *(np.flatnonzero(homes[1:] != homes[:-1]) + 1).tolist(), len(homes)]
    parts = []
    for begin, end in pairwise(bounds):
        chosen = pa.array(places[begin:end])
        parts.append([column.take(chosen) for column in pieces[int(homes[begin])]])
    taken = [
        concatenated(list(columns), t) for columns, t in zip(zip(*parts, strict=True), types, strict=True)
    ]
    if order is None:
        return taken
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return [column.take(pa.array(back)) for column in taken]

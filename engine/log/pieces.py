"""Where records are cut so that all who read them cut alike: before every offset that is a certain one of
`PIECE_ROWS`. What several readers do with a piece can then be done once (`shared.py`).

after  content-defined chunking, Muthitacharoen et al., A Low-bandwidth Network File System, SOSP 2001
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

Whole = TypeVar("Whole", int, np.ndarray[tuple[int], np.dtype[np.int64]])

PIECE_ROWS = 1 << 14
# Partitions that are filled evenly are not all cut at once: the golden ratio spreads their places best.
_SPREAD = 0.618034


def rows_into_piece(partition: Whole, offset: Whole, piece_rows: int = PIECE_ROWS) -> Whole:
    """How many offsets lie between the beginning of a record's piece and the record; 0 if it begins one."""
    return (offset + partition * int(piece_rows * _SPREAD)) % piece_rows


def whole_pieces(rows: int, partition: int, end: int) -> int:
    """So many of `rows` records, or a few less, that they end where a piece does.

    end  the offset after them; with gaps between offsets it is only a guess

    >>> whole_pieces(40_000, 0, 40_000)
    32768
    >>> whole_pieces(4_000, 0, 20_000)  # none would be left
    384
    >>> whole_pieces(1_000, 0, 20_000)
    1000
    """
    surplus = rows_into_piece(partition, end)
    return rows - surplus if surplus < rows else rows

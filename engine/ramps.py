"""Columns that count up or stay the same: all batches share the memory of one array.

A batch of a million rows has several of them, and new memory costs more than what is written to it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SHARED_ROWS = 1 << 20


def counting(rows: int) -> pa.Int64Array:
    """0, 1, .. rows - 1 as int64[rows]."""
    return _counting().slice(0, rows) if rows <= _SHARED_ROWS else pa.array(np.arange(rows))


def repeated(number: int, rows: int) -> pa.Int32Array:
    """One number again and again, int32[rows]."""
    if rows > _SHARED_ROWS:
        return pa.array(np.full(rows, number, dtype=np.int32))
    # Few rows at a time are all that many partitions give.
    return _repeated(number, max(1 << 10, 1 << (rows - 1).bit_length()) if rows else 0).slice(0, rows)


@lru_cache(maxsize=1)
def _counting() -> pa.Int64Array:
    return _shared(np.arange(_SHARED_ROWS))


@lru_cache(maxsize=64)
def _repeated(number: int, rows: int) -> pa.Int32Array:
    return _shared(np.full(rows, number, dtype=np.int32))


def _shared(numbers: npt.NDArray[Any]) -> pa.Array[Any]:
    """As an array whose memory nobody can write to, by way of its buffers either."""
    numbers.flags.writeable = False
    return pa.array(numbers)

"""Texts and bytes of Arrow seen as numpy, and which bytes are UTF-8, without a Python object per row.

Arrow only says whether all payloads are UTF-8. If they are not, those beyond ASCII are looked at, one byte of
all at a time.

after  The Unicode Standard 15.0, table 3-7: the well-formed sequences
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Vector: TypeAlias = Any
"""An Arrow array, of whatever type."""
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCK = 1 << 17
"""Bytes that are looked at together."""
_ROWS = 1 << 11
_GAP = b"\0\0\0"
"""Behind each payload that is looked at: no first byte asks for more than three further ones."""
# First bytes after which the second one must lie in a range of its own.
_NARROWED = ((0xE0, 0xA0, 0xBF), (0xED, 0x80, 0x9F), (0xF0, 0x90, 0xBF), (0xF4, 0x80, 0x8F))


def parts(payloads: Vector) -> tuple[Ints, Bytes]:
    """Offsets and bytes behind a string[n] or binary[n]: int64[n + 1], uint8[..]; nulls are empty or not.

    Row i is `data[offsets[i]:offsets[i + 1]]`; nothing is copied but the offsets.
    """
    offset_buffer, data_buffer = payloads.buffers()[1:]
    if offset_buffer is None:
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)
    offsets = offsets[payloads.offset : payloads.offset + len(payloads) + 1]
    data = np.zeros(0, dtype=np.uint8) if data_buffer is None else np.frombuffer(data_buffer, dtype=np.uint8)
    return offsets.astype(np.int64), data


def rows_with(texts: Vector, mark: Callable[[Bytes], Mask]) -> Mask:
    """The rows of string[n] or binary[n] that have a byte which `mark` marks.

    mark  of bytes, which they are. It is asked a block at a time, which stays in a processor's cache, and for
          which the system need not clear memory
    """
    offsets, data = parts(texts)
    found = np.zeros(len(texts), dtype=np.bool_)
    cuts = np.searchsorted(offsets, np.arange(offsets[0], offsets[-1], BLOCK))
    for low, high in pairwise([*np.unique(cuts).tolist(), len(texts)]):
        found[low:high] = rows_where(offsets[low : high + 1], mark(data[offsets[low] : offsets[high]]))
    return found


def rows_where(offsets: Ints, marked: Mask) -> Mask:
    """The rows that have a marked byte; `marked` begins at the first offset."""
    found = np.zeros(len(offsets) - 1, dtype=np.bool_)
    count = np.count_nonzero(marked)
    if count > len(found) // 4:
        filled = offsets[:-1] < offsets[1:]
        found[filled] = np.logical_or.reduceat(marked, offsets[:-1][filled] - offsets[0])
    elif count:
        # Behind empty rows several offsets are equal: the last of them begins the row that has bytes.
        places = np.flatnonzero(marked) + offsets[0]
        found[np.searchsorted(offsets, places, side="right") - 1] = True
    return found


def as_text(payloads: Vector) -> tuple[Vector, Mask]:
    """binary[n] as string[n], and where the bytes are not UTF-8 (null there)."""
    broken = np.zeros(len(payloads), dtype=np.bool_)
    try:
        return payloads.cast(pa.string()), broken
    except pa.ArrowInvalid:
        rows = np.flatnonzero(rows_with(payloads, lambda data: data > 127))
        chosen = payloads.take(pa.array(rows))
        for start in range(0, len(rows), _ROWS):
            broken[rows[start : start + _ROWS]] = _not_utf8(chosen.slice(start, _ROWS))
    # Only the validity is new: nothing is copied, nor looked at again.
    valid = np.zeros(payloads.offset + len(payloads), dtype=np.bool_)
    valid[payloads.offset :] = payloads.is_valid().to_numpy(zero_copy_only=False) & ~broken
    buffers = [pa.py_buffer(np.packbits(valid, bitorder="little")), *payloads.buffers()[1:]]
    return pa.Array.from_buffers(pa.string(), len(payloads), buffers, offset=payloads.offset), broken


def _not_utf8(payloads: Vector) -> Mask:
    """Which of binary[n] are not UTF-8; a null is."""
    spread = pc.binary_join_element_wise(payloads, b"", _GAP, null_handling="replace", null_replacement=b"")
    offsets, data = parts(spread)
    data = data[offsets[0] : offsets[-1]]
    asked = np.zeros(len(data), dtype=np.bool_)
    for reach, lowest in ((1, 0xC0), (2, 0xE0), (3, 0xF0)):
        asked[reach:] |= data[:-reach] >= lowest
    # A byte that continues a sequence stands where one is asked for, and nowhere else.
    wrong = asked != (data & 0xC0 == 0x80)
    wrong |= (data == 0xC0) | (data == 0xC1) | (data > 0xF4)
    for first, low, high in _NARROWED:
        seconds = np.flatnonzero(data[:-1] == first) + 1
        wrong[seconds] |= (data[seconds] < low) | (data[seconds] > high)
    return rows_where(offsets, wrong)

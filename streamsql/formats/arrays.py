"""Arrow arrays seen as numpy: what the formats need below pyarrow's compute functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute
"""Arrow's functions. Their stubs know neither which arrays they give nor all they take."""

Vector: TypeAlias = Any
"""An Arrow array, of whatever type."""
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


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


def rows_where(offsets: Ints, marked: Mask) -> Mask:
    """The rows that have a marked byte; `marked` begins at the first offset."""
    found = np.zeros(len(offsets) - 1, dtype=np.bool_)
    places = np.flatnonzero(marked)
    if len(places):
        # Behind empty rows several offsets are equal: the last of them begins the row that has bytes.
        found[np.searchsorted(offsets, places + offsets[0], side="right") - 1] = True
    return found


def mask_of(flags: Vector) -> Mask:
    """A boolean[n] without nulls as numpy."""
    found: Mask = flags.to_numpy(zero_copy_only=False)
    return found


def valid_mask(array: Vector) -> Mask:
    """True where the array has a value."""
    return mask_of(array.is_valid()) if array.null_count else np.ones(len(array), dtype=np.bool_)


def null_where(array: Vector, rows: Mask) -> Vector:
    """The array with nulls in the masked rows as well; what lay there may stay behind in the buffers."""
    if not rows.any():
        return array
    children = [array.values] if pa.types.is_list(array.type) else []
    has_others = array.type.num_fields > len(children)
    if has_others or pa.types.is_dictionary(array.type) or pa.types.is_null(array.type):
        return pc.if_else(pa.array(~rows), array, pa.scalar(None, array.type))
    # Only the validity is new: no value is copied.
    valid = np.ones(array.offset + len(array), dtype=np.bool_)
    valid[array.offset :] = valid_mask(array) & ~rows
    validity = pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffers = [validity, *array.buffers()[1 : 2 if children else None]]
    return pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset, children=children)


def replace_at(array: Vector, rows: Ints, values: Sequence[Any]) -> Vector:
    """The array with Python `values` put in at the rising `rows`, in the array's own type."""
    return put_at(array, rows, pa.array(values, array.type)) if len(rows) else array


def put_at(array: Vector, rows: Ints, values: Vector, gone: Sequence[int] = ()) -> Vector:
    """The array with `values` put in at the rising `rows`, and nulls at the rows that are `gone`."""
    mask = np.zeros(len(array), dtype=np.bool_)
    mask[np.asarray(gone, dtype=np.int64)] = True
    if not len(rows):
        return null_where(array, mask)
    if len(rows) == len(array):
        return values
    positions = np.arange(len(array), dtype=np.int64)
    positions[rows] = len(array) + np.arange(len(rows), dtype=np.int64)
    return pa.concat_arrays([array, values]).take(pa.array(positions, mask=mask))


def first_bytes(texts: Vector) -> Bytes:
    """The first byte of each value, 0 for an empty or null one; uint8[n]."""
    offsets, data = parts(texts)
    return _bytes_at(offsets[:-1], texts, offsets, data)


def last_bytes(texts: Vector) -> Bytes:
    """The last byte of each value, 0 for an empty or null one; uint8[n]."""
    offsets, data = parts(texts)
    return _bytes_at(offsets[1:] - 1, texts, offsets, data)


def _bytes_at(places: Ints, texts: Vector, offsets: Ints, data: Bytes) -> Bytes:
    if not len(data):
        return np.zeros(len(texts), dtype=np.uint8)
    found: Bytes = data.take(places, mode="clip")
    found[np.diff(offsets) == 0] = 0
    if texts.null_count:
        found[~valid_mask(texts)] = 0
    return found


def as_text(payloads: Vector) -> tuple[Vector, Mask]:
    """binary[n] as string[n] and where the bytes are not UTF-8 (null there)."""
    try:
        return payloads.cast(pa.string()), np.zeros(len(payloads), dtype=np.bool_)
    except pa.ArrowInvalid:
        # Somewhere is a byte that is no UTF-8: looked for in the rows that are not plain ASCII.
        rows = _beyond_ascii(payloads)
        broken = np.zeros(len(payloads), dtype=np.bool_)
        broken[rows] = [not _is_utf8(p) for p in payloads.take(pa.array(rows)).to_pylist()]
        return null_where(payloads, broken).cast(pa.string()), broken


def _beyond_ascii(payloads: Vector) -> Ints:
    """The rows that have a byte above 127, rising."""
    offsets, data = parts(payloads)
    places = np.flatnonzero(data[offsets[0] : offsets[-1]] > 127) + offsets[0]
    return np.unique(np.searchsorted(offsets, places, side="right") - 1)


def _is_utf8(payload: bytes | None) -> bool:
    try:
        (payload or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def nulls(n: int, kind: pa.DataType) -> Vector:
    """n nulls of a type."""
    make: Any = pa.nulls
    return make(n, kind)


def one_array(chunks: Iterable[Vector], kind: pa.DataType) -> Vector:
    """Several arrays of one type in one piece."""
    found = list(chunks)
    return pa.concat_arrays(found) if found else pa.array([], kind)

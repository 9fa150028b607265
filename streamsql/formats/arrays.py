"""Arrow arrays seen as numpy: what the formats need below pyarrow's compute functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from streamsql.engine.texts import Bytes, Ints, Mask, Vector, parts

pc: Any = pyarrow.compute
"""Arrow's functions. Their stubs know neither which arrays they give nor all they take."""


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
    valid = pa.array(~rows)
    if array.null_count:
        valid = pc.and_(array.is_valid(), valid)
    if array.offset:
        before = pa.array(np.zeros(array.offset, dtype=np.bool_))
        valid = pa.concat_arrays([before, valid])
    buffers = [valid.buffers()[1], *array.buffers()[1 : 2 if children else None]]
    return pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset, children=children)


def replace_at(array: Vector, rows: Ints, values: Sequence[Any]) -> Vector:
    """The array with Python `values` put in at the rising `rows`, in the array's own type."""
    return put_at(array, rows, pa.array(values, array.type)) if len(rows) else array


def put_at(array: Vector, rows: Ints, values: Vector, gone: Mask | None = None) -> Vector:
    """The array with `values` put in at the rising `rows`, and nulls at the rows that are `gone`."""
    if not len(rows):
        return array if gone is None else null_where(array, gone)
    if len(rows) == len(array):
        return values
    positions = np.arange(len(array), dtype=np.int64)
    positions[rows] = len(array) + np.arange(len(rows), dtype=np.int64)
    return pa.concat_arrays([array, values]).take(pa.array(positions, mask=gone))


def ints(values: Collection[int]) -> Ints:
    """A list of whole numbers, or the keys or values of a dict, as int64[k]."""
    return np.fromiter(values, np.int64, len(values))


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


def nulls(n: int, kind: pa.DataType) -> Vector:
    """n nulls of a type."""
    make: Any = pa.nulls
    return make(n, kind)


def one_array(chunks: Iterable[Vector], kind: pa.DataType) -> Vector:
    """Several arrays of one type in one piece."""
    found = list(chunks)
    return pa.concat_arrays(found) if found else pa.array([], kind)

"""Equality of keys, row by row, over Arrow arrays.

Keys are equal as GROUP BY has it: nulls are equal to each other, so are NaNs, and 0.0 equals -0.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.state.columns import Bools, Int64s, numpy_type, to_numpy


def equal_rows(left: Sequence[pa.Array], right: Sequence[pa.Array]) -> Bools:
    """Whether row i of the left columns equals row i of the right ones; columns of equal types, bool[n]."""
    equal = equal_values(left[0], right[0])
    for a, b in zip(left[1:], right[1:], strict=True):
        equal &= equal_values(a, b)
    return equal


def equal_values(left: pa.Array, right: pa.Array) -> Bools:
    """Whether value i of both arrays is the same; arrays of one type and length n, bool[n]."""
    t = left.type
    if pa.types.is_struct(t):
        equal = _both_valid_or_null(left, right)
        for a, b in zip(left.flatten(), right.flatten(), strict=True):
            equal &= equal_values(a, b)
        return equal
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_map(t):
        return _equal_lists(left, right)
    if numpy_type(t) is not None:
        return _equal_fixed(left, right)
    same = pc.equal(left, right)
    if same.null_count:
        same = pc.or_(pc.fill_null(same, False), pc.and_(left.is_null(), right.is_null()))
    result: Bools = same.to_numpy(zero_copy_only=False)
    return result.copy()


def _equal_fixed(left: pa.Array, right: pa.Array) -> Bools:
    a, a_valid = to_numpy(left)
    b, b_valid = to_numpy(right)
    if pa.types.is_decimal(left.type):
        pairs = a.view(np.int64).reshape(-1, 2) == b.view(np.int64).reshape(-1, 2)
        equal = pairs[:, 0] & pairs[:, 1]
    else:
        equal = a == b
        if pa.types.is_floating(left.type):
            equal |= (a != a) & (b != b)
    if a_valid is not None or b_valid is not None:
        a_valid = np.ones(len(a), np.bool_) if a_valid is None else a_valid
        b_valid = np.ones(len(b), np.bool_) if b_valid is None else b_valid
        equal = (equal & a_valid & b_valid) | (~a_valid & ~b_valid)
    result: Bools = equal
    return result


def _equal_lists(left: pa.Array, right: pa.Array) -> Bools:
    a_lengths, b_lengths = _lengths(left), _lengths(right)
    equal: Bools = _both_valid_or_null(left, right) & (a_lengths == b_lengths)
    # Only rows of equal length have their elements compared, so that the elements line up.
    candidates = np.flatnonzero(equal & (a_lengths > 0))
    if not len(candidates):
        return equal
    chosen = pa.array(candidates)
    a_items, b_items = (_items(side.take(chosen)) for side in (left, right))
    same = equal_values(a_items, b_items)
    lengths = a_lengths[candidates]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    equal[candidates] = np.logical_and.reduceat(same, starts)
    return equal


def _items(lists: pa.Array) -> pa.Array:
    if pa.types.is_map(lists.type):
        t = pa.list_(pa.struct([lists.type.key_field, lists.type.item_field]))
        lists = lists.cast(t)
    return lists.flatten()


def _lengths(lists: pa.Array) -> Int64s:
    offsets = np.asarray(lists.offsets).astype(np.int64)
    lengths: Int64s = np.where(_valid(lists), np.diff(offsets), 0)
    return lengths


def _valid(array: pa.Array) -> Bools:
    valid: Bools = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _both_valid_or_null(left: pa.Array, right: pa.Array) -> Bools:
    same: Bools = _valid(left) == _valid(right)
    return same

"""Merging numbers into a column of the state by slot: sums, least and largest values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from streamsql.engine.operators.aggregate_call import Plain
from streamsql.engine.state.columns import Bools, FixedColumn, Int64s, Values

_EXACT = 2.0**53
"""Up to here every whole number is a double."""


class LastRows(NamedTuple):
    """Where the slots of some rows occur last.

    of      int64[n]: for each row the place of the last one of its slot
    places  those places, rising
    """

    of: Int64s
    places: Int64s


class LastPlaces:
    """Finds each slot's last occurrence by writing rather than by sorting; for slots of one store."""

    def __init__(self) -> None:
        self._place: Int64s = np.zeros(0, dtype=np.int64)

    def find(self, slots: Int64s, is_new: Bools) -> tuple[LastRows, Bools]:
        """The last row of each slot, and whether the slot was there before.

        is_new  bool[n]: this row is the first of a slot that was not there

        >>> last, is_known = LastPlaces().find(np.array([7, 3, 7, 7, 3]), np.array([1, 0, 0, 0, 0], bool))
        >>> last.of, last.places, is_known
        (array([3, 4, 3, 3, 4]), array([3, 4]), array([False,  True]))
        """
        if not len(slots):
            return LastRows(slots, slots), is_new
        largest = int(slots.max())
        if largest >= len(self._place):
            self._place = np.zeros(max(64, 1 << largest.bit_length()), dtype=np.int64)
        own = np.arange(len(slots))
        # Of several writes to one place numpy keeps the last.
        self._place[slots] = own
        last = self._place[slots]
        places = np.flatnonzero(last == own)
        self._place[slots[is_new]] = -1
        return LastRows(last, places), self._place[slots[places]] >= 0


def merge_numbers(
    column: FixedColumn,
    kind: Plain,
    slots: Int64s,
    values: Values,
    valid: Bools | None,
    *,
    is_distinct: bool,
) -> None:
    """Merge each value into its slot, in the order given.

    valid        which values are not null; None: all
    is_distinct  whether no slot is given twice
    """
    # Infinities and NaNs take part like any number.
    with np.errstate(all="ignore"):
        if kind == "sum":
            values = _filled(values, valid, values.dtype.type(0))
            if is_distinct:
                column.values[slots] += values
            else:
                np.add.at(column.values, slots, values)
            return
        ufunc, values = _begun(column, kind, slots, values, valid)
        if is_distinct:
            column.values[slots] = ufunc(column.values[slots], values)
        else:
            ufunc.at(column.values, slots, values)


def merge_numbers_beside(
    column: FixedColumn, kind: Plain, slots: Int64s, last: LastRows, values: Values, valid: Bools | None
) -> None:
    """The same for slots that are given more than once, without keeping other threads from Python.

    numpy's `ufunc.at` does so for as long as it takes; what stands here takes half as long again. A sum of
    floating-point numbers may differ in its last digits: those of a batch are added up first.
    """
    touched = slots[last.places]
    with np.errstate(all="ignore"):
        if kind == "sum":
            values = _filled(values, valid, values.dtype.type(0))
            largest = max(float(values.max(initial=0)), -float(values.min(initial=0)))
            if values.dtype == np.float64 or largest * len(values) < _EXACT:
                sums = np.bincount(last.of, weights=values)[last.places]
                column.values[touched] += sums.astype(values.dtype)
            else:
                np.add.at(column.values, slots, values)
            return
        ufunc, values = _begun(column, kind, slots, values, valid)
        column.values[touched] = ufunc(column.values[touched], values[last.places])
        # Few values of a batch are better than the last one of their slot.
        found = column.values[slots]
        better = np.flatnonzero(ufunc(found, values) != found)
        ufunc.at(column.values, slots[better], values[better])


def _filled(values: Values, valid: Bools | None, by: Any) -> Values:
    """The values, with something else in the place of nulls."""
    return values if valid is None else np.where(valid, values, by)


def _begun(
    column: FixedColumn, kind: Plain, slots: Int64s, values: Values, valid: Bools | None
) -> tuple[np.ufunc, Values]:
    """How a least or largest value is merged, and what to merge; nulls on either side change nothing."""
    ufunc, identity = _EXTREMES[kind](values.dtype)
    if column.valid is not None:
        column.values[slots[~column.valid[slots]]] = identity
        column.valid[slots if valid is None else slots[valid]] = True
    return ufunc, _filled(values, valid, identity)


def _least(dtype: np.dtype[Any]) -> tuple[np.ufunc, Any]:
    # NaN is the largest number, as DuckDB orders doubles: fmin passes it over.
    return (np.fmin, np.nan) if dtype.kind == "f" else (np.minimum, np.iinfo(dtype).max)


def _greatest(dtype: np.dtype[Any]) -> tuple[np.ufunc, Any]:
    return (np.maximum, -np.inf) if dtype.kind == "f" else (np.maximum, np.iinfo(dtype).min)


_EXTREMES = {"min": _least, "max": _greatest}

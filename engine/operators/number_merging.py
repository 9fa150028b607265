"""Merging numbers into a column of the state by slot: sums, least and largest values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamsql.engine.operators.aggregate_call import Plain
from streamsql.engine.state.columns import Bools, FixedColumn, Int64s, Values


class LastPlaces:
    """Finds each slot's last occurrence by writing rather than by sorting; for slots of one store."""

    def __init__(self) -> None:
        self._place: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)

    def find(self, slots: Int64s) -> Int64s:
        """The places of the last row of each slot, rising.

        >>> LastPlaces().find(np.array([7, 3, 7, 7, 3]))
        array([3, 4])
        """
        if not len(slots):
            return slots
        largest = int(slots.max())
        if largest >= len(self._place):
            self._place = np.zeros(max(64, 1 << largest.bit_length()), dtype=np.int32)
        own = np.arange(len(slots), dtype=np.int32)
        # Of several writes to one place numpy keeps the last.
        self._place[slots] = own
        return np.flatnonzero(self._place.take(slots) == own)


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

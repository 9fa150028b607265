"""The functions, one row each: SCALARS and TABLE_FUNCTIONS hold every built-in one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streamsql.functions.nulls import NULLS
from streamsql.functions.numeric import NUMERIC
from streamsql.functions.registry import Scalar, TableFunction


def _in(category: str, rows: Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(replace(row, category=category) for row in rows)


SCALARS: tuple[Scalar, ...] = (
    *_in("Numeric", NUMERIC),
    *_in("Null handling", NULLS),
)

TABLE_FUNCTIONS: tuple[TableFunction, ...] = ()

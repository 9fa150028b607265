"""All built-in aggregate functions, a row per overload; what a row is: aggregate.py."""

from __future__ import annotations

from streamsql.functions.aggregate import AggregateFunction, bind
from streamsql.functions.aggregate_collections import COLLECTIONS
from streamsql.functions.aggregate_deviations import DEVIATIONS
from streamsql.functions.aggregate_extremes import EXTREMES
from streamsql.functions.aggregate_numbers import NUMBERS
from streamsql.functions.aggregate_offsets import OFFSETS

AGGREGATES: tuple[AggregateFunction, ...] = (
    *NUMBERS,
    *DEVIATIONS,
    *EXTREMES,
    *COLLECTIONS,
    *OFFSETS,
)

__all__ = ["AGGREGATES", "AggregateFunction", "bind"]

"""Aggregates that count and add up: COUNT, COUNT_DISTINCT, SUM, SUM_LIST, AVG."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from streamsql.functions.aggregate import AggregateBinding, AggregateFunction, State
from streamsql.functions.distinct_count import ESTIMATE, MERGE, SKETCH
from streamsql.types import Decimal

_NUMBERS = ("INTEGER", "BIGINT", "DOUBLE")


def _wrapped(total: str, t: str) -> str:
    """A HUGEINT sum at the width of an integer type, too large ones wrapped around as in two's complement."""
    half = 1 << (31 if t == "INTEGER" else 63)
    return f"((({total} + {half}::HUGEINT) & {2 * half - 1}::HUGEINT) - {half}::HUGEINT)::{t}"


def _total(t: str, value: str, of_row: Literal["value", ""] = "value") -> State:
    """The sum of a SQL value; `of_row` is "value" if that is the argument, or its weight times it."""
    total = f"coalesce(sum({value}), 0)"
    if t != "DOUBLE":
        total = _wrapped(f"{total}::HUGEINT", t)
    return State("total", t, "0", total, plain="sum", of_row=of_row)


def _signed(t: str, value: str) -> str:
    """The value with its row's weight as sign; wide enough for the opposite of the smallest number."""
    return f'{value} * "$weight"' if t == "DOUBLE" else f'{value}::HUGEINT * "$weight"'


def _count(partial: str, of_row: Literal["one", "present"]) -> State:
    return State("n", "BIGINT", "0", partial, plain="sum", of_row=of_row)


_COUNT_VALUES = _count("count({x})", "present")
_WEIGH_VALUES = _count('coalesce(sum("$weight") FILTER (WHERE {x} IS NOT NULL), 0)::BIGINT', "present")

_COUNTS = (
    AggregateFunction(
        "COUNT",
        "() -> BIGINT",
        "Number of rows.",
        state=(_count("count(*)", "one"),),
        value="{n}",
        on_table=(_count('coalesce(sum("$weight"), 0)::BIGINT', "one"),),
        example="COUNT() of 1, NULL, 1",
        gives="3",
    ),
    AggregateFunction(
        "COUNT",
        "(x T) -> BIGINT",
        "Number of values that are not null.",
        state=(_COUNT_VALUES,),
        value="{n}",
        on_table=(_WEIGH_VALUES,),
        example="COUNT(x) of 1, NULL, 1",
        gives="2",
    ),
    AggregateFunction(
        "COUNT_DISTINCT",
        "(x T) -> BIGINT",
        "Number of distinct values: exact up to 1024, then with a standard error of 0.8 %.",
        state=(
            State(
                "seen",
                "BYTES",
                "''::BLOB",
                "coalesce({sketch}(list_transform(list(DISTINCT {x}) FILTER (WHERE {x} IS NOT NULL),"
                ' lambda "$v": md5_number_lower("$v"::VARCHAR))), \'\'::BLOB)',
                "{merge}({old.seen}, {new.seen})",
            ),
        ),
        value="{estimate}({seen})",
        functions={"sketch": lambda b: SKETCH, "merge": lambda b: MERGE, "estimate": lambda b: ESTIMATE},
        example="COUNT_DISTINCT(x) of 1, 2, NULL, 1",
        gives="2",
    ),
)


def _kept(t: str) -> str:
    """The type that a sum is kept in: integers as BIGINT, so that SUM and AVG of a column share it."""
    return "DOUBLE" if t == "DOUBLE" else "BIGINT"


def _sum(t: str) -> AggregateFunction:
    kept = _kept(t)
    return AggregateFunction(
        "SUM",
        f"(x {t}) -> {t}",
        "Sum of the values; 0 if there are none. Integers wrap around.",
        state=(_total(kept, "{x}"),),
        value="{total}" if t == kept else _wrapped("{total}", t),
        bare="total",
        on_table=(_total(kept, _signed(kept, "{x}")),),
        example="SUM(x) of 1, 2, NULL",
        gives="3.0" if t == "DOUBLE" else "3",
    )


def _sum_list(t: str) -> AggregateFunction:
    return AggregateFunction(
        "SUM_LIST",
        f"(x ARRAY<{t}>) -> {t}",
        "Sum of the elements of all arrays; nulls are skipped. Integers wrap around.",
        state=(_total(t, "list_sum({x})", ""),),
        value="{total}",
        on_table=(_total(t, _signed(t, "list_sum({x})"), ""),),
        example="SUM_LIST(x) of [1, 2], NULL, [3, None]",
        gives="6.0" if t == "DOUBLE" else "6",
    )


def _decimal_sum(value: str) -> Callable[[AggregateBinding], tuple[State, ...]]:
    def states(binding: AggregateBinding) -> tuple[State, ...]:
        decimal = binding.variables["D"]
        assert isinstance(decimal, Decimal)
        # The sum is kept as wide as decimals get: only a result that does not fit its type is an error,
        # not a part of a sum whose other part brings it back.
        wide = f"DECIMAL(38, {min(decimal.scale, 38)})"
        partial = f"coalesce(sum({value}), 0)::{wide}"
        return (State("total", wide, "0", partial, f"({{old.total}} + {{new.total}})::{wide}"),)

    return states


_SUMS = (
    *map(_sum, _NUMBERS),
    AggregateFunction(
        "SUM",
        "(x D) -> D",
        "Sum of the values, of the same decimal type; a sum that does not fit it ends the query.",
        state=_decimal_sum("{x}"),
        value="{total}::{D}",
        on_table=_decimal_sum('{x} * "$weight"'),
        example="SUM(x) of 1.50, 2.25",
        gives="3.75",
    ),
    *map(_sum_list, _NUMBERS),
)


def _average(t: str) -> AggregateFunction:
    # Only sums beyond 64 bits wrap.
    kept = _kept(t)
    return AggregateFunction(
        "AVG",
        f"(x {t}) -> DOUBLE",
        "Mean of the values; 0.0 if there are none.",
        state=(_total(kept, "{x}"), _COUNT_VALUES),
        value="CASE WHEN {n} = 0 THEN 0.0::DOUBLE ELSE {total}::DOUBLE / {n} END",
        on_table=(_total(kept, _signed(kept, "{x}")), _WEIGH_VALUES),
        example="AVG(x) of 1, 2, NULL",
        gives="1.5",
    )


NUMBERS = (
    *_COUNTS,
    *_SUMS,
    *map(_average, _NUMBERS),
)

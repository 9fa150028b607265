"""Deviations of whole numbers that rows can be taken out of again without anything being left over.

A state is the number of rows and the exact sums of each variable and of products of variables. Means and
deviations are read out of it; what was put in and taken back has left no trace, however large it was.

A product of two 64-bit numbers has up to 126 bits, so that a second one might not fit into DuckDB's 128.
Products are therefore summed in two parts: what is above 60 bits, and those 60 bits. So there is room for
2^30 rows of the largest numbers, and 2^33 of any below 2^60.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction
from streamsql.functions.aggregate import State

_BITS = 60
_LOW = f"{(1 << _BITS) - 1}::HUGEINT"
_WIDE = "DECIMAL(38, 0)"
_SUM = f"({{old_self}} + {{new_self}})::{_WIDE}"


def exact_states(arguments: Mapping[str, str], pairs: Sequence[str]) -> tuple[State, ...]:
    """The sums over a table's rows in which no argument is null.

    arguments  SQL of whole numbers, by variable: x, y
    pairs      which products are summed: xx, xy
    """
    present = " AND ".join(f"{sql} IS NOT NULL" for sql in arguments.values())

    def total(name: str, sql: str) -> State:
        sums = f'coalesce(sum(({sql}) * "$weight") FILTER (WHERE {present}), 0)::{_WIDE}'
        return State(name, _WIDE, "0", sums, _SUM)

    product = {p: f"({arguments[p[0]]})::HUGEINT * {arguments[p[1]]}" for p in pairs}
    return (
        *(total(f"sum_{v}", f"({sql})::HUGEINT") for v, sql in arguments.items()),
        *(total(f"high_{p}", f"({sql}) >> {_BITS}") for p, sql in product.items()),
        *(total(f"low_{p}", f"({sql}) & {_LOW}") for p, sql in product.items()),
    )


def count_state(arguments: Mapping[str, str]) -> State:
    """`n`: how many rows there are in which no argument is null."""
    present = " AND ".join(f"{sql} IS NOT NULL" for sql in arguments.values())
    rows = f'coalesce(sum("$weight") FILTER (WHERE {present}), 0)::BIGINT'
    return State("n", "BIGINT", "0", rows, "{old_self} + {new_self}")


def exact_deviation(pair: str) -> str:
    """SQL over the states: the sum of (a - mean of a) * (b - mean of b), rounded once; null without rows.

    It is (n * sum(a * b) - sum(a) * sum(b)) / n, whose parts are far larger than their difference. They are
    computed in two parts as well, `low` the multiples of 1 and `high` those of 2^60, and subtracted exactly.
    """
    n = "{n}::HUGEINT"
    a, b = (f"{{sum_{variable}}}::HUGEINT" for variable in (pair[0], pair[1]))
    high_a, high_b = (f"({total} >> {_BITS})" for total in (a, b))
    low_a, low_b = (f"({total} & {_LOW})" for total in (a, b))
    low = f"({n} * {{low_{pair}}}::HUGEINT - {low_a} * {low_b})"
    high = (
        f"({n} * {{high_{pair}}}::HUGEINT - {high_a} * {high_b} * {1 << _BITS}"
        f" - {high_a} * {low_b} - {low_a} * {high_b} + ({low} >> {_BITS}))"
    )
    # Where the whole would not fit into 128 bits, its last 60 are beyond the digits of a DOUBLE.
    whole = (
        f"CASE WHEN abs({high}) < {1 << _BITS} THEN ({high} * {1 << _BITS} + ({low} & {_LOW}))::DOUBLE"
        f" ELSE {high}::DOUBLE * {1 << _BITS} END"
    )
    return f"({whole} / nullif({{n}}, 0))"


def _bits(numbers: pa.Array) -> pa.Array:
    """Doubles as the whole numbers with the same 64 bits; equal ones give equal ones."""
    valid = numbers.is_valid().to_numpy(zero_copy_only=False)
    # Adding zero makes -0.0 what it is equal to.
    values = numbers.to_numpy(zero_copy_only=False) + 0.0
    return pa.array(values.view(np.int64), mask=~valid)


BITS = ArrowFunction("ksql_double_bits", ("DOUBLE",), "BIGINT", _bits)

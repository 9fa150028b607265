"""Deviations of whole numbers that rows can be taken out of again without anything being left over.

A state is the number of rows and the exact sums of each variable and of products of variables. Means and
deviations are read out of it; what was put in and taken back has left no trace, however large it was.

A product of two 64-bit numbers has up to 126 bits, and sums of them more than any number of DuckDB. Numbers
and products are therefore cut into parts of 32 bits, `sum_x_0` the lowest, and a sum of each part is kept:
64 bits are room for 2^31 rows, and numpy can merge them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction
from streamsql.functions.aggregate import State

_BITS = 32
_BASE = 1 << _BITS


def exact_states(arguments: Mapping[str, str], pairs: Sequence[str]) -> tuple[State, ...]:
    """The sums over a table's rows in which no argument is null.

    arguments  SQL of whole numbers, by variable: x, y
    pairs      which products are summed: xx, xy
    """
    present = _present(arguments)

    def sums(name: str, sql: str, parts: int) -> list[State]:
        cut = [f"(({sql}) >> {_BITS * i})" for i in range(parts)]
        # The uppermost has the sign.
        cut[:-1] = [f"({part} & {_BASE - 1})" for part in cut[:-1]]
        return [
            State(
                f"sum_{name}_{i}",
                "BIGINT",
                "0",
                f'coalesce(sum({part}::BIGINT * "$weight") FILTER (WHERE {present}), 0)::BIGINT',
                plain="sum",
            )
            for i, part in enumerate(cut)
        ]

    return (
        *(state for v, sql in arguments.items() for state in sums(v, f"({sql})::BIGINT", 2)),
        *(
            state
            for pair in pairs
            for state in sums(pair, f"({arguments[pair[0]]})::HUGEINT * {arguments[pair[1]]}", 4)
        ),
    )


def count_state(arguments: Mapping[str, str]) -> State:
    """`n`: how many rows there are in which no argument is null."""
    rows = f'coalesce(sum("$weight") FILTER (WHERE {_present(arguments)}), 0)::BIGINT'
    return State("n", "BIGINT", "0", rows, plain="sum")


def _present(arguments: Mapping[str, str]) -> str:
    return " AND ".join(f"{sql} IS NOT NULL" for sql in arguments.values())


def exact_deviation(pair: str) -> str:
    """SQL over the states: the sum of (a - mean of a) * (b - mean of b), rounded once; null without rows.

    It is (n * sum(a * b) - sum(a) * sum(b)) / n, whose parts are far larger than their difference. The
    difference is put together exactly: `high` are multiples of 2^64, `middle` of 2^32, `low` of 1.
    """
    n = "{n}::HUGEINT"
    a, b = ([f"{{sum_{v}_{i}}}::HUGEINT" for i in range(2)] for v in (pair[0], pair[1]))
    product = [f"{{sum_{pair}_{i}}}" for i in range(4)]
    middle = f"({a[1]} * {b[0]} + {a[0]} * {b[1]})"
    low = (
        f"({n} * ({product[1]}::HUGEINT * {_BASE} + {product[0]}) - {a[0]} * {b[0]}"
        f" - ({middle} & {_BASE - 1}) * {_BASE})"
    )
    high = (
        f"({n} * ({product[3]}::HUGEINT * {_BASE} + {product[2]}) - {a[1]} * {b[1]}"
        f" - ({middle} >> {_BITS}) + ({low} >> {2 * _BITS}))"
    )
    # Where the whole would not fit into 128 bits, its last 64 are beyond the digits of a DOUBLE.
    base, rest = f"{_BASE**2}::HUGEINT", f"({low} & {_BASE**2 - 1}::HUGEINT)"
    whole = (
        f"CASE WHEN abs({high}) < {1 << 62} THEN ({high} * {base} + {rest})::DOUBLE"
        f" ELSE {high}::DOUBLE * {base} END"
    )
    return f"({whole} / nullif({{n}}, 0))"


def _bits(numbers: pa.Array) -> pa.Array:
    """Doubles as the whole numbers with the same 64 bits; equal ones give equal ones."""
    valid = numbers.is_valid().to_numpy(zero_copy_only=False)
    # Adding zero makes -0.0 what it is equal to.
    values = numbers.to_numpy(zero_copy_only=False) + 0.0
    return pa.array(values.view(np.int64), mask=~valid)


BITS = ArrowFunction("ksql_double_bits", ("DOUBLE",), "BIGINT", _bits)

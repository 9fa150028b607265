"""Python over the distinct values of a vector: what makes an exact but slow rule affordable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from streamsql.tolerance import attempts, errors_noted, reject

# DuckDB evaluates the annotations of the functions it is given, and pyarrow's classes take no
# parameters at run time; so the types are spelt as texts.
Column: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"
"""What DuckDB hands to an Arrow function, of one vector (2048 rows) at most."""
Vector: TypeAlias = "pa.Array[Any]"
"""What an Arrow function gives back."""


def each_distinct(
    run: Callable[..., object],
    returns: pa.DataType,
    *columns: Column,
    nulls: bool = False,
) -> Vector:
    """`run` of every row, called once per distinct combination of the columns' values.

    nulls    False: a row with a null gives null without a call; True: nulls are passed as None
    returns  the Arrow type of the result
    raises   whatever `run` raises; inside tolerance.errors_noted such rows are null instead
    """
    values: list[list[Any]] = []
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        encoded = _encoded(column)
        # Null is code 0. The product of the dictionaries' sizes stays below 2^63 for vectors of
        # 2048 rows and the five arguments that the widest of our functions has.
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        values.append([None, *encoded.dictionary.to_pylist()])
        codes = codes * len(values[-1]) + indices + 1
    present, inverse = np.unique(codes, return_inverse=True)
    inverse = inverse.reshape(-1)
    calls = (_decode(code, values) for code in present.tolist())
    # A Python loop over distinct values, not over rows.
    with errors_noted() as errors:
        results = attempts(run if nulls else _without_nulls(run), calls)
    for place, error in errors.items():
        reject(np.flatnonzero(inverse == place).tolist(), error)
    return pa.array(results, returns).take(inverse)


def _without_nulls(run: Callable[..., object]) -> Callable[..., object]:
    return lambda *arguments: None if None in arguments else run(*arguments)


def _decode(code: int, values: list[list[Any]]) -> tuple[Any, ...]:
    """The arguments that a code stands for: a number whose digits are indices, one base per column."""
    arguments = []
    for choices in reversed(values):
        code, index = divmod(code, len(choices))
        arguments.append(choices[index])
    return tuple(arguments[::-1])


def _encoded(column: Column) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.dictionary_encode()

"""Python over the distinct values of a vector: what makes an exact but slow rule affordable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Column = pa.Array | pa.ChunkedArray


def each_distinct(
    run: Callable[..., object],
    returns: pa.DataType,
    *columns: Column,
    nulls: bool = False,
) -> pa.Array:
    """`run` of every row, called once per distinct combination of the columns' values.

    nulls    False: a row with a null gives null without a call; True: nulls are passed as None
    returns  the Arrow type of the result
    raises   whatever `run` raises
    """
    rows = len(columns[0])
    encoded = [_one_chunk(pc.dictionary_encode(column)) for column in columns]
    codes = np.zeros(rows, np.int64)
    for part in encoded:
        # Null is code 0. The product of the dictionaries' sizes stays far below 2^63: DuckDB's vectors
        # have 2048 rows and our functions at most five arguments.
        indices = part.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        codes = codes * (len(part.dictionary) + 1) + indices + 1
    present, inverse = np.unique(codes, return_inverse=True)
    dictionaries = [[None, *part.dictionary.to_pylist()] for part in encoded]
    # A Python loop over distinct values, not over rows.
    results = [_call(run, _decode(int(code), dictionaries), nulls) for code in present]
    return pa.array(results, returns).take(pa.array(inverse.reshape(-1)))


def _call(run: Callable[..., object], arguments: list[Any], nulls: bool) -> object:
    return run(*arguments) if nulls or None not in arguments else None


def _decode(code: int, dictionaries: list[list[Any]]) -> list[Any]:
    arguments = []
    for dictionary in reversed(dictionaries):
        code, index = divmod(code, len(dictionary))
        arguments.append(dictionary[index])
    return arguments[::-1]


def _one_chunk(column: Column) -> pa.DictionaryArray:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

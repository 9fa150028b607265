"""Arrow values as Python objects that can be compared and told apart, whatever they are.

Python's dates end with the year 9999, Arrow's and DuckDB's do not. So times are numbers here.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def python_values(column: pa.Array[Any]) -> list[Any]:
    """The values as Python has them, DATE as days and TIME and TIMESTAMP as µs, wherever they are nested.

    >>> import datetime
    >>> python_values(pa.array([[datetime.date(1970, 1, 2)], None]))
    [[1], None]
    """
    return with_numbers(column).to_pylist()


def with_numbers(column: pa.Array[Any]) -> pa.Array[Any]:
    """The column with its times as numbers; cast to its old type, it is what it was."""
    t = _numbers(column.type)
    return column if t == column.type else column.cast(t)


def _numbers(t: pa.DataType) -> pa.DataType:
    if isinstance(t, pa.MapType):
        return pa.map_(_numbers(t.key_type), _numbers(t.item_type))
    if isinstance(t, pa.StructType):
        return pa.struct([f.with_type(_numbers(f.type)) for f in t])
    if isinstance(t, pa.ListType):
        return pa.list_(t.value_field.with_type(_numbers(t.value_type)))
    if pa.types.is_date32(t):
        return pa.int32()
    return pa.int64() if pa.types.is_timestamp(t) or pa.types.is_time64(t) else t

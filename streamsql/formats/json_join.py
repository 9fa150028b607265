"""Whole numbers, booleans and plain texts written as JSON by joining Arrow columns, without a kernel.

A kernel costs some 0.4 ms to run, whatever it runs over; joining costs a little more for a row of several
columns. So single bare values are always written here, and records of a small batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from streamsql.engine.texts import Vector, parts
from streamsql.formats.arrays import pc
from streamsql.schema import Column
from streamsql.types import BIGINT, BOOLEAN, INTEGER, VARCHAR

_JOINED = (BOOLEAN, INTEGER, BIGINT, VARCHAR)
_MOST_VALUES = 1 << 15
"""Values of a batch, rows times columns, up to which joining its records costs less than a kernel."""


def can_join(columns: Sequence[Column]) -> bool:
    """Whether the columns' types are among those that are written here."""
    return bool(columns) and all(column.type in _JOINED for column in columns)


def joined_value(column: Vector) -> Vector | None:
    """Bare values as string[n], null where there is none; None if a text holds what JSON escapes."""
    if column.type != pa.string():
        return column.cast(pa.string())
    offsets, data = parts(column)
    text = data[offsets[0] : offsets[-1]]
    # JSON escapes quotes, backslashes and control characters, and nothing else has to be.
    if (text < ord(" ")).any() or (text == ord('"')).any() or (text == ord("\\")).any():
        return None
    return pc.binary_join_element_wise('"', column, '"', "")


def joined_record(names: Sequence[str], columns: Sequence[Vector]) -> Vector | None:
    """Records with a value of each column, nulls written, as string[n]; None if another way is the better.

    That is so for large batches, and where a text holds what JSON escapes.
    """
    if len(columns) * len(columns[0]) > _MOST_VALUES:
        return None
    pieces: list[Vector | str] = []
    before = "{"
    for name, column in zip(names, columns, strict=True):
        written = joined_value(column)
        if written is None:
            return None
        pieces += [before + json.dumps(name, ensure_ascii=False) + ":", pc.fill_null(written, "null")]
        before = ","
    return pc.binary_join_element_wise(*pieces, "}", "")

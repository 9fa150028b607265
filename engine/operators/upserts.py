"""A table's changes as upserts: without what the next row replaces anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import SEQ, WEIGHT
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.python_values import python_values


@dataclass(frozen=True, slots=True)
class Upserts:
    """Leaves out a row that is taken back if a new one of its key comes with it; a lone one is a delete.

    It has to come before steps in which the new row may be left out although the old one is to stay.

    keys  key columns, among them `$start` and `$end` if the table is windowed
    """

    input: pa.Schema
    keys: tuple[str, ...]

    @property
    def output(self) -> pa.Schema:
        return self.input

    def open(self, context: Context) -> Operator:
        return UpsertsOperator(self)

    def describe(self) -> str:
        return f"upserts by ({', '.join(self.keys)})"


class UpsertsOperator(Operator):
    def __init__(self, spec: Upserts) -> None:
        self._keys = spec.keys

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        return None if batch is None else without_paired_retractions(batch, self._keys)


def without_paired_retractions(batch: pa.RecordBatch, keys: Sequence[str]) -> pa.RecordBatch:
    """Leave out every -1 that a +1 of the same key and `$seq` follows: an upsert says both."""
    weights = batch.column(WEIGHT).to_numpy()
    if not (weights < 0).any():
        return batch
    paired = (weights[:-1] < 0) & (weights[1:] > 0)
    rest = batch.num_rows - 1
    for name in (*keys, SEQ):
        column = batch.column(name)
        same = (
            pc.fill_null(pc.equal(column.slice(0, rest), column.slice(1)), False)
            if not pa.types.is_nested(column.type)
            else pa.array([a == b for a, b in pairwise(python_values(column))])
        )
        paired &= same.to_numpy(zero_copy_only=False)
    return batch.filter(pa.array(np.append(~paired, True)))

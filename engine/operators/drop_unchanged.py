"""Leaves out what changes nothing: a row taken back and put in again as it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, WEIGHT
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.state.equality import equal_rows


@dataclass(frozen=True, slots=True)
class DropUnchanged:
    """A table's changes in which an update is the old row taken back and, right after it, the new one."""

    input: pa.Schema

    @property
    def output(self) -> pa.Schema:
        return self.input

    def open(self, context: Context) -> Operator:
        return DropUnchangedOperator(self)

    def describe(self) -> str:
        return "only what changes"


class DropUnchangedOperator(Operator):
    def __init__(self, spec: DropUnchanged) -> None:
        self._columns = [name for name in spec.input.names if not name.startswith("$")]

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None or batch.num_rows < 2:
            return batch
        weight, seq = batch.column(WEIGHT).to_numpy(), batch.column(SEQ).to_numpy()
        may_pair = np.flatnonzero((weight[:-1] < 0) & (weight[1:] > 0) & (seq[:-1] == seq[1:]))
        if not len(may_pair):
            return batch
        old, new = ([batch.column(n).take(pa.array(may_pair + i)) for n in self._columns] for i in (0, 1))
        pairs = may_pair[equal_rows(old, new)]
        keep = np.ones(batch.num_rows, dtype=np.bool_)
        keep[pairs] = keep[pairs + 1] = False
        return batch.filter(pa.array(keep)) if keep.any() else None

"""Union of streams: the rows of all inputs in the order of processing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME
from streamsql.engine.operators.base import Context, Operator


@dataclass(frozen=True, slots=True)
class Union:
    """Streams with the same columns as one; of rows that one record caused the first input's come first.

    columns  of every input, by name
    """

    columns: pa.Schema

    @property
    def output(self) -> pa.Schema:
        meta = ((TIME, pa.int64()), (SEQ, pa.int64()), (PARTITION, pa.int32()))
        return pa.schema([*self.columns, *(pa.field(name, t) for name, t in meta)])

    def open(self, context: Context) -> Operator:
        return UnionOperator(self)

    def describe(self) -> str:
        return "union of streams"


class UnionOperator(Operator):
    def __init__(self, spec: Union) -> None:
        self._output = spec.output

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        names = self._output.names
        batches = [batch.select(names) for batch in inputs if batch is not None and batch.num_rows]
        if len(batches) < 2:
            return batches[0] if batches else None
        rows = pa.concat_batches([batch.cast(self._output) for batch in batches])
        return rows.take(pa.array(np.argsort(rows.column(SEQ).to_numpy(), kind="stable")))

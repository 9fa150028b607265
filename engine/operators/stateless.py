"""Stateless: a stage as a node of the graph."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.stage import Stage, StageKernel


@dataclass(frozen=True, slots=True)
class Stateless:
    """Filter, project, explode, re-key: whatever the stage's SQL says."""

    stage: Stage
    title: str

    @property
    def output(self) -> pa.Schema:
        return self.stage.output

    def open(self, context: Context) -> StatelessOperator:
        return StatelessOperator(self, context)

    def describe(self) -> str:
        return self.title


class StatelessOperator(Operator):
    def __init__(self, spec: Stateless, context: Context) -> None:
        self._kernel = StageKernel(spec.stage, context.workspace, context.problems)
        self._counters = context.problems.counters

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None:
            return None
        rows = self._kernel.run(batch)
        self._counters.filtered += max(0, batch.num_rows - rows.num_rows)
        return rows if rows.num_rows else None

    def view(self, rows: pa.RecordBatch | None) -> pa.RecordBatch | None:
        """The stage over a snapshot of the table below it."""
        return None if rows is None else self._kernel.run(rows)

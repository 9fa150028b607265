"""Stateless: a stage as a node of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from streamsql.engine.kernel import one_batch
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
        self.spec = spec
        self._kernel = StageKernel(spec.stage, context.workspace, context.problems)
        self._counters = context.problems.counters

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        (batch,) = inputs
        if batch is None:
            return None
        pieces = self.process_pieces([batch])
        return one_batch(pieces[0].schema, pieces) if pieces else None

    def process_pieces(self, pieces: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
        if not pieces:
            return ()
        found = self._kernel.run_pieces(pieces)
        before, after = (sum(piece.num_rows for piece in some) for some in (pieces, found))
        self._counters.filtered += max(0, before - after)
        return [piece for piece in found if piece.num_rows]

    def beside(self, context: Context) -> StatelessOperator:
        return StatelessOperator(self.spec, context)

    def view(self, rows: pa.RecordBatch | None) -> pa.RecordBatch | None:
        """The stage over a snapshot of the table below it; what fails was reported when it was processed."""
        return None if rows is None else self._kernel.attempt(rows)[0]

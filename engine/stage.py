"""A stage: adjacent stateless steps fused into one kernel, and its twin for batches with bad rows.

The plain statement runs first. Only if it raises does the safe twin run over the same batch: it has
every expression that can fail under TRY, so that one bad row neither stops the query nor takes its
neighbours along. The twin has two more columns:

    $errors   VARCHAR[]  the expressions that failed in this row, as SQL text; empty if none did
    $dropped  BOOLEAN    the row is only there to report its errors (a WHERE failed on it)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import TIME
from streamsql.engine.kernel import ArrowFunction, Kernel, Workspace
from streamsql.engine.problems import Problems, reason_of

ERRORS = "$errors"
DROPPED = "$dropped"


@dataclass(frozen=True, slots=True)
class Stage:
    """The SQL of a stage over the feed `{input}`.

    sql        gives exactly the columns of `output`, in its order, rows in the input's order
    safe_sql   the twin; gives `output` and the two columns above; None if nothing can fail
    input      schema of the batches that come in; the kernel reads only what it uses
    moves      if columns are only chosen and renamed: the input column for each of `output`, in its order.
               Then no statement has to run
    not_null   with `moves`: input columns; rows with a null in one of them are left out
    """

    sql: str
    safe_sql: str | None
    input: pa.Schema
    output: pa.Schema
    functions: tuple[ArrowFunction, ...] = ()
    moves: tuple[str, ...] | None = None
    not_null: tuple[str, ...] = ()

    def without(self, unused: Collection[str]) -> Stage:
        """The stage without some of its output columns; what they took to compute is not computed."""
        kept = [name for name in self.output.names if name not in unused]
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in kept)
        moves = self.moves
        if moves is not None:
            moves = tuple(m for m, name in zip(moves, self.output.names, strict=True) if name not in unused)
        return replace(
            self,
            sql=f"SELECT {columns} FROM ({self.sql})",
            safe_sql=self.safe_sql and f'SELECT {columns}, "{ERRORS}", "{DROPPED}" FROM ({self.safe_sql})',
            output=pa.schema([self.output.field(name) for name in kept]),
            moves=moves,
        )


class StageKernel:
    """A stage, prepared."""

    def __init__(self, stage: Stage, workspace: Workspace, problems: Problems) -> None:
        self.stage = stage
        self._workspace = workspace
        self._problems = problems
        self._plain: Kernel | None = None
        self._safe: Kernel | None = None
        if stage.moves is None:
            self._plain = workspace.kernel(stage.sql, {"input": stage.input}, stage.functions)

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The stage's rows for a batch; what fails is reported to the problems, not raised."""
        if self._plain is None:
            return self._move(batch)
        try:
            return self._plain.run(input=batch)
        except duckdb.Error as error:
            if self.stage.safe_sql is None:
                raise
            return self._run_safely(batch, reason_of(error))

    def _move(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        assert self.stage.moves is not None
        for name in self.stage.not_null:
            if batch.column(name).null_count:
                batch = batch.filter(batch.column(name).is_valid())
        columns = [batch.column(name) for name in self.stage.moves]
        return pa.RecordBatch.from_arrays(columns, schema=self.stage.output)

    def _run_safely(self, batch: pa.RecordBatch, reason: str) -> pa.RecordBatch:
        if self._safe is None:
            assert self.stage.safe_sql is not None
            self._safe = self._workspace.safe.kernel(
                self.stage.safe_sql, {"input": self.stage.input}, self.stage.functions
            )
        rows = self._safe.run(input=batch)
        errors = rows.column(ERRORS)
        failed = rows.filter(pc.greater(pc.fill_null(pc.list_value_length(errors), 0), 0))
        self._report(failed, reason)
        kept = rows.filter(pc.invert(pc.fill_null(rows.column(DROPPED), False)))
        return kept.select(self.stage.output.names)

    def _report(self, failed: pa.RecordBatch, reason: str) -> None:
        # Failing rows are the exception; each one gets an entry of its own.
        expressions = ["; ".join(failing) for failing in failed.column(ERRORS).to_pylist()]
        self._problems.expressions_failed(failed.column(TIME), expressions, [reason] * len(expressions))

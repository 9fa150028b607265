"""A stage: adjacent stateless steps fused into one kernel, and its twin for batches with bad rows.

The plain statement runs first. Only if it raises does the safe twin run over the same batch: it has
every expression that can fail under TRY, so that one bad row neither stops the query nor takes its
neighbours along, and notes what fails where (failures.py). It reads one more column:

    $row   BIGINT   the row's place in the batch
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import TIME
from streamsql.engine.failures import NOTHING, Failed, joined
from streamsql.engine.kernel import ArrowFunction, Kernel, Workspace, one_batch
from streamsql.engine.parallel import PerThread
from streamsql.engine.problems import Problems, reason_of
from streamsql.engine.reasons import Reasons

ROW = "$row"


@dataclass(frozen=True, slots=True)
class Fallible:
    """An expression that can fail.

    text  as the user wrote it, for the processing log
    sql   a statement over the feed `{input}` that computes it and nothing else, and raises
    """

    text: str
    sql: str


@dataclass(frozen=True, slots=True)
class Stage:
    """The SQL of a stage over the feed `{input}`.

    sql        gives exactly the columns of `output`, in its order, rows in the input's order
    safe_sql   the twin; gives the same columns, and notes failures by the place in `fallible`; None if
               nothing can fail
    input      schema of the batches that come in; the kernel reads only what it uses
    functions  what `sql` calls; `safe_functions`: what `safe_sql` calls
    moves      if columns are only chosen and renamed: the input column for each of `output`, in its order.
               Then no statement has to run
    not_null   with `moves`: input columns; rows with a null in one of them are left out
    """

    sql: str
    safe_sql: str | None
    input: pa.Schema
    output: pa.Schema
    functions: tuple[ArrowFunction, ...] = ()
    safe_functions: tuple[ArrowFunction, ...] = ()
    fallible: tuple[Fallible, ...] = ()
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
            safe_sql=self.safe_sql and f"SELECT {columns} FROM ({self.safe_sql})",
            output=pa.schema([self.output.field(name) for name in kept]),
            moves=moves,
        )


class StageKernel:
    """A stage, prepared."""

    def __init__(self, stage: Stage, workspace: Workspace, problems: Problems) -> None:
        self.stage = stage
        self._workspace = workspace
        self._problems = problems
        self._plain: PerThread[Kernel] | None = None
        self._safe: Kernel | None = None
        self._reasons: dict[int, Reasons] = {}
        if stage.moves is None:
            feeds = {"input": stage.input}
            self._plain = PerThread(workspace, lambda lane: lane.kernel(stage.sql, feeds, stage.functions))

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The stage's rows for a batch; what fails is reported to the problems, not raised."""
        pieces = self.run_pieces((batch,))
        return one_batch(pieces[0].schema, pieces)

    def run_pieces(self, pieces: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
        """As `run`, over pieces of a batch, each for itself; one that is large is cut further."""
        pieces = self._cut(pieces)
        found = self._attempts(pieces)
        for piece, (_, failed) in zip(pieces, found, strict=True):
            self.report(piece, failed)
        return [rows for rows, _ in found]

    def attempt(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Failed]:
        """The stage's rows for a batch, and what fails, with a reason each."""
        pieces = self._cut((batch,))
        attempts = self._attempts(pieces)
        begins = list(accumulate((piece.num_rows for piece in pieces[:-1]), initial=0))
        rows = one_batch(attempts[0][0].schema, [rows for rows, _ in attempts])
        return rows, joined([failed for _, failed in attempts], begins)

    def report(self, batch: pa.RecordBatch, failed: Failed) -> None:
        """Tell the problems what has failed in a batch."""
        if len(failed):
            texts = pa.array([fallible.text for fallible in self.stage.fallible], pa.string())
            self._problems.expressions_failed(
                batch.column(TIME).take(pa.array(failed.rows)),
                texts.take(pa.array(failed.expressions)),
                failed.reasons,
            )

    def _cut(self, pieces: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
        return pieces if self._plain is None or len(pieces) > 1 else self._plain.cut(pieces[0])

    def _attempts(self, pieces: Sequence[pa.RecordBatch]) -> Sequence[tuple[pa.RecordBatch, Failed]]:
        """The rows of each piece, and what fails in it."""
        if self._plain is None:
            return [(self._move(piece), NOTHING) for piece in pieces]
        # One that fails leaves what the others have found as it is.
        found = self._plain.over(pieces, _rows_or_error)
        return [
            self._run_safely(piece, rows) if isinstance(rows, duckdb.Error) else (rows, NOTHING)
            for piece, rows in zip(pieces, found, strict=True)
        ]

    def _move(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        assert self.stage.moves is not None
        for name in self.stage.not_null:
            if batch.column(name).null_count:
                batch = batch.filter(batch.column(name).is_valid())
        columns = [batch.column(name) for name in self.stage.moves]
        return pa.RecordBatch.from_arrays(columns, schema=self.stage.output)

    def _run_safely(self, batch: pa.RecordBatch, error: duckdb.Error) -> tuple[pa.RecordBatch, Failed]:
        if self.stage.safe_sql is None:
            raise error
        workspace = self._workspace.safe
        if self._safe is None:
            feeds = {"input": self.stage.input.append(pa.field(ROW, pa.int64()))}
            self._safe = workspace.kernel(self.stage.safe_sql, feeds, self.stage.safe_functions)
        workspace.failures.take()
        rows = self._safe.run(input=batch.append_column(ROW, pa.array(np.arange(batch.num_rows))))
        failed = workspace.failures.take()
        if not failed.reasons.null_count:
            return rows, failed
        if len(failed) == 1:
            return rows, replace(failed, reasons=pa.array([reason_of(error)]))
        return rows, self._with_reasons(batch, failed)

    def _with_reasons(self, batch: pa.RecordBatch, failed: Failed) -> Failed:
        """The same, each with a reason."""
        unknown = failed.reasons.is_null().to_numpy(zero_copy_only=False)
        said = failed.reasons
        for number in np.unique(failed.expressions[unknown]).tolist():
            if number not in self._reasons:
                sql = self.stage.fallible[number].sql
                self._reasons[number] = Reasons(sql, self.stage.input, self.stage.functions, self._workspace)
            among = unknown & (failed.expressions == number)
            reasons = self._reasons[number].of(batch.take(pa.array(failed.rows[among])))
            said = pc.replace_with_mask(said, pa.array(among), pa.array(reasons, pa.string()))
        return replace(failed, reasons=said)


def _rows_or_error(kernel: Kernel, piece: pa.RecordBatch) -> pa.RecordBatch | duckdb.Error:
    try:
        return kernel.run(input=piece)
    except duckdb.Error as error:
        return error

"""Partial aggregates of one micro-batch: the first half of every aggregation, done by DuckDB.

Usually one statement does it all: the stage, the grouping, the partials and the hash of each group. If
it raises, or if rows must be looked at one by one before they are grouped, the stage runs alone and a
second statement groups its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, TIME
from streamsql.engine.kernel import Kernel
from streamsql.engine.operators.aggregate_call import AggregateCall, aggregate_failed
from streamsql.engine.operators.base import Context
from streamsql.engine.stage import Stage, StageKernel
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.hashing import HASH, hash_sql


class Partials:
    """Groups batches: one row per group with its partials, `$time` and `$seq` (the latest), `$hash`.

    group   name -> SQL over the stage's columns, what rows are grouped by, in this order
    expand  SQL that makes several rows of one before grouping: a SELECT over `{rows}`
    extra   name -> further aggregates
    hashed  the names that `$hash` is of; all of `group` if not given
    """

    def __init__(
        self,
        stage: Stage,
        calls: Sequence[AggregateCall],
        group: Mapping[str, str],
        context: Context,
        *,
        expand: str = "SELECT * FROM {rows}",
        extra: Mapping[str, str] | None = None,
        hashed: Sequence[str] | None = None,
    ) -> None:
        self._stage = stage
        self._calls = calls
        self._group = group
        self._extra = extra or {}
        self._hashed = tuple(group) if hashed is None else tuple(hashed)
        self._expand = expand
        self._context = context
        self._functions = tuple({f.name: f for c in calls for f in c.functions}.values())
        self._alone: StageKernel | None = None
        self._fused: Kernel | None = None
        self._of_rows: Kernel | None = None

    def of_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Partials of a raw batch, the stage included.

        raises  DataError if an aggregate fails, as a decimal sum that overflows does
        """
        if self._fused is None:
            self._fused = self._context.workspace.kernel(
                self._sql(f"({self._stage.sql})"),
                {"input": self._stage.input},
                (*self._stage.functions, *self._functions),
            )
        try:
            return self._fused.run(input=batch)
        except duckdb.Error:
            # Some row fails: the stage drops or mends it, and the rest is grouped without it.
            return self.of_rows(self.rows(batch))

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The stage's rows alone."""
        if self._alone is None:
            self._alone = StageKernel(self._stage, self._context.workspace, self._context.problems)
        return self._alone.run(batch)

    def of_rows(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Partials of rows that went through the stage; they may have further columns, always the same."""
        if self._of_rows is None:
            self._of_rows = self._context.workspace.kernel(
                self._sql("{input}"), {"input": rows.schema}, self._functions
            )
        try:
            return self._of_rows.run(input=rows)
        except duckdb.Error as error:
            raise aggregate_failed(error) from error

    def _sql(self, source: str) -> str:
        columns = [f"{sql} AS {_quoted(name)}" for name, sql in self._group.items()]
        for call in self._calls:
            columns += [
                f"{sql} AS {_quoted(f.name)}" for f, sql in zip(call.state, call.partial, strict=True)
            ]
        columns += [f"{sql} AS {_quoted(name)}" for name, sql in self._extra.items()]
        columns += [f'max("{TIME}") AS "{TIME}"', f'max("{SEQ}") AS "{SEQ}"']
        places = ", ".join(str(i + 1) for i in range(len(self._group)))
        rows = self._expand.replace("{rows}", source)
        grouped = f"SELECT {', '.join(columns)} FROM ({rows}) GROUP BY {places}"
        return f'SELECT *, {hash_sql(self._hashed)} AS "{HASH}" FROM ({grouped})'


class Numbering:
    """The `$seq` of a batch made strictly rising, and the way back.

    Several rows of one batch may share a number (both halves of an update, the rows of one join), and
    every batch starts anew; aggregates that go by order need better.
    """

    def __init__(self, seq: Int64s, first: int) -> None:
        self._given = seq
        self._first = first

    def number(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with its rows numbered from `first` on."""
        numbers = np.arange(self._first, self._first + batch.num_rows)
        return batch.set_column(batch.schema.get_field_index(SEQ), SEQ, pa.array(numbers))

    def given(self, numbers: Int64s) -> Int64s:
        """The `$seq` that the rows with these numbers came with."""
        return self._given[numbers - self._first]


def is_rising(seq: Int64s) -> bool:
    """Whether no two rows share a number."""
    return bool((seq[1:] > seq[:-1]).all())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

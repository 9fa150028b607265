"""Partial aggregates of one micro-batch: the first half of every aggregation, done by DuckDB.

Usually one statement does it all: the stage, the grouping, the partials and the hash of each group. If
it raises, or if rows must be looked at one by one before they are grouped, the stage runs alone and a
second statement groups its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.batch import PARTITION, SEQ, TIME
from streamsql.engine.kernel import Kernel
from streamsql.engine.operators.aggregate_call import AggregateCall, aggregate_failed, state_columns
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.stream_time import StreamTime
from streamsql.engine.stage import Stage, StageKernel
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.hashing import HASH, hash_sql

ROW = "$row"
"""What rows are grouped by if each is to be a partial of its own: their numbers."""

_MANY_ROWS = 1 << 12
"""Fewer are grouped before a second statement has begun."""


class Partials:
    """Groups batches: one row per group with its partials, `$time` and `$seq` (the latest), `$hash`.

    group   name -> SQL over the stage's columns, what rows are grouped by, in this order
    expand  SQL that makes several rows of one before grouping: a SELECT over `{rows}`
    extra   name -> further aggregates
    hashed  the names that `$hash` is of; all of `group` if not given
    coarse  see Aggregate: a large batch is grouped by its keys, and each group's last row says what these are
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
        coarse: Stage | None = None,
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
        self._fused: dict[bool, Kernel] = {}
        self._coarse = coarse
        self._grouped_coarsely: dict[bool, Kernel] = {}
        self._keys: Kernel | None = None
        self._places: Kernel | None = None
        self._of_rows: Kernel | None = None

    def of_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        """Partials of a raw batch, the stage included; its rows are numbered in rising order.

        gives  None if a row fails: then `rows` finds out which, and `of_rows` groups the others
        """
        in_order = _in_time_order(batch)
        try:
            partials = self._by_coarse_keys(batch, in_order)
        except duckdb.Error:
            partials = None
        try:
            if partials is None:
                partials = self._kernel(self._fused, self._stage, in_order).run(input=batch)
        except duckdb.Error:
            return None
        if not in_order:
            return partials
        # The latest time of a group is that of its last row, and there is one aggregate less to compute.
        last = partials.column(SEQ).to_numpy() - batch.column(SEQ)[0].as_py()
        return partials.append_column(TIME, batch.column(TIME).take(pa.array(last)))

    def _kernel(self, kernels: dict[bool, Kernel], stage: Stage, in_order: bool) -> Kernel:
        """The statement that groups a stage's rows, without their time if it follows from their order."""
        kernel = kernels.get(in_order)
        if kernel is None:
            kernel = kernels[in_order] = self._context.workspace.kernel(
                self._sql(f"({stage.sql})", with_time=not in_order),
                {"input": stage.input},
                (*stage.functions, *self._functions),
            )
        return kernel

    def _by_coarse_keys(self, batch: pa.RecordBatch, in_order: bool) -> pa.RecordBatch | None:
        """Partials by way of the coarse keys; None if there are none, or the batch is too small for it.

        raises  duckdb.Error if they cannot tell the groups apart, or a row fails
        """
        if self._coarse is None or batch.num_rows < _MANY_ROWS:
            return None
        partials = self._kernel(self._grouped_coarsely, self._coarse, in_order).run(input=batch)
        if self._keys is None:
            columns = ", ".join(f"{sql} AS {_quoted(name)}" for name, sql in self._group.items())
            self._keys = self._context.workspace.kernel(
                f'SELECT *, {hash_sql(self._hashed)} AS "{HASH}" '
                f"FROM (SELECT {columns} FROM ({self._stage.sql}))",
                {"input": self._stage.input},
                self._stage.functions,
            )
        last = np.searchsorted(batch.column(SEQ).to_numpy(), partials.column(SEQ).to_numpy())
        keys = self._keys.run(input=batch.take(pa.array(last)))
        # A volatile filter may have let go of a row the second time.
        if keys.num_rows != partials.num_rows:
            return None
        named = dict(zip(keys.schema.names, keys.columns, strict=True))
        return pa.RecordBatch.from_arrays(
            [
                named.get(name, column)
                for name, column in zip(partials.schema.names, partials.columns, strict=True)
            ],
            names=partials.schema.names,
        )

    def places(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`$time`, `$partition` and `$seq` of the rows that pass the stage; none may fail in it."""
        if self._places is None:
            columns = ", ".join(f'"{name}"' for name in (TIME, PARTITION, SEQ))
            self._places = self._context.workspace.kernel(
                f"SELECT {columns} FROM ({self._stage.sql})",
                {"input": self._stage.input},
                self._stage.functions,
            )
        return self._places.run(input=batch)

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The stage's rows alone."""
        rows, tell = self.rows_and_failures(batch)
        tell()
        return rows

    def rows_and_failures(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Callable[[], None]]:
        """The same, and what tells the problems about the rows that failed."""
        if self._alone is None:
            self._alone = StageKernel(self._stage, self._context.workspace, self._context.problems)
        rows, failed = self._alone.attempt(batch)
        return rows, partial(self._alone.report, batch, failed)

    def of_rows(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Partials of rows that went through the stage; they may have further columns, always the same.

        raises  DataError if an aggregate fails
        """
        if self._of_rows is None:
            self._of_rows = self._context.workspace.kernel(
                self._sql("{input}"), {"input": rows.schema}, self._functions
            )
        try:
            return self._of_rows.run(input=rows)
        except duckdb.Error as error:
            raise aggregate_failed(error, self._calls) from error

    def _sql(self, source: str, with_time: bool = True) -> str:
        columns = [f"{sql} AS {_quoted(name)}" for name, sql in self._group.items()]
        columns += [f"{c.partial} AS {_quoted(c.name)}" for c in state_columns(self._calls)]
        columns += [f"{sql} AS {_quoted(name)}" for name, sql in self._extra.items()]
        latest = (TIME, SEQ) if with_time else (SEQ,)
        columns += [f'max("{name}") AS "{name}"' for name in latest]
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


def numbered(
    rows: pa.RecordBatch, progress: StreamTime, *, uses_seq: bool
) -> tuple[pa.RecordBatch, Numbering | None]:
    """The rows with numbers of their own, and what those stand for; as they are where their own will do.

    uses_seq  an aggregate goes by the numbers: they go on from batch to batch, as `progress` tells
    """
    seq = rows.column(SEQ).to_numpy()
    if not uses_seq and is_rising(seq):
        return rows, None
    numbering = Numbering(seq, progress.number(rows.num_rows) if uses_seq else 0)
    return numbering.number(rows), numbering


def is_rising(seq: Int64s) -> bool:
    """Whether no two rows share a number."""
    return bool((seq[1:] > seq[:-1]).all())


def _in_time_order(batch: pa.RecordBatch) -> bool:
    """Whether times never fall, and numbers have no gaps, so that a row's place follows from its number."""
    seq, time = batch.column(SEQ), batch.column(TIME).to_numpy()
    if seq[-1].as_py() - seq[0].as_py() + 1 != len(seq):
        return False
    return bool((time[1:] >= time[:-1]).all())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""One aggregate of a query, declared as SQL over its state: the engine knows no function by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.batch import WEIGHT
from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.problems import reason_of
from streamsql.engine.state.columns import Bools, Values, to_numpy
from streamsql.errors import DataError

Plain = Literal["sum", "min", "max"]
RowValue = Literal["one", "present", "value"]


@dataclass(frozen=True, slots=True)
class RowPartial:
    """What a single row adds to a plain state column.

    kind       "one": 1. "present": 1 if the column is not null, else 0. "value": the column
    column     of the stage's output
    is_signed  times `$weight`, over a table's changes
    """

    kind: RowValue
    column: str | None
    is_signed: bool = False

    def of(self, rows: pa.RecordBatch) -> tuple[Values, Bools | None]:
        """The values of rows and which of them are not null (None: all); int64 or of the column's type.

        Not to be written to.
        """
        valid: Bools | None = None
        if self.kind == "value":
            values, valid = to_numpy(rows.column(self.column))
        elif self.kind == "present" and rows.column(self.column).null_count:
            values = rows.column(self.column).is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            values = np.broadcast_to(np.int64(1), rows.num_rows)
        if self.is_signed:
            if values.dtype.kind == "i":
                # The opposite of the smallest number needs one bit more.
                values = values.astype(np.int64)
            values = values * rows.column(WEIGHT).to_numpy().astype(values.dtype)
        return values, valid


@dataclass(frozen=True, slots=True)
class StateColumn:
    """One column of the state of an aggregate, or of several that keep the same.

    name     unique within the operator: columns of one name are one column
    initial  SQL literal: the state before any row
    partial  DuckDB aggregate over a batch's rows of one group. It may use "$seq", which rises over the
             operator's whole life, and over a table's changes "$weight"
    merge    SQL over "old.<name>" and "new.<name>" of its call's columns: old is an earlier state (or the
             initial one), new the partial of the rows that follow
    plain    what numpy does instead of `merge`, None if only SQL will do. "sum" wraps at the width of the
             column; "min" and "max" skip nulls and take NaN for the largest number. The column must be
             numeric, a date or a time, and all others of its call plain too
    of_row   if plain: the partial of a single row, None if that cannot be said
    """

    name: str
    type: pa.DataType
    initial: str
    partial: str
    merge: str
    plain: Plain | None = None
    of_row: RowPartial | None = None

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type)


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """How an aggregate is computed over a batch, brought together with its state, and read out.

    name         output column
    state        state columns
    result       SQL over the state columns, of type `result_type`
    bare         the state column that is the result as it stands, or once cut to the width of a narrower
                 integer; None if `result` must be computed
    is_ordered   the result depends on the order in which partials are merged, so that windows must not
                 be put together from panes, nor sessions out of order
    uses_seq     a partial uses "$seq"
    functions    Python functions that the SQL calls
    title        what was written, for people
    """

    name: str
    state: tuple[StateColumn, ...]
    result: str
    result_type: pa.DataType
    bare: str | None = None
    is_ordered: bool = False
    uses_seq: bool = False
    functions: tuple[ArrowFunction, ...] = ()
    title: str = field(default="", compare=False)


def state_columns(calls: Iterable[AggregateCall]) -> tuple[StateColumn, ...]:
    """The state columns of calls, each once: what is declared alike is kept once."""
    return tuple({column.name: column for call in calls for column in call.state}.values())


def schema_of(columns: Iterable[StateColumn]) -> pa.Schema:
    """State columns as columns of a batch."""
    return pa.schema([column.field for column in columns])


_COLUMN = re.compile(r" when casting from source column (\w+)")


def aggregate_failed(error: duckdb.Error, calls: Iterable[AggregateCall]) -> DataError:
    """What stops a query: unlike a failing expression, a failing aggregate spoils its whole group."""
    reason = reason_of(error)
    column = _COLUMN.search(reason)
    failed = [call.title for call in calls if column and column[1] in {c.name for c in call.state}]
    return DataError(
        f"{' and '.join(filter(None, failed)) or 'an aggregate'} failed: {_COLUMN.sub('', reason)}",
        code="DATA-AGGREGATE",
        hint="CREATE it again over a CAST to a type that holds the result" if column else None,
    )

"""One aggregate of a query, declared as SQL over its state: the engine knows no function by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa

from streamsql.engine.batch import WEIGHT
from streamsql.engine.kernel import ArrowFunction
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
        """The values of rows and which of them are not null (None: all); int64 or of the column's type."""
        valid: Bools | None = None
        if self.kind == "value":
            values, valid = to_numpy(rows.column(self.column))
        elif self.kind == "present" and rows.column(self.column).null_count:
            values = rows.column(self.column).is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            values = np.ones(rows.num_rows, dtype=np.int64)
        if self.is_signed:
            values = values * rows.column(WEIGHT).to_numpy().astype(values.dtype)
        return values, valid


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """How an aggregate is computed over a batch, brought together with its state, and read out.

    name         output column
    state        state columns; names unique within the operator
    initial      SQL literal per state column: the state before any row
    partial      DuckDB aggregate per state column over a batch's rows of one group. It may use "$seq",
                 which rises over the operator's whole life, and over a table's changes "$weight"
    merge        SQL per state column over "old.<state>" and "new.<state>": old is an earlier state (or
                 the initial one), new the partial of the rows that follow
    result       SQL over the state columns, of type `result_type`
    plain        per state column: what numpy does instead of `merge`, None if only SQL will do.
                 "sum" wraps at the width of the column; "min" and "max" skip nulls and take NaN for the
                 largest number. The column must be numeric, a date or a time
    of_row       if plain: per state column the partial of a single row; () if that cannot be said
    is_ordered   the result depends on the order in which partials are merged, so that windows must not
                 be put together from panes, nor sessions out of order
    uses_seq     a partial uses "$seq"
    functions    Python functions that the SQL calls
    """

    name: str
    state: tuple[pa.Field, ...]
    initial: tuple[str, ...]
    partial: tuple[str, ...]
    merge: tuple[str, ...]
    result: str
    result_type: pa.DataType
    plain: tuple[Plain | None, ...] = ()
    of_row: tuple[RowPartial, ...] = ()
    is_ordered: bool = False
    uses_seq: bool = False
    functions: tuple[ArrowFunction, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether numpy alone can merge it."""
        return len(self.plain) == len(self.state) and None not in self.plain

    @property
    def bare_state(self) -> str | None:
        """The state column that is the result as it stands, if one is."""
        for field in self.state:
            if self.result == f'"{field.name}"' and field.type == self.result_type:
                return str(field.name)
        return None


def aggregate_failed(error: duckdb.Error) -> DataError:
    """What stops a query: unlike a failing expression, a failing aggregate spoils its whole group."""
    return DataError(f"an aggregate failed: {str(error).splitlines()[0]}", code="DATA-AGGREGATE")

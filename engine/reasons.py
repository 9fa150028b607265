"""Why an expression fails in a row, where DuckDB is the one who knows.

Its TRY tells that something failed and not why, so the expression is run again, without TRY, on a row of
its own, which costs some 0.5 ms. That is done for MOST rows of a batch that differ in what the expression
reads; of further rows it is only said what another one had.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction, Kernel, Workspace
from streamsql.engine.problems import reason_of
from streamsql.engine.python_values import python_values

MOST = 100
_MOST_COMPARED = 10 * MOST


class Reasons:
    """Runs one expression.

    sql     a statement over the feed `{input}` that computes it and raises
    schema  of the batches
    """

    def __init__(
        self, sql: str, schema: pa.Schema, functions: Sequence[ArrowFunction], workspace: Workspace
    ) -> None:
        self._sql = sql
        # A name that stands in the text for something else costs a column more, and nothing else.
        named = [f for f in schema if '"' + f.name.replace('"', '""') + '"' in sql]
        self._schema = pa.schema(named or [schema.field(0)])
        self._functions = functions
        self._workspace = workspace
        self._kernel: Kernel | None = None

    def of(self, failed: pa.RecordBatch) -> list[str]:
        """A reason for each of some rows in which the expression failed; n > 0."""
        if self._kernel is None:
            self._kernel = self._workspace.kernel(self._sql, {"input": self._schema}, self._functions)
        rows = failed.select(self._schema.names).slice(0, _MOST_COMPARED)
        known: dict[str, str] = {}
        found: list[str] = []
        for place, values in enumerate(python_values(rows.to_struct_array())):
            key = repr(values)
            if key not in known and len(known) < MOST:
                known[key] = self._reason(self._kernel, rows.slice(place, 1))
            found.append(known.get(key) or _like(found[0]))
        return found + [_like(found[0])] * (failed.num_rows - len(found))

    @staticmethod
    def _reason(kernel: Kernel, row: pa.RecordBatch) -> str:
        try:
            kernel.run(input=row)
        except duckdb.Error as error:
            return reason_of(error)
        return "it failed, but not when it was tried again"


def _like(reason: str) -> str:
    return f"it failed as in other rows of the batch, one of them with: {reason}"

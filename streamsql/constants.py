"""Values of constant expressions in pull queries, and what DuckDB's errors mean there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from streamsql.engine.kernel import Workspace
from streamsql.engine.problems import reason_of
from streamsql.errors import DataError, NotSupportedError, StreamSQLError
from streamsql.grammar import ast
from streamsql.plan.compiled import Compiled
from streamsql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, VARCHAR, SqlType


def evaluate(
    workspace: Workspace, rows: Sequence[tuple[Compiled, ...]], types: Sequence[SqlType]
) -> list[tuple[Any, ...]]:
    """The values of constants, row by row; of one that fails, None.

    types   of the columns, to which the constants have been converted
    raises  StreamSQLError
    """
    if all(_is_bare(value, t) for row in rows for value, t in zip(row, types, strict=True)):
        return [tuple(_bare(value) for value in row) for row in rows]
    listed = ", ".join(
        "(" + ", ".join(f"CAST({v.safe} AS {t.duckdb})" for v, t in zip(row, types, strict=True)) + ")"
        for row in rows
    )
    functions = tuple(f for row in rows for value in row for f in value.functions)
    kernel = workspace.safe.kernel(f"SELECT * FROM (VALUES {listed}) AS v", {}, functions)
    try:
        columns = [column.to_pylist() for column in kernel.run_over({}).columns]
    except duckdb.Error as error:
        raise explained(error) from error
    finally:
        kernel.close()
    return list(zip(*columns, strict=True))


def explained(error: duckdb.Error) -> StreamSQLError:
    """What a query that failed in DuckDB says to its user."""
    first_line = str(error).splitlines()[0]
    if "More than one row returned by a subquery" in first_line:
        return DataError(
            "a subquery that stands for one value gave several rows",
            code="DATA-SUBQUERY",
            hint="give it LIMIT 1, or an aggregate",
        )
    if isinstance(error, duckdb.BinderException | duckdb.NotImplementedException | duckdb.ParserException):
        return NotSupportedError(f"DuckDB cannot answer this query: {first_line}")
    return DataError(f"the query failed: {reason_of(error)}", code="DATA-QUERY")


_BARE = {
    ast.IntegerLiteral: (INTEGER, BIGINT, DOUBLE),
    ast.StringLiteral: (VARCHAR,),
    ast.BooleanLiteral: (BOOLEAN,),
}


def _is_bare(value: Compiled, t: SqlType) -> bool:
    """Whether a constant is a literal that Python reads as DuckDB does."""
    return t in _BARE.get(type(value.node), ())


def _bare(value: Compiled) -> Any:
    match value.node:
        case ast.IntegerLiteral(value=v) | ast.StringLiteral(value=v) | ast.BooleanLiteral(value=v):
            return v
    raise AssertionError(value)

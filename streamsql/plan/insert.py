"""INSERT INTO .. VALUES: from the statement to typed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.engine.kernel import Workspace, one_batch
from streamsql.engine.problems import reason_of
from streamsql.errors import PlanError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled, coerce
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.rewrite import columns_used
from streamsql.plan.scope import Scope, at, suggestion
from streamsql.result import counted
from streamsql.schema import Column
from streamsql.types import BIGINT, NULL, widens


@dataclass(frozen=True, slots=True)
class Insert:
    """rows: one column per column given; timestamps: ROWTIME if it was given, int64[n] ms or null."""

    info: SourceInfo
    rows: pa.RecordBatch
    timestamps: pa.Array | None


def insert_values(statement: ast.InsertValues, env: Environment) -> Insert:
    """Type and evaluate the values.

    raises  PlanError for unknown columns, a wrong count, a value that does not fit; of several rows it names
            the one it is about
    """
    info = env.catalog.source(statement.target)
    if info.is_source:
        raise at(place_of(statement.target), f"{info.title} is read-only", "PLAN-READ-ONLY")
    if info.window is not None:
        raise at(
            place_of(statement.target), f"{info.title} is windowed: nothing can be inserted", "PLAN-INSERT"
        )
    columns = _columns(statement, info)
    if info.is_table:
        given = {c.name for c in columns}
        missing = [c.name for c in info.schema.key if c.name not in given]
        if missing:
            raise at(
                place_of(*(statement.columns or ())),
                f"the key column {quote_name(missing[0])} of {info.title} is missing",
                "PLAN-INSERT-KEY",
                f"({quote_name(missing[0])}, ..) VALUES (..)",
            )
    compiled = []
    for number, values in enumerate(statement.rows):
        with _naming_row(statement, number):
            compiled.append(_compiled_row(statement, values, columns, env))
    rows = evaluate_rows(compiled, columns, lambda number: _naming_row(statement, number))
    names = [c.name for c in columns]
    if info.is_table and len(info.schema.key) == 1:
        key = info.schema.key[0].name
        if rows.column(key).null_count:
            number = rows.column(key).is_null().index(True).as_py()
            with _naming_row(statement, number):
                raise at(
                    statement.rows[number][names.index(key)].span,
                    f"the key column {quote_name(key)} of {info.title} cannot be NULL",
                    "PLAN-INSERT-KEY",
                )
    if "ROWTIME" not in names:
        return Insert(info, rows, None)
    return Insert(info, rows.drop_columns(["ROWTIME"]), rows.column("ROWTIME"))


@contextmanager
def _naming_row(statement: ast.InsertValues, number: int) -> Iterator[None]:
    """What is wrong with a row of several begins with its number, from 1."""
    try:
        yield
    except PlanError as error:
        if len(statement.rows) > 1:
            error.message = f"row {number + 1}: {error.message}"
        raise


def _compiled_row(
    statement: ast.InsertValues, values: Sequence[ast.Expression], columns: Sequence[Column], env: Environment
) -> list[Compiled]:
    if len(columns) != len(values):
        raise at(
            place_of(*values) or place_of(statement.target),
            f"{counted(len(columns), 'column')} and {counted(len(values), 'value')}",
            "PLAN-INSERT-COUNT",
            "the columns are " + ", ".join(quote_name(c.name) for c in columns),
        )
    return [compile_value(value, column, env) for value, column in zip(values, columns, strict=True)]


def _columns(statement: ast.InsertValues, info: SourceInfo) -> list[Column]:
    if statement.columns is None:
        return list(info.schema.key + info.schema.value)
    found: list[Column] = []
    for name in statement.columns:
        column = Column("ROWTIME", BIGINT) if name == "ROWTIME" else info.schema.find(name)
        if column in info.schema.headers:
            raise at(
                place_of(name),
                f"column {quote_name(name)} of {info.title} comes from headers: it cannot be inserted",
                "PLAN-INSERT",
            )
        if column is None:
            names = [c.name for c in info.schema.columns]
            raise at(
                place_of(name),
                f"{info.title} has no column {quote_name(name)} to insert into",
                "PLAN-UNKNOWN-COLUMN",
                suggestion(name, names, "columns"),
            )
        if any(column.name == c.name for c in found):
            raise at(place_of(name), f"column {quote_name(name)} is given twice", "PLAN-DUPLICATE-COLUMN")
        found.append(column)
    return found


def compile_value(value: ast.Expression, column: Column, env: Environment) -> Compiled:
    """A value for a column: an expression without columns that widens to the column's type.

    raises  PlanError at the value
    """
    used = columns_used(value)
    if used:
        ref = next(iter(used))
        raise at(
            ref.span,
            f"VALUES cannot use a column: {to_sql(ref)}",
            "PLAN-INSERT",
            "text stands in 'single quotes'",
        )
    compiled = compile_expression(value, Scope((), "VALUES"), env)
    if compiled.type == NULL:
        sql = f"CAST(NULL AS {column.type.duckdb})"
        return Compiled(sql, sql, column.type, value)
    if not widens(compiled.type, column.type):
        raise at(
            value.span,
            f"column {quote_name(column.name)} is {column.type}, and {to_sql(value)} is {compiled.type}",
            "PLAN-INSERT-TYPE",
            f"CAST({to_sql(value)} AS {column.type})",
        )
    return coerce(compiled, column.type)


def _computed(workspace: Workspace, rows: Sequence[Sequence[Compiled]]) -> pa.RecordBatch:
    # What stands in one column has one type already, but for what DuckDB makes of bare literals.
    lines = (", ".join(f"CAST({v.sql} AS {v.type.duckdb})" for v in values) for values in rows)
    names = ", ".join(f"c{i}" for i in range(len(rows[0])))
    sql = f"SELECT * FROM (VALUES {', '.join(f'({line})' for line in lines)}) AS v({names})"
    reader = workspace.connection.execute(sql).to_arrow_reader(len(rows))
    assert reader is not None
    return one_batch(reader.schema, list(reader))


def evaluate_rows(
    rows: Sequence[Sequence[Compiled]],
    columns: Sequence[Column],
    naming: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> pa.RecordBatch:
    """The values as a batch, by the columns' names.

    naming  what surrounds the error of a row
    raises  PlanError PLAN-INSERT-VALUE if a value cannot be computed, at that value
    """
    workspace = Workspace()
    try:
        for function in {f for values in rows for value in values for f in value.functions}:
            workspace.register(function)
        try:
            batch = _computed(workspace, rows)
        except duckdb.Error as error:
            for number, values in enumerate(rows):
                with naming(number):
                    for value in values:
                        _check_computed(workspace, value)
            raise PlanError(
                f"the values cannot be computed: {reason_of(error)}", code="PLAN-INSERT-VALUE"
            ) from error
    finally:
        workspace.close()
    arrays = [
        array if array.type == c.type.arrow else array.cast(c.type.arrow)
        for array, c in zip(batch.columns, columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])


def _check_computed(workspace: Workspace, value: Compiled) -> None:
    try:
        _computed(workspace, [[value]])
    except duckdb.Error as error:
        raise at(
            value.node.span,
            f"{to_sql(value.node)} cannot be computed: {reason_of(error)}",
            "PLAN-INSERT-VALUE",
        ) from error

"""INSERT INTO .. VALUES: from the statement to one typed row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.engine.kernel import Workspace
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
    """row: one record batch row, one column per column given; timestamp_ms: ROWTIME if it was given."""

    info: SourceInfo
    row: pa.RecordBatch
    timestamp_ms: int | None


def insert_values(statement: ast.InsertValues, env: Environment) -> Insert:
    """Type and evaluate the values.

    raises  PlanError for unknown columns, a wrong count, a value that does not fit
    """
    info = env.catalog.source(statement.target)
    if info.is_source:
        raise at(place_of(statement.target), f"{info.title} is read-only", "PLAN-READ-ONLY")
    if info.window is not None:
        raise at(
            place_of(statement.target), f"{info.title} is windowed: nothing can be inserted", "PLAN-INSERT"
        )
    columns = _columns(statement, info)
    if len(columns) != len(statement.values):
        raise at(
            place_of(*statement.values) or place_of(statement.target),
            f"{counted(len(columns), 'column')} and {counted(len(statement.values), 'value')}",
            "PLAN-INSERT-COUNT",
            "the columns are " + ", ".join(quote_name(c.name) for c in columns),
        )
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
    compiled = [
        compile_value(value, column, env) for value, column in zip(statement.values, columns, strict=True)
    ]
    row = evaluate_row(compiled, columns)
    names = [c.name for c in columns]
    timestamp = None
    if "ROWTIME" in names:
        timestamp = row.column(names.index("ROWTIME"))[0].as_py()
        row = row.drop_columns(["ROWTIME"])
    if info.is_table and len(info.schema.key) == 1:
        key = info.schema.key[0].name
        if row.column(key).null_count:
            raise at(
                statement.values[names.index(key)].span,
                f"the key column {quote_name(key)} of {info.title} cannot be NULL",
                "PLAN-INSERT-KEY",
            )
    return Insert(info, row, timestamp)


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


def _computed(workspace: Workspace, values: Sequence[Compiled]) -> pa.RecordBatch:
    sql = ", ".join(f"{v.sql} AS c{i}" for i, v in enumerate(values))
    reader = workspace.connection.execute(f"SELECT {sql}").to_arrow_reader(1)
    assert reader is not None
    (batch,) = list(reader)
    return batch


def _check_computed(workspace: Workspace, value: Compiled) -> None:
    try:
        _computed(workspace, [value])
    except duckdb.Error as error:
        raise at(
            value.node.span,
            f"{to_sql(value.node)} cannot be computed: {reason_of(error)}",
            "PLAN-INSERT-VALUE",
        ) from error


def evaluate_row(values: Sequence[Compiled], columns: Sequence[Column]) -> pa.RecordBatch:
    """The values as a batch of one row, by the columns' names.

    raises  PlanError PLAN-INSERT-VALUE if one cannot be computed, at that value
    """
    workspace = Workspace()
    try:
        for value in values:
            for function in value.functions:
                workspace.register(function)
        try:
            batch = _computed(workspace, values)
        except duckdb.Error as error:
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

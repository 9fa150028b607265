"""Evaluates a function call over Python values, the way a kernel does: resolve, print, prepare, run."""

from __future__ import annotations

import decimal as decimals
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction, Workspace
from streamsql.functions import SCALARS
from streamsql.functions.call import print_call
from streamsql.functions.registry import Registry, Scalar
from streamsql.functions.resolve import Argument, LambdaArgument, UnitArgument, resolve
from streamsql.functions.user import rows_of
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DOUBLE,
    INTEGER,
    NULL,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
)


@dataclass(frozen=True)
class Value:
    """An argument: the rows of one column."""

    type: SqlType
    rows: Sequence[Any]


@dataclass(frozen=True)
class Sql:
    """An argument given as DuckDB SQL: a literal, a lambda, a unit."""

    argument: Argument
    sql: str
    functions: tuple[ArrowFunction, ...] = ()


@cache
def built_in() -> Registry[Scalar]:
    return Registry(SCALARS)


@dataclass
class Evaluator:
    """Runs calls in one workspace.

    registry  where names are looked up
    """

    registry: Registry[Scalar] = field(default_factory=built_in)
    workspace: Workspace = field(default_factory=Workspace)

    def column(
        self, name: str, *arguments: Value | Sql, rows: int | None = None, guarded: bool = False
    ) -> pa.Array:
        """The call's value for each row; `guarded` puts it under TRY, as the retry of a batch does."""
        values = [a for a in arguments if isinstance(a, Value)]
        count = rows if rows is not None else len(values[0].rows) if values else 1
        match = resolve(
            name,
            self.registry.overloads(name),
            [a.type if isinstance(a, Value) else a.argument for a in arguments],
        )
        texts = [f'"A{i}"' if isinstance(a, Value) else a.sql for i, a in enumerate(arguments)]
        sql, functions, can_fail = print_call(match, texts, is_safe=guarded)
        functions += tuple(f for a in arguments if isinstance(a, Sql) for f in a.functions)
        if guarded and can_fail:
            sql = f"TRY({sql})"
        columns = {"$seq": pa.array(range(count), pa.int64())}
        columns |= {
            f"A{i}": pa.array(a.rows, a.type.arrow) for i, a in enumerate(arguments) if isinstance(a, Value)
        }
        batch = pa.RecordBatch.from_pydict(columns)
        kernel = self.workspace.kernel(
            f'SELECT {sql} AS "RESULT", typeof({sql}) AS "TYPE" FROM {{input}} ORDER BY "$seq"',
            {"input": batch.schema},
            functions,
        )
        result = kernel.run(input=batch)
        for found in result.column("TYPE").to_pylist()[:1]:
            plain = found.replace(" ", "").replace('"', "")
            assert plain == match.result.duckdb.replace(" ", "").replace('"', ""), f"{sql} is a {found}"
        return result.column("RESULT")

    def one(self, name: str, *arguments: Value | Sql, guarded: bool = False) -> Any:
        """The call's value for one row."""
        return self.column(name, *arguments, guarded=guarded)[0].as_py()


@cache
def shared() -> Evaluator:
    """One workspace for all examples of a property, which would outlive no fixture of its own."""
    return Evaluator()


def value(t: SqlType, x: Any) -> Value:
    return Value(t, [x])


def null() -> Sql:
    """An untyped NULL literal."""
    return Sql(NULL, "NULL")


def unit(word: str) -> Sql:
    return Sql(UnitArgument(word), word)


def lambda_(parameters: str, body: str, gives: SqlType) -> Sql:
    """A lambda over DuckDB SQL: lambda_("x", "x + 1", INTEGER)."""
    return Sql(LambdaArgument(parameters.count(",") + 1, lambda types: gives), f"lambda {parameters}: {body}")


def integer(x: int | None) -> Value:
    return value(INTEGER, x)


def bigint(x: int | None) -> Value:
    return value(BIGINT, x)


def double(x: float | None) -> Value:
    return value(DOUBLE, x)


def text(x: str | None) -> Value:
    return value(VARCHAR, x)


def octets(x: bytes | None) -> Value:
    return value(BYTES, x)


def boolean(x: bool | None) -> Value:
    return value(BOOLEAN, x)


def decimal(x: str | None, precision: int, scale: int) -> Value:
    return value(Decimal(precision, scale), None if x is None else decimals.Decimal(x))


def array(t: SqlType, x: list[Any] | None) -> Value:
    return value(Array(t), x)


def map_(t: SqlType, x: dict[str, Any] | None) -> Value:
    """A map with text keys."""
    return value(Map(VARCHAR, t), None if x is None else list(x.items()))


def literal(t: SqlType, sql: str) -> Sql:
    """A literal, as the planner prints it."""
    return Sql(t, sql)


def evaluator(*functions: Any) -> Evaluator:
    """An evaluator that knows these functions of users as well."""
    scalars = [row for f in functions for row in rows_of(f) if isinstance(row, Scalar)]
    registry: Registry[Scalar] = Registry(SCALARS)
    registry.add(scalars)
    return Evaluator(registry)

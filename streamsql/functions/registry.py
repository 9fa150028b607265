"""What a function is: a row with a name, signatures, an implementation, a sentence and an example.

Rows live in scalar*.py, aggregate.py and table.py; SHOW FUNCTIONS, DESCRIBE FUNCTION, completion and
docs/functions.md print them. The planner asks `resolve` which overload a call means and prints the
chosen one as DuckDB SQL.

A signature is text: `(text VARCHAR, width INTEGER, pad VARCHAR) -> VARCHAR`. In it

    T, U, K, V          any type, the same everywhere in the signature
    T cmp               a type with an order: numbers, VARCHAR, BYTES, DATE, TIME, TIMESTAMP, BOOLEAN
    DECIMAL             any decimal; the same precision and scale everywhere it stands as D: `(x D) -> D`
    ARRAY<T>, MAP<K, V>, STRUCT<A INTEGER>
    x VARCHAR...        zero or more arguments, last in a scalar's list
    f (T) => U          a lambda of one to three parameters
    unit UNIT           a bare time unit
    n INTEGER literal   must be a literal (aggregates' parameters)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamsql.engine.kernel import ArrowFunction
from streamsql.types import SqlType


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call with its overload chosen: what an implementation may ask about it.

    arguments  parameter name -> DuckDB SQL, already cast to the parameter's type; a variadic parameter's
               arguments stand as one text joined by ", ", a lambda as `lambda a, b: body`, a unit as
               its word, and a missing optional parameter is absent
    types      parameter name -> SQL type (of a variadic parameter: of its elements)
    result     SQL type of the call
    variadic   the arguments of the variadic parameter, one SQL text each
    """

    arguments: Mapping[str, str]
    types: Mapping[str, SqlType]
    result: SqlType
    variadic: tuple[str, ...] = ()


SqlTemplate = str | Callable[[BoundCall], str]


@dataclass(frozen=True, slots=True)
class Scalar:
    """One overload of a scalar function.

    sql      DuckDB SQL with {parameter} places (each {parameter} is already in parentheses when it
             needs them), or a function that prints it from the bound call
    python   instead of sql: makes the Arrow function to call, from the bound call
    result   computes the result type from the argument types, where the signature cannot say it
    can_fail whether a row can raise; such a call is retried under TRY, which gives NULL for that row
    """

    name: str
    signature: str
    says: str
    sql: SqlTemplate | None = None
    python: Callable[[BoundCall], ArrowFunction] | None = None
    result: Callable[[Sequence[SqlType]], SqlType] | None = None
    can_fail: bool = False
    example: str = ""
    gives: str = ""
    category: str = ""
    author: str = "streamsql"

"""Arrow functions as DuckDB wants them: of a fixed number of columns, and as twins that never raise.

Under TRY, DuckDB runs a vector that raised once more, row by row; a call from there into Python costs
some 50 to 200 µs, so that one bad row among 2048 costs a tenth of a second and more. A twin gives null for
a bad row instead; a second twin also notes the row and the reason. What knows its rows leaves the bad ones
out by itself (tolerance.py); of anything else the vector is halved until they stand alone, a few dozen
calls.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.failures import Failures
from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.problems import error_text
from streamsql.tolerance import errors_noted


def with_arity(run: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function of any number of columns as one of `count`: DuckDB counts the parameters it can see."""

    def call(*columns: Any) -> Any:
        return run(*columns)

    kind = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(f"column{i}", kind) for i in range(count)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def or_null(function: ArrowFunction) -> ArrowFunction:
    """The function's twin: a row that fails is null."""

    def run(*columns: Any) -> Any:
        return _without_bad_rows(function, columns)[0]

    return ArrowFunction(
        f"{function.name}_or_null",
        function.arguments,
        function.returns,
        with_arity(run, len(function.arguments)),
        function.volatile,
        raising=function,
    )


def or_note(function: ArrowFunction) -> ArrowFunction:
    """The twin that notes, for a stage: its first arguments are the row and the number of the expression."""

    def run(failures: Failures, rows: Any, expressions: Any, *columns: Any) -> Any:
        found, errors = _without_bad_rows(function, columns)
        if errors:
            places = np.fromiter(errors, np.int64, len(errors))
            reasons = pa.array([error_text(error) for error in errors.values()], pa.string())
            failures.note(rows.to_numpy()[places], expressions[0].as_py(), reasons)
        return found

    return ArrowFunction(
        f"{function.name}_or_note",
        ("BIGINT", "INTEGER", *function.arguments),
        function.returns,
        with_arity(run, 3 + len(function.arguments)),
        function.volatile,
        notes=True,
        raising=function,
    )


def _without_bad_rows(function: ArrowFunction, columns: Sequence[Any]) -> tuple[Any, dict[int, Exception]]:
    """The result, null for bad rows, and what is wrong with each of them."""
    errors: dict[int, Exception] = {}
    parts = _parts(function, columns, 0, errors)
    t = next((part.type for part in parts if part.type != pa.null()), pa.null())
    return pa.chunked_array([part.cast(t) for part in parts], t), errors


def _parts(
    function: ArrowFunction, columns: Sequence[Any], first_row: int, errors: dict[int, Exception]
) -> list[Any]:
    """Arrays that follow one another, one for each part of the rows that went well, nulls between them."""
    try:
        with errors_noted() as noted:
            found = function.run(*columns)
    except MemoryError:
        raise
    except Exception as error:
        rows = len(columns[0])
        if rows == 1:
            errors[first_row] = error
            return [pa.nulls(1)]
        half = rows // 2
        first = _parts(function, [c.slice(0, half) for c in columns], first_row, errors)
        return first + _parts(function, [c.slice(half) for c in columns], first_row + half, errors)
    errors |= {first_row + row: error for row, error in noted.items()}
    return found.chunks if isinstance(found, pa.ChunkedArray) else [found]


def calls_twin(sql: str) -> bool:
    """Whether there is a call of a function's twin in the text, or perhaps in a literal of it."""
    return re.search(r"_or_null\(", sql) is not None


def without_errors(sql: str, functions: Sequence[ArrowFunction]) -> tuple[str, tuple[ArrowFunction, ...]]:
    """The text with every call of one of the functions made a call of its twin, and the twins.

    >>> double = ArrowFunction("double", ("BIGINT",), "BIGINT", lambda x: x)
    >>> without_errors("double(double_it('double('))", [double])[0]
    "double_or_null(double_it('double('))"
    """
    if not functions:
        return sql, ()
    names = "|".join(re.escape(f.name) for f in functions)
    # Inside a literal or a quoted name the same word is no call.
    pattern = re.compile(rf"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\b({names})\(")
    replaced = pattern.sub(lambda m: f"{m[1]}_or_null(" if m[1] else m[0], sql)
    return replaced, tuple(or_null(f) for f in functions)

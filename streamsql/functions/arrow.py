"""Arrow functions as DuckDB wants them: of a fixed number of columns, and as twins that never raise.

Under TRY, DuckDB runs a vector that raised once more, row by row; a call from there into Python costs
some 200 µs, so that one bad row among 2048 costs half a second. A twin gives null for a bad row instead.
What loops over rows leaves the bad ones out by itself (tolerance.py); of anything else the vector is
halved until they stand alone, a few dozen calls.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction
from streamsql.tolerance import errors_as_null


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
        with errors_as_null():
            parts = _parts(function, columns)
        t = next((part.type for part in parts if part.type != pa.null()), pa.null())
        return pa.chunked_array([part.cast(t) for part in parts], t)

    return ArrowFunction(
        f"{function.name}_or_null",
        function.arguments,
        function.returns,
        with_arity(run, len(function.arguments)),
        function.volatile,
    )


def _parts(function: ArrowFunction, columns: Sequence[Any]) -> list[Any]:
    """Arrays that follow one another, one for each part of the rows that went well, nulls between them."""
    try:
        found = function.run(*columns)
    except MemoryError:
        raise
    except Exception:
        # The reason is reported by the form that raises; here the row only has to stand aside.
        rows = len(columns[0])
        if rows == 1:
            return [pa.nulls(1)]
        half = rows // 2
        first = _parts(function, [c.slice(0, half) for c in columns])
        return first + _parts(function, [c.slice(half) for c in columns])
    return found.chunks if isinstance(found, pa.ChunkedArray) else [found]


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

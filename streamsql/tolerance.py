"""Whether an error in one row is to be raised or to make that row null.

An Arrow function runs over a vector of rows. In the form that raises, the first bad row ends it; in its
twins that do not (functions/arrow.py), what knows its rows leaves the bad ones out and says which and why:
a loop over rows goes through `attempts`, a rule for whole vectors calls `reject`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_noted: ContextVar[dict[int, Exception] | None] = ContextVar("noted", default=None)


@contextmanager
def errors_noted() -> Iterator[dict[int, Exception]]:
    """Inside, rows that are rejected are noted in what this gives, each with its error; nothing is raised.

    Other threads are not concerned.
    """
    found: dict[int, Exception] = {}
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def reject(rows: Iterable[int], error: Exception) -> None:
    """Say that these rows of the vector fail, and make them null: raises the error if it is not noted."""
    noted = _noted.get()
    if noted is None or isinstance(error, MemoryError):
        raise error
    for row in rows:
        noted.setdefault(row, error)


def attempts(run: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> list[Any]:
    """`run(*call)` for the call of each row; None where it raises, inside errors_noted.

    >>> with errors_noted() as errors:
    ...     attempts(int, [("7",), ("seven",)]), list(errors)
    ([7, None], [1])
    """
    return [_attempt(run, call, row) for row, call in enumerate(calls)]


def _attempt(run: Callable[..., Any], call: tuple[Any, ...], row: int) -> Any:
    try:
        return run(*call)
    except Exception as error:
        reject((row,), error)
        return None

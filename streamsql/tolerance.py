"""Whether an error in one row is to be raised or to make that row null.

An Arrow function runs over a vector of rows. In the form that raises, the first bad row ends it; in its
twin that does not (functions/arrow.py) a loop over rows may leave the bad ones out, if it calls each row
through `attempt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_errors_are_null: ContextVar[bool] = ContextVar("errors_are_null", default=False)


@contextmanager
def errors_as_null() -> Iterator[None]:
    """Inside, `attempt` gives None where it would raise; other threads are not concerned."""
    token = _errors_are_null.set(True)
    try:
        yield
    finally:
        _errors_are_null.reset(token)


def are_errors_null() -> bool:
    """Whether what runs now is to make a bad row null instead of raising."""
    return _errors_are_null.get()


def attempt(run: Callable[..., Any], *arguments: Any) -> Any:
    """`run(*arguments)`; None instead of an error inside errors_as_null.

    >>> with errors_as_null():
    ...     attempt(int, "7"), attempt(int, "seven")
    (7, None)
    """
    try:
        return run(*arguments)
    except MemoryError:
        raise
    except Exception:
        if are_errors_null():
            return None
        raise

"""Columns of the planner's own that stand for groups and aggregates: errors name what was written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from streamsql.errors import PlanError


@contextmanager
def as_written(stand_ins: Mapping[str, str]) -> Iterator[None]:
    """An error from inside names what the user wrote.

    stand_ins  name of a column -> the text it stands for; may be filled in meanwhile

    >>> with as_written({"KSQL_AGG_0": "COUNT(*)"}):
    ...     raise PlanError("KSQL_AGG_0 is BIGINT")
    Traceback (most recent call last):
    streamsql.errors.PlanError: [PLAN] COUNT(*) is BIGINT
    """
    try:
        yield
    except PlanError as error:
        error.message = told(error.message, stand_ins)
        error.hint = error.hint and told(error.hint, stand_ins)
        raise


def told(text: str, stand_ins: Mapping[str, str]) -> str:
    """The text with what was written in the place of the columns that stand for it."""
    return re.sub(r"\bKSQL_(?:GROUP|AGG)_\d+\b", lambda m: stand_ins.get(m[0], m[0]), text)

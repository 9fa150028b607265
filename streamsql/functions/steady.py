"""Volatile calls inside a stage's safe twin: DuckDB has no TRY around what it knows to be volatile.

RANDOM() and UUID() are made calls of a function of a column, which DuckDB takes for one that gives the same
for the same row; that it does not is the same to the row. What failed is found by another call than what is
kept, so where a random value itself decides whether a row fails, the entry and the row may differ.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction


def _random(rows: Any) -> Any:
    return pa.array(np.random.default_rng().random(len(rows)))


def _uuid(rows: Any) -> Any:
    # One by one: numpy makes no UUIDs. Only batches with bad rows come here.
    return pa.array([str(uuid.uuid4()) for _ in range(len(rows))], pa.string())


_TWINS = {
    "random": ArrowFunction("steady_random", ("BIGINT",), "DOUBLE", _random),
    "uuid": ArrowFunction("steady_uuid", ("BIGINT",), "VARCHAR", _uuid),
}
# Inside a literal or a quoted name the same word is no call.
_CALL = re.compile(rf"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\b({'|'.join(_TWINS)})\(\)")


def steady(sql: str, column: str) -> tuple[str, tuple[ArrowFunction, ...]]:
    """The text with calls of DuckDB's volatile functions made calls of their twins, and the twins.

    column  a column, as SQL, that the text has everywhere, another value in each row: BIGINT or BOOLEAN

    >>> steady("TRY(random() + 'random()')", "d")[0]
    "TRY(steady_random(CAST(d AS BIGINT)) + 'random()')"
    """
    found: dict[ArrowFunction, None] = {}

    def twin(place: re.Match[str]) -> str:
        if place[1] is None:
            return place[0]
        function = _TWINS[place[1]]
        found[function] = None
        return f"{function.name}(CAST({column} AS BIGINT))"

    return _CALL.sub(twin, sql), tuple(found)

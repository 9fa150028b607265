"""The functions, one row each: SCALARS and TABLE_FUNCTIONS hold every built-in one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streamsql.functions.arrays import ARRAYS
from streamsql.functions.binary import BINARY, ENCODINGS
from streamsql.functions.dates import DATES
from streamsql.functions.geo import GEO
from streamsql.functions.json_text import JSON_TEXT
from streamsql.functions.lambdas import LAMBDAS
from streamsql.functions.maps import MAPS
from streamsql.functions.masks import MASKS
from streamsql.functions.nulls import NULLS
from streamsql.functions.numeric import NUMERIC
from streamsql.functions.regexp import REGEXP
from streamsql.functions.registry import Scalar, TableFunction
from streamsql.functions.strings import STRINGS
from streamsql.functions.tables import TABLES
from streamsql.functions.url import URL


def _in(category: str, rows: Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(replace(row, category=category) for row in rows)


SCALARS: tuple[Scalar, ...] = (
    *_in("Numeric", NUMERIC),
    *_in("Text", (*STRINGS, *MASKS, *ENCODINGS, *REGEXP)),
    *_in("Numbers from bytes", BINARY),
    *_in("Null handling", NULLS),
    *_in("Arrays", ARRAYS),
    *_in("Maps", MAPS),
    *_in("Lambdas", LAMBDAS),
    *_in("Dates and times", DATES),
    *_in("JSON texts", JSON_TEXT),
    *_in("URLs", URL),
    *_in("Geography", GEO),
)

TABLE_FUNCTIONS: tuple[TableFunction, ...] = TABLES

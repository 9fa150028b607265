"""The functions as documentation: `python -m streamsql.functions.docs > docs/functions.md`.

Everything here is printed from the functions' rows, user-defined ones included.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from streamsql.functions.library import Library
from streamsql.functions.registry import Overload

Row = TypeVar("Row", bound=Overload)

_HEAD = """\
# Functions

<!-- Printed by `python -m streamsql.functions.docs`; edit the functions' rows instead. -->

Every function of streamsql, built in, by category. DESCRIBE FUNCTION shows the same for one of them, and
SHOW FUNCTIONS lists them all, with those you wrote in Python.

How signatures read:

| in a signature | means |
|---|---|
| `T`, `U`, `K`, `V`, … | any type, the same wherever the letter stands |
| `T cmp` | a type with an order: numbers, VARCHAR, BYTES, BOOLEAN, DATE, TIME, TIMESTAMP |
| `D` | any DECIMAL |
| `x VARCHAR...` | any number of arguments, none too |
| `[n INTEGER]` | may be left out |
| `f (T) => U` | a lambda: `x => x + 1`, `(k, v) => v` |
| `unit UNIT` | a bare time unit: MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS |
| `n INTEGER literal` | a constant |

Numbers widen to the type a signature asks for (INTEGER, BIGINT, DECIMAL, DOUBLE), and VARCHAR to DATE,
TIME, TIMESTAMP and BYTES; aggregates take the exact type only. Unless its text says otherwise, a function
of a null is null. A call that fails on a row gives null there, and the reason goes to the processing log.
"""


def markdown(library: Library) -> str:
    """docs/functions.md: scalar functions by category, then table, aggregate and window functions."""
    parts = [_HEAD]
    scalars = library.scalars.rows()
    for category in dict.fromkeys(row.category for row in _declared_order(scalars)):
        parts.append(_section(category, [row for row in scalars if row.category == category]))
    parts.append(_section("Table functions", library.tables.rows()))
    parts.append(_section("Aggregate functions", library.aggregates.rows()))
    parts.append(_section("Window functions", library.windows.rows()))
    return "\n".join(parts)


def describe(rows: Sequence[Overload]) -> str:
    """What DESCRIBE FUNCTION says of the overloads of one name, as plain text.

    >>> from streamsql.functions import SCALARS
    >>> print(describe([row for row in SCALARS if row.name == "LCASE"]))
    LCASE(text VARCHAR) -> VARCHAR
        The text in lower case.
        LCASE('Hello') gives hello
    """
    lines: list[str] = []
    for says, alike in itertools.groupby(rows, key=lambda row: row.says):
        group = list(alike)
        lines += [f"{row.name}{row.signature}" for row in group]
        lines.append(f"    {says}")
        lines += [f"    {example} gives {gives}" for example, gives in _examples(group)]
    return "\n".join(lines)


def _declared_order(rows: Iterable[Row]) -> list[Row]:
    """The rows, those of one category together, categories as a reader would look for them."""
    order = ("Numeric", "Text", "Null handling", "Arrays", "Maps", "Lambdas")
    return sorted(rows, key=lambda row: order.index(row.category) if row.category in order else len(order))


def _section(title: str, rows: Sequence[Overload]) -> str:
    lines = [f"## {title}", ""]
    for name, overloads in itertools.groupby(rows, key=lambda row: row.name):
        lines += [f"### {name}", ""]
        for says, alike in itertools.groupby(overloads, key=lambda row: row.says):
            group = list(alike)
            lines += ["```", *(f"{row.name}{row.signature}" for row in group), "```", "", says, ""]
            lines += [f"- `{example}` gives {_shown(gives)}" for example, gives in _examples(group)]
            lines.append("")
    return "\n".join(lines)


def _examples(rows: Iterable[Overload]) -> list[tuple[str, str]]:
    """The rows' examples, each once."""
    return list(dict.fromkeys((row.example, row.gives) for row in rows if row.example))


def _shown(gives: str) -> str:
    return f"`{gives}`" if gives.strip() else "an empty text"


if __name__ == "__main__":
    sys.stdout.write(markdown(Library()))

"""Results made by hand, to be printed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from streamsql.repl.terminal import Terminal
from streamsql.result import Changes, Result, Status
from streamsql.schema import Column
from streamsql.types import SqlType


def result(
    columns: dict[str, SqlType],
    *batches: Sequence[Sequence[Any]],
    kind: str = "ROWS",
    tombstones: Sequence[Sequence[bool]] | None = None,
    **more: Any,
) -> Result:
    """A result of rows given as tuples, batch by batch."""
    described = tuple(Column(name, t) for name, t in columns.items())
    pieces = []
    for number, rows in enumerate(batches):
        arrays = [pa.array([row[i] for row in rows], c.type.arrow) for i, c in enumerate(described)]
        marks = pa.array(tombstones[number]) if tombstones is not None else None
        pieces.append(Changes(pa.RecordBatch.from_arrays(arrays, names=list(columns)), marks))
    if kind == "CHANGES":
        more.setdefault("status", Status(read=3, emitted=2, filtered=1))
    return Result(kind, described, _changes=iter(pieces), **more)


class Screen(io.StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        return True


def screen(width: int) -> Terminal:
    """A terminal of a width, without colours."""
    return Terminal(width)

"""Work on the rows of one batch in several threads.

Where each row's result follows from that row alone (decoding, a stage, encoding), a large batch is cut into
as many pieces as the query has threads, and each thread has what does the work for itself: DuckDB runs one
statement at a time on a connection, and keeps rows in order by working in one thread. Where it follows from
the rows of its key, see `state/shards.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Generic, TypeVar

import pyarrow as pa

from streamsql.engine.kernel import Workspace

Opened = TypeVar("Opened")
Result = TypeVar("Result")

_PIECE_ROWS = 1 << 14
"""A piece has as many rows at least: fewer are done before another thread has begun."""


def is_large(rows: int) -> bool:
    """Whether so many rows are worth a second thread."""
    return rows >= 2 * _PIECE_ROWS


def at_once(workspace: Workspace, calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """What some calls give, in their order, each made in a thread of its own; the first in the caller's.

    calls   no more than the workspace has lanes
    raises  what the first of them that failed has raised, when all are done
    """
    others = [workspace.workers.submit(call) for call in calls[1:]]
    try:
        own = [call() for call in calls[:1]]
    finally:
        wait(others)
    return [*own, *(other.result() for other in others)]


class PerThread(Generic[Opened]):
    """The same thing opened once for each thread of a workspace, the further ones when they are needed.

    open  makes one in the workspace given; two of them may work at the same time
    """

    def __init__(self, workspace: Workspace, open: Callable[[Workspace], Opened]) -> None:
        self._workspace = workspace
        self._open = open
        self._opened = [open(workspace.lanes[0])]

    def cut(self, batch: pa.RecordBatch) -> Sequence[pa.RecordBatch]:
        """The batch in as many pieces as are worked on at the same time, in the order of its rows."""
        rows = batch.num_rows
        count = min(len(self._workspace.lanes), rows // _PIECE_ROWS)
        if count <= 1:
            return (batch,)
        bounds = [rows * number // count for number in range(count + 1)]
        return [batch.slice(begin, end - begin) for begin, end in zip(bounds, bounds[1:], strict=False)]

    def over(
        self, pieces: Sequence[pa.RecordBatch], work: Callable[[Opened, pa.RecordBatch], Result]
    ) -> list[Result]:
        """What `work` gives for each piece, in their order.

        pieces  no more than there are threads
        raises  what the first piece that failed has raised, when all are done
        """
        lanes = self._workspace.lanes
        while len(self._opened) < len(pieces):
            self._opened.append(self._open(lanes[len(self._opened)]))
        return at_once(
            self._workspace,
            [partial(work, opened, piece) for opened, piece in zip(self._opened, pieces, strict=False)],
        )

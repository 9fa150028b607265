"""DuckDB for all the examples of a property: to open it and to prepare statements costs more than what an
example asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import duckdb
import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction, Kernel, Workspace


class _KeptKernel(Kernel):
    def close(self) -> None:
        """It stays, for whoever asks for the same statement."""


class KeptWorkspace(Workspace):
    """Prepares each statement once, however many operators ask for it, and stays open.

    A kernel keeps nothing between two runs, so that operators of one thread may share it.
    """

    def __init__(self, threads: int = 1, *, keeps_try: bool = False) -> None:
        self._kept: dict[object, Kernel] = {}
        super().__init__(threads, keeps_try=keeps_try)

    @property
    def safe(self) -> Workspace:
        if self._safe is None:
            self._safe = KeptWorkspace(keeps_try=True)
        return self._safe

    def kernel(
        self, sql: str, feeds: Mapping[str, pa.Schema], functions: Sequence[ArrowFunction] = ()
    ) -> Kernel:
        key = (sql, *((name, schema.serialize().to_pybytes()) for name, schema in feeds.items()))
        if key not in self._kept:
            for function in functions:
                self.register(function)
            self._kept[key] = _KeptKernel(self.connection, sql, feeds)
        return self._kept[key]

    def _beside(self) -> Workspace:
        other = super()._beside()
        assert isinstance(other, KeptWorkspace)
        # A kernel is for one thread at a time.
        other._kept = {}
        return other

    def close(self) -> None:
        """It stays open, for the next example."""


@cache
def kept_workspace(threads: int = 1) -> KeptWorkspace:
    """The one for so many threads."""
    return KeptWorkspace(threads)


@cache
def duckdb_beside() -> duckdb.DuckDBPyConnection:
    """A connection that nothing of the engine runs in."""
    return duckdb.connect()

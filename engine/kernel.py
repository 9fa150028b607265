"""The one execution primitive: a DuckDB statement prepared once over named feeds.

A feed is a Python object that DuckDB reads through Arrow's C stream; its schema is fixed, the batch
behind it changes. EXECUTE then reads the new batch with no parsing, binding or planning, which costs
0.3-0.6 ms for a small batch against 1-2 ms for a fresh statement.
"""

from __future__ import annotations

import itertools
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from functools import partial

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from streamsql.engine.failures import NOTE, Failures
from streamsql.engine.memory import keep_freed_memory

# DuckDB advises con.sql() for Arrow results; measured, execute() is twice as fast for small batches and
# equal for large ones.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)

_MAX_RESULT_ROWS = 1 << 22

# A feed's place in a statement. In a literal or a quoted name the same text is a user's.
_PLACES = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\{(\w+)\}""")
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class ArrowFunction:
    """A vectorised Python function that a kernel's SQL calls by name.

    name       unique per implementation and argument types
    arguments  DuckDB types
    returns    DuckDB type
    run        Arrow arrays in, one of equal length out; it handles nulls itself. Without annotations that
               cannot be evaluated: DuckDB looks at them
    volatile   gives another value each time (no constant folding)
    notes      `run` takes the workspace's Failures before the columns, and never raises
    raising    the function that this one is a twin of, with nulls instead of errors
    """

    name: str
    arguments: tuple[str, ...]
    returns: str
    run: Callable[..., pa.Array] = field(compare=False)
    volatile: bool = False
    notes: bool = field(default=False, compare=False)
    raising: ArrowFunction | None = field(default=None, compare=False, repr=False)


class Feed:
    """What a kernel reads: an Arrow stream whose batch is set before each run."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.batches: Iterable[pa.RecordBatch] = ()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self.schema, self.batches)
        return reader.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()


class _DuckDB:
    """A DuckDB in memory, the Python functions that it knows, and what they note.

    External access is off and the configuration locked, since the SQL that runs in it holds users'
    expressions. It has no threads: who executes a statement works on it. Those of DuckDB, whenever they find
    nothing to do, give back to the system what memory anything in this process has freed, and batches to come
    would have to ask for it again, page by page. Closing a DuckDB does so as well.
    """

    def __init__(self, *, keeps_try: bool) -> None:
        keep_freed_memory()
        self.failures = Failures()
        self.keeps_try = keeps_try
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._functions: set[str] = set()
        self._registering = threading.Lock()
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        if keeps_try:
            # DuckDB takes an expression that stands twice out of the TRYs around it.
            self._connection.execute("SET disabled_optimizers = 'common_subexpressions'")
        # This one belongs to a connection, and those to come are to have it as well.
        self._connection.execute("SET allowed_configs = ['enable_progress_bar']")
        self._connection.execute("SET lock_configuration = true")
        if keeps_try:
            self.register(_note(self.failures))

    def connect(self) -> duckdb.DuckDBPyConnection:
        """One more connection: for one thread at a time, beside the others."""
        connection = self._connection.cursor()
        connection.execute("SET enable_progress_bar = false")
        return connection

    def register(self, function: ArrowFunction) -> None:
        """Make a Python function callable by its name in all connections; the same one again is no work."""
        with self._registering:
            if function.name in self._functions:
                return
            # Of the first connection, as a function is gone with the one it was made in.
            self._connection.create_function(
                function.name,
                partial(function.run, self.failures) if function.notes else function.run,
                list(function.arguments),
                function.returns,
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,
                # DuckDB has no TRY around a volatile function; with columns for arguments nothing is folded.
                side_effects=function.volatile and not (self.keeps_try and function.arguments),
            )
            self._functions.add(function.name)

    def is_sound(self) -> bool:
        """Whether it can still be used: a fault inside DuckDB makes all of it useless."""
        try:
            self._connection.execute("SELECT 1").fetchall()
        except duckdb.Error:
            return False
        return True


class _Idle:
    """The DuckDBs that nobody uses: to open one takes tens of milliseconds."""

    def __init__(self) -> None:
        self._of: dict[bool, list[_DuckDB]] = {False: [], True: []}

    def take(self, *, keeps_try: bool) -> _DuckDB:
        """One for the caller alone, an idle one if there is any."""
        try:
            return self._of[keeps_try].pop()
        except IndexError:
            return _DuckDB(keeps_try=keeps_try)

    def give_back(self, used: _DuckDB) -> None:
        """Its connections are closed."""
        if used.is_sound():
            used.failures.take()
            self._of[used.keeps_try].append(used)


_idle = _Idle()


class Workspace:
    """A DuckDB of its own for one query: its connection, feeds and prepared statements.

    Not thread-safe: one thread at a time.

    keeps_try  for statements with TRY in them, which may note in `failures` what fails
    lanes      a workspace for each thread, to be used at the same time; with one thread this one itself
    ahead      a workspace for each batch that is prepared beside the work in this one and in its lanes, as
               many as threads; with one thread this one
    is_alone   whether the query has one thread
    """

    def __init__(self, threads: int = 1, *, keeps_try: bool = False) -> None:
        self._duckdb = _idle.take(keeps_try=keeps_try)
        self._others: list[Workspace] = []
        self.lanes: Sequence[Workspace]
        self.ahead: Sequence[Workspace]
        self._begin()
        self.is_alone = threads == 1
        if threads > 1:
            self.lanes = [self._beside() for _ in range(threads)]
            self.ahead = [self._beside() for _ in range(threads)]

    def _begin(self) -> None:
        """Be alone, and for one thread."""
        self.failures = self._duckdb.failures
        self.connection = self._duckdb.connect()
        self.lanes = self.ahead = (self,)
        self._safe: Workspace | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._is_open = True

    def _beside(self) -> Workspace:
        """One more over the same DuckDB."""
        other = copy(self)
        other._begin()
        self._others.append(other)
        return other

    @property
    def workers(self) -> ThreadPoolExecutor:
        """A thread less than the workspace has lanes: the last one is the caller's own."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(max(1, len(self.lanes) - 1), thread_name_prefix="slice")
        return self._workers

    @property
    def safe(self) -> Workspace:
        """A second workspace for statements with TRY in them, made when first needed."""
        if self._safe is None:
            self._safe = Workspace(keeps_try=True)
        return self._safe

    def kernel(
        self,
        sql: str,
        feeds: Mapping[str, pa.Schema],
        functions: Sequence[ArrowFunction] = (),
    ) -> Kernel:
        """Prepare `sql`, in which `{name}` stands for the feed called `name`.

        raises  duckdb.Error if the statement does not bind
        """
        for function in functions:
            self.register(function)
        return Kernel(self.connection, sql, feeds)

    def register(self, function: ArrowFunction) -> None:
        """Make a Python function callable by name; the same one again is no work."""
        self._duckdb.register(function)

    def close(self) -> None:
        """A second time it is no work: then its DuckDB may be another's."""
        if not self._is_open:
            return
        self._is_open = False
        for connection in (self.connection, *(other.connection for other in self._others)):
            connection.close()
        if self._safe is not None:
            self._safe.close()
        if self._workers is not None:
            self._workers.shutdown()
        _idle.give_back(self._duckdb)


def _note(failures: Failures) -> ArrowFunction:
    return ArrowFunction(NOTE, ("BIGINT", "INTEGER"), "BOOLEAN", failures.note_columns)


class Kernel:
    """A prepared statement; `run` gives it batches and takes the result as one batch."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        sql: str,
        feeds: Mapping[str, pa.Schema],
    ) -> None:
        number = next(_names)
        self._connection = connection
        self._statement = f"kernel_{number}"
        self._feeds = {name: Feed(schema) for name, schema in feeds.items()}
        self._registered: list[str] = []
        for name, feed in self._feeds.items():
            registered = f"feed_{number}_{name}"
            connection.register(registered, feed)
            self._registered.append(registered)
        sql = _PLACES.sub(lambda place: f"feed_{number}_{place[1]}" if place[1] else place[0], sql)
        connection.execute(f"PREPARE {self._statement} AS {sql}")
        self._execute = f"EXECUTE {self._statement}"

    def run(self, **batches: pa.RecordBatch) -> pa.RecordBatch:
        """Run over one batch per feed; gives the result in one piece, in the statement's order.

        raises  duckdb.Error if an expression fails on a row
        """
        return self.run_over({name: (batch,) for name, batch in batches.items()})

    def run_over(self, batches: Mapping[str, Iterable[pa.RecordBatch]]) -> pa.RecordBatch:
        """The same over any number of batches per feed, taken as DuckDB asks for them."""
        return one_batch(*self.pieces_over(batches))

    def pieces_over(
        self, batches: Mapping[str, Iterable[pa.RecordBatch]], max_rows: int = _MAX_RESULT_ROWS
    ) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        """The same, the result's schema and batches of at most `max_rows` rows, as many as there are.

        For results without a bound: what is too large for one batch need not be too large for several.
        """
        for name, feed in self._feeds.items():
            feed.batches = batches[name]
        try:
            reader = _rows(self._connection, self._execute, max_rows)
            return reader.schema, list(reader)
        finally:
            for feed in self._feeds.values():
                feed.batches = ()

    def close(self) -> None:
        """Forget the statement and its feeds; for kernels that do not live as long as their workspace."""
        self._connection.execute(f"DEALLOCATE {self._statement}")
        for registered in self._registered:
            self._connection.unregister(registered)


def _rows(connection: duckdb.DuckDBPyConnection, statement: str, max_rows: int) -> pa.RecordBatchReader:
    """Execute a statement; its rows as they come."""
    if _submit is not None:
        return _submit(connection, statement, None, "stream", max_rows).arrow_reader()
    reader: pa.RecordBatchReader = connection.execute(statement).to_arrow_reader(max_rows)
    return reader


# How DuckDB's relations execute: rows become Arrow at once. After `execute` a second statement reads them
# back, for 0.2 ms more, and a copy. It is not a public name, so `execute` stands in where it is missing.
_submit = getattr(duckdb.DuckDBPyConnection, "_submit", None)


def one_batch(schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Several batches of one schema as one."""
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
    return pa.concat_batches(batches)

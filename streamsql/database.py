"""The database: statements in, results out. Everything else is a part of it.

A statement's way: text, variables filled in, parsed, planned against the catalog; then a CREATE becomes a
record of the command topic and a catalog entry, a persistent query a runner, a pull query one DuckDB
statement over snapshots, a push query a task that its reader drives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from streamsql.catalog import Catalog, SourceInfo
from streamsql.clients import Clients
from streamsql.clock import Clock, SystemClock
from streamsql.commands import Commands
from streamsql.config import SETTINGS, Config, check_changeable
from streamsql.definitions import Definition, Definitions
from streamsql.engine.log.disk import DiskLog, Flush
from streamsql.engine.log.log import Log
from streamsql.engine.log.maintenance import Maintenance
from streamsql.engine.log.memory import MemoryLog
from streamsql.errors import ExternalError, InternalError, NotSupportedError, PlanError, StreamSQLError
from streamsql.formats.format import SchemaStore
from streamsql.formats.registry import EmbeddedRegistry
from streamsql.functions.library import Library
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.parser import parse
from streamsql.grammar.places import place_of
from streamsql.grammar.variables import substitute
from streamsql.plan.environment import Environment
from streamsql.plan.insert import insert_values
from streamsql.plan.push import plan_push
from streamsql.plan.scope import at
from streamsql.processing_log import STREAM_INFO, ProcessingLog
from streamsql.push import push_result
from streamsql.queries import Progress, Queries
from streamsql.replay import Replay
from streamsql.result import Result, counted, message
from streamsql.topic_marks import left_over

if TYPE_CHECKING:
    from streamsql.asserts import Assertion, Asserts
    from streamsql.pull import PullQueries

_INSERTS = "insert:"
"""Whose commits in the log those of INSERTs are; with a colon, as no query has it in its id."""


class Database(Clients):
    """One open database. Statements may come from any thread; they are executed one at a time, but for
    INSERTs and appends, which wait for the disk together.

    autostart  False keeps persistent queries from running by themselves: tests step them by hand
    """

    def __init__(
        self,
        log: Log,
        *,
        settings: Mapping[str, str] | None = None,
        udfs: Iterable[Callable[..., Any]] = (),
        clock: Clock | None = None,
        schemas: SchemaStore | None = None,
        progress: Progress | None = None,
        autostart: bool = True,
    ) -> None:
        self.log = log
        self.clock = clock or SystemClock()
        self.library = Library()
        self.library.add_user(*udfs)
        self.schemas = schemas or EmbeddedRegistry(None)
        self.variables: dict[str, str] = {}
        self._config = Config({})
        for name, value in (settings or {}).items():
            self._config = self._config.with_value(name, value)
        self.catalog = Catalog(sources={STREAM_INFO.name: STREAM_INFO})
        self._lock = threading.RLock()
        self._inserting = threading.Lock()
        self._commands = Commands(log)
        self._processing_log = ProcessingLog(log, self.clock)
        super().__init__()
        self.queries = Queries(log, self._processing_log, autostart=autostart)
        self._asserts: Asserts | None = None
        self._pulls: PullQueries | None = None
        self.definitions = Definitions(
            log,
            self.catalog,
            self._commands,
            self.queries,
            self.schemas,
            self.clock,
            environment=lambda: self.environment,
            on_change=self._on_change,
            on_drop=self._on_drop,
        )
        self._maintenance = Maintenance(log, self.clock.now_ms)
        self._closed = False
        try:
            self._replay(progress)
        except BaseException:
            self.close()
            raise
        if autostart:
            self._maintenance.start()

    # --- what users call ------------------------------------------------------------------------

    def execute(self, sql: str) -> Result:
        """Run one or more statements and give the last one's result.

        raises  StreamSQLError; what earlier statements did stays done
        """
        last = message("")
        for result in self.run(sql):
            last = result
        return last

    def run(self, sql: str) -> Iterator[Result]:
        """Run statements one after another, each when the next result is asked for.

        The whole text is parsed first: a syntax error anywhere means that nothing is executed.
        """
        source = sql
        try:
            if self._config.flag("ksql.variable.substitution.enable"):
                source = self._substituted(sql)
            with self._lock:
                again = self._pulled_again(source)
            if again is not None:
                yield again
                return
            statements = parse(source)
            # Tables say what they are after a batch: for who asserts records, an INSERT is one.
            settles = any(isinstance(statement, ast.AssertValues) for statement in statements)
            for statement in statements:
                # An ASSERT may wait for what another thread is about to create; an INSERT waits for the
                # disk, together with those of other threads.
                waits = isinstance(statement, ast.AssertTopic | ast.AssertSchema | ast.InsertValues)
                with nullcontext() if waits else self._lock:
                    result = self._statement(statement, source, is_alone=len(statements) == 1)
                if settles and isinstance(statement, ast.InsertValues):
                    self.wait_idle()
                yield result
        except StreamSQLError as error:
            error.at(source)
            raise

    def wait_idle(self, timeout: float | None = None, progress: Progress | None = None) -> bool:
        """Wait until the persistent queries have processed and committed all there is.

        timeout  seconds
        gives    False if time ran out
        raises   the error of a query that has failed
        """
        return self.queries.wait_idle(self.catalog, timeout, progress)

    def completions(self) -> dict[str, list[str]]:
        """Names for a shell: kind -> names as SQL writes them."""
        sources = self.catalog.sources.values()
        return {
            "source": [quote_name(s.name) for s in sources],
            "column": sorted({quote_name(c.name) for s in sources for c in s.schema.columns}),
            "topic": [t for t in self.log.topics() if not t.startswith("_")],
            "query": list(self.catalog.queries),
            "function": self.library.names(),
            "type": list(self.catalog.types),
            "property": [setting.name for setting in SETTINGS],
            "variable": list(self.variables),
        }

    def close(self) -> None:
        """Stop the queries, commit, and let the directory go. A second call does nothing.

        Producers and consumers that are still open are closed first.
        raises  the error of a producer whose rows could not be stored
        """
        if self._closed:
            return
        self._closed = True
        # Last in, first out: each step is taken even if one before it fails.
        with ExitStack() as steps:
            steps.callback(self.log.close)
            steps.callback(self._stop)
            steps.callback(self._close_clients)

    def _stop(self) -> None:
        self._maintenance.stop()
        self.queries.close()
        if self._asserts is not None:
            self._asserts.close()
        if self._pulls is not None:
            self._pulls.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self._config

    @property
    def environment(self) -> Environment:
        """What planning looks at, as it is now."""
        return Environment(self.catalog, self.library, self._config, self.schemas)

    # --- statements -----------------------------------------------------------------------------

    def _pulled_again(self, text: str) -> Result | None:
        """The answer to a text that is a pull query which was planned before; None for any other text."""
        return None if self._pulls is None else self._pulls.again(text, self.environment)

    def _pull(self, query: ast.Query, text: str | None) -> Result:
        """Answer a pull query; with its text, it is planned once."""
        # Loading it would be a part of opening a database, and many sessions ask nothing.
        from streamsql.pull import PullQueries

        if self._pulls is None:
            self._pulls = PullQueries(self.log, self.queries, self.schemas)
        prepared = self._pulls.prepare(query, self.environment, text)
        try:
            return self._pulls.answer(prepared, self.catalog)
        finally:
            if text is None:
                prepared.close()

    def _statement(self, statement: ast.Statement, source: str, *, is_alone: bool) -> Result:
        text = source[statement.span.start : statement.span.end]
        try:
            if isinstance(statement, ast.QueryStatement) and statement.query.emit is None:
                return self._pull(statement.query, source if is_alone else None)
            return self._dispatch(statement)
        except StreamSQLError as error:
            error.at(source, statement.span)
            raise
        except RecursionError as error:
            raise PlanError(
                "this statement is nested too deeply", code="PLAN-TOO-DEEP", span=statement.span
            ) from error
        except AssertionError as error:
            raise InternalError(f"planning failed on: {text[:200]}") from error

    def _dispatch(self, statement: ast.Statement) -> Result:
        if isinstance(statement, Definition):
            return self.definitions.execute(statement)
        match statement:
            case ast.InsertValues():
                return self._insert(statement)
            case ast.QueryStatement(query=query):
                return push_result(plan_push(query, self.environment), self.log, self._config)
            case ast.SetProperty(name=name, value=value):
                check_changeable(name)
                self._config = self._config.with_value(name, value)
                return message(f"{name} = {value}")
            case ast.UnsetProperty(name=name):
                check_changeable(name)
                self._config = self._config.without(name)
                return message(f"{name} has its default again")
            case ast.Define(name=name, value=value):
                self.variables[name.upper()] = value
                return message(f"{name} is defined")
            case ast.Undefine(name=name):
                self.variables.pop(name.upper(), None)
                return message(f"{name} is not defined any more")
            case ast.Show() | ast.Describe() | ast.Explain() | ast.PrintTopic():
                from streamsql.introspection import introspect

                return introspect(self, statement)
            case ast.RunScript(path=path):
                return self._run_script(path)
            case ast.AssertValues(source=source):
                # What was written before the statement has reached the source by then.
                self.queries.catch_up(source, self.catalog)
                return self._assert(statement)
            case ast.AssertTopic() | ast.AssertSchema() | ast.AssertSource():
                return self._assert(statement)
            case ast.CreateConnector() | ast.DropConnector():
                from streamsql.introspection import no_connectors

                raise no_connectors(statement.span)
            case ast.AlterSystem(name=name, value=value):
                raise NotSupportedError(
                    "ALTER SYSTEM is not built: there is no cluster whose settings it could change",
                    span=statement.span,
                    hint=f"SET '{name}' = '{value}'; or streamsql --set {name}={value}",
                )
        raise AssertionError(statement)

    def _insert(self, statement: ast.InsertValues) -> Result:
        with self._lock:
            if not self._config.flag("ksql.insert.into.values.enabled"):
                raise at(
                    place_of(statement.target),
                    "INSERT INTO .. VALUES is switched off",
                    "PLAN-INSERT",
                    "SET 'ksql.insert.into.values.enabled' = 'true';",
                )
            insert = insert_values(statement, self.environment)
            times = insert.timestamps
            if times is not None and times.null_count:
                times = times.fill_null(self.clock.now_ms())
            writer = self._writer(insert.info)
            parts = writer.split(*writer.encode(writer.fitted(insert.rows), times))
        if len(parts) == 1:
            writer.append(parts)
        else:
            # An append is of one partition; all of a statement's rows are to be there, or none.
            with self._inserting:
                self.log.commit(_INSERTS, [(writer.topic, *part) for part in parts])
        return message(f"{counted(insert.rows.num_rows, 'row')} inserted into {insert.info.title}")

    def _run_script(self, path: str) -> Result:
        try:
            text = Path(path).read_text("utf-8")
        except OSError as error:
            raise at(place_of(path), f"{path} cannot be read: {error.strerror}", "PLAN-SCRIPT") from error
        return self.execute(text)

    # --- parts that many sessions never use: loading them would be most of opening a database ----

    def _assert(self, statement: Assertion) -> Result:
        from streamsql.asserts import Asserts

        if self._asserts is None:
            self._asserts = Asserts(self.log, self.schemas)
        return message(self._asserts.check(statement, self.environment))

    # --- helpers --------------------------------------------------------------------------------

    def _substituted(self, sql: str) -> str:
        """The text with variables filled in; DEFINEs in the text itself count for what follows them."""
        return substitute(sql, self.variables) if "${" in sql else sql

    def _on_change(self, info: SourceInfo) -> None:
        self._forget_writer(info.topic)

    def _on_drop(self, info: SourceInfo) -> None:
        self._forget_writer(info.topic)
        if self._asserts is not None:
            self._asserts.forget(info.name)

    def _replay(self, progress: Progress | None) -> None:
        """Bring the catalog back to what the command topic says, then let the queries run."""
        replay = Replay(
            self.catalog,
            lambda config: Environment(self.catalog, self.library, config, self.schemas),
            self.definitions.partitions(),
            self._config,
        )
        for number, command in self._commands.replay():
            replay.redo(number, command)
        self.queries.reopen({name: (one.plan, one.config) for name, one in replay.queries.items()}, progress)
        for query_id in replay.ended:
            self.queries.forget(query_id)
        for topic in list(left_over(self.log, replay.deletions, self._commands.next_number())):
            try:
                self.definitions.delete_topic(topic)
            except ExternalError:
                # The schema registry does not answer: what is left over stays for the next time.
                continue
        self.queries.start_all(replay.paused)


def connect(
    path: str | Path | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    udfs: Iterable[Callable[..., Any]] = (),
    progress: Progress | None = None,
) -> Database:
    """Open the database in a directory, made if it is not there; None: one that lives in memory.

    settings  as SET takes them
    udfs      functions made with streamsql.udf, streamsql.udaf, streamsql.udtf
    progress  called while state is restored: what, how much is done, how much there is
    raises    ExternalError if another process holds the directory, or it cannot be used
    """
    if path is None:
        schemas = _schemas(None, settings)
        return Database(MemoryLog(), settings=settings, udfs=udfs, progress=progress, schemas=schemas)
    root = Path(path)
    log = DiskLog(root, flush=_flush(settings))
    try:
        schemas = _schemas(root / "schemas.jsonl", settings)
        return Database(log, settings=settings, udfs=udfs, progress=progress, schemas=schemas)
    except BaseException:
        log.close()
        raise


def _flush(settings: Mapping[str, str] | None) -> Flush:
    """What the settings say about log.flush, which is fixed while the log is open."""
    name = "log.flush"
    config = Config({}).with_value(name, (settings or {}).get(name, "always"))
    return cast(Flush, config.text(name).lower())


def _schemas(path: Path | None, settings: Mapping[str, str] | None) -> SchemaStore:
    """The Schema Registry that the settings name, else the one in the data directory."""
    url = (settings or {}).get("ksql.schema.registry.url", "")
    if not url:
        return EmbeddedRegistry(path)
    from streamsql.formats.registry_http import HttpRegistry

    return HttpRegistry(url)

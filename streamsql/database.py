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

import pyarrow as pa

from streamsql.catalog import Catalog, QueryInfo, SourceInfo
from streamsql.clients import Clients
from streamsql.clock import Clock, SystemClock
from streamsql.commands import Command, Commands
from streamsql.config import SETTINGS, Config, check_changeable
from streamsql.connectors.resume import forget_loads
from streamsql.engine.log.disk import DiskLog, Flush
from streamsql.engine.log.log import Log, TopicConfig, usual_segment_bytes
from streamsql.engine.log.maintenance import Maintenance
from streamsql.engine.log.memory import MemoryLog
from streamsql.errors import InternalError, NotSupportedError, PlanError, StreamSQLError
from streamsql.formats.format import SchemaStore
from streamsql.formats.registry import EmbeddedRegistry
from streamsql.functions.library import Library
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.parser import parse
from streamsql.grammar.printer import to_sql
from streamsql.grammar.variables import substitute
from streamsql.plan.alter import plan_alter
from streamsql.plan.create import plan_create, register_schemas
from streamsql.plan.environment import Environment
from streamsql.plan.insert import insert_values
from streamsql.plan.persistent import PersistentPlan, plan_create_as, plan_insert_select
from streamsql.plan.push import plan_push
from streamsql.plan.replace import check_query_replacement, check_source_replacement
from streamsql.plan.scope import at
from streamsql.plan.topics import plan_alter_topic
from streamsql.plan.type_names import resolve_type
from streamsql.processing_log import STREAM_INFO, ProcessingLog
from streamsql.push import push_result
from streamsql.queries import Progress, Queries
from streamsql.replay import Replay
from streamsql.result import Result, message
from streamsql.topic_marks import left_over, made_by, mark_deleted

if TYPE_CHECKING:
    from streamsql.asserts import Assertion, Asserts
    from streamsql.pull import PullQueries


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
        self._commands = Commands(log)
        self._processing_log = ProcessingLog(log, self.clock)
        super().__init__()
        self.queries = Queries(log, self._processing_log, autostart=autostart)
        self._asserts: Asserts | None = None
        self._pulls: PullQueries | None = None
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
            for statement in statements:
                # An ASSERT may wait for what another thread is about to create; an INSERT waits for the
                # disk, together with those of other threads.
                waits = isinstance(statement, ast.AssertTopic | ast.AssertSchema | ast.InsertValues)
                with nullcontext() if waits else self._lock:
                    result = self._statement(statement, source, is_alone=len(statements) == 1)
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
        match statement:
            case ast.CreateSource():
                return self._create(statement)
            case ast.CreateAsSelect() | ast.InsertSelect():
                return self._create_query(statement)
            case ast.InsertValues():
                return self._insert(statement)
            case ast.QueryStatement(query=query):
                return push_result(plan_push(query, self.environment), self.log, self._config)
            case ast.DropSource():
                return self._drop(statement)
            case ast.AlterSource():
                return self._alter(statement)
            case ast.AlterTopic(topic=topic):
                self.log.alter_topic(topic, plan_alter_topic(statement, self.log.topic_config(topic)))
                return message(f"topic {topic} altered")
            case ast.CreateType() | ast.DropType():
                return self._type(statement)
            case ast.QueryControl():
                return self._control(statement)
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
        raise NotSupportedError(f"the statement {to_sql(statement)}", span=statement.span)

    def _create(self, statement: ast.CreateSource) -> Result:
        if statement.is_source and statement.or_replace:
            raise at(statement.span, "a SOURCE is read-only: OR REPLACE cannot be used", "PLAN-READ-ONLY")
        existing = self._existing(
            statement.name, statement.kind, statement.if_not_exists, statement.or_replace
        )
        if existing is not None:
            return existing
        new = plan_create(statement, self.environment)
        info = new.info
        old = self.catalog.sources.get(info.name)
        if old is not None:
            if old.query_id is not None:
                raise at(
                    statement.span,
                    f"{old.title} is made by query {old.query_id}: only CREATE .. AS SELECT can replace it",
                    "PLAN-REPLACE",
                )
            check_source_replacement(old, info, statement.span)
        if self.log.has_topic(info.topic):
            actual = self.log.topic_config(info.topic).partitions
            if new.partitions is not None and new.partitions != actual:
                raise PlanError(
                    f"topic {info.topic} exists with {actual} partitions, not {new.partitions}",
                    code="PLAN-PARTITIONS",
                )
        else:
            cleanup = "compact" if info.is_table else "delete"
            config = TopicConfig(
                partitions=new.partitions or 1,
                cleanup=cleanup,
                segment_bytes=usual_segment_bytes(cleanup),
                retention_ms=new.retention_ms,
                properties=made_by(self._commands.next_number()),
            )
            self.log.create_topic(info.topic, config)
        register_schemas(info, self.environment, only_missing=True)
        self._record(to_sql(statement), None)
        self.catalog.sources[info.name] = info
        self._forget_writer(info.topic)
        return message(f"{info.title} " + ("created" if old is None else "replaced"))

    def _create_query(self, statement: ast.CreateAsSelect | ast.InsertSelect) -> Result:
        if isinstance(statement, ast.CreateAsSelect):
            existing = self._existing(
                statement.name, statement.kind, statement.if_not_exists, statement.or_replace
            )
            if existing is not None:
                return existing
        plan = self.plan_query(statement)
        replaced = self._replaced_query(statement, plan)
        query_id = replaced or self._query_id(statement)
        register_schemas(plan.sink, self.environment, only_missing=isinstance(statement, ast.InsertSelect))
        self.queries.create_topic_for(plan, made_by(self._commands.next_number()))
        self._record(to_sql(statement), query_id)
        self._register(statement, plan, query_id, self._config)
        return message(f"query {query_id} " + ("started" if replaced is None else "replaced"))

    def _replaced_query(
        self, statement: ast.CreateAsSelect | ast.InsertSelect, plan: PersistentPlan
    ) -> str | None:
        """The id of the query whose place the statement takes; None if it takes nobody's.

        raises  PlanError PLAN-REPLACE if it cannot
        """
        if not isinstance(statement, ast.CreateAsSelect):
            return None
        old = self.catalog.sources.get(statement.name)
        if old is None:
            return None
        if old.query_id is None or old.query_id not in self.queries.plans:
            raise at(statement.span, f"{old.title} is not made by a running query", "PLAN-REPLACE")
        writers = self.catalog.writers(old.name)
        if len(writers) > 1:
            raise at(statement.span, f"{old.title} is written by {', '.join(writers)}", "PLAN-REPLACE")
        check_query_replacement(self.queries.plans[old.query_id], plan, statement.span)
        return old.query_id

    def plan_query(self, statement: ast.CreateAsSelect | ast.InsertSelect) -> PersistentPlan:
        """Plan a persistent query without running it.

        raises  PlanError, NotSupportedError
        """
        partitions = self._partitions()
        if isinstance(statement, ast.CreateAsSelect):
            plan = plan_create_as(statement, self.environment, partitions)
        else:
            plan = plan_insert_select(statement, self.environment, partitions)
        for topic in plan.graph.topics():
            self.log.topic_config(topic)  # raises for a damaged one
        return plan

    def _query_id(self, statement: ast.CreateAsSelect | ast.InsertSelect) -> str:
        number = self._commands.next_number()
        if isinstance(statement, ast.CreateAsSelect):
            return f"C{statement.kind[0]}AS_{statement.name}_{number}"
        custom = next((p.value for p in statement.properties if p.name.upper() == "QUERY_ID"), None)
        if not isinstance(custom, ast.StringLiteral):
            return f"INSERTQUERY_{number}"
        query_id = custom.value.upper()
        if not query_id.replace("_", "").isalnum() or query_id.startswith(
            ("INSERTQUERY_", "CTAS_", "CSAS_", "CST_")
        ):
            raise at(
                custom.span,
                f"{custom.value} cannot be a query's id",
                "PLAN-QUERY-ID",
                "letters, digits and _",
            )
        if query_id in self.catalog.queries:
            raise at(custom.span, f"there is a query {query_id} already", "PLAN-QUERY-ID")
        return query_id

    def _register(
        self,
        statement: ast.CreateAsSelect | ast.InsertSelect,
        plan: PersistentPlan,
        query_id: str,
        config: Config,
    ) -> None:
        query = QueryInfo(query_id, to_sql(statement), plan.reads, plan.sink.name, config.values)
        self.queries.open(query, plan, config)
        is_source = isinstance(statement, ast.CreateAsSelect)
        self.catalog.add_query(query, plan.sink if is_source else None)
        if is_source:
            self._forget_writer(plan.sink.topic)

    def _existing(self, name: str, kind: str, if_not_exists: bool, or_replace: bool) -> Result | None:
        found = self.catalog.sources.get(name)
        if found is None:
            return None
        if if_not_exists:
            return message(f"{found.title} exists already: nothing was done")
        if not or_replace:
            self.catalog.check_free(name)
        if found.is_source or found == STREAM_INFO:
            raise PlanError(f"{found.title} is read-only: it cannot be replaced", code="PLAN-READ-ONLY")
        if not self._config.flag("ksql.create.or.replace.enabled"):
            raise PlanError(
                "OR REPLACE is switched off (ksql.create.or.replace.enabled)", code="PLAN-REPLACE"
            )
        return None

    def _insert(self, statement: ast.InsertValues) -> Result:
        with self._lock:
            if not self._config.flag("ksql.insert.into.values.enabled"):
                raise at(statement.span, "INSERT INTO .. VALUES is switched off", "PLAN-INSERT")
            insert = insert_values(statement, self.environment)
            row_time = insert.timestamp_ms if insert.timestamp_ms is not None else self.clock.now_ms()
            writer = self._writer(insert.info)
            parts = writer.split(*writer.encode(writer.fitted(insert.row), pa.array([row_time], pa.int64())))
        writer.append(parts)
        return message(f"1 row inserted into {insert.info.title}")

    def _drop(self, statement: ast.DropSource) -> Result:
        name = statement.name
        if name not in self.catalog.sources and statement.if_exists:
            return message(f"there is no {statement.kind.lower()} {quote_name(name)}: nothing was done")
        info = self.catalog.source(name)
        if info.kind != statement.kind:
            raise PlanError(
                f"{info.title} is not a {statement.kind}",
                code="PLAN-KIND",
                hint=f"DROP {info.kind} {quote_name(name)}",
            )
        if info == STREAM_INFO:
            raise PlanError("the processing log cannot be dropped", code="PLAN-READ-ONLY")
        users = self.catalog.readers(name) + [q for q in self.catalog.writers(name) if q != info.query_id]
        if users:
            raise PlanError(
                f"{info.title} is in use by {', '.join(users)}",
                code="PLAN-IN-USE",
                hint=f"TERMINATE {users[0]}; first",
            )
        if statement.delete_topic:
            if info.is_source:
                raise PlanError(f"{info.title} is read-only: its topic stays", code="PLAN-READ-ONLY")
            others = [s.title for s in self.catalog.on_topic(info.topic) if s.name != name]
            if others:
                raise PlanError(f"topic {info.topic} is also used by {', '.join(others)}", code="PLAN-IN-USE")
        if statement.delete_topic:
            mark_deleted(self.log, info.topic, self._commands.next_number())
        self._record(to_sql(statement), None)
        self._apply_drop(info)
        if statement.delete_topic:
            self._delete_topic(info.topic)
        return message(
            f"{info.title} dropped" + (f", topic {info.topic} deleted" if statement.delete_topic else "")
        )

    def _apply_drop(self, info: SourceInfo) -> None:
        if info.query_id in self.queries.runners:
            assert info.query_id is not None
            self.queries.end(info.query_id)
        self.catalog.queries.pop(info.query_id or "", None)
        del self.catalog.sources[info.name]
        if self._asserts is not None:
            self._asserts.forget(info.name)
        self._forget_writer(info.topic)

    def _alter(self, statement: ast.AlterSource) -> Result:
        info = plan_alter(statement, self.environment)
        self._record(to_sql(statement), None)
        self.catalog.sources[info.name] = info
        self._forget_writer(info.topic)
        return message(f"{info.title} altered")

    def _type(self, statement: ast.CreateType | ast.DropType) -> Result:
        name = statement.name
        if isinstance(statement, ast.DropType):
            if name not in self.catalog.types:
                if statement.if_exists:
                    return message(f"there is no type {quote_name(name)}: nothing was done")
                raise PlanError(
                    f"there is no type {quote_name(name)}", code="PLAN-UNKNOWN-TYPE", hint="SHOW TYPES;"
                )
            self._record(to_sql(statement), None)
            del self.catalog.types[name]
            return message(f"type {quote_name(name)} dropped")
        if name in self.catalog.types:
            if statement.if_not_exists:
                return message(f"type {quote_name(name)} exists already: nothing was done")
            raise PlanError(
                f"type {quote_name(name)} already exists", code="PLAN-EXISTS", hint="DROP TYPE it first"
            )
        resolved = resolve_type(statement.type, self.catalog.type)
        self._record(to_sql(statement), None)
        self.catalog.types[name] = resolved
        return message(f"type {quote_name(name)} created")

    def _control(self, statement: ast.QueryControl) -> Result:
        chosen = self._chosen(statement)
        self._record(to_sql(statement), None)
        for query_id in chosen:
            self._apply_control(statement.action, query_id)
        done = {"TERMINATE": "terminated", "PAUSE": "paused", "RESUME": "resumed"}[statement.action]
        return message(f"{', '.join(chosen) or 'no query'} {done}")

    def _chosen(self, statement: ast.QueryControl) -> list[str]:
        """The ids of the queries that a statement is about."""
        if statement.query_id is None:
            return list(self.queries.runners)
        return [self.queries.get(statement.query_id).name]

    def _apply_control(self, action: str, query_id: str) -> None:
        match action:
            case "TERMINATE":
                self.queries.end(query_id)
                del self.catalog.queries[query_id]
            case "PAUSE":
                self.queries.runners[query_id].pause()
            case "RESUME":
                self.queries.start(query_id)

    def _run_script(self, path: str) -> Result:
        try:
            text = Path(path).read_text("utf-8")
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {error.strerror}", code="PLAN-SCRIPT") from error
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

    def _record(self, sql: str, query_id: str | None) -> None:
        self._commands.append(Command(sql, query_id, self._config.values), self.clock.now_ms())

    def _partitions(self) -> dict[str, int]:
        """How many partitions every topic has, but those that are damaged."""
        return {
            topic: self.log.topic_config(topic).partitions
            for topic in self.log.topics()
            if self.log.topic_problem(topic) is None
        }

    def _delete_topic(self, topic: str) -> None:
        for side in ("key", "value"):
            self.schemas.delete(f"{topic}-{side}")
        if self.log.has_topic(topic):
            forget_loads(self.log, topic)
            self.log.delete_topic(topic)

    def _replay(self, progress: Progress | None) -> None:
        """Bring the catalog back to what the command topic says, then let the queries run."""
        replay = Replay(
            self.catalog,
            lambda config: Environment(self.catalog, self.library, config, self.schemas),
            self._partitions(),
            self._config,
        )
        for number, command in self._commands.replay():
            replay.redo(number, command)
        self.queries.reopen({name: (one.plan, one.config) for name, one in replay.queries.items()}, progress)
        for query_id in replay.ended:
            self.queries.forget(query_id)
        for topic in list(left_over(self.log, replay.deletions, self._commands.next_number())):
            self._delete_topic(topic)
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

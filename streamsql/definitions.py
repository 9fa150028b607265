"""Statements that define things: CREATE, DROP, ALTER, types, and which queries run.

Each is planned, its topics are made, it becomes a record of the command topic, and only then a change of
the catalog: what is in the catalog is what `Replay` would make of the command topic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamsql.catalog import Catalog, QueryInfo, SourceInfo
from streamsql.clock import Clock
from streamsql.commands import Command, Commands
from streamsql.config import Config
from streamsql.connectors.resume import forget_loads
from streamsql.engine.log.log import Log, TopicConfig, usual_segment_bytes
from streamsql.errors import Span
from streamsql.formats.format import SchemaStore
from streamsql.grammar import ast
from streamsql.grammar.names import TYPE_SYNONYMS, quote_name
from streamsql.grammar.places import place_of
from streamsql.grammar.printer import to_sql
from streamsql.peek import unreadable
from streamsql.plan.alter import plan_alter
from streamsql.plan.create import plan_create, register_schemas
from streamsql.plan.environment import Environment
from streamsql.plan.persistent import PersistentPlan, plan_create_as, plan_insert_select
from streamsql.plan.replace import check_query_replacement, check_source_replacement
from streamsql.plan.scope import at, suggestion
from streamsql.plan.topics import plan_alter_topic, unknown_topic
from streamsql.plan.type_names import resolve_type
from streamsql.processing_log import STREAM_INFO
from streamsql.queries import Queries
from streamsql.result import Result, message
from streamsql.topic_marks import made_by, mark_deleted
from streamsql.types import PRIMITIVES

Definition = (
    ast.CreateSource
    | ast.CreateAsSelect
    | ast.InsertSelect
    | ast.DropSource
    | ast.AlterSource
    | ast.AlterTopic
    | ast.CreateType
    | ast.DropType
    | ast.QueryControl
)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Executes definitions; the caller sees to it that they come one at a time.

    environment  what a statement is planned against, as it is when it comes
    on_change    called with a source that is new or another one under its name
    on_drop      called with a source that is gone
    """

    log: Log
    catalog: Catalog
    commands: Commands
    queries: Queries
    schemas: SchemaStore
    clock: Clock
    environment: Callable[[], Environment]
    on_change: Callable[[SourceInfo], None]
    on_drop: Callable[[SourceInfo], None]

    def execute(self, statement: Definition) -> Result:
        """raises  PlanError, NotSupportedError"""
        match statement:
            case ast.CreateSource():
                return self._create(statement)
            case ast.CreateAsSelect() | ast.InsertSelect():
                return self._create_query(statement)
            case ast.DropSource():
                return self._drop(statement)
            case ast.AlterSource():
                return self._alter(statement)
            case ast.AlterTopic(topic=topic):
                if not self.log.has_topic(topic):
                    raise unknown_topic(topic, self.log.topics())
                self.log.alter_topic(topic, plan_alter_topic(statement, self.log.topic_config(topic)))
                return message(f"topic {topic} altered")
            case ast.CreateType():
                return self._create_type(statement)
            case ast.DropType():
                return self._drop_type(statement)
            case ast.QueryControl():
                return self._control(statement)

    def _create(self, statement: ast.CreateSource) -> Result:
        if statement.is_source and statement.or_replace:
            head = Span(statement.span.start, (place_of(statement.name) or statement.span).end)
            raise at(head, "a SOURCE is read-only: OR REPLACE cannot be used", "PLAN-READ-ONLY")
        existing = self._existing(
            statement.name, statement.kind, statement.if_not_exists, statement.or_replace
        )
        if existing is not None:
            return existing
        new = plan_create(statement, self.environment())
        info = new.info
        old = self.catalog.sources.get(info.name)
        if old is not None:
            if old.query_id is not None:
                raise at(
                    place_of(statement.name),
                    f"{old.title} is made by query {old.query_id}: only CREATE .. AS SELECT can replace it",
                    "PLAN-REPLACE",
                )
            check_source_replacement(old, info, statement)
        has_topic = self.log.has_topic(info.topic)
        if has_topic:
            actual = self.log.topic_config(info.topic).partitions
            if new.partitions is not None and new.partitions != actual:
                raise at(
                    next(p.span for p in statement.properties if p.name.upper() == "PARTITIONS"),
                    f"topic {info.topic} exists: it has PARTITIONS {actual}, not {new.partitions}",
                    "PLAN-PARTITIONS",
                    "leave PARTITIONS out",
                )
        register_schemas(info, self.environment(), only_missing=True)
        if not has_topic:
            cleanup = "compact" if info.is_table else "delete"
            config = TopicConfig(
                partitions=new.partitions or 1,
                cleanup=cleanup,
                segment_bytes=usual_segment_bytes(cleanup),
                retention_ms=new.retention_ms,
                properties=made_by(self.commands.next_number()),
            )
            self.log.create_topic(info.topic, config)
        self._record(to_sql(new.statement), None)
        self.catalog.sources[info.name] = info
        self.on_change(info)
        done = f"{info.title} " + ("created" if old is None else "replaced")
        reason = unreadable(self.log, info, self.schemas)
        if reason is not None:
            done += f"; but the newest record of topic {info.topic} cannot be read this way: {reason}"
        return message(done)

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
        register_schemas(plan.sink, self.environment(), only_missing=isinstance(statement, ast.InsertSelect))
        self.queries.create_topic_for(plan, made_by(self.commands.next_number()))
        self._record(to_sql(statement), query_id)
        self._register(statement, plan, query_id, self.environment().config)
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
            raise at(
                place_of(statement.name),
                f"{old.title} is not made by a running query",
                "PLAN-REPLACE",
                f"DROP {old.kind} {quote_name(old.name)}; first, or give the new one another name",
            )
        writers = self.catalog.writers(old.name)
        if len(writers) > 1:
            others = [query_id for query_id in writers if query_id != old.query_id]
            raise at(
                place_of(statement.name),
                f"{old.title} is also written by {', '.join(others)}",
                "PLAN-REPLACE",
                f"TERMINATE {others[0]}; first",
            )
        check_query_replacement(self.queries.plans[old.query_id], plan, statement)
        return old.query_id

    def plan_query(self, statement: ast.CreateAsSelect | ast.InsertSelect) -> PersistentPlan:
        """Plan a persistent query without running it.

        raises  PlanError, NotSupportedError
        """
        partitions = self.partitions()
        if isinstance(statement, ast.CreateAsSelect):
            plan = plan_create_as(statement, self.environment(), partitions)
        else:
            plan = plan_insert_select(statement, self.environment(), partitions)
        for topic in plan.graph.topics():
            self.log.topic_config(topic)  # raises for a damaged one
        return plan

    def _query_id(self, statement: ast.CreateAsSelect | ast.InsertSelect) -> str:
        number = self.commands.next_number()
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
            self.on_change(plan.sink)

    def _existing(self, name: str, kind: str, if_not_exists: bool, or_replace: bool) -> Result | None:
        found = self.catalog.sources.get(name)
        if found is None:
            return None
        if if_not_exists:
            return message(f"{found.title} exists already: nothing was done")
        if not or_replace:
            self.catalog.check_free(name)
        if found.is_source or found == STREAM_INFO:
            raise at(place_of(name), f"{found.title} is read-only: it cannot be replaced", "PLAN-READ-ONLY")
        if not self.environment().config.flag("ksql.create.or.replace.enabled"):
            raise at(
                place_of(name),
                "OR REPLACE is switched off",
                "PLAN-REPLACE",
                "SET 'ksql.create.or.replace.enabled' = 'true';",
            )
        return None

    def _drop(self, statement: ast.DropSource) -> Result:
        name = statement.name
        if name not in self.catalog.sources and statement.if_exists:
            return message(f"there is no {statement.kind.lower()} {quote_name(name)}: nothing was done")
        info = self.catalog.source(name)
        if info.kind != statement.kind:
            raise at(
                place_of(statement.kind, name),
                f"{info.title} is not a {statement.kind}",
                "PLAN-KIND",
                f"DROP {info.kind} {quote_name(name)}",
            )
        if info == STREAM_INFO:
            raise at(place_of(name), "the processing log cannot be dropped", "PLAN-READ-ONLY")
        users = self.catalog.readers(name) + [q for q in self.catalog.writers(name) if q != info.query_id]
        if users:
            raise at(
                place_of(name),
                f"{info.title} is in use by {', '.join(users)}",
                "PLAN-IN-USE",
                f"TERMINATE {users[0]}; first",
            )
        if statement.delete_topic:
            if info.is_source:
                raise at(
                    place_of(name),
                    f"{info.title} is read-only: its topic stays",
                    "PLAN-READ-ONLY",
                    "leave DELETE TOPIC out",
                )
            others = [s.title for s in self.catalog.on_topic(info.topic) if s.name != name]
            if others:
                raise at(
                    place_of(name),
                    f"topic {info.topic} is also used by {', '.join(others)}",
                    "PLAN-IN-USE",
                    "leave DELETE TOPIC out, or drop them first",
                )
        if statement.delete_topic:
            mark_deleted(self.log, info.topic, self.commands.next_number())
        self._record(to_sql(statement), None)
        self._apply_drop(info)
        if statement.delete_topic:
            self.delete_topic(info.topic)
        return message(
            f"{info.title} dropped" + (f", topic {info.topic} deleted" if statement.delete_topic else "")
        )

    def _apply_drop(self, info: SourceInfo) -> None:
        if info.query_id in self.queries.runners:
            assert info.query_id is not None
            self.queries.end(info.query_id)
        self.catalog.queries.pop(info.query_id or "", None)
        del self.catalog.sources[info.name]
        self.on_drop(info)

    def _alter(self, statement: ast.AlterSource) -> Result:
        info = plan_alter(statement, self.environment())
        self._record(to_sql(statement), None)
        self.catalog.sources[info.name] = info
        self.on_change(info)
        return message(f"{info.title} altered")

    def _create_type(self, statement: ast.CreateType) -> Result:
        name = statement.name
        if name in (*PRIMITIVES, *TYPE_SYNONYMS, "DECIMAL"):
            raise at(place_of(name), f"type {name} is built in", "PLAN-EXISTS", "choose another name")
        if name in self.catalog.types:
            if statement.if_not_exists:
                return message(f"type {quote_name(name)} exists already: nothing was done")
            hint = f"DROP TYPE {quote_name(name)}; first"
            raise at(place_of(name), f"type {quote_name(name)} already exists", "PLAN-EXISTS", hint)
        resolved = resolve_type(statement.type, self.catalog.type)
        self._record(to_sql(statement), None)
        self.catalog.types[str(name)] = resolved
        return message(f"type {quote_name(name)} created")

    def _drop_type(self, statement: ast.DropType) -> Result:
        name = statement.name
        if name not in self.catalog.types:
            if statement.if_exists:
                return message(f"there is no type {quote_name(name)}: nothing was done")
            raise at(
                place_of(name),
                f"there is no type {quote_name(name)}",
                "PLAN-UNKNOWN-TYPE",
                suggestion(name, self.catalog.types, "types"),
            )
        self._record(to_sql(statement), None)
        del self.catalog.types[name]
        return message(f"type {quote_name(name)} dropped")

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

    def _record(self, sql: str, query_id: str | None) -> None:
        self.commands.append(Command(sql, query_id, self.environment().config.values), self.clock.now_ms())

    def partitions(self) -> dict[str, int]:
        """How many partitions every topic has, but those that are damaged."""
        return {
            topic: self.log.topic_config(topic).partitions
            for topic in self.log.topics()
            if self.log.topic_problem(topic) is None
        }

    def delete_topic(self, topic: str) -> None:
        """Delete a topic with its schemas and the positions of loads into it; it may be gone already."""
        for side in ("key", "value"):
            self.schemas.delete(f"{topic}-{side}")
        if self.log.has_topic(topic):
            forget_loads(self.log, topic)
            self.log.delete_topic(topic)

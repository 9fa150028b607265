"""Replaying the command topic: what the catalog has come to, and which queries are to run.

Nothing is opened on the way: a query that was dropped, or replaced, since leaves no more than its place
in the catalog to what was planned after it. What a crash kept a statement from finishing is finished
from what is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streamsql.catalog import Catalog, QueryInfo, SourceInfo
from streamsql.commands import Command
from streamsql.config import Config
from streamsql.errors import InternalError
from streamsql.grammar import ast
from streamsql.grammar.parser import parse
from streamsql.grammar.printer import to_sql
from streamsql.plan.alter import plan_alter
from streamsql.plan.create import plan_create
from streamsql.plan.environment import Environment
from streamsql.plan.persistent import PersistentPlan, plan_create_as, plan_insert_select
from streamsql.plan.type_names import resolve_type


@dataclass(frozen=True, slots=True)
class Planned:
    """A query that is to be opened, with the settings it was made with."""

    query: QueryInfo
    plan: PersistentPlan
    config: Config


@dataclass(slots=True)
class Replay:
    """Call `redo` for every command, in order; then read off what it has come to.

    catalog      is brought up to date
    environment  what a statement of some settings is planned against
    partitions   of the topics that exist
    queries      by id, what is to be opened
    paused       ids of those that are not to run
    ended        ids of those that are gone; a crash may have left something of them
    deletions    topics that a command, by its number, deletes
    """

    catalog: Catalog
    environment: Callable[[Config], Environment]
    partitions: dict[str, int]
    base: Config
    queries: dict[str, Planned] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    deletions: list[tuple[str, int]] = field(default_factory=list)

    def redo(self, number: int, command: Command) -> None:
        """Do to the catalog what the statement did when it was executed."""
        (statement,) = parse(command.statement + ";")
        config = Config({**self.base.values, **command.settings})
        env = self.environment(config)
        match statement:
            case ast.CreateSource():
                self.catalog.sources[statement.name] = plan_create(statement, env, is_new=False).info
            case ast.CreateAsSelect() | ast.InsertSelect():
                assert command.query_id is not None
                self._plan(statement, command.query_id, env)
            case ast.DropSource():
                info = self.catalog.source(statement.name)
                self._drop(info)
                if statement.delete_topic:
                    self.deletions.append((info.topic, number))
            case ast.AlterSource():
                self.catalog.sources[statement.name] = plan_alter(statement, env)
            case ast.CreateType():
                self.catalog.types[statement.name] = resolve_type(statement.type, self.catalog.type)
            case ast.DropType():
                self.catalog.types.pop(statement.name, None)
            case ast.QueryControl():
                for query_id in list(self._chosen(statement.query_id)):
                    self._control(statement.action, query_id)
            case _:
                raise InternalError(
                    f"the command topic holds a statement that is no command: {command.statement}"
                )

    def _plan(
        self, statement: ast.CreateAsSelect | ast.InsertSelect, query_id: str, env: Environment
    ) -> None:
        is_source = isinstance(statement, ast.CreateAsSelect)
        if isinstance(statement, ast.CreateAsSelect):
            plan = plan_create_as(statement, env, self.partitions, is_new=False)
        else:
            plan = plan_insert_select(statement, env, self.partitions)
        query = QueryInfo(query_id, to_sql(statement), plan.reads, plan.sink.name, env.config.values)
        self.queries[query_id] = Planned(query, plan, env.config)
        self.ended.discard(query_id)
        self.catalog.add_query(query, plan.sink if is_source else None)

    def _drop(self, info: SourceInfo) -> None:
        if info.query_id in self.queries:
            self._end(info.query_id)
        del self.catalog.sources[info.name]

    def _end(self, query_id: str) -> None:
        del self.queries[query_id]
        del self.catalog.queries[query_id]
        self.paused.discard(query_id)
        self.ended.add(query_id)

    def _chosen(self, query_id: str | None) -> Iterable[str]:
        if query_id is None:
            return self.queries
        return (query_id if query_id in self.queries else query_id.upper(),)

    def _control(self, action: str, query_id: str) -> None:
        match action:
            case "TERMINATE":
                self._end(query_id)
            case "PAUSE":
                self.paused.add(query_id)
            case "RESUME":
                self.paused.discard(query_id)

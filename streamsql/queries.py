"""Running persistent queries: their topics, runners, and what they have to catch up with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from streamsql.catalog import Catalog, QueryInfo
from streamsql.config import Config
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition, usual_segment_bytes
from streamsql.engine.restore import changelog_rows, changelog_topics
from streamsql.engine.runner import Runner, RunnerSettings
from streamsql.engine.shared import SharedDecoding
from streamsql.engine.task import Task
from streamsql.errors import PlanError
from streamsql.grammar.places import place_of
from streamsql.plan.persistent import PersistentPlan
from streamsql.plan.scope import suggestion
from streamsql.processing_log import ProcessingLog

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how many records are done and how many there are."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of the database.

    ends   end of every partition that was asked about, or that leads to what was
    tasks  of the queries before it, by id; nothing moves in them
    """

    ends: Mapping[TopicPartition, int]
    tasks: Mapping[str, Task]


class Queries:
    """The persistent queries of a database by id.

    autostart  False: queries are planned and opened, but nothing runs (tests step their tasks by hand)
    """

    def __init__(self, log: Log, processing_log: ProcessingLog, *, autostart: bool = True) -> None:
        self._log = log
        self._processing_log = processing_log
        self._autostart = autostart
        self.runners: dict[str, Runner] = {}
        self.plans: dict[str, PersistentPlan] = {}
        self._shared = SharedDecoding()

    def create_topic_for(self, plan: PersistentPlan, properties: Mapping[str, str] | None = None) -> None:
        """Make the sink's topic if it is not there, with these properties."""
        topic = plan.sink.topic
        if self._log.has_topic(topic):
            return
        cleanup, retention_ms = "delete", plan.retention_ms
        if plan.is_compacted:
            cleanup = "compact,delete" if plan.sink.window else "compact"
        elif retention_ms is None:
            # A stream keeps its records for as long as the left-most source does.
            source = next(iter(plan.graph.topics()))
            if self._log.topic_problem(source) is None:
                kept = self._log.topic_config(source)
                retention_ms = kept.retention_ms if kept.cleanup == "delete" else None
        config = TopicConfig(
            partitions=plan.partitions,
            cleanup=cleanup,
            segment_bytes=usual_segment_bytes(cleanup),
            retention_ms=retention_ms,
            properties=properties or {},
        )
        self._log.create_topic(topic, config)

    def open(self, query: QueryInfo, plan: PersistentPlan, config: Config) -> None:
        """Open a query's state and, with autostart, let it run; one of the same id makes way.

        The new one goes on from the offsets and the state that the old one has committed.
        """
        old = self.runners.pop(query.id, None)
        if old is not None:
            old.stop()
        self.runners[query.id] = self._runner(query.id, plan, config, lambda rows: None)
        self.plans[query.id] = plan
        self.start(query.id)

    def reopen(self, planned: Mapping[str, tuple[PersistentPlan, Config]], progress: Progress | None) -> None:
        """Open the queries of a database that is being opened, by id; none of them runs yet.

        Several restore their state at once: most of the time goes into the columns, without the GIL.

        progress  is told how many rows of state are restored
        """
        total = sum(changelog_rows(self._log, query_id) for query_id in planned)
        restored = 0
        lock = threading.Lock()

        def count(rows: int) -> None:
            nonlocal restored
            with lock:
                restored += rows
                if progress is not None:
                    progress("restoring state", restored, total)

        def reopen(query_id: str) -> None:
            self.runners[query_id] = self._runner(query_id, *planned[query_id], count)

        for query_id, (plan, _) in planned.items():
            self.create_topic_for(plan)
            self.plans[query_id] = plan
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="restore") as threads:
            for _ in threads.map(reopen, planned):
                pass

    def _runner(
        self, query_id: str, plan: PersistentPlan, config: Config, restored: Callable[[int], None]
    ) -> Runner:
        return Runner(
            query_id,
            plan.graph,
            self._log,
            RunnerSettings(
                config.number("commit.interval.ms"),
                config.number("max.batch.rows"),
                threads=config.number("num.stream.threads"),
            ),
            lambda problems: self._processing_log.records(query_id, problems),
            from_latest=config.text("auto.offset.reset") == "latest",
            restored=restored,
            shared=self._shared,
        )

    def start(self, query_id: str) -> None:
        """Let a query run, for the first time or again."""
        if self._autostart:
            self.runners[query_id].start()

    def start_all(self, without: Collection[str]) -> None:
        """Let all queries run but these."""
        for query_id in self.runners:
            if query_id not in without:
                self.start(query_id)

    def get(self, query_id: str) -> Runner:
        """The runner of a query, whatever the case of its id.

        raises  PlanError PLAN-UNKNOWN-QUERY
        """
        found = self.runners.get(query_id) or self.runners.get(query_id.upper())
        if found is None:
            raise PlanError(
                f"there is no query {query_id}",
                code="PLAN-UNKNOWN-QUERY",
                span=place_of(query_id),
                hint=suggestion(query_id, self.runners, "queries") or "SHOW QUERIES; lists them",
            )
        return found

    def end(self, query_id: str) -> None:
        """Stop a query for good and drop its state; its sink stays."""
        self.plans.pop(query_id)
        self.runners.pop(query_id).stop()
        self.forget(query_id)

    def forget(self, query_id: str) -> None:
        """Drop what is left of a query that does not run: its state and its offsets."""
        for topic in changelog_topics(self._log, query_id):
            self._log.delete_topic(topic)
        self._log.forget(query_id)

    @contextmanager
    def moment(self, names: Collection[str], catalog: Catalog) -> Iterator[Moment]:
        """Some streams and tables as of one moment, at which nothing moves for as long as the context lasts.

        Every query before them has then processed exactly the records before `Moment.ends`, so that tables
        fed by one topic agree. What was written before is in it; paused queries stay where they are.

        raises  the error of a query that has failed
        """
        order = self._upstream(names, catalog)
        for query_id in order:
            runner = self.runners[query_id]
            runner.wait_for(self._ends(runner))
        written = {self.plans[query_id].sink.topic for query_id in order}
        with ExitStack() as held:
            # In one order, lest two readers wait for each other.
            tasks = {
                query_id: held.enter_context(self.runners[query_id].still()) for query_id in sorted(order)
            }
            topics = {topic for query_id in order for topic in self.runners[query_id].graph.topics()}
            topics |= {catalog.source(name).topic for name in names}
            ends = self._log.end_offsets(self._places(topics - written))
            for query_id in order:
                runner = self.runners[query_id]
                # Who writes what this one reads comes before it in the order.
                ends |= self._log.end_offsets(p for p in runner.positions if p not in ends)
                runner.advance(ends)
            ends |= self._log.end_offsets(p for p in self._places(topics) if p not in ends)
            yield Moment(ends, tasks)

    def _places(self, topics: Collection[str]) -> list[TopicPartition]:
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(self._log.topic_config(topic).partitions)
        ]

    def _upstream(self, names: Iterable[str], catalog: Catalog) -> list[str]:
        """The queries that streams and tables depend on, each after those it depends on itself.

        Who writes a topic may do so under another name than those who read it.
        """
        found: dict[str, None] = {}
        seen: set[str] = set()

        def visit(name: str) -> None:
            if name in seen:
                return
            seen.add(name)
            of_topic = (source.name for source in catalog.on_topic(catalog.source(name).topic))
            for query_id in dict.fromkeys(q for other in of_topic for q in catalog.writers(other)):
                for read in catalog.queries[query_id].reads:
                    visit(read)
                found.setdefault(query_id)

        for name in names:
            visit(name)
        return list(found)

    def catch_up(self, source: str, catalog: Catalog) -> None:
        """Wait until what is in the log now has reached a stream or table, through every query before it.

        raises  the error of a query that has failed on the way
        """
        for query_id in self._upstream([source], catalog):
            runner = self.runners[query_id]
            runner.wait_for(self._ends(runner))

    def wait_idle(self, catalog: Catalog, timeout: float | None, progress: Progress | None) -> bool:
        """Wait until every running query has processed what is in the log; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        lag = self.lag()
        total = max(lag, 1)
        # A query may write what another one reads: idle is when a whole round finds nothing to wait for.
        while True:
            busy = False
            for runner in list(self.runners.values()):
                if runner.state not in ("RUNNING", "ERROR"):
                    continue
                while not runner.wait_for(ends := self._ends(runner), 0.1):
                    busy = True
                    if runner.state not in ("RUNNING", "ERROR"):
                        break
                    if progress is not None:
                        total = max(total, lag := self.lag())
                        progress("catching up", total - lag, total)
                    if deadline is not None and time.monotonic() > deadline:
                        return False
                busy = busy or self._ends(runner) != ends
            if not busy:
                return True

    def lag(self) -> int:
        """Records that wait to be processed, over all queries."""
        return sum(runner.lag() for runner in self.runners.values() if runner.state == "RUNNING")

    def close(self) -> None:
        for runner in self.runners.values():
            runner.stop()
        self.runners.clear()

    def _ends(self, runner: Runner) -> Mapping[TopicPartition, int]:
        return {place: self._log.end_offset(*place) for place in runner.positions}

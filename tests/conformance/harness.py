"""A fresh database for one case, and feeding it one query and one record at a time.

Queries are connected by topics: each has all of its input pushed through before the next one runs, and
all data goes through one partition. So what comes out does not depend on threads or on how input is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.clock import ManualClock
from streamsql.database import Database
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.log.partitioner import partition_keys
from streamsql.engine.operators.sink import SinkOperator
from streamsql.engine.task import Task
from streamsql.errors import StreamSQLError
from streamsql.grammar import ast
from streamsql.grammar.parser import parse
from streamsql.plan.create import plan_create
from streamsql.result import Result
from tests.conformance import codecs, wire
from tests.conformance.aggregates import aggregates
from tests.conformance.corpus import Case
from tests.conformance.functions import functions
from tests.conformance.records import Raw, batch_of, raw_records

DEFAULT_PARTITIONS = 4
_OF_THE_DRIVER = frozenset({"use.exact.numeric.comparison"})
_SETTINGS = {
    "ksql.persistence.default.format.key": "KAFKA",
    "ksql.persistence.default.format.value": "",
    "auto.offset.reset": "earliest",
    "max.batch.rows": "1",
}


@dataclass
class Harness:
    """The database of one case with a list of records per topic beside its log."""

    case: Case
    db: Database = field(init=False)
    records: dict[str, list[Raw]] = field(default_factory=dict)
    _read: dict[tuple[str, int], int] = field(default_factory=dict)
    _seen: dict[str, SourceInfo] = field(default_factory=dict)
    _fed: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {k: _setting(v) for k, v in self.case.properties.items() if k not in _OF_THE_DRIVER}
        self.db = Database(
            MemoryLog(),
            settings={**_SETTINGS, **given},
            udfs=(*functions(), *aggregates()),
            clock=ManualClock(0),
            autostart=False,
        )

    # --- before the first statement -------------------------------------------------------------

    def prepare(self) -> None:
        """Create the topics and register the schemas that exist beforehand.

        A CREATE statement's own PARTITIONS go before those of the topic's entry: the original does not
        hold them against each other.
        """
        declared = declared_sources(self.case)
        asked = {topic: count for statement in declared for topic, count in [_topic_of(statement)] if count}
        names: dict[str, None] = {}
        for topic in self.case.topics:
            name = topic["name"]
            names[name] = None
            self._create_topic(name, asked.get(name) or topic.get("partitions") or DEFAULT_PARTITIONS)
        for statement in declared:
            name, count = _topic_of(statement)
            if name and statement.columns:
                names[name] = None
                self._create_topic(name, count or DEFAULT_PARTITIONS)
        for record in self.case.inputs + self.case.outputs:
            self._create_topic(record.topic, DEFAULT_PARTITIONS)
        self._register_schemas(names, declared)

    def _register_schemas(self, topics: Iterable[str], declared: Sequence[ast.CreateSource]) -> None:
        """Schemas without an id are numbered in the order in which a hash table of Java holds the topics."""
        schemas = self.db.schemas
        schemas.set_compatibility("NONE")
        codecs.register_numbered(self.case.topics, schemas)
        for name in sorted(topics, key=_java_bucket):
            codecs.register_given(self._topic(name), schemas)
            for statement in declared:
                if _topic_of(statement)[0] == name and statement.columns:
                    try:
                        info = plan_create(statement, self.db.environment).info
                    except StreamSQLError:
                        continue  # it is reported when the script is run
                    codecs.register_derived(info, schemas)

    def _create_topic(self, name: str, partitions: int) -> None:
        if not self.db.log.has_topic(name):
            self.db.log.create_topic(name, TopicConfig(partitions=partitions))

    # --- statements -----------------------------------------------------------------------------

    def run(self, sql: str) -> Iterable[Result]:
        """Execute statements; what INSERT INTO .. VALUES writes is in `records` at once."""
        for result in self.db.run(sql):
            self._after_statement()
            yield result

    def _after_statement(self) -> None:
        for info in self.db.catalog.sources.values():
            self._seen[info.topic] = self._seen.get(info.topic, info)
            codecs.register_derived(info, self.db.schemas)
        for runner in self.db.queries.runners.values():
            for operator in runner.task.operators:
                if isinstance(operator, SinkOperator) and operator.spec.partitions > 1:
                    operator.spec = replace(operator.spec, partitions=1)
        for info in list(self.db.catalog.sources.values()):
            self._take_inserted(info.topic)

    def _take_inserted(self, topic: str) -> None:
        log = self.db.log
        if not log.has_topic(topic):
            return
        for partition in range(log.topic_config(topic).partitions):
            start = self._read.get((topic, partition), 0)
            end = log.end_offset(topic, partition)
            if end > start:
                for batch in log.read(topic, partition, start, end - start):
                    self.records.setdefault(topic, []).extend(raw_records(batch))
                self._read[topic, partition] = end

    # --- data -----------------------------------------------------------------------------------

    def source_on(self, topic: str) -> SourceInfo | None:
        """The stream or table declared on a topic, the first one where there are several."""
        found = self.db.catalog.on_topic(topic)
        return found[0] if found else self._seen.get(topic)

    def write(self, topic: str, records: Sequence[Raw], *, to_log: bool) -> None:
        """Append to a topic's list and, with `to_log`, to the database's log too, by the keys' hash."""
        self.records.setdefault(topic, []).extend(records)
        if not to_log:
            return
        count = self.db.log.topic_config(topic).partitions
        info = self.source_on(topic)
        window = None if info is None else info.window
        for record in records:
            key = (
                record.key if window is None else wire.unwindowed(record.key, window.kind, window.size_ms)[0]
            )
            keys = pa.array([key], pa.binary())
            partition = 0 if record.key is None else int(partition_keys(keys, count)[0])
            batch = batch_of([record], 0).drop_columns(["$partition", "$offset"])
            self._read[topic, partition] = self.db.log.append(topic, partition, batch) + 1

    def encoded_inputs(self) -> list[tuple[str, Raw]]:
        """The inputs of the case as bytes, by the formats of the sources on their topics."""
        return [
            (r.topic, codecs.encode_record(r, self.source_on(r.topic), self.db.schemas, self._topic(r.topic)))
            for r in self.case.inputs
        ]

    def _topic(self, name: str) -> Mapping[str, Any]:
        return next((t for t in self.case.topics if t["name"] == name), {})

    def run_queries(self, inputs: Sequence[tuple[str, Raw]], *, to_log: bool = False) -> None:
        """Run every persistent query, in order of creation, over the inputs and what is in the topics.

        raises  what a query raises while it runs
        """
        named = {topic for topic, _ in inputs}
        for query_id in list(self.db.catalog.queries):
            runner = self.db.queries.runners[query_id]
            topics = runner.graph.topics()
            for topic, record in inputs:
                if topic in topics:
                    self._push(query_id, runner.task, topic, record, to_log)
            for topic in topics:
                if topic not in named:
                    # A copy: a query may write the topic it reads.
                    for record in list(self.records.get(topic, ())):
                        self._push(query_id, runner.task, topic, record, to_log)

    def _push(self, query_id: str, task: Task, topic: str, record: Raw, to_log: bool) -> None:
        offset = self._fed.get((query_id, topic), 0)
        self._fed[query_id, topic] = offset + 1
        task.feed_topic(topic, batch_of([record], offset))
        for sink, _, batch in task.take_records():
            self.write(sink, raw_records(batch), to_log=to_log)

    def close(self) -> None:
        self.db.close()


def declared_sources(case: Case) -> list[ast.CreateSource]:
    """The CREATE STREAM and CREATE TABLE statements, as far as they can be read."""
    found = []
    for statement in case.statements:
        try:
            parsed = parse(statement)
        except StreamSQLError:
            continue  # it is reported when the script is run
        found += [s for s in parsed if isinstance(s, ast.CreateSource)]
    return found


def _topic_of(statement: ast.CreateSource) -> tuple[str, int | None]:
    """KAFKA_TOPIC and PARTITIONS of a CREATE statement; '' and None where they are missing."""
    values = {p.name.upper(): p.value for p in statement.properties}
    name, partitions = values.get("KAFKA_TOPIC"), values.get("PARTITIONS")
    return (
        name.value if isinstance(name, ast.StringLiteral) else "",
        partitions.value if isinstance(partitions, ast.IntegerLiteral) else None,
    )


def _java_bucket(name: str) -> int:
    """The place of a text in a java.util.HashMap of up to twelve entries."""
    code = 0
    for character in name:
        code = (31 * code + ord(character)) & 0xFFFFFFFF
    return (code ^ (code >> 16)) & 15


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

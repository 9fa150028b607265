"""ASSERT: statements that fail unless something holds; scripts and tests in SQL are written with them.

ASSERT TOPIC, ASSERT SCHEMA    wait for a topic or a schema, or for its absence
ASSERT STREAM, ASSERT TABLE    columns and properties of a source
ASSERT VALUES, ASSERT NULL VALUES   the next record of a source that no ASSERT has looked at yet
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streamsql.catalog import SourceInfo
from streamsql.engine.batch import NULL_VALUE, TIME, WEIGHT, WINDOW_END, WINDOW_START
from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs
from streamsql.engine.log.log import Log
from streamsql.engine.operators.sink import Collect
from streamsql.engine.runner import start_positions
from streamsql.engine.task import Task
from streamsql.errors import PlanError, Span
from streamsql.formats.format import SchemaStore
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.plan.create import read_columns
from streamsql.plan.environment import Environment
from streamsql.plan.insert import compile_value, evaluate_rows
from streamsql.plan.properties import OF_CREATE, duration_ms, read_properties
from streamsql.plan.scope import at, physical, suggestion
from streamsql.plan.sources import Needs, build_source
from streamsql.schema import Column
from streamsql.types import BIGINT

_DEFAULT_TIMEOUT_MS = 1_000
_POLL_S = 0.01
_META = {"ROWTIME": TIME, "WINDOWSTART": WINDOW_START, "WINDOWEND": WINDOW_END}

Assertion = ast.AssertTopic | ast.AssertSchema | ast.AssertSource | ast.AssertValues


@dataclass
class _Reader:
    """One source, read record by record."""

    task: Task
    inputs: Inputs
    count: int = 0

    def next(self) -> pa.RecordBatch | None:
        """The next record that can be read, as a batch of one row; None at the end."""
        while (raw := self.inputs.poll(1)) is not None:
            self.task.feed(raw)
            for batch in self.task.take_rows():
                self.count += 1
                return batch
        return None


class Asserts:
    """Remembers how far ASSERT VALUES has read each source."""

    def __init__(self, log: Log, schemas: SchemaStore) -> None:
        self._log = log
        self._schemas = schemas
        self._readers: dict[str, _Reader] = {}

    def check(self, statement: Assertion, env: Environment) -> str:
        """What was found to hold, in a sentence.

        raises  PlanError ASSERT-FAILED if it does not
        """
        match statement:
            case ast.AssertTopic():
                return self._topic(statement)
            case ast.AssertSchema():
                return self._schema(statement)
            case ast.AssertSource():
                return _check_source(statement, env)
            case ast.AssertValues():
                return self._values(statement, env)

    def forget(self, name: str) -> None:
        """A source is gone: one of the same name begins anew."""
        reader = self._readers.pop(name, None)
        if reader is not None:
            reader.task.close()

    def close(self) -> None:
        for name in list(self._readers):
            self.forget(name)

    # --- topics and schemas ---------------------------------------------------------------------

    def _topic(self, statement: ast.AssertTopic) -> str:
        topic = statement.topic
        if not statement.exists:
            _wait(
                statement.timeout,
                lambda: not self._log.has_topic(topic),
                place_of(topic),
                f"topic {topic} exists",
            )
            return f"topic {topic} does not exist"
        _wait(
            statement.timeout,
            lambda: self._log.has_topic(topic),
            place_of(topic),
            f"topic {topic} does not exist",
        )
        actual = {"PARTITIONS": self._log.topic_config(topic).partitions, "REPLICAS": 1}
        for item in statement.properties:
            wanted = item.value.value if isinstance(item.value, ast.IntegerLiteral) else None
            found = actual.get(item.name.upper())
            if found is None:
                raise _failed(item.span, f"ASSERT TOPIC knows PARTITIONS and REPLICAS, not {item.name}")
            if wanted != found:
                raise _failed(item.span, f"topic {topic} has {item.name.upper()} {found}")
        return f"topic {topic} exists"

    def _schema(self, statement: ast.AssertSchema) -> str:
        subject, schema_id = statement.subject, statement.schema_id
        place = place_of(subject, schema_id)

        def exists() -> bool:
            if subject is None:
                return schema_id is not None and self._schemas.by_id(schema_id) is not None
            return any(schema_id in (None, found) for found in self._schemas.ids(subject))

        what = " and ".join(
            [f"subject {subject}"] * (subject is not None) + [f"id {schema_id}"] * (schema_id is not None)
        )
        if statement.exists:
            _wait(statement.timeout, exists, place, f"there is no schema with {what}")
            return f"there is a schema with {what}"
        _wait(statement.timeout, lambda: not exists(), place, f"there is a schema with {what}")
        return f"there is no schema with {what}"

    # --- records --------------------------------------------------------------------------------

    def _values(self, statement: ast.AssertValues, env: Environment) -> str:
        info = env.catalog.source(statement.source)
        columns = _columns(statement, info)
        if len(columns) != len(statement.values):
            raise at(
                place_of(*statement.values) or place_of(statement.source),
                f"{len(columns)} columns and {len(statement.values)} values",
                "PLAN-INSERT-COUNT",
                "the columns are " + ", ".join(quote_name(c.name) for c in columns),
            )
        values = [compile_value(v, c, env) for v, c in zip(statement.values, columns, strict=True)]
        expected = evaluate_rows([values], columns).to_pylist()[0]
        reader = self._reader(info, env)
        batch = reader.next()
        if batch is None:
            raise _failed(
                place_of(statement.source),
                f"{info.title} has {reader.count} records, and one more is asserted",
            )
        where = f"record {reader.count} of {info.title}"
        found = {c.name: batch.column(_META.get(c.name, physical(c.name)))[0].as_py() for c in columns}
        if _is_tombstone(batch) != statement.is_tombstone:
            what = "has a value" if statement.is_tombstone else "has no value"
            raise _failed(place_of(*statement.values), f"{where} {what}: {_shown(found)}")
        if found != expected:
            wrong = {name: value for name, value in found.items() if value != expected[name]}
            places = [v for c, v in zip(columns, statement.values, strict=True) if c.name in wrong]
            raise _failed(place_of(*places), f"{where} has {_shown(wrong)}")
        return f"{where} is as asserted"

    def _reader(self, info: SourceInfo, env: Environment) -> _Reader:
        if info.name not in self._readers:
            graph = Graph()
            names = frozenset(c.name for c in info.schema.columns)
            node = graph.add(build_source(info, Needs(names, null_values=True), env.schemas))
            graph.add(Collect(graph.nodes[node].spec.output), node)
            inputs = Inputs(self._log, graph, start_positions(self._log, graph, {}, False))
            self._readers[info.name] = _Reader(Task(graph), inputs)
        return self._readers[info.name]


def _columns(statement: ast.AssertValues, info: SourceInfo) -> list[Column]:
    known = info.schema.key if statement.is_tombstone else info.schema.columns
    if statement.columns is None:
        return list(known)
    found: list[Column] = []
    for name in statement.columns:
        is_meta = name == "ROWTIME" or (name in _META and info.window is not None)
        column = Column(name, BIGINT) if is_meta else next((c for c in known if c.name == name), None)
        if column is None:
            raise at(
                place_of(name),
                f"{info.title} has no {'key ' if statement.is_tombstone else ''}column {quote_name(name)}",
                "PLAN-UNKNOWN-COLUMN",
                suggestion(name, [c.name for c in known], "columns"),
            )
        found.append(column)
    return found


def _is_tombstone(batch: pa.RecordBatch) -> bool:
    if WEIGHT in batch.schema.names:
        return bool(batch.column(WEIGHT)[0].as_py() < 0)
    return bool(batch.column(NULL_VALUE)[0].as_py())


def _check_source(statement: ast.AssertSource, env: Environment) -> str:
    info = env.catalog.source(statement.name)
    if info.kind != statement.kind:
        raise _failed(place_of(statement.kind, statement.name), f"{info.title} is not a {statement.kind}")
    if statement.columns:
        wanted = read_columns(statement.columns, statement.kind, env)
        if wanted != info.schema:
            raise _failed(place_of(*statement.columns), f"{info.title} has {info.schema.describe()}")
    properties = read_properties(statement.properties, OF_CREATE, statement.name)
    actual = _properties(info)
    for name, value in properties.values.items():
        shown = actual.get(name)
        if name not in actual or value.upper() != str(shown).upper():
            raise _failed(properties.place(name), f"{info.title} has {name} {shown}")
    return f"{info.title} is as asserted"


def _properties(info: SourceInfo) -> Mapping[str, object]:
    """What ASSERT STREAM and ASSERT TABLE can compare."""
    timestamp = info.timestamp
    same_format = info.key_format.name == info.value_format.name
    wrapped = info.value_format.is_wrapped
    return {
        "KAFKA_TOPIC": info.topic,
        "KEY_FORMAT": info.key_format.name,
        "VALUE_FORMAT": info.value_format.name,
        "FORMAT": info.value_format.name if same_format else None,
        "TIMESTAMP": None if timestamp is None else timestamp.name,
        "TIMESTAMP_FORMAT": None if timestamp is None else timestamp.pattern,
        "WRAP_SINGLE_VALUE": wrapped is not False,
        "WINDOW_TYPE": None if info.window is None else info.window.kind,
    }


def _wait(timeout: ast.Duration | None, holds: Callable[[], bool], span: Span | None, why: str) -> None:
    """Wait until something holds: another thread may be about to bring it."""
    limit_ms = _DEFAULT_TIMEOUT_MS if timeout is None else duration_ms(timeout)
    deadline = time.monotonic() + limit_ms / 1000
    while not holds():
        if time.monotonic() >= deadline:
            raise _failed(span, why)
        time.sleep(_POLL_S)


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{quote_name(name)} {'NULL' if value is None else repr(value)}" for name, value in values.items()
    )


def _failed(span: Span | None, why: str) -> PlanError:
    return at(span, why, "ASSERT-FAILED")

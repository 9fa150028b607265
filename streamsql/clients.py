"""What programs do beside statements: append rows, open producers and consumers."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pyarrow as pa

from streamsql.catalog import Catalog, SourceInfo
from streamsql.clock import Clock
from streamsql.engine.log.groups import Groups
from streamsql.engine.log.log import Log
from streamsql.errors import PlanError
from streamsql.formats.format import SchemaStore
from streamsql.processing_log import ProcessingLog
from streamsql.writer import TopicWriter, as_batch, as_table

if TYPE_CHECKING:
    from streamsql.consumer import Consumer
    from streamsql.engine.log.consumer import Callback
    from streamsql.producer import Partitioning, Producer


class Clients:
    """The part of a database that its users' programs write and read through.

    groups  the consumer groups
    """

    log: Log
    catalog: Catalog
    schemas: SchemaStore
    clock: Clock
    _lock: threading.RLock
    _processing_log: ProcessingLog

    def __init__(self) -> None:
        self.groups = Groups(self.log, self.clock.now_ms)
        self._writers: dict[str, TopicWriter] = {}
        self._open: WeakSet[Producer | Consumer] = WeakSet()

    def append(
        self,
        name: str,
        data: Any,
        *,
        timestamps: Any = None,
        partition: int | None = None,
        expected_offset: int | None = None,
    ) -> int:
        """Append rows to a stream or table and give their number.

        data             a pyarrow Table or RecordBatch, a pandas or polars DataFrame, or a list of dicts
        timestamps       ms per row; None: the wall clock
        partition        where the rows go; None: to that of their key, without a key round the partitions
        expected_offset  append only if the rows' partition ends at this offset (see `end_offset`)

        On return the rows are as durable as log.flush promises. Threads that append at the same time
        share their waits for the disk.
        raises  PlanError for an unknown stream, or if rows with an expected offset go to more than one
                partition, DataError if the rows do not fit, ConflictError LOG-OFFSET-CONFLICT
        """
        with self._lock:
            info = self.find_source(name)
            writer = self._writer(info)
            rows = as_batch(as_table(data, info))
            times = None if timestamps is None else pa.array(timestamps, pa.int64())
            records, hashed = writer.encode(writer.fitted(rows), times)
            parts = writer.split(records, hashed) if partition is None else [(partition, records)]
        if expected_offset is not None and len(parts) > 1:
            raise PlanError(
                f"the rows go to partitions {', '.join(str(p) for p, _ in parts)} of {info.title}, "
                "and an expected offset is about one",
                code="APPEND-PARTITIONS",
                hint="append the rows of one key, or name the partition",
            )
        for number, part in parts:
            self.log.append(info.topic, number, part, expected_offset=expected_offset)
        return rows.num_rows

    def end_offset(self, name: str, *, key: Any = None, partition: int | None = None) -> int:
        """The offset that the next record of a stream or table will get.

        key        look at the partition of this key; of a key of several columns a tuple
        partition  look at this one; neither is needed if there is one partition only
        raises     PlanError
        """
        with self._lock:
            info = self.find_source(name)
            if partition is None:
                count = self.log.topic_config(info.topic).partitions
                partition = self._writer(info).partition_of(key) if count > 1 else 0
        return self.log.end_offset(info.topic, partition)

    def find_source(self, name: str) -> SourceInfo:
        """The stream or table of a name, as it is or in upper case. PlanError PLAN-UNKNOWN-SOURCE."""
        return self.catalog.sources.get(name) or self.catalog.source(name.upper())

    def producer(
        self,
        name: str,
        *,
        raw: bool = False,
        partitioner: Partitioning = "key",
        linger_ms: float = 5,
        batch_rows: int = 16_384,
        producer_name: str | None = None,
    ) -> Producer:
        """A producer for a stream or table, or with `raw` for a topic; see `streamsql.producer`.

        partitioner    "key": Kafka's hash of the key, without a key round the partitions; "round-robin";
                       or a function (rows: pa.RecordBatch, partitions: int) -> a partition per row
        linger_ms      rows wait this long for others, so that one append takes many; 0: no longer than
                       the append before takes
        batch_rows     ... or until there are so many
        producer_name  what was sent with it before is not stored again, also after a restart; opening it
                       again shuts out who had it before
        """
        from streamsql.producer import Producer

        with self._lock:
            info = None if raw else self.find_source(name)
            if info is not None:
                self._check_writable(info)
            writer = TopicWriter(self.log, info.topic if info else name, info, self.schemas, self.clock)
        try:
            producer = Producer(
                self.log, writer, info, self.clock, partitioner, linger_ms, batch_rows, producer_name
            )
        except BaseException:
            writer.close()
            raise
        self._open.add(producer)
        return producer

    def consumer(
        self,
        names: str | Sequence[str],
        *,
        raw: bool = False,
        group: str | None = None,
        start: str | int | datetime | Mapping[Any, int] = "earliest",
        assignment: str = "sticky",
        session_timeout_ms: int = 45_000,
        on_assigned: Callback | None = None,
        on_revoked: Callback | None = None,
        on_lost: Callback | None = None,
    ) -> Consumer:
        """A consumer of streams and tables, or with `raw` of topics; see `streamsql.consumer`.

        group               share the partitions with the other members of this group, and go on where it
                            has committed; None: read all of them
        start               where nothing was committed: "earliest", "latest", a time (ms or a datetime
                            with a zone), or a mapping of (name, partition), or partition, to offset
        assignment          "sticky": even, and few partitions change hands; "range": equal numbers of
                            several topics go to one member
        session_timeout_ms  a member that does not poll or commit for so long is out, by the wall clock
        on_assigned, on_revoked, on_lost   called by poll with the partitions that are new; that are about
                            to go, and can still be committed; that went while the member stayed away
        """
        from streamsql.consumer import Consumer, group_settings

        settings = None
        if group is not None:
            callbacks = (on_assigned, on_revoked, on_lost)
            settings = group_settings(self.groups, group, assignment, session_timeout_ms, *callbacks)
        with self._lock:
            listed = [names] if isinstance(names, str) else list(names)
            sources = {name: None if raw else self.find_source(name) for name in listed}
        reader = f"CONSUMER {group or ', '.join(listed)}"
        consumer = Consumer(
            self.log,
            sources,
            self.schemas,
            lambda problems: self._keep(reader, problems),
            start,
            settings,
        )
        self._open.add(consumer)
        return consumer

    def topic_writer(self, topic: str) -> TopicWriter:
        """A writer for a topic, in the format of the first stream or table declared on it; close it."""
        sources = self.catalog.on_topic(topic)
        return TopicWriter(self.log, topic, sources[0] if sources else None, self.schemas, self.clock)

    def _close_clients(self) -> None:
        """Close what users have left open: what producers still hold is appended, or its error raised."""
        with ExitStack() as steps:
            for writer in self._writers.values():
                steps.callback(writer.close)
            for client in list(self._open):
                steps.callback(client.close)

    def _keep(self, reader: str, problems: pa.RecordBatch) -> None:
        """Write what a consumer could not read to the processing log."""
        for append in self._processing_log.records(reader, problems):
            self.log.append(*append)

    def _check_writable(self, info: SourceInfo) -> None:
        if info.is_source:
            raise PlanError(f"{info.title} is read-only", code="PLAN-READ-ONLY")
        if info.window is not None:
            raise PlanError(f"{info.title} is windowed: nothing can be inserted", code="PLAN-INSERT")

    def _writer(self, info: SourceInfo) -> TopicWriter:
        self._check_writable(info)
        if info.name not in self._writers:
            self._writers[info.name] = TopicWriter(self.log, info.topic, info, self.schemas, self.clock)
        return self._writers[info.name]

    def _forget_writer(self, topic: str) -> None:
        for name in [n for n, w in self._writers.items() if w.topic == topic]:
            self._writers.pop(name).close()

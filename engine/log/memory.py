"""A log that lives in memory: for tests, and for sessions that keep nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from streamsql.engine.log import idempotence, records
from streamsql.engine.log.idempotence import Fences
from streamsql.engine.log.listeners import Listeners
from streamsql.engine.log.log import (
    Append,
    CommitRecord,
    Listener,
    Log,
    ProducerId,
    Stamp,
    TopicConfig,
    TopicPartition,
)
from streamsql.engine.log.memory_partition import MemoryPartition
from streamsql.engine.log.refusals import (
    check_expected,
    check_range,
    check_topic_name,
    closed,
    fewer_partitions,
    merged_commit,
    metadata_as_json,
    topic_exists,
    unknown_partition,
    unknown_topic,
)
from streamsql.errors import StreamSQLError


class MemoryLog(Log):
    """One lock over lists of batches. Nothing survives the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._configs: dict[str, TopicConfig] = {}
        self._partitions: dict[str, list[MemoryPartition]] = {}
        self._commits: dict[str, CommitRecord] = {}
        self._listeners = Listeners()
        self._fences = Fences()
        self._numbers: dict[str, int] = {}
        self._is_closed = False

    def create_topic(self, name: str, config: TopicConfig) -> None:
        check_topic_name(name)
        with self._open():
            if name in self._configs:
                raise topic_exists(name)
            self._configs[name] = config
            self._partitions[name] = [MemoryPartition() for _ in range(config.partitions)]

    def alter_topic(self, name: str, config: TopicConfig) -> None:
        with self._open():
            before = self.topic_config(name).partitions
            if config.partitions < before:
                raise fewer_partitions(name, before, config.partitions)
            self._configs[name] = config
            self._partitions[name] += [MemoryPartition() for _ in range(config.partitions - before)]

    def delete_topic(self, name: str) -> None:
        with self._open():
            self.topic_config(name)
            del self._configs[name], self._partitions[name]

    def topics(self) -> list[str]:
        with self._open():
            return sorted(self._configs)

    def has_topic(self, name: str) -> bool:
        with self._open():
            return name in self._configs

    def topic_config(self, name: str) -> TopicConfig:
        with self._open():
            config = self._configs.get(name)
            if config is None:
                raise unknown_topic(name)
            return config

    def append(
        self,
        topic: str,
        partition: int,
        batch: pa.RecordBatch,
        *,
        expected_offset: int | None = None,
        stamp: Stamp | None = None,
    ) -> int:
        records.checked(batch)
        with self._open():
            target = self._partition(topic, partition)
            if not batch.num_rows:
                return target.end
            place = TopicPartition(topic, partition)
            if stamp is None:
                check_expected(place, expected_offset, target.end)
                base = target.append(batch)
            else:
                base = self._append_once(place, target, batch, expected_offset, stamp)
        self._listeners.tell((topic,))
        return base

    def _append_once(
        self,
        place: TopicPartition,
        target: MemoryPartition,
        batch: pa.RecordBatch,
        expected_offset: int | None,
        stamp: Stamp,
    ) -> int:
        with self._fences.passed(stamp.producer):
            duplicate = target.producers.duplicate(stamp)
            if duplicate is not None:
                return duplicate
            check_expected(place, expected_offset, target.end)
            base = target.append(batch)
            target.producers.add(stamp.producer.number, stamp.sequence, base)
            return base

    def open_producer(self, name: str) -> ProducerId:
        writer = idempotence.writer_of(name)
        with self._open():
            before = self._commits.get(writer)
            epoch = before.metadata["epoch"] + 1 if before else 1
            self.commit(writer, [], metadata={"epoch": epoch})
            opened = ProducerId(name, self._numbers.setdefault(name, len(self._numbers) + 1), epoch)
            self._fences.rise(opened)
        return opened

    def last_sequence(self, topic: str, partition: int, producer: ProducerId) -> int:
        with self._open():
            return self._partition(topic, partition).producers.last_sequence(producer.number)

    def read(self, topic: str, partition: int, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        with self._open():
            found = self._partition(topic, partition)
            check_range(topic, partition, offset, found.start, found.end)
            return found.read(offset, max_rows)

    def start_offset(self, topic: str, partition: int) -> int:
        with self._open():
            return self._partition(topic, partition).start

    def compacted_offset(self, topic: str, partition: int) -> int:
        with self._open():
            return self._partition(topic, partition).start

    def end_offset(self, topic: str, partition: int) -> int:
        with self._open():
            return self._partition(topic, partition).end

    def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        with self._open():
            return {TopicPartition(*place): self._partition(*place).end for place in places}

    def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int:
        with self._open():
            return self._partition(topic, partition).offset_for_time(timestamp_ms)

    def commit(
        self,
        writer: str,
        appends: Sequence[Append],
        offsets: Mapping[TopicPartition, int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[TopicPartition, int]:
        # Through JSON, as the disk does it: what comes back must not depend on where it was kept.
        said = None if metadata is None else orjson.loads(metadata_as_json(metadata))
        bases: dict[TopicPartition, int] = {}
        with self._open():
            targets = [
                (TopicPartition(topic, partition), self._partition(topic, partition), records.checked(batch))
                for topic, partition, batch in appends
            ]
            for place, target, batch in targets:
                base = target.append(batch)
                if batch.num_rows:
                    bases.setdefault(place, base)
            before = self._commits.get(writer)
            sequence = before.sequence + 1 if before else 1
            self._commits[writer] = merged_commit(before, writer, sequence, offsets, said)
        self._listeners.tell(dict.fromkeys(place.topic for place in bases))
        return bases

    def committed(self, writer: str) -> CommitRecord | None:
        with self._open():
            return self._commits.get(writer)

    def writers(self) -> list[str]:
        with self._open():
            return sorted(self._commits)

    def forget(self, writer: str) -> None:
        with self._open():
            self._commits.pop(writer, None)

    def trim(self, topic: str, partition: int, offset: int) -> None:
        with self._open():
            self._partition(topic, partition).trim(offset)

    def maintain(self, now_ms: int) -> list[StreamSQLError]:
        with self._open():
            parts = [(part, self._configs[name]) for name, some in self._partitions.items() for part in some]
        for part, config in parts:
            with self._open():
                part.expire(config, now_ms)
                full = part.full_batches(config)
            if full:
                compacted = part.compacted(full, config, now_ms)
                with self._open():
                    part.replace(len(full), compacted)
        return []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        return self._listeners.add(listener)

    def close(self) -> None:
        self._is_closed = True

    def _open(self) -> threading.RLock:
        """The lock, to be held while the log is used; InternalError after `close`."""
        if self._is_closed:
            raise closed()
        return self._lock

    def _partition(self, topic: str, partition: int) -> MemoryPartition:
        found = self._partitions.get(topic)
        if found is None:
            raise unknown_topic(topic)
        if not 0 <= partition < len(found):
            raise unknown_partition(topic, partition, len(found))
        return found[partition]

"""The embedded log: a directory of files, owned by one process.

    <data>/lock, version.json           who owns it, and its format (owner.py)
    <data>/commits.log                  commits of writers (commits.py)
    <data>/topics/<topic>/<partition>/  segments (topic_files.py, partition.py, segment.py, frame.py)

A commit locks the partitions it writes, in order of their names; writes and syncs its frames; adds one
record to the file of commits and syncs that: this is the moment it happens; then shows it to readers
and unlocks. Before that moment a crash, or a failure, leaves nothing of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import orjson
import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log import commits, idempotence, owner, records, topic_files
from streamsql.engine.log.commits import CommitFile, State
from streamsql.engine.log.compaction import compact
from streamsql.engine.log.files import Handles, explained, open_files_allowed
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
from streamsql.engine.log.opening import Topic, open_topics
from streamsql.engine.log.partition import Partition
from streamsql.engine.log.recovery import Recovery
from streamsql.engine.log.refusals import (
    check_topic_name,
    closed,
    fewer_partitions,
    metadata_as_json,
    topic_exists,
    unknown_partition,
    unknown_topic,
)
from streamsql.engine.log.retention import expire
from streamsql.engine.log.segment import Encoded, Origin
from streamsql.engine.log.topic_files import TopicFiles
from streamsql.engine.log.transaction import Transaction
from streamsql.errors import DataError, ExternalError, StreamSQLError

Flush = Literal["always", "interval", "never"]

_logger = logging.getLogger(__name__)


class DiskLog(Log):
    """See above, and `Log`.

    path               the data directory; made if it is not there
    flush              "always": an append or commit returns when it is on the disk. "interval": it is
                       brought there every `flush_interval_ms`; "never": when the system likes. With
                       these two a crash of the process loses nothing, one of the machine may lose the
                       last commits and appends
    flush_interval_ms  ms
    open_files         files kept open for writing, at most; None: half of those that the process may open
    recovery_notes     what opening cut off or found damaged, as sentences; empty after a clean stop

    raises  ExternalError LOG-LOCKED, LOG-NEWER-FORMAT, LOG-READ-ONLY, LOG-DISK-FULL, ...
            DataError LOG-CORRUPT if the commits cannot be read. A topic that cannot be opened raises when
            it is used, and `topic_problem` says why
    """

    def __init__(
        self,
        path: str | Path,
        *,
        flush: Flush = "always",
        flush_interval_ms: int = 100,
        open_files: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.recovery_notes: list[str] = []
        self._must_sync = flush == "always"
        self._handles = Handles(open_files or open_files_allowed())
        self._listeners = Listeners()
        self._structure = threading.RLock()
        self._publishing = threading.Lock()
        self._committing = threading.Lock()
        self._opening = threading.Lock()
        self._fences = Fences()
        self._maintaining = threading.Lock()
        self._attempts: dict[str, int] = {}
        self._topics: dict[str, Topic] = {}
        self._troubles: dict[str, list[StreamSQLError]] = {}
        self._is_closed = False
        self._stop = threading.Event()
        with explained("make the data directory", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._owner = owner.Owner(self.path)
        try:
            self._commits = CommitFile(self.path / "commits.log", self._handles, self._must_sync)
            if owner.check_format(self.path):
                self._topics, self._state = open_topics(
                    self.path, self._handles, self._commits, self._new_partition, self.recovery_notes
                )
            else:
                self._state = self._begin()
        except BaseException:
            self._handles.close()
            self._owner.release()
            raise
        self._flusher: threading.Thread | None = None
        if flush == "interval":
            self._flusher = threading.Thread(
                target=self._flush_often, args=(flush_interval_ms / 1000,), name="log-flush", daemon=True
            )
            self._flusher.start()

    def tell(self, said: Mapping[str, Any]) -> None:
        """Let processes that find the directory locked know more about this one: {"address": ...}."""
        self._owner.tell(said)

    # -- topics

    def create_topic(self, name: str, config: TopicConfig) -> None:
        check_topic_name(name)
        with self._structure:
            self._check_open()
            if name in self._topics:
                raise topic_exists(name)
            files = topic_files.make_topic(self.path / "topics", name, config)
            partitions = tuple(self._new_partition(files, number) for number in range(config.partitions))
            self._topics[name] = Topic(files, partitions)

    def alter_topic(self, name: str, config: TopicConfig) -> None:
        with self._structure:
            topic = self._topic(name)
            before = len(topic.partitions)
            if config.partitions < before:
                raise fewer_partitions(name, before, config.partitions)
            files = topic_files.change_topic(topic.files, config)
            for partition in topic.partitions:
                partition.config = config
            added = [self._new_partition(files, number) for number in range(before, config.partitions)]
            self._topics[name] = Topic(files, (*topic.partitions, *added), notes=topic.notes)

    def delete_topic(self, name: str) -> None:
        with self._structure, ExitStack() as held:
            # One that cannot be opened can still be given up.
            topic = self._topics[name] if self.topic_problem(name) else self._topic(name)
            for partition in topic.partitions:
                held.enter_context(partition.lock)
            grave = topic_files.bury_topic(topic.files)
            del self._topics[name]
            for partition in topic.partitions:
                partition.refuse(lambda: unknown_topic(name))
        topic_files.clear(grave)

    def topics(self) -> list[str]:
        with self._structure:
            self._check_open()
            return sorted(self._topics)

    def has_topic(self, name: str) -> bool:
        self._check_open()
        return name in self._topics

    def topic_problem(self, name: str) -> StreamSQLError | None:
        self._check_open()
        topic = self._topics.get(name)
        return None if topic is None else topic.problem

    def topic_notes(self, name: str) -> list[str]:
        self._check_open()
        topic, troubles = self._topics.get(name), self._troubles.get(name, [])
        notes = [*(topic.notes if topic else ()), *(problem.message for problem in troubles)]
        return list(dict.fromkeys(notes))

    def topic_config(self, name: str) -> TopicConfig:
        return self._topic(name).files.config

    # -- records

    def append(
        self,
        topic: str,
        partition: int,
        batch: pa.RecordBatch,
        *,
        expected_offset: int | None = None,
        stamp: Stamp | None = None,
    ) -> int:
        target = self._partition(topic, partition)
        records.checked(batch)
        if not batch.num_rows:
            return target.end_offset
        offset = target.append(Encoded.of(batch), expected_offset, stamp)
        self._listeners.tell((topic,))
        return offset

    def open_producer(self, name: str) -> ProducerId:
        writer = idempotence.writer_of(name)
        with self._opening:
            before = self.committed(writer)
            epoch = before.metadata["epoch"] + 1 if before else 1
            self.commit(writer, [], metadata={"epoch": epoch})
            opened = ProducerId(name, self._state.producers[writer], epoch)
            self._fences.rise(opened)
        return opened

    def last_sequence(self, topic: str, partition: int, producer: ProducerId) -> int:
        return self._partition(topic, partition).last_sequence(producer)

    def read(self, topic: str, partition: int, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        return self._partition(topic, partition).read(offset, max_rows)

    def start_offset(self, topic: str, partition: int) -> int:
        return self._partition(topic, partition).start_offset

    def compacted_offset(self, topic: str, partition: int) -> int:
        return self._partition(topic, partition).compacted_offset

    def end_offset(self, topic: str, partition: int) -> int:
        return self._partition(topic, partition).end_offset

    def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        topics: dict[str, Topic] = {}
        targets: dict[TopicPartition, Partition] = {}
        for place in places:
            topic, number = place
            if topic not in topics:
                topics[topic] = self._topic(topic)
            targets[place] = _numbered(topics[topic], topic, number)
        with self._publishing:
            return {place: target.end_offset for place, target in targets.items()}

    def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int:
        return self._partition(topic, partition).offset_for_time(timestamp_ms)

    # -- commits

    def commit(
        self,
        writer: str,
        appends: Sequence[Append],
        offsets: Mapping[TopicPartition, int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[TopicPartition, int]:
        said = None if metadata is None else orjson.loads(metadata_as_json(metadata))
        transaction = Transaction((self._partition(topic, number), batch) for topic, number, batch in appends)
        with self._committing:
            self._check_open()
            producer, attempt = self._next_attempt(writer)
        with transaction.locked():
            bases = transaction.write(Origin(producer, attempt, is_transactional=True), self._must_sync)
            fail_point("commit.before_record")
            self._record(transaction, writer, producer, attempt, offsets, said)
        fail_point("commit.before_listeners")
        self._listeners.tell(dict.fromkeys(place.topic for place in bases))
        return bases

    def committed(self, writer: str) -> CommitRecord | None:
        self._check_open()
        return self._state.writers.get(writer)

    def writers(self) -> list[str]:
        self._check_open()
        return sorted(self._state.writers)

    def forget(self, writer: str) -> None:
        with self._committing:
            self._check_open()
            if writer in self._state.writers:
                said = {"kind": "forget", "writer": writer}
                self._commits.append(said)
                self._state.apply(said)
            self._attempts.pop(writer, None)

    def _next_attempt(self, writer: str) -> tuple[int, int]:
        """The writer's producer id, and the sequence of its next commit: never one it had before."""
        before = self._state.writers.get(writer)
        attempt = max(before.sequence if before else 0, self._attempts.get(writer, 0)) + 1
        self._attempts[writer] = attempt
        return self._state.producer(writer), attempt

    def _record(
        self,
        transaction: Transaction,
        writer: str,
        producer: int,
        attempt: int,
        offsets: Mapping[TopicPartition, int] | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        """The moment of the commit. Whatever is raised, the transaction is over, one way or the other."""
        with self._committing:
            said = commits.commit_record(
                writer, producer, attempt, offsets, metadata, transaction.ends(), self._must_sync
            )
            try:
                self._check_open()
                self._commits.append(said)
            except BaseException as cause:
                if self._commits.is_in_doubt:
                    transaction.freeze(self._commits.problem)
                    raise self._commits.problem() from cause
                transaction.roll_back()
                raise
            fail_point("commit.after_record")
            with self._publishing:
                self._state.apply(said)
                transaction.settle()
            if self._commits.is_due_for_replacement:
                self._replace_commits()

    def _replace_commits(self) -> None:
        try:
            self._commits.replace(self._state)
        except ExternalError as problem:
            # The commit is in; the next one finds out whether the file can still be written.
            _logger.warning("%s", problem.message)

    # -- others

    def trim(self, topic: str, partition: int, offset: int) -> None:
        self._partition(topic, partition).trim(offset)

    def maintain(self, now_ms: int) -> list[StreamSQLError]:
        with self._maintaining:
            troubles: dict[str, list[StreamSQLError]] = {}
            # Dropping is quick, and what is dropped need not be compacted: it comes first, everywhere.
            for topic, problem in (*self._expire_all(now_ms), *self._compact_all(now_ms)):
                troubles.setdefault(topic, []).append(problem)
            self._troubles = troubles
            return [problem for problems in troubles.values() for problem in problems]

    def _expire_all(self, now_ms: int) -> Iterator[tuple[str, StreamSQLError]]:
        for partition in self._to_maintain():
            try:
                expire(partition, now_ms)
            except StreamSQLError as problem:
                if not partition.is_refusing():
                    yield partition.place.topic, problem

    def _compact_all(self, now_ms: int) -> Iterator[tuple[str, StreamSQLError]]:
        for partition in self._to_maintain():
            try:
                if compact(partition, now_ms, lambda: self._is_closed):
                    # That may have taken a while, in which all the others went on growing.
                    yield from self._expire_all(now_ms)
            except StreamSQLError as problem:
                if not partition.is_refusing():
                    yield partition.place.topic, problem

    def _to_maintain(self) -> Iterator[Partition]:
        for topic in list(self._topics.values()):
            for partition in topic.partitions:
                if self._is_closed:
                    return
                yield partition

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        return self._listeners.add(listener)

    def close(self) -> None:
        """Bring everything to the disk and give the directory free. ExternalError if that fails."""
        with self._structure:
            if self._is_closed:
                return
            self._is_closed = True
        self._stop.set()
        with self._maintaining:
            pass  # It ends at the next look at whether the log is closed.
        if self._flusher is not None:
            self._flusher.join()
        # Last in, first out: each step is taken even if one before it fails.
        with ExitStack() as steps:
            steps.callback(self._owner.release)
            steps.callback(self._handles.close)
            steps.callback(self._close_commits)
            for topic in self._topics.values():
                for partition in topic.partitions:
                    steps.callback(partition.close)

    def _close_commits(self) -> None:
        with self._committing:
            self._commits.close(
                {
                    part.key: part.durable_offset
                    for topic in self._topics.values()
                    for part in topic.partitions
                }
            )

    # -- opening

    def _begin(self) -> State:
        """Make an empty log; the file of the format comes last, and makes it one."""
        topics, state = self.path / "topics", State()
        with explained("make", topics):
            topics.mkdir(exist_ok=True)
            if any(topics.iterdir()):
                raise DataError(
                    f"the data directory {self.path} has topics, but the file version.json is missing",
                    code="LOG-CORRUPT",
                    hint="restore it from a copy, or use another data directory",
                )
        self._commits.replace(state)
        owner.write_format(self.path)
        return state

    # -- inside

    def _new_partition(self, files: TopicFiles, number: int, found: Recovery | None = None) -> Partition:
        directory, where, seed = files.place(number)
        return Partition(
            TopicPartition(files.name, number),
            (files.id, number),
            directory,
            seed,
            files.config,
            self._handles,
            found or Recovery(where, [], 0),
            self._publishing,
            self._must_sync,
            self._fences,
        )

    def _flush_often(self, interval_s: float) -> None:
        while not self._stop.wait(interval_s):
            for topic in list(self._topics.values()):
                for partition in topic.partitions:
                    self._flush(partition.flush)
            with self._committing:
                self._flush(self._commits.flush)

    def _flush(self, flush: Callable[[], None]) -> None:
        try:
            flush()
        except OSError as problem:
            # Kept by what failed, which takes no more writes until the log is opened again.
            _logger.error("cannot bring the log in %s to the disk: %s", self.path, problem)

    def _check_open(self) -> None:
        if self._is_closed:
            raise closed()

    def _topic(self, name: str) -> Topic:
        self._check_open()
        topic = self._topics.get(name)
        if topic is None:
            raise unknown_topic(name)
        topic.check()
        return topic

    def _partition(self, topic: str, number: int) -> Partition:
        return _numbered(self._topic(topic), topic, number)


def _numbered(topic: Topic, name: str, number: int) -> Partition:
    partitions = topic.partitions
    if not 0 <= number < len(partitions):
        raise unknown_partition(name, number, len(partitions))
    return partitions[number]

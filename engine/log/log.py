"""The log as the rest of the engine sees it: topics, partitions, records, atomic commits.

A record is (key, value, timestamp, headers); a batch of them is an Arrow record batch as
`streamsql.engine.log.records` describes. A record's place is (topic, partition, offset): offsets only
ever rise, and may have gaps.

Readers see committed records only. `append` commits its one batch by itself; `commit` makes any number
of batches, the offsets a writer has consumed and its metadata visible together, or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import pyarrow as pa

from streamsql.errors import PlanError, StreamSQLError

CLEANUP_POLICIES = ("delete", "compact", "compact,delete")


_SEGMENT_BYTES = 256 * 1024 * 1024
_COMPACTED_SEGMENT_BYTES = 64 * 1024 * 1024


def usual_segment_bytes(cleanup: str) -> int:
    """How large segments of a topic are if nobody says: smaller where compaction reads them as a whole."""
    return _COMPACTED_SEGMENT_BYTES if "compact" in cleanup else _SEGMENT_BYTES


class TopicPartition(NamedTuple):
    """One ordered part of a topic."""

    topic: str
    partition: int


class ProducerId(NamedTuple):
    """Who opened a name, as `Log.open_producer` gives it."""

    name: str
    number: int
    epoch: int


class Stamp(NamedTuple):
    """A batch's producer, and its place among the batches of this producer in a partition, from 1."""

    producer: ProducerId
    sequence: int


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """How a topic is cut into partitions and how long it keeps its records.

    partitions       count, fixed from below: it may grow, never shrink
    cleanup          "delete", "compact" or "compact,delete"
    retention_ms     records older than this may be dropped (retention.py); None keeps them
    retention_bytes  bytes a partition may hold before its oldest segments go; None keeps them
    segment_bytes    a segment file is closed, and the next begun, when it would grow past this
    segment_ms       ... or when a record is this much later than the segment's first batch; None: never
    properties       free text for the layers above
    delete_retention_ms  how long a tombstone stays after it first came through compaction

    raises  PlanError for a value out of range
    """

    partitions: int = 1
    cleanup: str = "delete"
    retention_ms: int | None = None
    retention_bytes: int | None = None
    segment_bytes: int = _SEGMENT_BYTES
    segment_ms: int | None = 7 * 24 * 3600 * 1000
    properties: Mapping[str, str] = field(default_factory=dict)
    delete_retention_ms: int = 24 * 3600 * 1000

    def __post_init__(self) -> None:
        if self.cleanup not in CLEANUP_POLICIES:
            raise PlanError(
                f"cleanup policy '{self.cleanup}' of a topic is none of {', '.join(CLEANUP_POLICIES)}",
                code="LOG-TOPIC-CONFIG",
            )
        for name, value, least in (
            ("partitions", self.partitions, 1),
            ("retention_ms", self.retention_ms, 0),
            ("retention_bytes", self.retention_bytes, 0),
            ("segment_bytes", self.segment_bytes, 1),
            ("segment_ms", self.segment_ms, 1),
            ("delete_retention_ms", self.delete_retention_ms, 0),
        ):
            if value is not None and value < least:
                raise PlanError(
                    f"{name} of a topic is {value}, and must be {least} or more", code="LOG-TOPIC-CONFIG"
                )


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What a writer's commits have come to.

    sequence  how many times the writer has tried to commit, this time included; from 1
    offsets   next offset to consume, per partition: the latest of every commit that named the partition
    metadata  what the latest commit that gave metadata gave
    """

    writer: str
    sequence: int
    offsets: Mapping[TopicPartition, int]
    metadata: Mapping[str, Any]


Append = tuple[str, int, pa.RecordBatch]
"""Topic, partition, batch."""

Listener = Callable[[str], None]
"""Called with the name of a topic that has new records."""


class Readable(Protocol):
    """What reading on from a position takes: a log, or the part of one that may be seen (until.py)."""

    def read(self, topic: str, partition: int, offset: int, max_rows: int) -> list[pa.RecordBatch]: ...

    def start_offset(self, topic: str, partition: int) -> int: ...

    def end_offset(self, topic: str, partition: int) -> int: ...

    def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]: ...


class Log(ABC):
    """Topics and their records. Every method may be called from any thread.

    raises  PlanError     LOG-UNKNOWN-TOPIC, LOG-UNKNOWN-PARTITION, LOG-TOPIC-EXISTS, LOG-TOPIC-NAME
            DataError     LOG-CORRUPT, LOG-OFFSET-OUT-OF-RANGE
            ExternalError the disk, the lock or the network failed; the message says what to do
            ConflictError LOG-OFFSET-CONFLICT, LOG-PRODUCER-FENCED
            InternalError LOG-BAD-BATCH for a batch that is none, LOG-CLOSED after `close`
    """

    @abstractmethod
    def create_topic(self, name: str, config: TopicConfig) -> None:
        """Make a topic; it is durable on return. PlanError LOG-TOPIC-EXISTS if there is one."""

    @abstractmethod
    def alter_topic(self, name: str, config: TopicConfig) -> None:
        """Give a topic other settings. Partitions may be added, not taken away (PlanError)."""

    @abstractmethod
    def delete_topic(self, name: str) -> None:
        """Drop a topic and its records. Batches already read from it stay valid."""

    @abstractmethod
    def topics(self) -> list[str]:
        """Names of all topics, sorted."""

    @abstractmethod
    def has_topic(self, name: str) -> bool:
        """Whether there is a topic of this name."""

    def topic_problem(self, name: str) -> StreamSQLError | None:
        """Why a topic that is there cannot be used, which is raised by whatever uses it; None if it can."""
        return None

    def topic_notes(self, name: str) -> list[str]:
        """What to know of a topic that can be used: what opening cut off or found damaged in it, and what
        the last round of maintenance could not do, as sentences."""
        return []

    @abstractmethod
    def topic_config(self, name: str) -> TopicConfig:
        """The settings of a topic."""

    @abstractmethod
    def append(
        self,
        topic: str,
        partition: int,
        batch: pa.RecordBatch,
        *,
        expected_offset: int | None = None,
        stamp: Stamp | None = None,
    ) -> int:
        """Add a batch at the end of a partition and give the offset of its first record.

        On return the batch is visible, and as durable as the flush policy promises. If it raises,
        nothing was added. A batch without rows adds nothing and gives the next offset.

        expected_offset  the offset the first record must get: if the partition ends elsewhere, nothing
                         is added (ConflictError LOG-OFFSET-CONFLICT)
        stamp            for a producer with a name. A batch whose sequence is not above the last one it
                         has stored in the partition is not added again: gives the offset it has, or -1
                         if more than a few came since. ConflictError LOG-PRODUCER-FENCED if the name was
                         opened again
        """

    @abstractmethod
    def open_producer(self, name: str) -> ProducerId:
        """Take over a producer's name, durably: who had it before can store nothing from now on."""

    @abstractmethod
    def last_sequence(self, topic: str, partition: int, producer: ProducerId) -> int:
        """Sequence of the last batch that a producer has stored in a partition; 0 if there is none."""

    @abstractmethod
    def read(self, topic: str, partition: int, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        """Committed records from `offset` on, at most `max_rows`, in batches as they suit the log.

        Each batch has a further first column `offset` (int64), and the schema its records came with.
        [] at the end. DataError LOG-OFFSET-OUT-OF-RANGE before the start or past the end; DataError
        LOG-CORRUPT, naming partition, offset and file, when the next record cannot be read: what lies
        before it is given first.
        """

    @abstractmethod
    def start_offset(self, topic: str, partition: int) -> int:
        """The smallest offset that can be read."""

    @abstractmethod
    def compacted_offset(self, topic: str, partition: int) -> int:
        """Before this offset compaction may have left only the last record of each key; 0: it has not run."""

    @abstractmethod
    def end_offset(self, topic: str, partition: int) -> int:
        """The offset after the last committed record."""

    @abstractmethod
    def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The end offsets of many partitions at one moment: of a commit, all is below them or nothing."""

    @abstractmethod
    def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Offset of the first committed record with this timestamp or a later one; else the end."""

    @abstractmethod
    def commit(
        self,
        writer: str,
        appends: Sequence[Append],
        offsets: Mapping[TopicPartition, int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[TopicPartition, int]:
        """Make batches, consumed offsets and metadata visible together, or nothing of it.

        offsets   next offset to consume per partition; partitions left out keep what they had
        metadata  anything JSON can say; None keeps what the writer had
        gives     per partition written, the offset of its first record from this commit

        If it raises, nothing was committed, unless the code is LOG-IN-DOUBT: then the disk failed at the
        moment of the commit, the log takes no more of them, and opening it again finds out. One writer
        commits from one thread at a time.
        """

    @abstractmethod
    def committed(self, writer: str) -> CommitRecord | None:
        """What the writer's commits have come to; None for a writer that never committed."""

    @abstractmethod
    def writers(self) -> list[str]:
        """Everyone who has committed and was not forgotten, sorted."""

    @abstractmethod
    def forget(self, writer: str) -> None:
        """Drop what is known of a writer; its records stay. Nothing happens for an unknown one."""

    @abstractmethod
    def maintain(self, now_ms: int) -> list[StreamSQLError]:
        """Drop what retention lets go, and compact what is worth it, in every topic.

        Runs beside readers and writers. A partition that cannot be maintained is left as it is.

        now_ms  the wall clock
        gives   what went wrong, one error per partition
        """

    @abstractmethod
    def trim(self, topic: str, partition: int, offset: int) -> None:
        """Nobody needs the records before `offset`: `maintain` may drop them, whole segments, at any time.

        It is not durable: whoever says so says so again after the log was opened again.
        """

    @abstractmethod
    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(topic)` after new records of a topic are visible; gives the way to stop it.

        It runs in the writer's thread and must be quick: set an event, no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Let everything go; a second call does nothing. Batches already read stay valid."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

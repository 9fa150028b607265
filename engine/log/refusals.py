"""What every log refuses in the same words, and how commits of one writer add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from streamsql.engine.log.log import CommitRecord, TopicPartition
from streamsql.errors import ConflictError, DataError, InternalError, PlanError

_LONGEST_NAME_BYTES = 249


def check_topic_name(name: str) -> None:
    """PlanError LOG-TOPIC-NAME for a name that is empty, too long, or not text one can write down."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= _LONGEST_NAME_BYTES or not name.isprintable() or name in (".", ".."):
        raise PlanError(
            f"{name!r} cannot name a topic: a name has 1 to {_LONGEST_NAME_BYTES} bytes of printable text",
            code="LOG-TOPIC-NAME",
        )


def check_range(topic: str, partition: int, offset: int, start: int, end: int) -> None:
    """DataError LOG-OFFSET-OUT-OF-RANGE unless start <= offset <= end."""
    if not start <= offset <= end:
        raise DataError(
            f"offset {offset} of topic {topic} partition {partition} is out of range: "
            f"it holds offsets {start} to {end}",
            code="LOG-OFFSET-OUT-OF-RANGE",
            hint="start again from the earliest or the latest offset",
        )


def check_expected(place: TopicPartition, expected_offset: int | None, end_offset: int) -> None:
    """ConflictError LOG-OFFSET-CONFLICT unless the partition ends where it is expected to, if it is."""
    if expected_offset not in (None, end_offset):
        raise ConflictError(
            f"topic {place.topic} partition {place.partition} ends at offset {end_offset}, "
            f"not at {expected_offset} as expected: nothing was appended",
            code="LOG-OFFSET-CONFLICT",
            hint=f"read what has come, decide again, and append with expected_offset={end_offset}",
        )


def topic_exists(name: str) -> PlanError:
    return PlanError(f"topic {name} exists already", code="LOG-TOPIC-EXISTS")


def unknown_topic(name: str) -> PlanError:
    return PlanError(f"there is no topic {name}", code="LOG-UNKNOWN-TOPIC")


def unknown_partition(topic: str, partition: int, count: int) -> PlanError:
    return PlanError(
        f"topic {topic} has no partition {partition}: its partitions are 0 to {count - 1}",
        code="LOG-UNKNOWN-PARTITION",
    )


def fewer_partitions(topic: str, before: int, after: int) -> PlanError:
    return PlanError(
        f"topic {topic} has {before} partitions and cannot have {after}: partitions cannot be taken away",
        code="LOG-TOPIC-CONFIG",
    )


def closed() -> InternalError:
    return InternalError("the log was used after it was closed", code="LOG-CLOSED")


def metadata_as_json(metadata: Mapping[str, Any]) -> bytes:
    """The metadata of a commit as JSON bytes; InternalError LOG-BAD-METADATA if JSON cannot say it."""
    try:
        return orjson.dumps(dict(metadata))
    except TypeError as cause:
        raise InternalError(f"metadata of a commit is not JSON: {cause}", code="LOG-BAD-METADATA") from cause


def merged_commit(
    before: CommitRecord | None,
    writer: str,
    sequence: int,
    offsets: Mapping[TopicPartition, int] | None,
    metadata: Mapping[str, Any] | None,
) -> CommitRecord:
    """A writer's commits up to `before`, and one more."""
    known = dict(before.offsets) if before else {}
    known.update({TopicPartition(*place): offset for place, offset in (offsets or {}).items()})
    if metadata is None:
        metadata = before.metadata if before else {}
    return CommitRecord(writer, sequence, known, dict(metadata))

"""Retention: whole segments of a partition dropped, the oldest first: by age, by size, and what nobody needs.

A segment is too old when its latest record is. For a topic with cleanup "delete", age is measured against
the wall clock, as Kafka does it. For "compact,delete", a table of windows, it is measured against the
partition's stream time (but never a time ahead of the clock), as the windows' own retention is: an old
history that is worked through again must not vanish while it is read.

The segment being written is closed first if all of it is too old. By size, it always stays. What somebody
said is not needed any more (`Log.trim`) goes whatever the topic's settings are.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.partition import Partition
from streamsql.engine.log.segment import Segment


def expire(partition: Partition, now_ms: int) -> int:
    """Drop what the topic's settings let go; gives the number of segments dropped.

    now_ms  the wall clock
    raises  ExternalError, DataError if a segment cannot be read
    """
    config = partition.config
    if not partition.segments:
        return 0
    count = _before(partition.segments, partition.trimmed_offset)
    if "delete" in config.cleanup:
        oldest = horizon(config, now_ms, [segment.largest_time for segment in partition.segments])
        if all(_is_old(segment, oldest) for segment in partition.segments):
            partition.roll()
        segments = partition.segments
        count = max(count, _too_old(segments, oldest), _too_many(segments, config.retention_bytes))
    # A segment is closed only when all of it is visible; its successor says that it is closed.
    count = min(count, len(partition.segments) - 1)
    if count:
        partition.drop(count)
    return count


def horizon(config: TopicConfig, now_ms: int, latest: Sequence[int | None]) -> int | None:
    """Records before this time may go, ms; None if age does not matter.

    latest  largest timestamp, ms, of each segment
    """
    if config.retention_ms is None:
        return None
    if "compact" in config.cleanup:
        now_ms = min(now_ms, max((time for time in latest if time is not None), default=now_ms))
    return now_ms - config.retention_ms


def _before(segments: Sequence[Segment], offset: int) -> int:
    """How many of the first segments lie before an offset, but for the last one."""
    return sum(following.base_offset <= offset for following in segments[1:])


def _is_old(segment: Segment, oldest: int | None) -> bool:
    """Whether all its records are before the horizon; an empty one that is being written is not."""
    latest = segment.largest_time
    if latest is None:
        return False
    return oldest is not None and latest < oldest


def _too_old(segments: Sequence[Segment], oldest: int | None) -> int:
    """How many of the first segments are too old."""
    return next((n for n, segment in enumerate(segments) if not _is_old(segment, oldest)), len(segments))


def _too_many(segments: Sequence[Segment], limit: int | None) -> int:
    """How many of the first segments have to go for the rest to hold `limit` bytes at most, or little more.

    One goes only if what is left still holds `limit` bytes: that much is always kept.
    """
    if limit is None:
        return 0
    sizes = [segment.file_bytes() for segment in segments]
    left = sum(sizes)
    for count, size in enumerate(sizes):
        if left - size < limit:
            return count
        left -= size
    return len(segments)

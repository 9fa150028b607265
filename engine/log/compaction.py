"""Compaction: of each key only the last record stays; offsets do not change, so that gaps appear.

A pass is about the first closed segments: those that have been through here before, and some new ones. What
stays of the new ones is found from their keys; what stays of the others, each key of which they hold once, is
found from the same keys, some segments at a time. Then all of it is copied into new segments, each of which
takes the place of some neighbours at once. The segment being written is left alone, and a reader sees either
the old files or the new ones.

    before   0 a1   1 b1   2 a2 | 3 c1   4 b-   5 a3 | 6 b2 ..        b- is a tombstone: key b, no value
    after                              3 c1   4 b-   5 a3 | 6 b2 ..

A tombstone stays for the topic's `delete_retention_ms` after it first came through here, so that whoever
reads from the start learns of it. Records without a key stay. So does the very last closed record: the end
of a partition is always one after a record.

It is done when at least half of the closed bytes have not been through it, as in Kafka (min.cleanable.
dirty.ratio). One pass takes `_PASS_BYTES` that are new, or a quarter of what is compacted if that is more, as
Kafka's dedupe buffer limits it: a long backlog is worked off from its start. So memory is bounded, at about a
hundred bytes for each record of twice as much, and over time a byte is copied a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.log import frame
from streamsql.engine.log.compacted import MOST_OFFSETS, CompactedFile
from streamsql.engine.log.files import explained
from streamsql.engine.log.keys import are_tombstones, last_offsets
from streamsql.engine.log.partition import Partition
from streamsql.engine.log.segment import Segment
from streamsql.engine.log.segment_files import SegmentName, next_generation

_DIRTY_SHARE = 0.5
_READ_ROWS = 1 << 17
_PASS_BYTES = 32 * 1024 * 1024
_PASS_SHARE = 0.25

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class _Stopped(Exception):
    """The work is to end."""


def compact(partition: Partition, now_ms: int, is_stopped: Callable[[], bool] = lambda: False) -> bool:
    """Compact a partition if its topic wants that and it is worth it; gives whether it was.

    now_ms      the wall clock
    is_stopped  asked now and then: true ends the work, leaving what is done
    raises      DataError LOG-CORRUPT if a closed segment is damaged, ExternalError
    """
    if "compact" not in partition.config.cleanup:
        return False
    horizon = now_ms - partition.config.delete_retention_ms
    is_done = False
    try:
        while closed := _due(partition.segments[:-1]):
            kept, rows = _kept(closed, is_stopped)
            for group in _groups(closed, kept, rows, partition.config.segment_bytes):
                survivors = _survivors(group, kept, horizon, now_ms)
                _replace(partition, group, survivors, is_stopped)
            is_done = True
    except _Stopped:
        return False
    return is_done


def _replace(
    partition: Partition,
    group: Sequence[Segment],
    survivors: Iterable[tuple[int, pa.RecordBatch]],
    is_stopped: Callable[[], bool],
) -> None:
    """Put one segment with the survivors in the place of some neighbours."""
    with explained("compact", partition.directory):
        generation = next_generation(partition.directory)
        name = SegmentName(group[0].base_offset, _end_of(group), generation)
        draft = partition.directory / f"{name.file}.tmp"
        try:
            writer = CompactedFile(draft, name.base, partition.seed)
            try:
                for since_ms, batch in survivors:
                    if is_stopped():
                        raise _Stopped
                    writer.add(batch, since_ms)
                index = writer.finish(_end_of(group))
            finally:
                writer.close()
            new = partition.new_segment(name)
            new.set_index(index)
            partition.supersede(group, draft, new)
        finally:
            draft.unlink(missing_ok=True)


def _due(closed: Sequence[Segment]) -> Sequence[Segment]:
    """The segments, from the first, that the next pass is about; none if it is not worth it."""
    sizes = [segment.file_bytes() for segment in closed]
    is_new = [segment.name.end is None for segment in closed]
    dirty = sum(size for size, new in zip(sizes, is_new, strict=True) if new)
    if not dirty or dirty < _DIRTY_SHARE * sum(sizes):
        return ()
    left = max(_PASS_BYTES, _PASS_SHARE * (sum(sizes) - dirty))
    for place, (size, new) in enumerate(zip(sizes, is_new, strict=True)):
        if new and left <= 0:
            return closed[:place]
        left -= size if new else 0
    return closed


def _kept(closed: Sequence[Segment], is_stopped: Callable[[], bool]) -> tuple[Int64s, list[int]]:
    """Offsets of the records that stay but for tombstones, and the rows of each segment."""
    rows = [0] * len(closed)

    def batches(places: Iterable[int]) -> Iterator[pa.RecordBatch]:
        for place in places:
            for batch in _batches(closed[place]):
                if is_stopped():
                    raise _Stopped
                rows[place] += batch.num_rows
                yield batch.select(["offset", "key"])

    # What has been compacted comes before what has not.
    begin = next(place for place, segment in enumerate(closed) if segment.name.end is None)
    new = list(batches(range(begin, len(closed))))
    kept = [last_offsets(new)]
    new = [batch.filter(pa.array(_is_in(kept[0], batch))) for batch in new] if begin else []
    limit = sum(segment.file_bytes() for segment in closed[begin:])
    upto, size = begin, 0
    for place in reversed(range(begin)):
        size += closed[place].file_bytes()
        if not place or size + closed[place - 1].file_bytes() > limit:
            kept.append(last_offsets(batches(range(place, upto)), new))
            upto, size = place, 0
    return np.concatenate(kept[::-1]), rows


def _is_in(kept: Int64s, batch: pa.RecordBatch) -> Bools:
    """bool[n]: which records' offsets are among some, rising, that reach past them all."""
    offsets = batch.column("offset").to_numpy()
    found: Bools = kept[np.searchsorted(kept, offsets)] == offsets
    return found


def _groups(
    closed: Sequence[Segment], kept: Int64s, rows: Sequence[int], segment_bytes: int
) -> Iterator[list[Segment]]:
    """Neighbours whose survivors should fill one segment."""
    group: list[Segment] = []
    size = 0.0
    for segment, count in zip(closed, rows, strict=True):
        first, upto = np.searchsorted(kept, [segment.base_offset, _end_of([segment])])
        expected = segment.file_bytes() * int(upto - first) / max(1, count)
        is_too_wide = group and _end_of([segment]) - group[0].base_offset > MOST_OFFSETS
        if group and (size + expected > segment_bytes or is_too_wide):
            yield group
            group, size = [], 0.0
        group.append(segment)
        size += expected
    yield group


def _end_of(group: Sequence[Segment]) -> int:
    """The offset after the last one of some closed neighbours."""
    return group[-1].name.end or group[-1].index.end_offset


def _batches(segment: Segment) -> Iterator[pa.RecordBatch]:
    """All records of a closed segment, with their offsets; DataError at damage."""
    offset, end = segment.base_offset, segment.index.end_offset
    while offset < end:
        batches, offset = segment.read(offset, _READ_ROWS, segment.index.end, end)
        yield from batches


def _survivors(
    group: Sequence[Segment], kept: Int64s, horizon: int, now_ms: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """What stays of some neighbours, each with when its tombstones first came through: 0 if it has none.

    horizon  tombstones that came through before it go
    """
    for segment in group:
        for since_ms, batch in _with_since(segment):
            # The last closed record is the last of its key: `kept` has it, and reaches past all others.
            stays = _is_in(kept, batch)
            is_deleted = are_tombstones(batch)
            if since_ms and since_ms <= horizon:
                stays &= ~is_deleted | (batch.column("offset").to_numpy() == kept[-1])
            if stays.any():
                has_tombstones = bool((is_deleted & stays).any())
                yield (since_ms or max(1, now_ms)) if has_tombstones else 0, batch.filter(pa.array(stays))


def _with_since(segment: Segment) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The records of a segment with what their frames say of their tombstones; 0: not compacted yet."""
    if segment.name.end is None:
        for batch in _batches(segment):
            yield 0, batch
    else:
        for header, batch in segment.frames():
            yield header.sequence if header.flags & frame.COMPACTED else 0, batch

"""One partition on disk: an ordered list of segments, one writer at a time, any number of readers.

Three marks say how far the partition has got, each at or behind the one before:

    written   what is in the file
    settled   ... and no part of a transaction that is still open
    visible   ... and on the disk, if the flush policy is "always": what readers see

A transaction never spans segments, so it can be taken back by cutting one file.
"""

from __future__ import annotations

import logging
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log import segment_files
from streamsql.engine.log.files import Handles, explained, external, sync_directory
from streamsql.engine.log.idempotence import Fences, KeptProducers
from streamsql.engine.log.log import ProducerId, Stamp, TopicConfig, TopicPartition
from streamsql.engine.log.recovery import Recovery
from streamsql.engine.log.refusals import check_expected, check_range, closed
from streamsql.engine.log.segment import Encoded, Origin, Segment
from streamsql.engine.log.segment_files import SegmentName
from streamsql.engine.log.sync import GroupSync, Mark
from streamsql.errors import DataError, ExternalError, StreamSQLError

_logger = logging.getLogger(__name__)

_LARGE_FRAME_BYTES = 1024 * 1024
"""From here on the disk begins with a frame while others of its commit are being written."""

# After a crash, opening walks over what came after the last saved index: at most about this much.
_SAVE_INDEX_FRAMES = 50_000
_SAVE_INDEX_BYTES = 128 * 1024 * 1024


class Partition:
    """See above. `lock` is held by whoever writes; commits hold those of several partitions.

    key         the topic's id, and the partition
    publishing  held while `visible` moves, so that a commit can move it in several partitions at once
    must_sync   an append waits for the disk, and readers for the append
    """

    def __init__(
        self,
        place: TopicPartition,
        key: tuple[str, int],
        directory: Path,
        seed: int,
        config: TopicConfig,
        handles: Handles,
        recovery: Recovery,
        publishing: threading.Lock,
        must_sync: bool,
        fences: Fences,
    ) -> None:
        self.place = place
        self.key = key
        self.config = config
        self.lock = threading.Lock()
        self._directory = directory
        self._seed = seed
        self._where = recovery.where
        self._handles = handles
        self._publishing = publishing
        self._must_sync = must_sync
        self._fences = fences
        recovery.finish(directory, seed, handles)
        self._segments: tuple[Segment, ...] = tuple(recovery.segments)
        self._start = recovery.start
        index = recovery.index
        start = Mark(index.end_offset, index.base_offset, index.end) if index else Mark(0, 0, 0)
        self._sync = GroupSync(lambda: self._segments[-1].sync(), start)
        self._settled = start
        self._visible = start
        self._saved = start
        self._unsaved_frames = 0
        self._ticket = 0
        self._is_torn = False
        self._refusal: Callable[[], StreamSQLError] | None = None
        self._trimmed = 0
        self._producers = KeptProducers(directory, self._segments, start.offset)

    # -- reading

    @property
    def start_offset(self) -> int:
        """The smallest offset that can be read."""
        return self._start

    @property
    def compacted_offset(self) -> int:
        """As `Log.compacted_offset`."""
        return max((segment.name.end or 0 for segment in self._segments), default=0)

    @property
    def written_offset(self) -> int:
        """The offset after the last record in the file, of an open transaction too."""
        return self._sync.written.offset

    @property
    def durable_offset(self) -> int:
        """The offset after the last record that counts and is on the disk."""
        return self._safe_mark().offset

    @property
    def end_offset(self) -> int:
        """The offset after the last visible record."""
        return self._visible.offset

    def read(self, offset: int, max_rows: int) -> list[pa.RecordBatch]:
        """As `Log.read`."""
        while True:
            visible, segments = self._visible, self._segments
            check_range(*self.place, offset, self._start, visible.offset)
            try:
                return self._read(segments, visible, offset, max_rows)
            except ExternalError as problem:
                if self._refusal is not None:
                    raise self._refusal() from problem
                if self._segments is segments:
                    raise
                # Retention or compaction took a file away meanwhile: what counts now is read instead.

    def _read(
        self, segments: tuple[Segment, ...], visible: Mark, offset: int, max_rows: int
    ) -> list[pa.RecordBatch]:
        batches: list[pa.RecordBatch] = []
        place = bisect_right(segments, offset, key=lambda segment: segment.base_offset) - 1
        while max_rows > 0 and offset < visible.offset:
            try:
                if place < 0:
                    raise segments[0].damaged(offset, 0)
                segment = segments[place]
                end, end_offset = self._end_of(segments, place, visible)
                found, offset = segment.read(offset, max_rows, end, end_offset)
            except DataError:
                if batches:
                    return batches  # the next call reports it
                raise
            batches += found
            max_rows -= sum(batch.num_rows for batch in found)
            if offset >= end_offset:
                place += 1
        return batches

    def offset_for_time(self, timestamp_ms: int) -> int:
        """As `Log.offset_for_time`."""
        while True:
            visible, segments = self._visible, self._segments
            try:
                return self._offset_for_time(segments, visible, timestamp_ms)
            except ExternalError:
                if self._segments is segments:
                    raise

    def _offset_for_time(self, segments: tuple[Segment, ...], visible: Mark, timestamp_ms: int) -> int:
        for place, segment in enumerate(segments):
            if segment.base_offset >= visible.offset:
                break
            found = segment.offset_for_time(timestamp_ms, *self._end_of(segments, place, visible))
            if found is not None:
                return found
        return visible.offset

    @staticmethod
    def _end_of(segments: tuple[Segment, ...], place: int, visible: Mark) -> tuple[int, int]:
        """Position and offset up to which a segment may be read."""
        segment = segments[place]
        if segment.base_offset == visible.segment and segment.name.end is None:
            return visible.position, visible.offset
        return segment.index.end, segments[place + 1].base_offset

    # -- appending

    def append(self, batch: Encoded, expected_offset: int | None = None, stamp: Stamp | None = None) -> int:
        """Add a batch; gives its base offset when it is visible. As `Log.append`."""
        with self.lock, nullcontext() if stamp is None else self._fences.passed(stamp.producer):
            self.ready(batch.frame_bytes, batch.max_time)
            duplicate = None if stamp is None else self._duplicate(stamp)
            if duplicate is None:
                check_expected(self.place, expected_offset, self.written_offset)
                offset = self._write_alone(batch, stamp)
            else:
                offset = duplicate
            # A batch that was sent before may still be on its way to the disk.
            ticket = self._ticket if duplicate is None else None
        if self._must_sync:
            self.wait(ticket)
        with self._publishing:
            self._publish()
        if self._is_index_due():
            with self.lock:
                self._save_index()
        return offset

    def last_sequence(self, producer: ProducerId) -> int:
        """As `Log.last_sequence`."""
        with self.lock:
            if self._is_torn or self._sync.fault is not None:
                self._make_good()
            self._producers.check()
            found = self._producers.states.last_sequence(producer.number)
        if found and self._must_sync:
            self.wait(None)
        return found

    def wait(self, ticket: int | None) -> None:
        """Wait until the ticket's frame, or all so far, is on the disk; ExternalError if it is lost."""
        try:
            self._sync.wait(ticket)
        except OSError as cause:
            with self.lock:
                self.roll_back()
            raise external(cause, "append to", self._directory) from cause

    def flush(self) -> None:
        """Bring everything written to the disk. OSError."""
        if self._segments and self._refusal is None:
            self._sync.wait()

    # -- writing, `lock` held: `ready`, any number of `write`, then `settle` or `roll_back`

    def ready(self, size: int, max_time: int) -> None:
        """Prepare for frames of `size` bytes with timestamps up to `max_time`, ms.

        raises  ExternalError if there is no room for a new segment, or an earlier failure has not been
                made good: it is tried again here
        """
        if self._refusal is not None:
            raise self._refusal()
        if self._is_torn or self._sync.fault is not None:
            self._make_good()
        if not self._segments or self._is_full(size, max_time):
            with explained("begin a new segment of", self._directory):
                self._roll()

    def write(self, batch: Encoded, origin: Origin) -> int:
        """Add a frame; gives its base offset. OSError leaves it to `roll_back` to clean up."""
        segment = self._segments[-1]
        offset = segment.index.end_offset
        self._is_torn = True
        segment.append(batch, offset, min(self._settled, self._sync.durable).offset, origin)
        self._is_torn = False
        if self._must_sync and batch.frame_bytes >= _LARGE_FRAME_BYTES:
            segment.begin_sync(segment.index.end - batch.frame_bytes)
        mark = Mark(segment.index.end_offset, segment.base_offset, segment.index.end)
        self._ticket = self._sync.wrote(mark)
        self._unsaved_frames += 1
        return offset

    def sync(self) -> None:
        """Bring the frames of a transaction to the disk. OSError."""
        self._sync.wait(self._ticket)

    def settle(self) -> None:
        """The transaction is committed: show it. `publishing` is held too."""
        self._settled = self._sync.written
        self._publish()

    def roll_back(self) -> None:
        """Take back what is not settled, or lost. If the disk refuses, `ready` tries again."""
        self._is_torn = True
        try:
            self._make_good()
        except ExternalError as problem:
            # The caller reports why it came here, and nothing can be written before it is made good.
            _logger.warning("%s: %s", self._where, problem.message)

    # -- for maintenance

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self._directory

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments; the last one is being written, the others never change."""
        return self._segments

    def trim(self, offset: int) -> None:
        """As `Log.trim`."""
        self._trimmed = max(self._trimmed, offset)

    @property
    def trimmed_offset(self) -> int:
        """Nobody needs the records before this offset."""
        return self._trimmed

    def new_segment(self, name: SegmentName) -> Segment:
        """A segment of this partition whose file is there."""
        return Segment(self._directory / name.file, self._where, self._seed, self._handles)

    @property
    def seed(self) -> int:
        """Where the CRCs of frame headers begin."""
        return self._seed

    def roll(self) -> None:
        """Close the segment being written, unless it is empty, and begin another. ExternalError."""
        with self.lock:
            self.ready(0, 0)
            if self._segments[-1].index.end:
                with explained("begin a new segment of", self._directory):
                    self._roll()

    def drop(self, count: int) -> None:
        """Take the first `count` segments away, for good; never the last one. ExternalError."""
        with self.lock:
            if self._refusal is not None:
                raise self._refusal()
            self._show_closed()
            dropped, kept = self._segments[:count], self._segments[count:]
            with explained("drop old segments of", self._directory):
                fail_point("retention.before_start")
                segment_files.write_start(self._directory, kept[0].base_offset)
                self._start = kept[0].base_offset
                self._segments = kept
                for segment in dropped:
                    fail_point("retention.before_remove")
                    segment.remove()
                fail_point("retention.after_remove")

    def supersede(self, old: Sequence[Segment], draft: Path, new: Segment) -> None:
        """Put the finished file `draft` in place as `new`, instead of some neighbours. ExternalError."""
        with self.lock:
            if self._refusal is not None:
                raise self._refusal()
            self._show_closed()
            with explained("compact", self._directory):
                fail_point("compact.before_swap")
                os.replace(draft, new.path)
                sync_directory(self._directory)
                fail_point("compact.after_swap")
                place = self._segments.index(old[0])
                self._segments = (*self._segments[:place], new, *self._segments[place + len(old) :])
                new.save_index()
                for segment in old:
                    fail_point("compact.before_remove")
                    segment.remove()
                fail_point("compact.after_remove")

    # -- the end

    def close(self) -> None:
        """Sync, save the index, and refuse writers from now on. ExternalError."""
        with self.lock:
            try:
                if self._refusal is None and self._segments:
                    self._leave_tidy()
            finally:
                self.refuse(closed)

    def is_refusing(self) -> bool:
        """Whether it takes no more records: its topic was deleted, or the log closed or in doubt.

        Waits for a deletion that is under way, whose files are gone already.
        """
        with self.lock:
            return self._refusal is not None

    def refuse(self, problem: Callable[[], StreamSQLError]) -> None:
        """Take no more records, and say why. `lock` is held."""
        self._refusal = problem
        for segment in self._segments:
            segment.close()

    # -- inside

    def _leave_tidy(self) -> None:
        if self._is_torn or self._sync.fault is not None:
            self._make_good()
        with explained("close", self._directory):
            self._sync.wait()
            if self._saved != self._sync.written:
                self._save_index()

    def _write_alone(self, batch: Encoded, stamp: Stamp | None) -> int:
        """Write a batch that is no part of a transaction. ExternalError; it is then taken back."""
        who = (
            Origin()
            if stamp is None
            else Origin(stamp.producer.number, stamp.sequence, False, stamp.producer.epoch)
        )
        try:
            offset = self.write(batch, who)
        except OSError as cause:
            self.roll_back()
            raise external(cause, "append to", self._directory) from cause
        if stamp is not None:
            self._producers.states.add(stamp.producer.number, stamp.sequence, offset)
        self._settled = self._sync.written
        return offset

    def _duplicate(self, stamp: Stamp) -> int | None:
        """Where the batch was stored before; None if it was not. ExternalError."""
        self._producers.begin(self._safe_mark().offset)
        return self._producers.states.duplicate(stamp)

    def _safe_mark(self) -> Mark:
        """All before this is settled and on the disk."""
        return min(self._settled, self._sync.durable)

    def _show_closed(self) -> None:
        """Show what is in closed segments, all of which is settled and on the disk, before they change."""
        with self._publishing:
            self._publish()

    def _publish(self) -> None:
        reached = min(self._settled, self._sync.durable) if self._must_sync else self._settled
        self._visible = max(self._visible, reached)

    def _is_full(self, size: int, max_time: int) -> bool:
        index = self._segments[-1].index
        if index.first_time is None:
            return False
        if index.end + size > self.config.segment_bytes:
            return True
        limit = self.config.segment_ms
        return limit is not None and max_time - index.first_time >= limit

    def _roll(self) -> None:
        """Close the last segment and begin the next; everything so far is synced and settled. OSError."""
        offset = self._sync.written.offset
        if self._segments:
            last = self._segments[-1]
            fail_point("roll.before_sync")
            self._sync.wait()
            self._producers.save(self._safe_mark().offset)
            fail_point("roll.before_index")
            last.save_index()
            last.close()
        fail_point("roll.before_segment")
        begun = Segment.create(self._directory, offset, self._where, self._seed, self._handles)
        fail_point("roll.after_segment")
        mark = Mark(offset, offset, 0)
        self._segments = (*self._segments, begun)
        self._sync.move(mark)
        self._settled = self._saved = mark
        self._unsaved_frames = 0

    def _make_good(self) -> None:
        """Cut the file back to what is settled, and on the disk if a sync failed. ExternalError."""
        good = self._settled
        if self._sync.fault is not None:
            good = min(good, self._sync.durable)
        if good < self._visible:
            raise ExternalError(
                f"{self._where} takes no more records: the disk failed on some that were given out",
                code="LOG-DISK-FAILED",
                hint="check the disk, then open the data directory again",
            ) from self._sync.fault
        with explained("take back an append to", self._directory):
            self._segments[-1].truncate(good.position, good.offset)
        self._settled = good
        self._producers.states.truncate(good.offset)
        self._sync.rewind(good)
        self._is_torn = False

    def _is_index_due(self) -> bool:
        if self._unsaved_frames >= _SAVE_INDEX_FRAMES:
            return True
        return self._visible.position - self._saved.position >= _SAVE_INDEX_BYTES

    def _save_index(self) -> None:
        """Save the index up to what is settled and on the disk. A failure is logged: it can be lost."""
        mark = self._safe_mark()
        segment = self._segments[-1]
        if self._refusal is not None or mark.segment != segment.base_offset:
            return
        self._saved, self._unsaved_frames = mark, 0
        try:
            self._producers.save(self._safe_mark().offset)
            segment.save_index(segment.index.up_to(mark.position, mark.offset))
        except (OSError, ExternalError) as problem:
            _logger.warning("%s: cannot save the index: %s", self._where, problem)

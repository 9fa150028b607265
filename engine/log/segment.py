"""One file of a partition: frames are added at its end, and read from anywhere.

Reading maps the file into memory and gives batches that point into the map, so nothing is copied; what
was added since the file was last mapped is read the ordinary way while it is small. A map holds no
file handle and lives as long as a batch that points into it. The file must not be shortened by other
programs while it is in use.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.engine.log import frame, index, records
from streamsql.engine.log.checked import Checked
from streamsql.engine.log.decoding import StoredSchema, decoded, with_offsets
from streamsql.engine.log.files import (
    Handles,
    begin_sync,
    explained,
    sync,
    sync_directory,
    write_at,
    write_whole,
)
from streamsql.engine.log.frame import HEADER_BYTES, Found, Header
from streamsql.engine.log.index import Index
from streamsql.engine.log.pages import bring_in
from streamsql.engine.log.segment_files import SegmentName
from streamsql.errors import DataError, InternalError

# What was added since the file was mapped is copied up to this size; beyond, the file is mapped anew.
_COPIED_BYTES = 256 * 1024
_HINTS = 64


class Encoded(NamedTuple):
    """A batch made ready to be written."""

    schema: pa.Schema
    payload: frame.Payload
    payload_crc: int
    rows: int
    min_time: int
    max_time: int

    @property
    def frame_bytes(self) -> int:
        """What it takes in a segment, but for its schema."""
        return HEADER_BYTES + frame.payload_bytes(self.payload)

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Encoded:
        """The costly part of writing a batch of at least one row; needs no lock."""
        payload = frame.record_payload(batch)
        crc = frame.payload_crc(payload)
        return cls(batch.schema, payload, crc, batch.num_rows, *records.time_range(batch))


class Origin(NamedTuple):
    """Who wrote a frame: a writer's transaction, a producer with a name, or nobody in particular."""

    producer: int = 0
    sequence: int = 0
    is_transactional: bool = False
    epoch: int = 0


class Segment:
    """Frames of the offsets from `base_offset` on.

    where   "topic T partition P", for messages
    seed    where the CRCs of headers begin
    """

    def __init__(self, path: Path, where: str, seed: int, handles: Handles) -> None:
        name = SegmentName.of(path)
        if name is None:
            raise InternalError(f"{path} is not a segment file")
        self.path = path
        self.name = name
        self.base_offset = name.base
        self._where = where
        self._seed = seed
        self._handles = handles
        self._index: Index | None = None
        self._lock = threading.Lock()
        self._mapped: pa.Buffer | None = None
        self._schemas: dict[int, StoredSchema] = {}
        # Offset -> where reading went on, of readers that come back: they need not look for it.
        self._hints: dict[int, tuple[int, int]] = {}
        self._numbers: dict[bytes, int] = {}
        self._latest: tuple[pa.Schema, int] | None = None
        self._checked = Checked()

    @classmethod
    def create(cls, directory: Path, base_offset: int, where: str, seed: int, handles: Handles) -> Segment:
        """A new, empty file, durable as such. OSError if it cannot be made."""
        segment = cls(directory / SegmentName(base_offset).file, where, seed, handles)
        segment.set_index(Index(base_offset))
        # An earlier attempt that failed half-way may have left the file behind, empty.
        handle = handles.open(segment.path, os.O_RDWR | os.O_CREAT)
        try:
            if os.fstat(handle).st_size:
                raise FileExistsError(errno.EEXIST, "it has records already", str(segment.path))
        finally:
            os.close(handle)
        sync_directory(directory)
        # Says that the segment was there, should its file ever be missing.
        segment.save_index()
        return segment

    def set_index(self, index: Index) -> None:
        """Use this index; without it, the file's is read, or made again, when it is first needed."""
        self._index = index

    @property
    def index(self) -> Index:
        """Where the frames are; for a segment that is no longer written, its file is read on first use."""
        if self._index is None:
            with self._lock:
                if self._index is None:
                    self._index = self.stored_index() or self._scanned()
        return self._index

    # -- writing; the partition sees to it that one thread at a time does

    def append(self, batch: Encoded, offset: int, settled: int, origin: Origin) -> None:
        """Write one frame at the end. On OSError the file may have grown, and must be truncated."""
        number, is_new = self._schema_number(batch.schema)
        flags = frame.TRANSACTIONAL if origin.is_transactional else 0
        who = (origin.producer, origin.sequence, settled)
        rows, size = batch.rows, frame.payload_bytes(batch.payload)
        headers: list[Header] = []
        parts: list[bytes | pa.Buffer] = []
        if is_new:
            payload = frame.schema_payload(batch.schema)
            crc, schema_size = frame.payload_crc(payload), frame.payload_bytes(payload)
            shape = (schema_size, number, 0, 0, origin.epoch, offset, 0, 0)
            headers.append(Header(frame.SCHEMA, flags, crc, *shape, *who))
            parts += [frame.encode(headers[-1], self._seed), *payload]
        headers.append(
            Header(
                *(frame.RECORDS, flags, batch.payload_crc, size, number, rows, rows),
                *(origin.epoch, offset, batch.min_time, batch.max_time, *who),
            )
        )
        parts += [frame.encode(headers[-1], self._seed), *batch.payload]
        if not self.index.end:
            # Should the file ever be found empty: there may have been records.
            self.save_index(Index(self.base_offset, is_awaiting=True))
        with self._handles.use(self.path) as handle:
            write_at(handle, parts, self.index.end)
        begin = self.index.end
        for header in headers:
            self.index.add(self.index.end, header)
        self._checked.add(begin, self.index.end)
        self._latest = (batch.schema, number)
        if is_new:
            self._numbers[batch.schema.serialize().to_pybytes()] = number

    def truncate(self, end: int, end_offset: int) -> None:
        """Take back, durably, all frames from position `end` on. OSError if the disk refuses."""
        self.index.truncate(end, end_offset)
        self._checked.cut(end)
        kept = self.index.schemas
        self._numbers = {key: number for key, number in self._numbers.items() if number in kept}
        self._schemas = {number: schema for number, schema in self._schemas.items() if number in kept}
        self._latest = None
        self._mapped = None
        with self._handles.use(self.path) as handle:
            os.ftruncate(handle, end)
            sync(handle)
        if not end:
            # It says that there may have been records; the next append says so again.
            index.path_of(self.path).unlink(missing_ok=True)

    def begin_sync(self, position: int) -> None:
        """Have what was written from `position` on brought to the disk, without waiting for it."""
        with self._handles.use(self.path) as handle:
            begin_sync(handle, position, self.index.end)

    def sync(self) -> None:
        """Wait until all that was written is on the disk. OSError if that failed."""
        with self._handles.use(self.path) as handle:
            sync(handle)

    def save_index(self, saved: Index | None = None) -> None:
        """Write the index file: what it names must be on the disk and committed. OSError."""
        data = (saved or self.index).to_bytes(self._seed)
        write_whole(index.path_of(self.path), data, durable=False)

    def stored_index(self) -> Index | None:
        """What the index file says, or None if there is none, or it was not written to its end."""
        try:
            data = index.path_of(self.path).read_bytes()
        except FileNotFoundError:
            return None
        return Index.from_bytes(data, self._seed, self.base_offset)

    def close(self) -> None:
        """Let go of the file handle; reading goes on."""
        self._handles.drop(self.path)

    def remove(self) -> None:
        """Delete the files. Batches that were read stay valid, and so does what is mapped. OSError."""
        self.close()
        self.path.unlink(missing_ok=True)
        index.path_of(self.path).unlink(missing_ok=True)

    # -- reading; any thread, without a lock

    def read(self, offset: int, max_rows: int, end: int, end_offset: int) -> tuple[list[pa.RecordBatch], int]:
        """Batches from `offset` on, and the offset to read on from; DataError if damage comes first.

        A frame that compaction has left may hold nothing at or after `offset`: then there may be no batch.

        end, end_offset  position and offset to stop at; `offset` is below
        """
        position, due = self._hints.get(offset) or self.index.before(offset)
        data, shift, frames = self._frames(position, due, end)
        view = memoryview(data)
        chosen: list[tuple[int, Header]] = []
        reached, rows = offset, 0
        # Frames are many where partitions are: what is known to be good is found out once.
        good = self._checked.from_position(position)
        for start, stop, due, header in frames:
            if rows >= max_rows or reached >= end_offset or due > reached:
                break
            if header is None:
                continue
            ends = header.base_offset + header.span
            if ends <= reached:
                continue
            if stop + shift > good and not self._is_good(view, start, shift, header):
                break
            chosen.append((start, header))
            rows += min(header.rows, ends - reached)
            reached = ends
        if not chosen:
            raise self.damaged(offset, position)
        start, last = chosen[-1]
        if shift == 0:
            bring_in(data, chosen[0][0], start + last.frame_bytes)
        batches, reached = decoded(data, chosen, offset, max_rows, self._schema)
        if len(self._hints) >= _HINTS:
            self._hints.clear()
        if last.base_offset <= reached < last.next_offset:
            self._hints[reached] = start + shift, last.base_offset
        elif reached == last.next_offset:
            self._hints[reached] = start + last.frame_bytes + shift, reached
        return batches, reached

    def offset_for_time(self, timestamp_ms: int, end: int, end_offset: int) -> int | None:
        """First offset below `end_offset` with this timestamp or a later one; None if there is none."""
        begin = self.index.from_time(timestamp_ms, end_offset)
        if begin is None:
            return None
        position, due = begin
        data, shift, frames = self._frames(position, due, end)
        for found in frames:
            header = found.header
            if header is None:
                raise self.damaged(found.offset, found.start + shift)
            if header.kind == frame.RECORDS and header.max_time >= timestamp_ms:
                batch = self._batch(data, found.start, shift, header)
                later = np.flatnonzero(records.timestamps(batch) >= timestamp_ms)
                return int(batch.column("offset")[int(later[0])].as_py())
        return None

    def frames(self) -> Iterator[tuple[Header, pa.RecordBatch]]:
        """Every frame with records, whole, one by one; DataError at the first damage."""
        end = self.index.end
        data, shift, frames = self._frames(0, self.base_offset, end)
        for found in frames:
            header = found.header
            if header is None:
                raise self.damaged(found.offset, found.start + shift)
            if header.kind == frame.RECORDS:
                yield header, self._batch(data, found.start, shift, header)

    def _batch(self, data: pa.Buffer, start: int, shift: int, header: Header) -> pa.RecordBatch:
        """The records of one frame, with their offsets; DataError if they are damaged."""
        if not self._is_good(memoryview(data), start, shift, header):
            raise self.damaged(header.base_offset, start + shift)
        schema = self._schema(header.schema, header.base_offset)
        payload = data.slice(start + HEADER_BYTES, header.payload_bytes)
        stored = pa.ipc.read_record_batch(payload, schema.stored)
        return stored if schema.has_offsets else with_offsets(stored, header.base_offset, schema.given)

    def _is_good(self, view: memoryview, start: int, shift: int, header: Header) -> bool:
        """Whether the payload of a frame is as it was written; what was checked once is not checked again."""
        begin = start + shift
        if not self._checked.covers(begin, begin + header.frame_bytes):
            if not frame.is_payload_good(view, start, header):
                return False
            self._checked.add(begin, begin + header.frame_bytes)
        return True

    def headers(self, position: int, due: int) -> list[tuple[Found, bool]]:
        """All frames and damage of the file from `position` on, and whether each payload is good."""
        size = self.file_bytes()
        if position >= size:
            return []
        data, shift = self._window(position, size)
        view = memoryview(data)
        return [
            (
                found._replace(start=found.start + shift, end=found.end + shift),
                found.header is not None and frame.is_payload_good(view, found.start, found.header),
            )
            for found in frame.walk(view, position - shift, data.size, self._seed, due)
        ]

    @property
    def largest_time(self) -> int | None:
        """The largest timestamp of its records, ms; None if it has none."""
        return max(self.index.latest, default=None)

    def file_bytes(self) -> int:
        """Length of the file."""
        with explained("look at", self.path):
            return self.path.stat().st_size

    def _scanned(self) -> Index:
        """The index of a segment that is no longer written, made again: its payloads stay unread."""
        made = Index(self.base_offset)
        size = self.file_bytes()
        if size:
            data, _ = self._window(0, size)
            for found in frame.walk(memoryview(data), 0, size, self._seed, self.base_offset):
                if found.header is not None:
                    made.add(found.start, found.header)
        return made

    def _frames(self, position: int, due: int, end: int) -> tuple[pa.Buffer, int, Iterator[Found]]:
        """The frames in [position, end), in a buffer, the position it begins at; they count in the buffer."""
        data, shift = self._window(position, end)
        stop = min(end - shift, data.size)
        return data, shift, frame.walk(memoryview(data), position - shift, stop, self._seed, due)

    def _window(self, start: int, end: int) -> tuple[pa.Buffer, int]:
        """Bytes that cover [start, end) as far as the file goes, and the position they begin at."""
        mapped = self._mapped
        if mapped is not None and end <= mapped.size:
            return mapped, 0
        with explained("read", self.path):
            if end - start <= _COPIED_BYTES:
                handle = self._handles.open(self.path, os.O_RDONLY)
                try:
                    return pa.py_buffer(os.pread(handle, end - start, start)), start
                finally:
                    os.close(handle)
            with pa.memory_map(str(self.path)) as file:
                mapped = file.read_buffer(file.size())
        self._mapped = mapped
        return mapped, 0

    def _schema(self, number: int, offset: int) -> StoredSchema:
        """The schema of that number; `offset` is where it is needed, for the message."""
        schema = self._schemas.get(number)
        if schema is None:
            position = self.index.schemas.get(number)
            if position is None:
                raise self.damaged(offset, 0)
            header = self._header(position)
            if header is None or header.kind != frame.SCHEMA or header.schema != number:
                raise self.damaged(offset, position)
            data, shift = self._window(position, position + header.frame_bytes)
            if not frame.is_payload_good(memoryview(data), position - shift, header):
                raise self.damaged(offset, position)
            payload = data.slice(position - shift + HEADER_BYTES, header.payload_bytes)
            stored = pa.ipc.read_schema(payload)
            has_offsets = stored.names[0] == "offset"
            given = stored if has_offsets else stored.insert(0, pa.field("offset", pa.int64()))
            schema = StoredSchema(stored, given)
            self._schemas[number] = schema
        return schema

    def _header(self, position: int) -> Header | None:
        """The header at a position; the end of the frame is only held against the end of the file."""
        data, shift = self._window(position, position + HEADER_BYTES)
        end = self.file_bytes() - shift
        return frame.decode(memoryview(data), position - shift, end, self._seed)

    def _schema_number(self, schema: pa.Schema) -> tuple[int, bool]:
        """The number of a schema in this segment, and whether it has yet to be written."""
        latest = self._latest
        if latest is not None and (schema is latest[0] or schema.equals(latest[0], check_metadata=True)):
            return latest[1], False
        number = self._numbers.get(schema.serialize().to_pybytes())
        if number is not None:
            return number, False
        return max(self.index.schemas, default=-1) + 1, True

    def damaged(self, offset: int, position: int) -> DataError:
        """What to raise for damage at a position, where `offset` is due."""
        return DataError(
            f"{self._where}: the records from offset {offset} on are damaged: "
            f"file {self.path}, near byte {position}",
            code="LOG-CORRUPT",
            hint="restore the file from a copy; what lies before, and what lies after it, can be read",
        )

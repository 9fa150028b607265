"""A frame: the unit that is written to, checked in and read from a segment file.

All numbers little-endian; a frame begins at a multiple of 8 bytes and is a multiple of 8 bytes long.

    at  bytes
     0  4   magic "sQLf"
     4  1   version, 1
     5  1   kind: 1 records, 2 schema
     6  2   flags: 1 part of a transaction
     8  4   CRC-32 of the header without these four bytes, begun at the partition's seed
    12  4   CRC-32 of the payload
    16  8   payload bytes
    24  4   schema: number of the schema, counted from 0 in each segment
    28  4   rows
    32  4   span: offsets covered, base .. base + span; equal to rows until compaction takes rows out
    36  4   producer epoch
    40  8   base offset
    48  8   smallest timestamp, ms
    56  8   largest timestamp, ms
    64  8   producer id; 0 is nobody
    72  8   sequence of the writer's transaction, or of the batch of a producer with a name; of a
            compacted frame, when its tombstones first came through compaction, ms, or 0 if it has none
    80  8   settled: when this frame was written, everything before this offset was on disk and committed
    88  ..  payload: an Arrow IPC message, a schema or a record batch of the schema with that number

A schema is written once per segment, before its first use: a frame of one row is 400 bytes with it
elsewhere and 700 with it inside. The seed comes from the topic's id and the partition, so that frames
of another partition, or stored as the value of a record, are never taken for frames of this one.

A frame that compaction has written covers offsets whose records are gone: its payload has a first column
`offset`, and a frame without rows may cover a stretch of which nothing is left.

`settled` is what tells a torn write from damage after a crash: a bad frame that a later frame calls
settled was once good, and is damage; any other may never have been acknowledged, and is cut off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from streamsql.engine.log.crc import crc32
from streamsql.errors import ExternalError

MAGIC = b"sQLf"
VERSION = 1
RECORDS, SCHEMA = 1, 2
TRANSACTIONAL, COMPACTED = 1, 2
ALIGNMENT = 8

_LAYOUT = struct.Struct("<4sBBHIIQIIIIqqqqqq")
HEADER_BYTES = _LAYOUT.size
_CHUNK = 1024 * 1024
_WHOLE_BYTES = 64 * 1024
"""Up to here a batch is copied into one piece, which is faster than many."""


class Header(NamedTuple):
    """What a frame says of itself; units as in the table above."""

    kind: int
    flags: int
    payload_crc: int
    payload_bytes: int
    schema: int
    rows: int
    span: int
    epoch: int
    base_offset: int
    min_time: int
    max_time: int
    producer: int
    sequence: int
    settled: int

    @property
    def next_offset(self) -> int:
        """The offset after the last one this frame covers."""
        return self.base_offset + self.span

    @property
    def frame_bytes(self) -> int:
        """Header and payload."""
        return HEADER_BYTES + self.payload_bytes


def encode(header: Header, seed: int) -> bytes:
    """The 88 bytes of a header."""
    fields = (header.payload_crc, *header[3:])
    blank = _LAYOUT.pack(MAGIC, VERSION, header.kind, header.flags, 0, *fields)
    return blank[:8] + _header_crc(blank, 0, seed).to_bytes(4, "little") + blank[12:]


def decode(data: memoryview, position: int, end: int, seed: int) -> Header | None:
    """The header at `position`, or None if no good frame that ends by `end` begins there.

    The payload is not looked at. ExternalError LOG-NEWER-FORMAT for a good header of a later version.
    """
    if position + HEADER_BYTES > end or data[position : position + 4] != MAGIC:
        return None
    _, version, kind, flags, crc, *rest = _LAYOUT.unpack_from(data, position)
    if crc != _header_crc(data, position, seed):
        return None
    if version != VERSION:
        raise ExternalError(
            f"the log was written in format {version}; this version of streamsql reads format {VERSION}",
            code="LOG-NEWER-FORMAT",
            hint="use a newer version of streamsql",
        )
    header = Header(kind, flags, *rest)
    return header if position + HEADER_BYTES + header.payload_bytes <= end else None


def is_schema(header: Header | None) -> bool:
    """Whether it is the header of a schema, not of records."""
    return header is not None and header.kind == SCHEMA


def is_payload_good(data: memoryview, position: int, header: Header) -> bool:
    """Whether the payload of the frame at `position` has the bytes it was written with."""
    start = position + HEADER_BYTES
    return crc32(data[start : start + header.payload_bytes]) == header.payload_crc


def next_frame(data: memoryview, position: int, end: int, seed: int, offset: int) -> int | None:
    """Position of the first good frame at or after `position` that does not begin before `offset`."""
    # Searched as bytes in pieces, as a memoryview cannot be searched; a piece overlaps the next by 3.
    for begin in range(position, end, _CHUNK):
        piece = bytes(data[begin : min(end, begin + _CHUNK + len(MAGIC) - 1)])
        place = piece.find(MAGIC)
        while place >= 0:
            if (begin + place) % ALIGNMENT == 0:
                header = decode(data, begin + place, end, seed)
                if header is not None and header.base_offset >= offset:
                    return begin + place
            place = piece.find(MAGIC, place + 1)
    return None


class Found(NamedTuple):
    """A good header at a position, or a stretch without one.

    start, end  bytes; `end` is where the next frame begins
    offset      the offset due at `start`
    header      None for damage
    """

    start: int
    end: int
    offset: int
    header: Header | None


def walk(data: memoryview, position: int, end: int, seed: int, offset: int) -> Iterator[Found]:
    """Frames and damage from `position` to `end`, one after the other without holes in between.

    offset  the offset due at `position`; a frame that does not begin at the offset due comes after
            damage, even if nothing but the frames between is missing
    """
    while position < end:
        header = decode(data, position, end, seed)
        if header is not None and header.base_offset == offset:
            begin, position = position, position + HEADER_BYTES + header.payload_bytes
            yield Found(begin, position, offset, header)
            offset += header.span
            continue
        place = next_frame(data, position, end, seed, offset)
        yield Found(position, end if place is None else place, offset, None)
        if place is None:
            return
        # The frame found begins at its own offset, so the next round gives it.
        header = decode(data, place, end, seed)
        assert header is not None
        position, offset = place, header.base_offset


Payload = tuple[bytes | pa.Buffer, ...]
"""The bytes of a message, one piece after the other."""


def record_payload(batch: pa.RecordBatch) -> Payload:
    """A batch as an Arrow IPC message without its schema; a large one shares the batch's memory."""
    if batch.nbytes < _WHOLE_BYTES:
        return (batch.serialize(),)
    pieces = _Pieces()
    with pa.ipc.new_stream(pa.PythonFile(pieces, mode="w"), batch.schema) as writer:
        writer.write_batch(batch)
        written = list(pieces.written)
    # A stream begins with its schema.
    schema_bytes = batch.schema.serialize().size
    while schema_bytes > 0:
        schema_bytes -= len(written.pop(0))
    return tuple(written)


class _Pieces:
    """A file that keeps what is written to it, uncopied."""

    closed = False

    def __init__(self) -> None:
        self.written: list[bytes | pa.Buffer] = []

    def write(self, piece: bytes | pa.Buffer) -> int:
        self.written.append(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


def schema_payload(schema: pa.Schema) -> Payload:
    """A schema as an Arrow IPC message."""
    return (schema.serialize(),)


def payload_bytes(payload: Payload) -> int:
    return sum(map(len, payload))


def payload_crc(payload: Payload) -> int:
    crc = 0
    for piece in payload:
        crc = crc32(piece, crc)
    return crc


def _header_crc(data: bytes | memoryview, position: int, seed: int) -> int:
    """Of the header at `position`, all of it but the checksum itself."""
    before = crc32(data[position : position + 8], seed)
    return crc32(data[position + 12 : position + HEADER_BYTES], before)

"""Where to begin looking in a segment: a sparse index by offset and by time, and its file.

One entry per 16 KiB of frames (per frame, for larger ones) holds the offset, the position and the
largest timestamp of the frames up to the next entry. Searching gives the entry to walk from.

The file `<base offset>.index` is written when a segment is closed, at a clean stop, and now and then
in between. It spares opening a log the walk over all frames, and it says what was on disk and
committed when it was written, so that damage there is not taken for a torn write. It can be lost:
it is made again from the frames.

    at  bytes, little-endian
     0  4   magic "sQLi"
     4  4   CRC-32 of all that follows, begun at the partition's seed
     8  8   count of entries, n
    16  8   count of schemas, m
    24  8   base offset of the segment
    32  8   end: position after the last frame
    40  8   offset after the last frame
    48  8   largest timestamp of the segment's first frame, ms; of an empty segment -1, or 0 if its first
            records were about to be written
    56  ..  int64[n] offsets, int64[n] positions, int64[n] largest timestamps,
            int64[m] numbers and int64[m] positions of the schema frames
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from streamsql.engine.log.crc import crc32
from streamsql.engine.log.frame import SCHEMA, Header
from streamsql.errors import InternalError

MAGIC = b"sQLi"
SPACING_BYTES = 16 * 1024
_NOTHING, _AWAITING = -1, 0
_HEAD = struct.Struct("<4sIQQqqqq")


def _int64s() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Index:
    """Entries of one segment, in rising order of offset and position, and how far they reach.

    is_awaiting  it was saved when the first records of the segment were about to be written: if the
                 segment is found empty, they may be lost
    """

    base_offset: int
    end: int = 0
    end_offset: int = 0
    first_time: int | None = None
    offsets: array[int] = field(default_factory=_int64s)
    positions: array[int] = field(default_factory=_int64s)
    latest: array[int] = field(default_factory=_int64s)
    schemas: dict[int, int] = field(default_factory=dict)
    is_awaiting: bool = False

    def __post_init__(self) -> None:
        self.end_offset = max(self.end_offset, self.base_offset)

    def add(self, position: int, header: Header) -> None:
        """Take in the frame that was written at `position`, the end so far or after it."""
        is_after_damage = position > self.end or header.base_offset > self.end_offset
        if header.kind == SCHEMA:
            self.schemas[header.schema] = position
        else:
            if not self.positions or is_after_damage or position - self.positions[-1] >= SPACING_BYTES:
                self.offsets.append(header.base_offset)
                self.positions.append(position)
                self.latest.append(header.max_time)
            elif header.max_time > self.latest[-1]:
                self.latest[-1] = header.max_time
            if self.first_time is None:
                self.first_time = header.max_time
        self.end = position + header.frame_bytes
        self.end_offset = header.next_offset

    def truncate(self, end: int, end_offset: int) -> None:
        """Forget all frames at or after position `end`, where `end_offset` is due.

        The last entry may keep a timestamp of a frame that is gone: a search then looks there for
        nothing, and goes on.
        """
        while self.positions and self.positions[-1] >= end:
            self.offsets.pop()
            self.positions.pop()
            self.latest.pop()
        self.schemas = {number: place for number, place in self.schemas.items() if place < end}
        self.end, self.end_offset = end, end_offset
        if not self.positions:
            self.first_time = None

    def before(self, offset: int) -> tuple[int, int]:
        """Position to walk from, and the offset due there, to come to `offset`."""
        place = bisect_right(self.offsets, offset) - 1
        if place < 0:
            return 0, self.base_offset
        return self.positions[place], self.offsets[place]

    def from_time(self, timestamp_ms: int, end_offset: int) -> tuple[int, int] | None:
        """Like `before`, to come to the first frame below `end_offset` that reaches this timestamp."""
        # A loop, and no view by numpy: an array that is being looked at could not grow meanwhile.
        for place in range(bisect_left(self.offsets, end_offset)):
            if self.latest[place] >= timestamp_ms:
                return self.positions[place], self.offsets[place]
        return None

    def up_to(self, end: int, end_offset: int) -> Index:
        """A copy without the frames at or after position `end`."""
        columns = (self.offsets[:], self.positions[:], self.latest[:])
        copied = Index(self.base_offset, self.end, self.end_offset, self.first_time, *columns, self.schemas)
        copied.truncate(end, end_offset)
        return copied

    def to_bytes(self, seed: int) -> bytes:
        """The contents of the index file."""
        numbers, places = array("q", self.schemas.keys()), array("q", self.schemas.values())
        columns = (self.offsets, self.positions, self.latest, numbers, places)
        first_time = _AWAITING if self.is_awaiting else _NOTHING
        if self.first_time is not None:
            first_time = self.first_time
        counts = (len(self.offsets), len(numbers))
        rest = (*counts, self.base_offset, self.end, self.end_offset, first_time)
        body = b"".join([_HEAD.pack(MAGIC, 0, *rest)[8:], *map(_little_endian, columns)])
        return MAGIC + crc32(body, seed).to_bytes(4, "little") + body

    @classmethod
    def from_bytes(cls, data: bytes, seed: int, base_offset: int) -> Index | None:
        """What an index file says, or None if it is not whole or belongs to another segment."""
        if len(data) < _HEAD.size or crc32(data[8:], seed) != int.from_bytes(data[4:8], "little"):
            return None
        magic, _, n, m, base, end, end_offset, first_time = _HEAD.unpack_from(data)
        if magic != MAGIC or base != base_offset or len(data) != _HEAD.size + 8 * (3 * n + 2 * m):
            return None
        columns = []
        at = _HEAD.size
        for count in (n, n, n, m, m):
            columns.append(array("q", data[at : at + 8 * count]))
            at += 8 * count
        if sys.byteorder == "big":
            for column in columns:
                column.byteswap()
        offsets, positions, latest, numbers, places = columns
        schemas = dict(zip(numbers, places, strict=True))
        made = cls(base, end, end_offset, first_time if n else None, offsets, positions, latest, schemas)
        made.is_awaiting = not n and first_time == _AWAITING
        return made


def path_of(segment: Path) -> Path:
    """The index file beside a segment file."""
    if segment.suffix != ".log":
        raise InternalError(f"{segment} is not a segment file")
    return segment.with_suffix(".index")


def _little_endian(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = array("q", column)
        column.byteswap()
    return column.tobytes()

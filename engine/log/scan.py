"""A segment file looked through from end to end: which of its frames are good, and what is lost of it.

Unlike readers, who trust a checksum, this decodes every frame and holds it against its header.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.engine.log import frame, records
from streamsql.engine.log.files import explained
from streamsql.engine.log.frame import HEADER_BYTES, Header
from streamsql.engine.log.index import Index
from streamsql.engine.log.segment_files import SegmentName
from streamsql.errors import InternalError


class Stretch(NamedTuple):
    """Bytes [start, end) of a file without a good frame, which held the offsets [offset, end_offset).

    why      in a few words
    is_torn  its first bytes are no frame, or not the one that was written: opening sees it too
    """

    start: int
    end: int
    offset: int
    end_offset: int
    why: str
    is_torn: bool = True


@dataclass(slots=True)
class Scan:
    """What was found in a segment.

    good    position and header of the good frames, in order
    bad     what lies between them
    settled the offset before which a good frame says that everything was once on the disk and counted
    size    bytes of the file
    """

    name: SegmentName
    path: Path
    size: int = 0
    good: list[tuple[int, Header]] = field(default_factory=list)
    bad: list[Stretch] = field(default_factory=list)
    settled: int = 0

    @property
    def end_offset(self) -> int:
        """The offset after the last one that a good frame covers."""
        return self.good[-1][1].next_offset if self.good else self.name.base

    @property
    def rows(self) -> int:
        return sum(header.rows for _, header in self.good)

    def cut(self, position: int) -> None:
        """Leave out what begins there, and all after it."""
        self.good = [one for one in self.good if one[0] < position]
        self.bad = [one for one in self.bad if one.start < position]

    def index(self, end: int) -> Index:
        """The index of the frames before position `end`, as whoever wrote them made it."""
        made = Index(self.name.base)
        for position, header in self.good:
            if position < end:
                made.add(position, header)
        return made


def scan(path: Path, name: SegmentName, seed: int) -> Scan:
    """Look through a segment. ExternalError if it cannot be read, or has frames of a later version."""
    found = Scan(name, path)
    with explained("read", path):
        found.size = path.stat().st_size
        if not found.size:
            return found
        with pa.memory_map(str(path)) as file:
            data = file.read_buffer(found.size)
    view = memoryview(data)
    schemas: dict[int, pa.Schema] = {}
    for one in frame.walk(view, 0, found.size, seed, name.base):
        if one.header is None:
            _add(found, Stretch(one.start, one.end, one.offset, one.offset, "no frame begins there"))
            continue
        header = one.header
        found.settled = max(found.settled, header.settled)
        if found.bad and found.bad[-1].end == one.start:
            found.bad[-1] = found.bad[-1]._replace(end_offset=header.base_offset)
        payload = data.slice(one.start + HEADER_BYTES, header.payload_bytes)
        why = _fault(view, one.start, payload, header, schemas)
        if why is None:
            found.good.append((one.start, header))
        else:
            is_torn = not frame.is_payload_good(view, one.start, header)
            lost = Stretch(one.start, one.end, header.base_offset, header.next_offset, why, is_torn)
            _add(found, lost)
    return found


def _add(found: Scan, stretch: Stretch) -> None:
    """Neighbours become one stretch."""
    if found.bad and found.bad[-1].end == stretch.start:
        before = found.bad.pop()
        stretch = before._replace(end=stretch.end, end_offset=max(before.end_offset, stretch.end_offset))
    found.bad.append(stretch)


def _fault(
    view: memoryview, start: int, payload: pa.Buffer, header: Header, schemas: dict[int, pa.Schema]
) -> str | None:
    """What is wrong with a frame whose header is good; None if nothing is. Learns schemas."""
    if not frame.is_payload_good(view, start, header):
        return "its checksum does not match"
    try:
        if header.kind == frame.SCHEMA:
            schemas[header.schema] = pa.ipc.read_schema(payload)
            return None
        if header.schema not in schemas:
            return "its schema is lost"
        batch = pa.ipc.read_record_batch(payload, schemas[header.schema])
        batch.validate(full=True)
        return _contradiction(batch, header)
    except (pa.ArrowException, InternalError, OSError, ValueError) as error:
        return f"it does not decode: {error}"


def _contradiction(batch: pa.RecordBatch, header: Header) -> str | None:
    """Where a batch is not what its header says; InternalError for columns that are not those of records."""
    if batch.num_rows != header.rows:
        return f"it has {batch.num_rows} rows, its header says {header.rows}"
    if batch.schema.names[0] == "offset":
        offsets = batch.column("offset").to_numpy()
        bounds = np.concatenate([[header.base_offset - 1], offsets, [header.next_offset]])
        if (np.diff(bounds) <= 0).any():
            return "its offsets do not rise"
        batch = batch.drop_columns(["offset"])
    elif header.rows != header.span:
        return f"it has {header.rows} rows for {header.span} offsets"
    records.checked(batch)
    if batch.num_rows and records.time_range(batch) != (header.min_time, header.max_time):
        return "its timestamps are not those of its header"
    return None

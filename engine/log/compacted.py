"""Writing a compacted segment: frames that cover every offset, with or without a record."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log import frame, records
from streamsql.engine.log.files import sync, write_at
from streamsql.engine.log.frame import Header
from streamsql.engine.log.index import Index

_FRAME_BYTES = 1 << 20
# A frame counts the offsets it covers in 32 bits.
MOST_OFFSETS = 1 << 31
_NOTHING = pa.schema(
    [("offset", pa.int64()), ("key", pa.null()), ("value", pa.null()), ("timestamp", pa.int64())]
)
_BEFORE_ALL = int(np.iinfo(np.int64).min)


class CompactedFile:
    """Writes a compacted segment into a draft: frames that cover every offset, with or without a record.

    A batch is held back until it is known what follows: a frame covers the offsets up to the next one.
    """

    def __init__(self, draft: Path, base: int, seed: int) -> None:
        fail_point("compact.before_write")
        self._handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._seed = seed
        self._index = Index(base)
        # Frames that are copied bring numbers of their own; no file has so many.
        self._numbers: dict[bytes, int] = {b"".join(frame.schema_payload(_NOTHING)): 0xFFFF_FFFF}
        self._waiting: list[pa.RecordBatch] = []
        self._since_ms = 0

    def add(self, batch: pa.RecordBatch, since_ms: int) -> None:
        """Add records; since_ms is of their tombstones, 0 without any. OSError."""
        held = self._waiting
        is_mixed = bool(since_ms and self._since_ms and since_ms != self._since_ms)
        if held and (
            is_mixed or batch.schema != held[0].schema or sum(b.nbytes for b in held) > _FRAME_BYTES
        ):
            self._write(int(batch.column("offset")[0].as_py()))
        self._waiting.append(batch)
        self._since_ms = self._since_ms or since_ms

    def copy(self, header: Header, data: bytes) -> None:
        """Add a frame of another segment of the partition as it is; nothing may be held back. OSError."""
        self._leave_out(header.base_offset)
        write_at(self._handle, [data], self._index.end)
        self._index.add(self._index.end, header)

    def finish(self, end: int) -> Index:
        """Cover the rest, up to offset `end`, and bring all of it to the disk. OSError."""
        if self._waiting:
            self._write(min(end, self._index.end_offset + MOST_OFFSETS))
        self._leave_out(end)
        fail_point("compact.before_sync")
        sync(self._handle)
        return self._index

    def close(self) -> None:
        os.close(self._handle)

    def _leave_out(self, end: int) -> None:
        """Cover the offsets up to `end` with nothing."""
        while (base := self._index.end_offset) < end:
            self._write(min(end, base + MOST_OFFSETS))

    def _write(self, end: int) -> None:
        """Write what is held back as a frame that reaches to offset `end`."""
        batch = pa.concat_batches(self._waiting) if self._waiting else _empty()
        since_ms, self._waiting, self._since_ms = self._since_ms, [], 0
        base = self._index.end_offset
        times = records.time_range(batch) if batch.num_rows else (_BEFORE_ALL, _BEFORE_ALL)
        number = self._number(batch.schema)
        payload = frame.record_payload(batch)
        who = (0, since_ms, base)
        shape = (frame.payload_bytes(payload), number, batch.num_rows, end - base, 0, base)
        self._put(
            Header(frame.RECORDS, frame.COMPACTED, frame.payload_crc(payload), *shape, *times, *who), payload
        )

    def _number(self, schema: pa.Schema) -> int:
        """The number of a schema in this file, which is written if it is new."""
        payload = frame.schema_payload(schema)
        number = self._numbers.setdefault(b"".join(payload), len(self._numbers))
        if number not in self._index.schemas:
            base = self._index.end_offset
            shape = (frame.payload_bytes(payload), number, 0, 0, 0, base)
            crc = frame.payload_crc(payload)
            self._put(Header(frame.SCHEMA, frame.COMPACTED, crc, *shape, 0, 0, 0, 0, base), payload)
        return number

    def _put(self, header: Header, payload: frame.Payload) -> None:
        write_at(self._handle, [frame.encode(header, self._seed), *payload], self._index.end)
        self._index.add(self._index.end, header)


def _empty() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=_NOTHING)

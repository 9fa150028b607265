"""From frames to batches of records with their offsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from streamsql.engine.log import frame
from streamsql.engine.log.frame import HEADER_BYTES, Header
from streamsql.errors import DataError

# Frames below this size are decoded together.
_SMALL_BYTES = 16 * 1024
# Opening a stream of frames costs as much as it saves over so many.
_FEW_FRAMES = 32


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """The schema of some frames of a segment: as it was written, and with the column `offset` in front."""

    stored: pa.Schema
    given: pa.Schema

    @property
    def has_offsets(self) -> bool:
        """Whether the records carry their offsets, which have gaps: those that compaction has kept."""
        return self.stored.names[0] == "offset"


def decoded(
    data: pa.Buffer,
    frames: list[tuple[int, Header]],
    offset: int,
    max_rows: int,
    schema_of: Callable[[int, int], StoredSchema],
) -> tuple[list[pa.RecordBatch], int]:
    """At most `max_rows` records at or after `offset`, of some frames without holes in between.

    Small frames that stand together become one batch: by themselves they cost more than they hold.

    frames     position in `data`, and header
    schema_of  the schema of a number, needed at an offset; DataError if it is damaged
    gives      the batches, and the offset up to which they reach
    """
    batches: list[pa.RecordBatch] = []
    reached = offset
    for (number, is_small), group in groupby(frames, lambda one: (one[1].schema, _is_small(one[1]))):
        together = list(group)
        try:
            schema = schema_of(number, together[0][1].base_offset)
        except DataError:
            if batches:
                break  # the next call reports it
            raise
        payloads = [data.slice(start + HEADER_BYTES, header.payload_bytes) for start, header in together]
        if is_small and len(together) > 1:
            stored = [_joined(schema, payloads)]
            reach = [together[-1][1].next_offset]
        else:
            stored = [pa.ipc.read_record_batch(payload, schema.stored) for payload in payloads]
            reach = [header.next_offset for _, header in together]
        base = together[0][1].base_offset
        for batch, end in zip(stored, reach, strict=True):
            batch = _numbered(batch, base, offset, max_rows, schema)
            base = end
            max_rows -= batch.num_rows
            if batch.num_rows:
                batches.append(batch)
                reached = int(batch.column("offset")[-1].as_py()) + 1
            if max_rows > 0:
                reached = end
    return batches, reached


def _is_small(header: Header) -> bool:
    return header.payload_bytes < _SMALL_BYTES


def _joined(schema: StoredSchema, payloads: list[pa.Buffer]) -> pa.RecordBatch:
    """Several frames of one schema as one batch."""
    if len(payloads) <= _FEW_FRAMES:
        return pa.concat_batches([pa.ipc.read_record_batch(payload, schema.stored) for payload in payloads])
    stream = pa.py_buffer(b"".join([*frame.schema_payload(schema.stored), *payloads]))
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    # No batch at all comes of frames that only cover a gap.
    return next(iter(table.combine_chunks().to_batches()), pa.RecordBatch.from_pylist([], schema.stored))


def _numbered(
    batch: pa.RecordBatch, base: int, offset: int, rows: int, schema: StoredSchema
) -> pa.RecordBatch:
    """At most `rows` records from `offset` on, with their offsets; without gaps they begin at `base`."""
    if schema.has_offsets:
        offsets = batch.column("offset").to_numpy()
        return batch.slice(int(np.searchsorted(offsets, offset)), rows)
    skipped = max(0, offset - base)
    return with_offsets(batch.slice(skipped, rows), base + skipped, schema.given)


def with_offsets(batch: pa.RecordBatch, first: int, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in a schema that has a first column `offset`, which counts up from `first`."""
    offsets = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
    return pa.RecordBatch.from_arrays([offsets, *batch.columns], schema=schema)

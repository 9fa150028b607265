"""Records as bytes, between the corpus and the engine's batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from streamsql.engine.log.records import HEADERS


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as the log has it; headers: (name, bytes or None) pairs."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes | None], ...] = ()


def batch_of(records: Sequence[Raw], offset: int) -> pa.RecordBatch:
    """Records as a task reads them, on partition 0."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([r.key for r in records], pa.binary()),
            pa.array([r.value for r in records], pa.binary()),
            pa.array([r.timestamp for r in records], pa.int64()),
            pa.array([[{"key": k, "value": v} for k, v in r.headers] for r in records], HEADERS),
            pa.array([0] * len(records), pa.int32()),
            pa.array(range(offset, offset + len(records)), pa.int64()),
        ],
        names=["key", "value", "timestamp", "headers", "$partition", "$offset"],
    )


def raw_records(batch: pa.RecordBatch) -> list[Raw]:
    """A batch of the log or of a sink as single records."""
    headers = (
        batch.column("headers").to_pylist() if "headers" in batch.schema.names else [()] * batch.num_rows
    )
    return [
        Raw(key, value, timestamp, tuple((h["key"], h["value"]) for h in found or ()))
        for key, value, timestamp, found in zip(
            batch.column("key").to_pylist(),
            batch.column("value").to_pylist(),
            batch.column("timestamp").to_pylist(),
            headers,
            strict=True,
        )
    ]

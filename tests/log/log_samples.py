"""Batches of records, short to write, and what a log holds, short to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from streamsql.engine.log.consumer import RecordConsumer
from streamsql.engine.log.log import Log, TopicPartition

Row = tuple[int, bytes | None, bytes | None, int]
"""Offset, key, value, timestamp."""


def batch(*values: str | None, at: int = 0, key: str | None = None) -> pa.RecordBatch:
    """Records with these values, one ms apart from `at` on."""
    return pa.record_batch(
        {
            "key": pa.array([None if key is None else key.encode()] * len(values), pa.binary()),
            "value": pa.array([None if value is None else value.encode() for value in values], pa.binary()),
            "timestamp": pa.array(range(at, at + len(values)), pa.int64()),
        }
    )


def numbered(count: int, first: int = 0) -> pa.RecordBatch:
    """`count` records with the values v<first>, v<first + 1>, ... and these timestamps."""
    return batch(*(f"v{number}" for number in range(first, first + count)), at=first, key="k")


def timed(times: Sequence[int], name: str = "v") -> pa.RecordBatch:
    """Records with these timestamps."""
    return pa.record_batch(
        {
            "key": pa.nulls(len(times)),
            "value": pa.array([f"{name}{place}".encode() for place in range(len(times))], pa.binary()),
            "timestamp": pa.array(times, pa.int64()),
        }
    )


def rows(log: Log, topic: str, partition: int = 0, offset: int | None = None, step: int = 1000) -> list[Row]:
    """All records from an offset on, read `step` at a time."""
    found: list[Row] = []
    offset = log.start_offset(topic, partition) if offset is None else offset
    while batches := log.read(topic, partition, offset, step):
        for got in batches:
            assert got.column_names[:4] == ["offset", "key", "value", "timestamp"]
            found += zip(*(got.column(name).to_pylist() for name in got.column_names[:4]), strict=True)
        offset = found[-1][0] + 1
    return found


def values(log: Log, topic: str, partition: int = 0) -> list[str | None]:
    """All values of a partition, as text."""
    return [None if row[2] is None else row[2].decode() for row in rows(log, topic, partition)]


def given_by(consumer: RecordConsumer, max_rows: int = 100) -> dict[TopicPartition, list[int]]:
    """Offsets per partition of all that polls give without waiting."""
    found: dict[TopicPartition, list[int]] = {}
    while (polled := consumer.poll(max_rows, 0)) is not None:
        topic, rows = polled
        pairs = zip(rows.column("$partition").to_pylist(), rows.column("$offset").to_pylist(), strict=True)
        for partition, offset in pairs:
            found.setdefault(TopicPartition(topic, partition), []).append(offset)
    return found


def segments(data: Path, topic: str = "t", partition: int = 0) -> list[Path]:
    """The segment files of a partition, the oldest first."""
    return sorted((data / "topics" / topic / str(partition)).glob("*.log"))

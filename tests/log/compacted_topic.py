"""A compacted topic, short to write and short to compare."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from log_samples import rows

from streamsql.engine.log.log import Log, TopicConfig

DAY = 24 * 3_600_000
# Every batch that is later than the one before begins a segment.
TINY = TopicConfig(cleanup="compact", segment_ms=1)


def upserts(*pairs: tuple[str | None, str | None], at: int = 0, typed: bool = False) -> pa.RecordBatch:
    """Records (key, value), one ms apart from `at` on; typed: keys and values as format ARROW has them."""
    keys, texts = zip(*pairs, strict=True)
    if typed:
        key = pa.array([None if k is None else {"k": k} for k in keys], pa.struct([("k", pa.string())]))
        value = pa.array([None if v is None else {"v": v} for v in texts], pa.struct([("v", pa.string())]))
    else:
        key = pa.array([None if k is None else k.encode() for k in keys], pa.binary())
        value = pa.array([None if v is None else v.encode() for v in texts], pa.binary())
    times = pa.array(range(at, at + len(pairs)), pa.int64())
    return pa.RecordBatch.from_arrays([key, value, times], names=["key", "value", "timestamp"])


def said(log: Log, offset: int | None = None, step: int = 1000) -> list[str]:
    """All records from an offset on, as "<offset> <key><value>"; a tombstone has a dash for its value."""

    def text(side: Any) -> str:
        if isinstance(side, dict):
            (side,) = side.values()
        return side.decode() if isinstance(side, bytes) else side

    return [
        f"{place} {'' if key is None else text(key)}{'-' if value is None else text(value)}"
        for place, key, value, _ in rows(log, "t", 0, offset, step)
    ]

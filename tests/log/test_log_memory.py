"""The log in memory forgets as the one on disk does: by age, by size, and by key."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from log_samples import rows, timed, values

from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.memory import MemoryLog

HOUR = 3_600_000


def test_by_age_batches_go_when_their_latest_record_is_too_old() -> None:
    log = MemoryLog()
    log.create_topic("t", TopicConfig(retention_ms=HOUR))
    for place, time in enumerate([0, 5 * HOUR, HOUR, 6 * HOUR]):
        log.append("t", 0, timed([time], f"r{place}-"))
    log.maintain(HOUR + 1)
    assert (log.start_offset("t", 0), len(values(log, "t"))) == (1, 3)
    log.maintain(6 * HOUR + 1)
    assert (log.start_offset("t", 0), values(log, "t")) == (3, ["r3-0"])
    log.maintain(8 * HOUR)
    assert (log.start_offset("t", 0), log.end_offset("t", 0)) == (4, 4)
    assert log.append("t", 0, timed([8 * HOUR])) == 4


def test_by_size_the_last_batch_stays() -> None:
    log = MemoryLog()
    log.create_topic("t", TopicConfig(retention_bytes=0))
    for place in range(3):
        log.append("t", 0, timed([0], f"r{place}-"))
    log.maintain(0)
    assert values(log, "t") == ["r2-0"]


def changes(keys: list[int], gone: int) -> pa.RecordBatch:
    """A record per key; `gone` and above are deleted."""
    value = pa.array([None if key >= gone else b"v" for key in keys], pa.binary())
    times = pa.array(range(len(keys)), pa.int64())
    key = pa.StructArray.from_arrays([pa.array(keys, pa.int64())], names=["K"])
    return pa.RecordBatch.from_arrays([key, value, times], names=["key", "value", "timestamp"])


def test_of_each_key_the_last_record_stays_and_tombstones_for_a_while() -> None:
    log = MemoryLog()
    log.create_topic("t", TopicConfig(cleanup="compact", delete_retention_ms=HOUR))
    chance = np.random.default_rng(1)
    appended: list[tuple[int, int]] = []
    now = HOUR
    for turn in range(60):
        keys = chance.integers(0, 300, 1000).tolist()
        assert log.append("t", 0, changes(keys, gone=250)) == len(appended)
        appended += [(len(appended) + n, key) for n, key in enumerate(keys)]
        now += HOUR // 4
        log.maintain(now)
        if turn % 10 == 9:
            kept = rows(log, "t")
            assert len(kept) < 25_000
            by_offset = dict(appended)
            last = {key: place for place, key in appended}
            found = {row[0]: row[1]["K"] for row in kept}  # type: ignore[index,call-overload]
            assert all(by_offset[place] == key for place, key in found.items())
            assert all(place in found for key, place in last.items() if key < 250)
            assert max(found) == len(appended) - 1
            for offset in (0, len(appended) // 2, len(appended)):
                assert rows(log, "t", 0, offset, 999) == [row for row in kept if row[0] >= offset]

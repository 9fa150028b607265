"""Restoring from a changelog that does not keep still."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from streamsql.engine import restore
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig


@dataclass
class Cut:
    """A store whose changelog loses its first records while it is read."""

    log: DiskLog
    until: int
    found: list[bytes] = field(default_factory=list)
    name: str = "0-rows"
    bound: str | None = None
    cleanup: str = "delete"
    rows: int = 0
    bytes: int = 0

    def drain(self) -> pa.RecordBatch | None:
        return None

    def needed(self) -> int | None:
        return None

    def restore(self, records: pa.RecordBatch) -> None:
        self.found += records.column("value").to_pylist()
        self.log.trim("t", 0, self.until)
        self.log.maintain(0)


def record(number: int) -> pa.RecordBatch:
    fields = {"key": b"k", "value": b"v%d" % number, "timestamp": number}
    return pa.RecordBatch.from_pylist([fields])


@pytest.mark.parametrize(
    ("until", "found", "told"),
    [
        (0, [b"v0", b"v1", b"v2", b"v3"], [1, 1, 1, 1]),
        (1, [b"v0", b"v1", b"v2", b"v3"], [1, 1, 1, 1]),
        (3, [b"v0", b"v3"], [1, 3]),
    ],
)
def test_what_nobody_needs_any_more_may_go_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: int, found: list[bytes], told: list[int]
) -> None:
    monkeypatch.setattr(restore, "_READ_ROWS", 1)
    with DiskLog(tmp_path / "data") as log:
        log.create_topic("t", TopicConfig(segment_bytes=1))
        for number in range(4):
            log.append("t", 0, record(number))
        store = Cut(log, until)
        steps: list[int] = []
        restore.restore(log, "t", store, steps.append)
        assert (store.found, steps) == (found, told)


def test_a_changelog_is_made_and_kept_as_the_store_has_it(tmp_path: Path) -> None:
    with DiskLog(tmp_path / "data") as log:
        store = Cut(log, 0, cleanup="compact")
        restore.restore(log, "t", store, lambda rows: None)
        assert log.topic_config("t").cleanup == "compact"
        store.cleanup = "delete"
        restore.restore(log, "t", store, lambda rows: None)
        assert log.topic_config("t").cleanup == "delete"
        assert store.found == []

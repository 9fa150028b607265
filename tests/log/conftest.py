"""Logs to test with: each of the two kinds, and directories for the one on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Log, TopicConfig
from streamsql.engine.log.memory import MemoryLog

KINDS: dict[str, Callable[[Path], Log]] = {
    "memory": lambda path: MemoryLog(),
    "disk": DiskLog,
    "disk, flushed now and then": lambda path: DiskLog(path, flush="interval", flush_interval_ms=5),
}


@pytest.fixture(params=KINDS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    with KINDS[request.param](tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def two_topics() -> Iterator[Log]:
    """A log in memory with topics t, of three partitions, and u."""
    with MemoryLog() as opened:
        opened.create_topic("t", TopicConfig(partitions=3))
        opened.create_topic("u", TopicConfig())
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory for a log on disk."""
    return tmp_path / "data"


@pytest.fixture
def unsynced_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for a log whose disk forces nothing.

    For tests that open thousands of logs and decide by themselves what a disk has kept.
    """
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)
    return tmp_path / "data"

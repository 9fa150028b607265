"""A topic that producers write to, and what they have stored in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamsql
from streamsql.database import Database
from streamsql.engine.log.partitioner import murmur2

HOUR_MS = 3_600_000

VIEWS = "CREATE STREAM views (page VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC='v', PARTITIONS=3, VALUE_FORMAT='JSON');"


@contextmanager
def views_on_disk(path: Path) -> Iterator[Database]:
    """A database in this directory, with the stream VIEWS."""
    with streamsql.connect(path / "data") as database:
        database.execute(VIEWS)
        yield database


def stored(db: Database, topic: str = "v") -> list[list[tuple[Any, Any]]]:
    """(key, value) of every record, a list per partition."""
    found = []
    for partition in range(db.log.topic_config(topic).partitions):
        batches = db.log.read(topic, partition, 0, 10_000)
        found.append([(r["key"], r["value"]) for batch in batches for r in batch.to_pylist()])
    return found


def by_kafka(key: str) -> int:
    """The partition of a key in VIEWS."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % 3

"""Changelogs: the internal topics that keep state, and bringing the state back from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log.log import Log, TopicConfig
from streamsql.engine.operators.base import Store
from streamsql.errors import DataError

_READ_ROWS = 1 << 19
# A changelog is only ever read from its start, by a restore: it may be compacted early, and a tombstone is
# needed for as long as a restore that has begun may take.
CHANGELOG = TopicConfig(segment_bytes=16 * 1024 * 1024, delete_retention_ms=20_000)


def changelog_topic(query: str, store: str) -> str:
    """The topic that keeps a store's changes."""
    return f"_streamsql-{query}-{store}-changelog"


def changelog_topics(log: Log, query: str) -> list[str]:
    """The changelogs there are of a query, whether it runs or not."""
    # A store's name begins with the number of its operator: one query's id may begin with another's.
    pattern = re.compile(re.escape(f"_streamsql-{query}-") + r"\d+-[a-z-]+-changelog")
    return [topic for topic in log.topics() if pattern.fullmatch(topic)]


def changelog_rows(log: Log, query: str) -> int:
    """How many records there are to restore of a query's state, at most: compaction leaves gaps."""
    return sum(
        log.end_offset(topic, 0) - log.start_offset(topic, 0)
        for topic in changelog_topics(log, query)
        if log.topic_problem(topic) is None
    )


def restore(log: Log, topic: str, store: Store, restored: Callable[[int], None]) -> None:
    """Bring a store back to what its changelog says; the changelog is made if it is not there.

    restored  told how many records more have been read
    """
    if not log.has_topic(topic):
        log.create_topic(topic, replace(CHANGELOG, cleanup=store.cleanup))
        return
    config = log.topic_config(topic)
    if config.cleanup != store.cleanup:
        log.alter_topic(topic, replace(config, cleanup=store.cleanup))
    offset = log.start_offset(topic, 0)
    while batches := _read(log, topic, offset):
        last = batches[-1].column("offset")[-1].as_py()
        for batch in _joined(batches):
            fail_point("restore.batch")
            store.restore(batch)
        restored(last + 1 - offset)
        offset = last + 1


def _read(log: Log, topic: str, offset: int) -> list[pa.RecordBatch]:
    try:
        return log.read(topic, 0, offset, _READ_ROWS)
    except DataError as error:
        start = log.start_offset(topic, 0)
        if error.code != "LOG-OFFSET-OUT-OF-RANGE" or offset >= start:
            raise
        # A query makes way for another: what it said is not needed any more may go only now.
        return _read(log, topic, start)


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The batches without their offsets, as one if they have one schema: each costs more than its rows."""
    bare = [batch.drop_columns(["offset"]) for batch in batches]
    if len(bare) == 1 or any(batch.schema != bare[0].schema for batch in bare):
        return bare
    return [pa.concat_batches(bare)]

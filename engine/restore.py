"""Changelogs: the internal topics that keep state, and bringing the state back from them."""

from __future__ import annotations

import re
from collections.abc import Callable

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log.log import Log, TopicConfig
from streamsql.engine.operators.base import Store

_READ_ROWS = 1 << 18


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
        log.end_offset(topic, 0) - log.start_offset(topic, 0) for topic in changelog_topics(log, query)
    )


def restore(log: Log, topic: str, store: Store, restored: Callable[[int], None]) -> None:
    """Bring a store back to what its changelog says; the changelog is made if it is not there.

    restored  told how many records more have been read
    """
    if not log.has_topic(topic):
        log.create_topic(topic, TopicConfig(cleanup="compact"))
        return
    offset = log.start_offset(topic, 0)
    while batches := log.read(topic, 0, offset, _READ_ROWS):
        for batch in batches:
            fail_point("restore.batch")
            store.restore(batch.drop_columns(["offset"]))
        last = batches[-1].column("offset")[-1].as_py()
        restored(last + 1 - offset)
        offset = last + 1

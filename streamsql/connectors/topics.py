"""The topic that records are put into from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from streamsql.connectors.resume import forget_loads
from streamsql.engine.log.log import Log, TopicConfig
from streamsql.errors import PlanError, StreamSQLError

if TYPE_CHECKING:
    from streamsql.database import Database


@contextmanager
def ensured_topic(db: Database, topic: str) -> Iterator[None]:
    """Make the topic, with one partition, if it is not there; again without it if what follows fails.

    It stays if there is something in it by then, or somebody has declared a stream on it.

    raises  PlanError LOAD-TOPIC for a topic of the database's own, and for a new one whose name only
            differs by case from one that is there: CREATE STREAM clicks reads topic CLICKS, and records
            in another topic would be looked for in vain
    """
    is_new = _ensure_topic(db.log, topic)
    try:
        yield
    except BaseException:
        # What it failed for is what is to be told, also if the disk then fails too.
        with suppress(StreamSQLError, OSError):
            if is_new and not db.log.end_offset(topic, 0) and not db.catalog.on_topic(topic):
                forget_loads(db.log, topic)
                db.log.delete_topic(topic)
        raise


def _ensure_topic(log: Log, topic: str) -> bool:
    """Make the topic if it is not there; gives whether it was made."""
    if topic.startswith("_streamsql"):
        raise PlanError(f"topic {topic} is the database's own", code="LOAD-TOPIC", hint="take another name")
    if log.has_topic(topic):
        return False
    alike = next((name for name in log.topics() if name.upper() == topic.upper()), None)
    if alike is not None:
        raise PlanError(
            f"there is no topic {topic}, but there is {alike}: upper and lower case count in names of topics",
            code="LOAD-TOPIC",
            hint=f"name {alike}; or declare {topic} first, with CREATE STREAM .. (KAFKA_TOPIC = '{topic}')",
        )
    log.create_topic(topic, TopicConfig())
    return True

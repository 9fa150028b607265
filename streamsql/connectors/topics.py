"""The topic that records are put into from outside."""

from __future__ import annotations

from streamsql.engine.log.log import Log, TopicConfig
from streamsql.errors import PlanError


def ensure_topic(log: Log, topic: str) -> None:
    """Make the topic, with one partition, if it is not there.

    raises  PlanError LOAD-TOPIC for a topic of the database's own, and for a new one whose name only
            differs by case from one that is there: CREATE STREAM clicks reads topic CLICKS, and records
            in another topic would be looked for in vain
    """
    if topic.startswith("_streamsql"):
        raise PlanError(f"topic {topic} is the database's own", code="LOAD-TOPIC", hint="take another name")
    if log.has_topic(topic):
        return
    alike = next((name for name in log.topics() if name.upper() == topic.upper()), None)
    if alike is not None:
        raise PlanError(
            f"there is no topic {topic}, but there is {alike}: upper and lower case count in names of topics",
            code="LOAD-TOPIC",
            hint=f"name {alike}; or declare {topic} first, with CREATE STREAM .. (KAFKA_TOPIC = '{topic}')",
        )
    log.create_topic(topic, TopicConfig())

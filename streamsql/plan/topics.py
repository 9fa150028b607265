"""ALTER TOPIC: the settings of a topic that is there, as a WITH list names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from streamsql.engine.log.log import CLEANUP_POLICIES, TopicConfig
from streamsql.errors import PlanError
from streamsql.grammar import ast
from streamsql.grammar.places import place_of
from streamsql.plan.properties import Properties, read_properties
from streamsql.plan.scope import at

# Property, the field it sets, the least value, and whether -1 takes the limit away, as in Kafka.
_NUMBERS = (
    ("RETENTION_MS", "retention_ms", 0, True),
    ("RETENTION_BYTES", "retention_bytes", 0, True),
    ("SEGMENT_MS", "segment_ms", 1, True),
    ("SEGMENT_BYTES", "segment_bytes", 1, False),
    ("DELETE_RETENTION_MS", "delete_retention_ms", 0, False),
)
OF_ALTER_TOPIC = frozenset({"CLEANUP_POLICY", *(name for name, *_ in _NUMBERS)})


def plan_alter_topic(statement: ast.AlterTopic, config: TopicConfig) -> TopicConfig:
    """The settings of a topic with the changes a statement makes to them.

    raises  PlanError PLAN-PROPERTY, or PLAN-READ-ONLY for a topic the database keeps for itself
    """
    if statement.topic.startswith("_streamsql-"):
        raise at(
            place_of(statement.topic),
            f"topic {statement.topic} is the database's own: it cannot be altered",
            "PLAN-READ-ONLY",
        )
    properties = read_properties(statement.properties, OF_ALTER_TOPIC, statement.topic)
    changes: dict[str, Any] = {}
    for name, field, least, can_be_lifted in _NUMBERS:
        if properties.get(name) is not None:
            changes[field] = _limit(properties, name, least, can_be_lifted)
    policy = properties.get("CLEANUP_POLICY")
    if policy is not None:
        changes["cleanup"] = policy.replace(" ", "").lower()
        if changes["cleanup"] not in CLEANUP_POLICIES:
            raise properties.error(
                "CLEANUP_POLICY",
                f"CLEANUP_POLICY must be {' or '.join(CLEANUP_POLICIES)}, not {policy}",
            )
    return replace(config, **changes)


def unknown_topic(topic: str, known: Iterable[str]) -> PlanError:
    """The error for a topic that is not there."""
    near = next((t for t in known if t.upper() == topic.upper()), None)
    hint = f"there is {near}: topic names keep their case" if near else "SHOW TOPICS; lists them"
    return at(place_of(topic), f"there is no topic {topic}", "PLAN-UNKNOWN-TOPIC", hint)


def _limit(properties: Properties, name: str, least: int, can_be_lifted: bool) -> int | None:
    if can_be_lifted and properties.get(name) == "-1":
        return None
    return properties.number(name, least)

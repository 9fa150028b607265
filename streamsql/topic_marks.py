"""Marks on topics: what a statement does to a topic beside the command topic, told apart after a crash.

A statement makes its topic before it is recorded as a command, and deletes one after. A crash in between
leaves a topic of a statement that never was, or one that a command has deleted. The topic carries the
number of that command in its properties, so that opening can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from streamsql.engine.log.log import Log

_MADE_BY = "made.by.command"
_DELETED_BY = "deleted.by.command"


def made_by(command: int) -> dict[str, str]:
    """The properties of a topic that the next command, of this number, makes."""
    return {_MADE_BY: str(command)}


def mark_deleted(log: Log, topic: str, command: int) -> None:
    """Note on a topic that the next command, of this number, deletes it."""
    if log.has_topic(topic) and log.topic_problem(topic) is None:
        config = log.topic_config(topic)
        properties = {**config.properties, _DELETED_BY: str(command)}
        log.alter_topic(topic, replace(config, properties=properties))


def left_over(log: Log, deletions: Iterable[tuple[str, int]], commands: int) -> Iterator[str]:
    """The topics that should not be there.

    deletions  topic and number of each command that deletes one
    commands   how many commands there are
    """
    deleted = set(deletions)
    for topic in log.topics():
        if log.topic_problem(topic) is not None:
            continue
        config = log.topic_config(topic)
        if (topic, int(config.properties.get(_DELETED_BY, -1))) in deleted:
            yield topic
        elif int(config.properties.get(_MADE_BY, -1)) >= commands and not any(
            log.end_offset(topic, partition) for partition in range(config.partitions)
        ):
            # Whoever has written to it all the same knows it.
            yield topic

"""Which member of a consumer group reads which partitions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from streamsql.engine.log.log import TopicPartition
from streamsql.errors import PlanError

Assignment = dict[str, frozenset[TopicPartition]]
"""Member -> what it is to read: every partition that some member wants, for one member."""

Assign = Callable[
    [Mapping[str, Collection[str]], Mapping[str, int], Mapping[str, Collection[TopicPartition]]], Assignment
]
"""Members with the topics they want, count of partitions per topic, what each was to read before."""


def by_range(
    wanted: Mapping[str, Collection[str]],
    partitions: Mapping[str, int],
    before: Mapping[str, Collection[TopicPartition]],
) -> Assignment:
    """Neighbouring partitions of a topic to one member, so that equal numbers of topics meet in it.

    >>> by_range({"a": ["t", "u"], "b": ["t", "u"]}, {"t": 3, "u": 2}, {})["b"] == {("t", 2), ("u", 1)}
    True

    after  Kafka's RangeAssignor
    """
    found: dict[str, set[TopicPartition]] = {member: set() for member in wanted}
    for topic, count in partitions.items():
        members = sorted(member for member, topics in wanted.items() if topic in topics)
        for number in range(count if members else 0):
            # The first count % len(members) members have one more than the others.
            share, more = divmod(count, len(members))
            place = number // (share + 1) if number < more * (share + 1) else (number - more) // share
            found[members[place]].add(TopicPartition(topic, number))
    return {member: frozenset(places) for member, places in found.items()}


def sticky(
    wanted: Mapping[str, Collection[str]],
    partitions: Mapping[str, int],
    before: Mapping[str, Collection[TopicPartition]],
) -> Assignment:
    """As even as the members' topics allow, with as few partitions as possible changing hands.

    >>> sticky({"a": ["t"], "b": ["t"]}, {"t": 3}, {"a": [("t", 0), ("t", 1), ("t", 2)]})["a"] == {
    ...     ("t", 1), ("t", 2)}
    True

    after  Kafka's CooperativeStickyAssignor
    """
    found: dict[str, set[TopicPartition]] = {member: set() for member in wanted}
    owner = {TopicPartition(*place): member for member, places in before.items() for place in places}
    free: list[tuple[TopicPartition, list[str]]] = []
    for topic, count in sorted(partitions.items()):
        members = sorted(member for member, topics in wanted.items() if topic in topics)
        for number in range(count if members else 0):
            place = TopicPartition(topic, number)
            if owner.get(place) in members:
                found[owner[place]].add(place)
            else:
                free.append((place, members))
    # Those that few can read go first.
    for place, members in sorted(free, key=lambda one: len(one[1])):
        found[min(members, key=lambda member: (len(found[member]), member))].add(place)
    while _level(found, wanted):
        pass
    return {member: frozenset(places) for member, places in found.items()}


def _level(found: dict[str, set[TopicPartition]], wanted: Mapping[str, Collection[str]]) -> bool:
    """Move one partition to a member that has at least two fewer; False if there is none to move."""
    for rich in sorted(found, key=lambda member: (-len(found[member]), member)):
        for poor in sorted(found, key=lambda member: (len(found[member]), member)):
            if len(found[poor]) + 1 >= len(found[rich]):
                break
            places = [place for place in found[rich] if place.topic in wanted[poor]]
            if places:
                found[rich].remove(min(places))
                found[poor].add(min(places))
                return True
    return False


_ASSIGNMENTS: Mapping[str, Assign] = {"sticky": sticky, "range": by_range}


def assignment_of(name: str) -> Assign:
    """The way of assigning that has this name. PlanError GROUP-ASSIGNMENT for one that is unknown."""
    if name not in _ASSIGNMENTS:
        raise PlanError(
            f"there is no assignment '{name}'", code="GROUP-ASSIGNMENT", hint="use 'sticky' or 'range'"
        )
    return _ASSIGNMENTS[name]

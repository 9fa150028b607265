"""Where to begin to read: "earliest", "latest", a time, or offsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.log.refusals import check_range
from streamsql.errors import PlanError

Start = str | int | datetime | Mapping[TopicPartition, int]
"""'earliest', 'latest', the first record at or after a time (ms since epoch, or a datetime with a zone), or
an offset per partition; a partition that is left out begins at its earliest record."""


def start_positions(log: Log, places: Collection[TopicPartition], start: Start) -> dict[TopicPartition, int]:
    """The offset to begin at, for each of the partitions.

    raises  PlanError CONSUMER-START, DataError LOG-OFFSET-OUT-OF-RANGE for an offset that is not there
    """
    if isinstance(start, Mapping):
        for place in places:
            if place in start:
                check_range(*place, start[place], log.start_offset(*place), log.end_offset(*place))
        return {place: start[place] if place in start else log.start_offset(*place) for place in places}
    if start == "earliest":
        return {place: log.start_offset(*place) for place in places}
    if start == "latest":
        return log.end_offsets(places)
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise PlanError(
                f"the time {start} has no zone", code="CONSUMER-START", hint="use datetime(.., tzinfo=UTC)"
            )
        start = int(start.timestamp() * 1000)
    if isinstance(start, int):
        return {place: log.offset_for_time(*place, start) for place in places}
    raise PlanError(
        f"a consumer cannot start at {start!r}",
        code="CONSUMER-START",
        hint="use 'earliest', 'latest', a time, or a mapping of partitions to offsets",
    )

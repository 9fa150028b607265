"""What a running query says about itself: one moment of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamsql.engine.log.log import TopicPartition
from streamsql.engine.problems import Counters


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A durable store. bound: what keeps it from growing for ever; None: nothing does."""

    name: str
    rows: int
    bytes: int
    bound: str | None


@dataclass(frozen=True, slots=True)
class RunnerStatus:
    """One moment of a runner.

    state           as `Runner.state`
    error           the message of what ended it, if something did
    positions       committed: the next offset to consume, per partition
    ends            the offset after the last record, per partition; the difference is its lag
    last_commit_ms  since the epoch; None if it has never committed
    counters        rows since it was opened
    """

    state: str
    error: str | None
    positions: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]
    last_commit_ms: int | None
    counters: Counters
    stores: Sequence[StoreStatus]

    @property
    def lag(self) -> int:
        """Records that are in the log, and not in what was committed."""
        return sum(self.ends[place] - position for place, position in self.positions.items())

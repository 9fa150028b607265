"""What the persistent queries of a database are doing, for status lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamsql.database import Database
    from streamsql.errors import StreamSQLError


@dataclass(frozen=True, slots=True)
class Activity:
    """The queries at one moment.

    running, paused  how many
    failed           error by query id
    lag              records that wait for the running ones
    read             records they have read since the database was opened
    """

    running: int
    paused: int
    failed: dict[str, StreamSQLError]
    lag: int
    read: int

    def __str__(self) -> str:
        parts = [f"{self.running} quer{'y' if self.running == 1 else 'ies'} running"]
        if self.paused:
            parts.append(f"{self.paused} paused")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.running:
            parts.append(f"lag {self.lag:,}" if self.lag else "caught up")
        return " · ".join(parts)


def activity(db: Database) -> Activity:
    """What the queries are doing now."""
    runners = list(db.queries.runners.values())
    states = [runner.state for runner in runners]
    return Activity(
        running=states.count("RUNNING"),
        paused=states.count("PAUSED"),
        failed={runner.name: runner.error for runner in runners if runner.error is not None},
        lag=db.queries.lag(),
        read=sum(runner.task.problems.counters.read for runner in runners),
    )

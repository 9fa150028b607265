"""What went wrong with single records, and the counters of a query.

A bad record never stops a query: it is counted and kept here with its reason until the query's next
commit writes it to the processing log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_KEPT = 10_000
_TEXT_BYTES = 512


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of the processing log.

    kind       DESERIALIZATION, TIMESTAMP, EXPRESSION, LATE, SERIALIZATION
    time_ms    the record's time, or None
    text       the offending payload or expression, cut to 512 bytes
    """

    kind: str
    reason: str
    time_ms: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    text: str | None = None


@dataclass(slots=True)
class Counters:
    """Rows since the query was opened.

    filtered  what a WHERE or HAVING has left out, where it is a step of its own: in front of an
              aggregation it is part of that one's statement, and its rows are not counted
    """

    read: int = 0
    filtered: int = 0
    emitted: int = 0
    skipped: int = 0
    late: int = 0
    failed_expressions: int = 0
    batches: int = 0


@dataclass(slots=True)
class Problems:
    """Collects a query's problems; `drain` hands over what came since the last call.

    dropped  entries beyond the bound that were counted but not kept
    """

    counters: Counters = field(default_factory=Counters)
    first_reason: str | None = None
    dropped: int = 0
    _pending: list[Problem] = field(default_factory=list)

    def record_skipped(self, problem: Problem) -> None:
        """A record that could not be read."""
        self.counters.skipped += 1
        self._keep(problem)

    def expression_failed(self, time_ms: int | None, expression: str, reason: str) -> None:
        self.counters.failed_expressions += 1
        self._keep(Problem("EXPRESSION", reason, time_ms=time_ms, text=cut(expression)))

    def late(self, rows: int, reason: str) -> None:
        """Rows that came after their window had closed."""
        if rows:
            self.counters.late += rows
            self._keep(Problem("LATE", f"{rows} rows: {reason}"))

    def drain(self) -> Sequence[Problem]:
        drained, self._pending = self._pending, []
        return drained

    def _keep(self, problem: Problem) -> None:
        if self.first_reason is None and problem.kind != "LATE":
            self.first_reason = problem.reason
        if len(self._pending) < _KEPT:
            self._pending.append(problem)
        else:
            self.dropped += 1


def cut(text: str) -> str:
    """The text, at most 512 bytes of it."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= _TEXT_BYTES else encoded[:_TEXT_BYTES].decode("utf-8", "ignore") + "…"

"""A stream-stream join row by row, as the rules read: what the vectorised operator is held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Row:
    """side 0 or 1; number is the order of arrival."""

    side: int
    key: int | None
    time: int
    partition: int
    number: int
    waits: bool = False


@dataclass
class JoinModel:
    """Gives (left number, right number, time, number of the cause) for every row that comes out."""

    kind: str
    before_ms: int
    after_ms: int
    grace_ms: int
    is_eager: bool
    rows: list[Row] = field(default_factory=list)
    times: dict[tuple[int, int], int] = field(default_factory=dict)

    def feed(self, row: Row) -> Iterator[tuple[int | None, int | None, int, int]]:
        preserved = [self.kind in ("LEFT", "FULL"), self.kind in ("RIGHT", "FULL")]
        if row.key is None:
            if preserved[row.side]:
                yield self._alone(row, row)
            return
        place = (row.side, row.partition)
        self.times[place] = max(self.times.get(place, row.time), row.time)
        now = self._shared(row.partition)
        for side in (0, 1):
            waiting = [r for r in self.rows if r.side == side and r.waits and r.partition == row.partition]
            for r in sorted(waiting, key=lambda r: (r.time, r.number)):
                if self._last_partner(r) + self.grace_ms < now:
                    r.waits = False
                    yield self._alone(r, row)
        earlier, later = (self.after_ms, self.before_ms) if row.side else (self.before_ms, self.after_ms)
        retention = self.before_ms + self.after_ms + self.grace_ms
        matched = False
        for r in self.rows:
            if r.side == row.side or r.key != row.key or not -earlier <= r.time - row.time <= later:
                continue
            if r.time <= self.times[r.side, r.partition] - retention:
                continue
            matched, r.waits = True, False
            left, right = (r, row) if row.side else (row, r)
            yield left.number, right.number, max(r.time, row.time), row.number
        if preserved[row.side] and not matched:
            if self.is_eager or self._last_partner(row) + self.grace_ms < now:
                yield self._alone(row, row)
            else:
                row.waits = True
        self.rows.append(row)

    def _shared(self, partition: int) -> int:
        return max(self.times.get((side, partition), -(1 << 60)) for side in (0, 1))

    def _last_partner(self, row: Row) -> int:
        return row.time + (self.before_ms if row.side else self.after_ms)

    def _alone(self, row: Row, cause: Row) -> tuple[int | None, int | None, int, int]:
        left, right = (None, row.number) if row.side else (row.number, None)
        return left, right, row.time, cause.number

"""Windows and sessions row by row, as the language defines them, in plain Python: what operators must equal.

Groups carry the list of their values; every aggregate of the tests follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.operators.aggregation import Row


@dataclass
class Group:
    """A group's values with the number each row had, in the order in which the group came to hold them."""

    values: list[tuple[int, int | None]] = field(default_factory=list)
    time: int = -1
    partition: int = 0

    def results(self, names: Sequence[str]) -> dict[str, Any]:
        known = [x for _, x in self.values if x is not None]
        by_number = [x for _, x in sorted(self.values) if x is not None]
        every = {
            "n": len(self.values),
            "total": sum(known),
            "mean": sum(known) / len(known) if known else 0.0,
            "least": min(known, default=None),
            "top": sorted(known, reverse=True)[:2],
            "all": [x for _, x in self.values],
            "last": by_number[-1] if by_number else None,
            "first": by_number[0] if by_number else None,
        }
        return {name: every[name] for name in names}


@dataclass
class TimeWindows:
    """Tumbling and hopping windows; `changes` after each row as (key, start, end, group's row) upserts."""

    size: int
    advance: int
    grace: int
    retention: int
    names: Sequence[str]
    final: bool = False
    groups: dict[tuple[str, int], Group] = field(default_factory=dict)
    stream_time: dict[int, int] = field(default_factory=dict)
    late: int = 0
    number: int = 0

    def feed(self, row: Row) -> list[dict[str, Any]]:
        self.number += 1
        if row.key is None:
            return []
        now = max(self.stream_time.get(row.partition, -1), row.time)
        self.stream_time[row.partition] = now
        changes = []
        start = max(0, row.time - self.size + self.advance) // self.advance * self.advance
        missed = False
        while start <= row.time:
            if start + self.size <= now - self.grace:
                missed = True
            else:
                group = self.groups.setdefault((row.key, start), Group(partition=row.partition))
                group.values.append((self.number, row.x))
                group.time = max(group.time, row.time)
                changes.append(self.row(row.key, start))
            start += self.advance
        self.late += missed
        if self.final:
            changes = [self.row(*key) for key in self.closing(row.partition, now)]
        for key in [k for k in self.groups if self.is_expired(k)]:
            del self.groups[key]
        return changes

    def row(self, key: str, start: int) -> dict[str, Any]:
        group = self.groups[key, start]
        bounds = {"$start": start, "$end": start + self.size, "$time": group.time}
        return {"k": key, **group.results(self.names), **bounds}

    def closing(self, partition: int, now: int) -> list[tuple[str, int]]:
        """Windows that close at this row, by start, then key."""
        found = []
        for (key, start), group in self.groups.items():
            if group.partition != partition or start in self.closed.setdefault(key, set()):
                continue
            if start + self.size + self.grace <= now:
                self.closed[key].add(start)
                found.append((key, start))
        return sorted(found, key=lambda k: (k[1], k[0]))

    closed: dict[str, set[int]] = field(default_factory=dict)

    def is_expired(self, key: tuple[str, int]) -> bool:
        now = self.stream_time.get(self.groups[key].partition, -1)
        kept_for = self.retention + (self.size + self.grace if self.final else 0)
        return key[1] + kept_for <= now

    def table(self) -> list[dict[str, Any]]:
        keys = [k for k in self.groups if not self.final or k[1] in self.closed.get(k[0], ())]
        return [self.row(*key) for key in sorted(keys)]


@dataclass
class SessionRun:
    """One session."""

    start: int
    end: int
    group: Group
    is_final: bool = False


@dataclass
class Sessions:
    """Session windows; `feed` gives weighted changes: (weight, row)."""

    gap: int
    grace: int
    retention: int
    names: Sequence[str]
    final: bool = False
    sessions: dict[str, list[SessionRun]] = field(default_factory=dict)
    stream_time: dict[int, int] = field(default_factory=dict)
    late: int = 0
    number: int = 0

    def feed(self, row: Row) -> list[tuple[int, dict[str, Any]]]:
        self.number += 1
        if row.key is None:
            return []
        now = max(self.stream_time.get(row.partition, -1), row.time)
        self.stream_time[row.partition] = now
        mine = self.sessions.setdefault(row.key, [])
        earliest_end = max(row.time - self.gap, now - self.retention)
        joined = [s for s in mine if s.end >= earliest_end and s.start <= row.time + self.gap]
        end = max([row.time, *(s.end for s in joined)])
        changes: list[tuple[int, dict[str, Any]]] = []
        begins_too_early = row.time < now - self.retention and row.time < min(
            [end, *(s.start for s in joined)]
        )
        if end < now - self.grace - self.gap or begins_too_early:
            self.late += 1
        else:
            for old in joined:
                if not self.final or old.is_final:
                    changes.append((-1, self.row(row.key, old)))
                mine.remove(old)
            values = [v for s in joined for v in s.group.values]
            group = Group([*values, (self.number, row.x)], end, row.partition)
            new = SessionRun(min([row.time, *(s.start for s in joined)]), end, group)
            mine.append(new)
            mine.sort(key=lambda s: s.start)
            if not self.final:
                changes.append((1, self.row(row.key, new)))
        if self.final:
            changes += self.finals(row.partition, now)
        self.expire()
        return changes

    def row(self, key: str, session: SessionRun) -> dict[str, Any]:
        bounds = {"$start": session.start, "$end": session.end, "$time": session.end}
        return {"k": key, **session.group.results(self.names), **bounds}

    def finals(self, partition: int, now: int) -> list[tuple[int, dict[str, Any]]]:
        found = []
        for key, mine in self.sessions.items():
            for s in mine:
                if s.group.partition == partition and not s.is_final and s.end + self.gap + self.grace < now:
                    s.is_final = True
                    found.append((s.start, key, s))
        return [(1, self.row(key, s)) for _, key, s in sorted(found, key=lambda f: f[:2])]

    def expire(self) -> None:
        for key, mine in self.sessions.items():
            self.sessions[key] = [s for s in mine if not self.is_expired(s)]

    def is_expired(self, session: SessionRun) -> bool:
        now = self.stream_time.get(session.group.partition, -1)
        if self.final:
            return session.end + self.gap + self.grace + 1 + self.retention <= now
        return session.end < now - self.retention

    def table(self) -> list[dict[str, Any]]:
        rows = [
            self.row(key, s)
            for key, mine in self.sessions.items()
            for s in mine
            if s.is_final or not self.final
        ]
        return sorted(rows, key=lambda r: (r["k"], r["$start"]))

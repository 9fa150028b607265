"""Calendar: which slots are due when stream time reaches a point; looking costs what is due."""

from __future__ import annotations

import heapq

import numpy as np

from streamsql.engine.state.columns import Int64s


class Calendar:
    """Slots by due time, each slot entered once. Entering many slots costs by their distinct times."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Int64s]] = {}
        self._times: list[int] = []

    def enter(self, due: Int64s, slots: Int64s) -> None:
        """Put slots in; due int64[n], slots int64[n]."""
        if not len(slots):
            return
        order = np.argsort(due, kind="stable")
        ordered = due[order]
        begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        # A loop over distinct times: windows, not rows.
        for time, part in zip(ordered[begins].tolist(), np.split(slots[order], begins[1:]), strict=True):
            if time not in self._slots:
                self._slots[time] = []
                heapq.heappush(self._times, time)
            self._slots[time].append(part)

    def first(self) -> int | None:
        """The earliest due time, None if nothing is entered."""
        return self._times[0] if self._times else None

    def take(self, until: int) -> tuple[Int64s, Int64s]:
        """Take out everything due at `until` or before: slots and their due times, by time."""
        slots: list[Int64s] = []
        times: list[Int64s] = []
        while self._times and self._times[0] <= until:
            time = heapq.heappop(self._times)
            for part in self._slots.pop(time):
                slots.append(part)
                times.append(np.full(len(part), time))
        if not slots:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing
        return np.concatenate(slots), np.concatenate(times)

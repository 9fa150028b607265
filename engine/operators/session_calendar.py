"""When sessions are final, and when they leave."""

from __future__ import annotations

from collections.abc import Callable

from streamsql.engine.batch import PARTITION, WINDOW_END
from streamsql.engine.by_partition import rows_by_partition
from streamsql.engine.operators.calendar import Calendar
from streamsql.engine.state.columns import Int64s, distinct
from streamsql.engine.state.rows import RowStore
from streamsql.engine.windows import Session


class SessionCalendar:
    """The sessions of a store by the time they are due; with `is_final` they are kept from being final on.

    A session is entered once, when it begins; by the time its entry comes up it may have grown, or another
    one may have its slot.
    """

    def __init__(self, store: RowStore, window: Session, is_final: bool) -> None:
        self._store = store
        self._window = window
        self._is_final = is_final
        self._closing: dict[int, Calendar] = {}
        self._expiring: dict[int, Calendar] = {}

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(len(c) for c in (*self._closing.values(), *self._expiring.values()))

    def enter(self, slots: Int64s, partition: Int64s) -> None:
        """New sessions, whose ends are stored."""
        for number, rows in rows_by_partition(partition):
            mine = slots[rows]
            if self._is_final:
                self._closing.setdefault(number, Calendar()).enter(self.close_time(mine), mine)
            self._expiring.setdefault(number, Calendar()).enter(self._expiry_time(mine), mine)

    def closed(self, partition: int, until: int) -> Int64s:
        """Take out the sessions that are final at a stream time; with `is_final` only."""
        return self._due(self._closing, partition, until, self.close_time)

    def expired(self, partition: int, until: int) -> Int64s:
        """Take out the sessions past their retention at a stream time."""
        return self._due(self._expiring, partition, until, self._expiry_time)

    def close_time(self, slots: Int64s) -> Int64s:
        """The first stream time at which each session is final."""
        return self._window.close_time(self._store.fixed(WINDOW_END).values[slots])

    def _expiry_time(self, slots: Int64s) -> Int64s:
        if self._is_final:
            return self.close_time(slots) + self._window.retention_ms
        return self._window.expiry_time(self._store.fixed(WINDOW_END).values[slots])

    def _due(
        self,
        calendars: dict[int, Calendar],
        partition: int,
        until: int,
        due_time: Callable[[Int64s], Int64s],
    ) -> Int64s:
        calendar = calendars.setdefault(partition, Calendar())
        slots, _ = calendar.take(until)
        slots = distinct(slots)
        slots = slots[self._store.is_live(slots)]
        slots = slots[self._store.fixed(PARTITION).values[slots] == partition]
        due = due_time(slots)
        calendar.enter(due[due > until], slots[due > until])
        found: Int64s = slots[due <= until]
        return found

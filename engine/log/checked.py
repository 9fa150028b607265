"""Which bytes of a file are known to be good: written by this process, or read and checked by it before.

A payload's CRC costs more than all else about reading it, and many queries read the same records.
"""

from __future__ import annotations

_MOST_STRETCHES = 16


class Checked:
    """Stretches [start, end) of a file; those that meet become one. Any thread may ask or add."""

    def __init__(self) -> None:
        self._stretches: tuple[tuple[int, int], ...] = ()

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is known to be good."""
        return any(a <= start and end <= b for a, b in self._stretches)

    def from_position(self, start: int) -> int:
        """The end of the good stretch that `start` lies in; `start` itself if it lies in none."""
        return max((b for a, b in self._stretches if a <= start < b), default=start)

    def add(self, start: int, end: int) -> None:
        """Note that [start, end) is good; of too many stretches the shortest is forgotten.

        >>> checked = Checked(); checked.add(0, 4); checked.add(8, 9); checked.add(4, 8)
        >>> checked.covers(0, 9), checked.covers(0, 10)
        (True, False)
        """
        apart = []
        for a, b in self._stretches:
            if a <= end and start <= b:
                start, end = min(a, start), max(b, end)
            else:
                apart.append((a, b))
        longest = sorted([*apart, (start, end)], key=lambda s: s[0] - s[1])[:_MOST_STRETCHES]
        self._stretches = tuple(longest)

    def cut(self, end: int) -> None:
        """Forget what lies at `end` and behind it."""
        self._stretches = tuple((a, min(b, end)) for a, b in self._stretches if a < end)

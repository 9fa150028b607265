"""How wide the columns of a table are: what they need, less where the screen is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SEPARATOR_CELLS = 3
_LEAST_TEXT = 8
_LEAST_WRAPPED = 24


@dataclass(frozen=True, slots=True)
class Need:
    """What one column asks for, in cells.

    header   of its name
    content  of its widest value seen
    rigid    whether a value must not be cut: a number without its last digits is another number
    """

    header: int
    content: int
    rigid: bool

    @property
    def natural(self) -> int:
        return max(self.header, self.content, 1)

    @property
    def least(self) -> int:
        return max(1, self.content) if self.rigid else min(self.natural, _LEAST_TEXT)


def listing_widths(needs: Sequence[Need], screen: int | None) -> list[int] | None:
    """As `column_widths`, where texts go on in the next line instead of being cut.

    Then one column can be narrow and nothing is lost: all but the widest get what they need, if that leaves
    it enough to read.

    >>> listing_widths([Need(4, 28, False), Need(4, 100, False)], 80)
    [28, 47]
    """
    widest = max(range(len(needs)), key=lambda i: needs[i].natural)
    others = [need if i == widest else Need(need.header, need.natural, True) for i, need in enumerate(needs)]
    widths = column_widths(others, screen)
    if widths is None or widths[widest] < min(needs[widest].natural, _LEAST_WRAPPED):
        return column_widths(needs, screen)
    return widths


def column_widths(needs: Sequence[Need], screen: int | None) -> list[int] | None:
    """Cells per column, or None if the columns do not fit side by side.

    screen  cells there are, None for no limit

    Each column gets what it needs as long as that is less than its fair share; the rest is shared
    by the wide ones (max-min fairness).

    >>> column_widths([Need(4, 3, True), Need(4, 100, False), Need(4, 50, False)], 60)
    [4, 24, 24]
    """
    natural = [need.natural for need in needs]
    if screen is None:
        return natural
    room = screen - SEPARATOR_CELLS * (len(needs) - 1) - 2
    if sum(natural) <= room:
        return natural
    widths = [need.least for need in needs]
    if sum(widths) > room:
        return None
    spare = room - sum(widths)
    # Water filling: raise the lowest columns together; each round ends a column or the water.
    while spare > 0:
        growing = [i for i, need in enumerate(needs) if widths[i] < need.natural]
        level = min(widths[i] for i in growing)
        lowest = [i for i in growing if widths[i] == level]
        ceiling = min([natural[i] for i in lowest] + [widths[i] for i in growing if widths[i] > level])
        step = min(ceiling - level, spare // len(lowest))
        if step == 0:
            for i in lowest[:spare]:
                widths[i] += 1
            return widths
        for i in lowest:
            widths[i] += step
        spare -= step * len(lowest)
    return widths

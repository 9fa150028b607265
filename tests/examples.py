"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

_STANDARD = settings.default.max_examples
_IS_LONG = _STANDARD >= 1_000


def tried(quick: int, share: int = 1, **more: int) -> settings:
    """So many examples in the quick profile; in a long one what the profile says, divided by `share`.

    more  other settings of hypothesis
    """
    return settings(max_examples=_STANDARD // share if _IS_LONG else quick, deadline=None, **more)


many = tried(100)
"""For properties whose cases are rare."""

few = tried(5, share=5)
"""For properties that run over a list of cases of one kind: together they have their share."""

costly = tried(5)
"""For examples that take long."""

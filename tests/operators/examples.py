"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

many = settings(max_examples=max(100, settings.default.max_examples))
"""More than the quick profile has, and as many as any other profile says."""

few = settings(max_examples=max(5, settings.default.max_examples // 5))
"""For properties that run over a list of cases of one kind: together they have their share."""

costly = settings(max_examples=5) if settings.default.max_examples < 100 else settings()
"""Few in the quick profile, and as many as any other profile says."""

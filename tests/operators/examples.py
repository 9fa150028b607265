"""How many examples a property of an operator is tried with."""

from __future__ import annotations

from hypothesis import settings

many = settings(max_examples=max(100, settings.default.max_examples))
"""More than the quick profile has, and as many as any other profile says."""

"""Fixtures for every test: a database in memory, and how many examples hypothesis tries."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import streamsql
from streamsql.database import Database

# The quick profile tries the same examples every time: a run says something about the change, not about luck.
settings.register_profile(
    "quick", max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture
def db() -> Iterator[Database]:
    """A database that lives in memory."""
    with streamsql.connect() as database:
        yield database

"""Fixtures for every test: a database in memory, and how many examples hypothesis tries."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 1 << 30


def pytest_configure() -> None:
    """Temporary folders lie in memory where there is room: to wait for a disk is most of what a log does.

    That a log does wait is held by tests that count the calls; what a disk forgets, by test_log_power_loss.py.
    """
    is_free = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    if "TMPDIR" not in os.environ and is_free and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


@pytest.fixture
def db() -> Iterator[Database]:
    """A database that lives in memory."""
    with streamsql.connect() as database:
        yield database

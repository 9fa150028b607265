"""A few kills on every run of the tests; `make crash` does two hundred."""

from __future__ import annotations

import re
from pathlib import Path

import streamsql
from streamsql.engine import failpoints
from tests.crash import campaign


def test_what_was_killed_ends_as_what_was_not(tmp_path: Path) -> None:
    tally = campaign.run(tmp_path, seed=7, kills=5, rounds=2)
    assert tally.killed == 5
    assert tally.records > 100


def test_every_fail_point_is_somewhere_once_and_listed() -> None:
    # The engine is linked into the package, and a search does not follow links.
    folders = [Path(module.__file__).parent for module in (streamsql, failpoints)]
    found = [
        name
        for folder in folders
        for path in folder.rglob("*.py")
        for name in re.findall(r'fail_point\("([^"]+)"\)', path.read_text("utf-8"))
    ]
    assert sorted(found) == sorted(failpoints.POINTS)

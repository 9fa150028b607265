"""The event-sourcing example tells its story."""

from __future__ import annotations

import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamsql.database import Database

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "event_sourcing" / "accounts.py"


def test_the_story_of_a_wrong_event(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "bob can take 80: False",
        "ann has 5100",
        "corrected, ann has 150",
        "leaving out offsets 2 and 3 of partition 0",
        "ann: 150, largest 5000; replayed: 150, largest 100",
        "bob: 50, largest 50; replayed: 50, largest 50",
    ]


def test_no_account_is_overdrawn_by_threads_that_withdraw_at_the_same_time(db: Database) -> None:
    example = runpy.run_path(str(EXAMPLE))
    db.execute((EXAMPLE.parent / "accounts.sql").read_text())
    for account in ("ann", "bob"):
        example["record"](db, account, "deposited", 50)

    def withdraw_all(account: str) -> int:
        taken = 0
        while example["withdraw"](db, account, 8):
            taken += 8
        return taken

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(withdraw_all, ["ann", "bob"] * 2)) == 2 * 48
    assert [example["balance"](db, account) for account in ("ann", "bob")] == [2, 2]

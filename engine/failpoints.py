"""Named places where a test can make a process die or a disk fail.

The environment variable STREAMSQL_FAILPOINTS, read when this module is loaded, arms them in a child
process: `commit.before_record=kill` kills the process without warning (SIGKILL) the first time it gets
there, `commit.before_record=kill:3` the third time. Inside one process `armed` runs any function
instead. Unarmed, a fail point costs a look at an empty dict.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_armed: dict[str, Callable[[], None]] = {}


def fail_point(name: str) -> None:
    """Run what is armed under this name; mostly nothing."""
    if _armed and (action := _armed.get(name)):
        action()


@contextmanager
def armed(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` at every pass through the fail point while the context is open."""
    before = _armed.get(name)
    _armed[name] = action
    try:
        yield
    finally:
        if before is None:
            del _armed[name]
        else:
            _armed[name] = before


def arm_from(text: str) -> None:
    """Arm `name=kill[:n]`, comma-separated; ValueError for anything else."""
    for part in filter(None, text.split(",")):
        name, _, action = part.partition("=")
        verb, _, count = action.partition(":")
        if verb != "kill" or not name:
            raise ValueError(f"STREAMSQL_FAILPOINTS: '{part}' is not name=kill or name=kill:n")
        _armed[name] = _kill_at(int(count or 1))


def _kill_at(passes: int) -> Callable[[], None]:
    left = passes

    def action() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return action


arm_from(os.environ.get("STREAMSQL_FAILPOINTS", ""))

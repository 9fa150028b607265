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

POINTS = {
    "file.write": "before bytes of a segment or of the commits are written",
    "file.sync": "before a file is forced to disk",
    "file.before_replace": "a small file is written in full and not yet in place",
    "file.after_replace": "a small file is in place, and its directory not forced to disk",
    "topic.before_rename": "the directory of a new topic is made, under another name",
    "topic.after_burial": "the directory of a dropped topic has another name, and is not cleared",
    "roll.before_sync": "a segment is full, and not forced to disk",
    "roll.before_index": "a full segment is forced to disk, its index not saved",
    "roll.before_segment": "a full segment is closed, the next one not made",
    "roll.after_segment": "the next segment is made and empty",
    "retention.before_start": "it is known which segments are to go",
    "retention.before_remove": "the partition begins later, a segment before that is still there",
    "retention.after_remove": "the segments that retention dropped are gone",
    "compact.before_write": "before a compacted segment is begun",
    "compact.before_sync": "a compacted segment is written, and not forced to disk",
    "compact.before_swap": "a compacted segment is on disk, under another name",
    "compact.after_swap": "a compacted segment is in place, those that it stands for are there too",
    "compact.before_remove": "before a segment that was compacted is removed",
    "compact.after_remove": "the segments that were compacted are gone",
    "commit.before_write": "before a partition's frames of a commit are written",
    "commit.before_sync": "the frames of a commit are written, none is forced to disk",
    "commit.before_record": "the frames of a commit are on disk, its record is not written",
    "commit.before_record_sync": "the record of a commit is written, and not forced to disk",
    "commit.after_record": "a commit has happened, and nobody sees it yet",
    "commit.before_listeners": "readers see a commit, and nobody has told them",
    "query.before_commit": "a query has rows to commit",
    "query.after_commit": "a query has committed, and does not know it yet",
    "open.before_cut": "opening knows what to cut off a partition",
    "open.before_commits": "opening has mended the partitions, not the file of commits",
    "restore.batch": "before a batch of a changelog is put into a store",
    "restore.after": "the state of a query is back, the query does not run yet",
    "command.before_record": "a statement has made its topics, and is not in the command topic",
    "command.after_record": "a statement is in the command topic, and not done",
}
"""Every fail point, and where a process stands when it gets there."""

_armed: dict[str, Callable[[], None]] = {}


def fail_point(name: str) -> None:
    """Run what is armed under this name; mostly nothing."""
    if _armed and (action := _armed.get(name)):
        action()


@contextmanager
def armed(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` at every pass through the fail point while the context is open."""
    assert name in POINTS, name
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
    """Arm `name=kill[:n]`, comma-separated; ValueError for anything else, or a name that is not in POINTS."""
    for part in filter(None, text.split(",")):
        name, _, action = part.partition("=")
        verb, _, count = action.partition(":")
        if verb != "kill" or not name:
            raise ValueError(f"STREAMSQL_FAILPOINTS: '{part}' is not name=kill or name=kill:n")
        if name not in POINTS:
            raise ValueError(f"STREAMSQL_FAILPOINTS: there is no fail point '{name}'")
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

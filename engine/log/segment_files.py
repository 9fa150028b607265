"""The files of a partition: their names, and which of them count.

    <base>.log                         frames from offset `base` on, as they were appended
    <base>-<end>-<generation>.log      what compaction, or a repair, has kept of the offsets [base, end)
    <name of a segment>.index          where its frames are (index.py)
    start.json                         offset: what lies before was dropped by retention; none: 0
    *.tmp                              what a crash left of writing one of these

No file is ever rewritten. Compaction puts a new one in place whole, and its generation is higher than that
of any file there: it supersedes whatever begins in its range. Retention first says in start.json where the
partition begins from now on, and then removes what lies before. So a crash between any two steps leaves
files that say by their names alone what counts; the others are removed when the partition is next opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from streamsql.engine.log.files import read_json, write_json
from streamsql.errors import DataError

_NAME = re.compile(r"(\d{20})(?:-(\d{20})-(\d{6,}))?\.(log|index)")


class SegmentName(NamedTuple):
    """What a segment's file is called.

    base        first offset
    end         offset after the last one, for a compacted segment; None for one as it was appended
    generation  0 for one as it was appended
    """

    base: int
    end: int | None = None
    generation: int = 0

    @property
    def file(self) -> str:
        """
        >>> SegmentName(7).file
        '00000000000000000007.log'
        """
        if self.end is None:
            return f"{self.base:020d}.log"
        return f"{self.base:020d}-{self.end:020d}-{self.generation:06d}.log"

    @classmethod
    def of(cls, path: Path) -> SegmentName | None:
        """The name of a segment or index file; None for any other file."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        base, end, generation, _ = match.groups()
        return cls(int(base), None if end is None else int(end), int(generation or 0))


class Found(NamedTuple):
    """A partition's files, sorted by what is to become of them.

    segments  paths of the segments that count, by base offset
    lost      a segment that has an index file and is not there itself: the last ones of a partition
    leftover  files that a crash left behind: superseded, dropped by retention, unfinished
    start     the smallest offset that can be read
    """

    segments: list[tuple[SegmentName, Path]]
    lost: list[SegmentName]
    leftover: list[Path]
    start: int


def find(directory: Path, start: int | None = None) -> Found:
    """Look through a partition's directory. OSError; DataError if start.json is damaged.

    start  instead of what start.json says
    """
    paths = sorted(directory.iterdir())
    start = read_start(directory) if start is None else start
    leftover = [path for path in paths if path.suffix == ".tmp"]
    named = {path: name for path in paths if (name := SegmentName.of(path)) is not None}
    logs = {path: name for path, name in named.items() if path.suffix == ".log"}
    dead = superseded(logs.values())
    alive = sorted((name, path) for path, name in logs.items() if name not in dead)
    # A segment ends where the next one begins, or where its own name says.
    dropped = {name for (name, _), (after, _) in pairwise(alive) if after.base <= start}
    dropped |= {name for name, _ in alive if name.end is not None and name.end <= start}
    segments = [(name, path) for name, path in alive if name not in dropped]
    there = {name for name, _ in segments}
    reached = max([start, *(name.base + 1 for name in there), *(name.end or 0 for name in there)])
    lost = []
    for path, name in named.items():
        if name in there:
            continue
        if path.suffix == ".index" and name not in dead and name not in dropped and name.base >= reached:
            lost.append(name)
        else:
            leftover.append(path)
    return Found(segments, lost, leftover, start)


def superseded(names: Iterable[SegmentName]) -> set[SegmentName]:
    """The names that begin in the range of a compacted segment of a higher generation.

    >>> sorted(superseded([SegmentName(0), SegmentName(5), SegmentName(0, 5, 1)]))
    [SegmentName(base=0, end=None, generation=0)]
    """
    known = set(names)
    newer = [name for name in known if name.end is not None]
    return {
        name
        for name in known
        if any(o.generation > name.generation and o.base <= name.base < (o.end or 0) for o in newer)
    }


def next_generation(directory: Path) -> int:
    """A generation above that of every file in the directory. OSError."""
    names = filter(None, map(SegmentName.of, directory.iterdir()))
    return max((name.generation for name in names), default=0) + 1


def read_start(directory: Path) -> int:
    """The offset in start.json, 0 without the file. DataError LOG-CORRUPT, OSError."""
    path = directory / "start.json"
    if not path.exists():
        return 0
    offset = read_json(path).get("offset")
    if not isinstance(offset, int) or offset < 0:
        raise DataError(
            f"file {path} is damaged: it names no offset",
            code="LOG-CORRUPT",
            hint="restore it from a copy, or run streamsql check --repair",
        )
    return offset


def write_start(directory: Path, offset: int) -> None:
    """Say, durably, that the partition begins at `offset` from now on. OSError."""
    write_json(directory / "start.json", {"offset": offset})

"""Looking through a data directory that nobody has open: every file, every frame. Nothing is changed.

    commits.log  every record; the ends it names against the partitions
    topics       settings; per partition the names of the files, every frame of every segment (scan.py), that
                 segments follow one another, and that each index file leads where it should

What opening would put right by itself (a torn end, an index that is lost, what a crash left behind) is a
note. Damage is what was once on the disk and counted, and is not there any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from streamsql.engine.log import commits, frame, index, owner, segment_files, topic_files
from streamsql.engine.log.commits import Ends
from streamsql.engine.log.files import explained, read_json
from streamsql.engine.log.index import Index
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.scan import Scan, Stretch, scan
from streamsql.engine.log.segment_files import SegmentName
from streamsql.engine.log.topic_files import TopicFiles
from streamsql.errors import DataError

UNKNOWN_COMMIT = "a commit that is not on record"

_Where = tuple[str | None, int | None]
"""Topic and partition."""

Progress = Callable[[int, int], None]
"""Called with the bytes that were looked at, and how many there are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file.

    is_damage   something was lost; else opening puts it right
    file        relative to the data directory
    position    byte in the file, or None
    offsets     [first, end) of the records concerned, or None
    kind        UNKNOWN_COMMIT or nothing in particular
    """

    is_damage: bool
    says: str
    file: str
    position: int | None = None
    topic: str | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None
    kind: str = ""


@dataclass(slots=True)
class PartitionScan:
    """A partition as it was found.

    start   the smallest offset that can be read
    end     every offset below was once on the disk and counted
    gaps    offsets [from, to) for which there is no segment
    lost    segments at the end that left nothing but their index
    """

    files: TopicFiles
    number: int
    start: int = 0
    end: int = 0
    scans: list[Scan] = field(default_factory=list)

    gaps: list[tuple[int, int]] = field(default_factory=list)
    lost: list[SegmentName] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    findings: list[Finding] = field(default_factory=list)
    partitions: list[PartitionScan] = field(default_factory=list)
    topics: list[TopicFiles] = field(default_factory=list)

    @property
    def damage(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_damage]


def check(root: Path, progress: Progress = lambda done, total: None) -> Report:
    """Look through all of a data directory.

    raises  ExternalError LOG-NO-DATA if there is none, LOG-LOCKED, LOG-NEWER-FORMAT, or if it cannot be read
    """
    with owner.looking(root):
        return look_through(root, progress)


def look_through(root: Path, progress: Progress = lambda done, total: None) -> Report:
    """The same, for whoever owns the directory."""
    return _Check(root, progress).run()


class _Check:
    def __init__(self, root: Path, progress: Progress) -> None:
        self._root = root
        self._progress = progress
        self._report = Report()
        with explained("look through", root):
            self._total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        self._done = 0
        self._knows_commits = True

    def run(self) -> Report:
        try:
            if not owner.check_format(self._root):
                self._found(True, "version.json is missing", self._root / "version.json")
        except DataError as error:
            self._found(True, error.message, self._root / "version.json")
        ends = self._commits()
        self._schemas()
        with explained("look through", self._root):
            directories = sorted((self._root / "topics").iterdir())
        for directory in directories:
            if directory.name.startswith((topic_files.MAKING, topic_files.GONE)):
                self._found(False, "left by a crash: opening removes it", directory)
            elif directory.is_dir():
                self._topic(directory, ends)
        self._progress(self._total, self._total)
        return self._report

    # -- files of the whole database

    def _commits(self) -> Ends:
        """The ends of the partitions that the file of commits knows."""
        path = self._root / "commits.log"
        notes: list[str] = []
        try:
            found = commits.load(path, notes)
        except DataError as error:
            self._found(True, error.message, path)
            self._knows_commits = False
            return {}
        for note in notes:
            self._found(False, f"{note}: it never happened", path)
        self._step(path)
        return commits.state_of(found, only_synced=True).ends

    def _schemas(self) -> None:
        path = self._root / "schemas.jsonl"
        if not path.exists():
            return
        with explained("read", path):
            lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError:
                self._found(True, f"line {number} is not JSON", path)

    # -- topics

    def _topic(self, directory: Path, ends: Ends) -> None:
        try:
            files = topic_files.read_topic(directory)
        except DataError as error:
            problem = TopicFiles(directory, topic_files.topic_name(directory), "", TopicConfig(), error)
            self._report.topics.append(problem)
            self._found(True, error.message, directory, (problem.name, None))
            return
        self._report.topics.append(files)
        copy = directory / topic_files.COPY
        if copy.exists():
            try:
                topic_files.read_settings(directory, copy.name)
            except DataError as error:
                says = f"{error.message}; it is made again when the settings change"
                self._found(False, says, copy, (files.name, None))
        for number in range(files.config.partitions):
            self._partition(PartitionScan(files, number), ends.get((files.id, number), 0))

    def _partition(self, part: PartitionScan, end: int) -> None:
        directory, _, seed = part.files.place(part.number)
        where = (part.files.name, part.number)
        self._report.partitions.append(part)
        try:
            files = segment_files.find(directory)
        except DataError as error:
            self._found(True, error.message, directory / "start.json", where)
            files = segment_files.find(directory, start=0)
        for path in files.leftover:
            self._found(False, "left by a crash: opening removes it", path, where)
        part.start, part.end = files.start, max(end, files.start)
        stored: dict[SegmentName, Index | None] = {}
        for name, path in files.segments:
            part.scans.append(scan(path, name, seed))
            stored[name] = self._index(path, name, seed, where)
            self._step(path)
        for name in files.lost:
            says = f"it is missing, and with it the records from offset {name.base} on"
            self._found(True, says, directory / name.file, where)
            part.lost.append(name)
            lost = self._index(directory / name.file, name, seed, where)
            part.end = max(part.end, lost.end_offset if lost else 0)
        self._producers(directory, where)
        if part.scans:
            last = part.scans[-1]
            known = stored[last.name]
            part.end = max(part.end, last.name.end or 0, last.settled, known.end_offset if known else 0)
            if known is not None and known.is_awaiting and not last.size:
                says = "it is empty, and records were about to be written: if acknowledged, they are lost"
                self._found(False, says, last.path, where)
        self._segments(part, where)
        if self._knows_commits:
            self._unfinished(part, end, where)
        for one in part.scans:
            kept = stored[one.name]
            if kept is not None and not one.bad:
                self._compare(kept, one, where)

    def _segments(self, part: PartitionScan, where: _Where) -> None:
        """What is lost between and in the segments of a partition."""
        reached = part.start
        for place, one in enumerate(part.scans):
            self._gap(part, reached, one.name.base, where)
            is_last = place == len(part.scans) - 1
            limit = one.name.end or (part.end if is_last else part.scans[place + 1].name.base)
            self._lost(one, limit, is_last, where)
            reached = max(reached, limit, one.end_offset)
        self._gap(part, reached, part.end, where)

    def _gap(self, part: PartitionScan, begin: int, end: int, where: _Where) -> None:
        if begin < end:
            part.gaps.append((begin, end))
            says = f"the records from offset {begin} to {end} are missing"
            self._found(True, says, part.files.partition_directory(part.number), where, offsets=(begin, end))

    def _lost(self, one: Scan, limit: int, is_last: bool, where: _Where) -> None:
        """What is lost of a segment that should reach to offset `limit`."""
        torn = next((bad for bad in one.bad if bad.offset >= limit and bad.is_torn), None)
        if is_last and torn is not None:
            # Nothing proves that it was ever acknowledged, nor what was written after it.
            self._unwritten(one, torn.start, where)
        elif is_last and one.good and frame.is_schema(one.good[-1][1]) and one.end_offset >= limit:
            self._unwritten(one, one.good[-1][0], where)
        elif one.bad and one.bad[-1].end == one.size:
            tail = one.bad.pop()
            one.bad.append(tail._replace(end_offset=max(tail.end_offset, limit)))
        elif one.end_offset < limit:
            one.bad.append(Stretch(one.size, one.size, one.end_offset, limit, "the file ends there"))
        for bad in one.bad:
            says = f"the records from offset {bad.offset} to {bad.end_offset} are lost: {bad.why}"
            self._found(True, says, one.path, where, bad.start, (bad.offset, bad.end_offset))

    def _unwritten(self, one: Scan, position: int, where: _Where) -> None:
        """What opening cuts off, from a position on."""
        one.cut(position)
        says = f"{one.size - position} bytes of an append that was not finished: opening cuts them off"
        self._found(False, says, one.path, where, position)

    def _unfinished(self, part: PartitionScan, committed: int, where: _Where) -> None:
        """Frames at the end that belong to no commit on record."""
        for position, header in part.scans[-1].good if part.scans else ():
            if header.flags & frame.TRANSACTIONAL and header.base_offset >= committed:
                is_damage = header.base_offset < part.end
                says = (
                    f"the records from offset {header.base_offset} on are of a commit that is not on record"
                )
                if not is_damage:
                    says += ": it was not finished, and opening cuts it off"
                self._found(is_damage, says, part.scans[-1].path, where, position, kind=UNKNOWN_COMMIT)
                return

    def _index(self, path: Path, name: SegmentName, seed: int, where: _Where) -> Index | None:
        """What the index file of a segment says; None if there is none to be trusted."""
        file = index.path_of(path)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        found = Index.from_bytes(data, seed, name.base)
        if found is None:
            self._found(False, "an index that is not whole: it is made again", file, where)
        self._step(file)
        return found

    def _compare(self, stored: Index, found: Scan, where: _Where) -> None:
        made = found.index(stored.end)
        is_same = (stored.offsets, stored.positions, stored.schemas, stored.end, stored.end_offset) == (
            *(made.offsets, made.positions, made.schemas, made.end, made.end_offset),
        )
        is_late = any(a < b for a, b in zip(stored.latest, made.latest, strict=is_same))
        if not is_same or is_late:
            self._found(True, "the index does not lead to the frames", index.path_of(found.path), where)

    def _producers(self, directory: Path, where: _Where) -> None:
        path = directory / "producers.json"
        if path.exists():
            try:
                with explained("read", path):
                    read_json(path)
            except DataError as error:
                self._found(True, error.message, path, where)

    # -- inside

    def _found(
        self,
        is_damage: bool,
        says: str,
        path: Path,
        where: _Where = (None, None),
        position: int | None = None,
        offsets: tuple[int, int] | None = None,
        kind: str = "",
    ) -> None:
        file = str(path.relative_to(self._root))
        self._report.findings.append(Finding(is_damage, says, file, position, *where, offsets, kind))

    def _step(self, path: Path) -> None:
        """Count a file as looked at."""
        if path.exists():
            self._done += path.stat().st_size
        self._progress(self._done, self._total)

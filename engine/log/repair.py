"""Repairing a data directory: what is damaged is taken out, so that all the rest can be used again.

Nothing is made up. Records that are lost leave a gap in the offsets, as compaction does, and are named in the
report. Where it is the file of commits that has lost something, frames of commits that are not on record
are taken out as well: each query is back at its last commit on record, and does the rest again. A query
whose commits are all lost begins again from nothing, as its state means nothing without the offsets it
goes with. The whole directory is copied first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from streamsql.engine.log import commits, frame, index, owner, segment_files, topic_files
from streamsql.engine.log.check import UNKNOWN_COMMIT, Finding, PartitionScan, Progress, Report, look_through
from streamsql.engine.log.commits import CommitFile, State
from streamsql.engine.log.compacted import CompactedFile
from streamsql.engine.log.files import Handles, explained, sync_directory
from streamsql.engine.log.frame import Header
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.log.scan import Scan
from streamsql.engine.log.segment_files import SegmentName
from streamsql.engine.log.topic_files import TopicFiles
from streamsql.errors import DataError, ExternalError


def backup_path(root: Path) -> Path:
    """Where a copy goes if nobody says: beside the directory, under its name and the time."""
    return root.with_name(f"{root.name}.backup-{datetime.now(UTC):%Y%m%d-%H%M%S}")


def repair(
    root: Path, report: Report, backup: Path, progress: Progress = lambda done, total: None
) -> list[Finding]:
    """Copy the directory to `backup`, then make it one that opens; gives what was done about the damage.

    report   of `check`, with damage in it
    raises   ExternalError if the copy, or a file, cannot be written: what was repaired by then is
    """
    root, backup = root.resolve(), backup.resolve()
    if backup.exists() or backup.is_relative_to(root):
        raise ExternalError(
            f"the copy cannot go to {backup}: it is there already, or inside of {root}",
            code="LOG-FILE-EXISTS",
            hint="name another place with --backup",
        )
    with owner.looking(root), explained("copy the data directory to", backup):
        shutil.copytree(root, backup)
    lock = owner.Owner(root)
    try:
        return _Repair(root, report).run(progress)
    finally:
        lock.release()


class _Repair:
    def __init__(self, root: Path, report: Report) -> None:
        self._root = root
        self._report = report
        self._done: list[Finding] = []

    def run(self, progress: Progress) -> list[Finding]:
        path = self._root / "version.json"
        if self._is_damaged(path):
            path.unlink(missing_ok=True)
            owner.write_format(self._root)
            self._say("written anew", path)
        state, is_whole = self._commits()
        for topic in self._report.topics:
            if topic.problem is not None:
                self._settings(topic, state)
        # Topics whose settings were lost are looked at now, with the others.
        self._report = report = look_through(self._root, progress)
        for part in report.partitions:
            self._partition(part, None if is_whole else state)
        for number, line in enumerate(self._bad_schemas(), 1):
            self._say(f"line taken out: {line[:80]!r}", self._root / "schemas.jsonl", number)
        if not is_whole:
            self._states(report.topics, state)
            ends = {(p.files.id, p.number): max(p.end, p.start) for p in report.partitions}
            state.ends = {place: end for place, end in ends.items() if end}
            numbers = [h.producer for p in report.partitions for s in p.scans for _, h in s.good]
            state.next_producer = max([state.next_producer, *(number + 1 for number in numbers)])
            handles = Handles(1)
            CommitFile(self._root / "commits.log", handles, must_sync=True).replace(state)
            handles.close()
        return self._done

    # -- the files of the whole database

    def _commits(self) -> tuple[State, bool]:
        """What the commits that can be read come to, and whether these are all."""
        path = self._root / "commits.log"
        if not self._is_damaged(path) and not self._has_unknown_commits():
            return commits.state_of(commits.load(path, [])), True
        with explained("read", path):
            data = path.read_bytes() if path.exists() else b""
        found = list(commits.good_records(data))
        state = commits.state_of(found)
        self._say(
            f"{len(found)} records can be read; each query goes on from its last commit among them: "
            + (
                ", ".join(f"{name} from its commit {r.sequence}" for name, r in state.writers.items())
                or "none"
            ),
            path,
        )
        return state, False

    def _has_unknown_commits(self) -> bool:
        """Whether the file of commits is whole, but older than the partitions."""
        return any(finding.kind == UNKNOWN_COMMIT for finding in self._report.damage)

    def _bad_schemas(self) -> list[bytes]:
        """Take the lines out of schemas.jsonl that cannot be read, and give them."""
        path = self._root / "schemas.jsonl"
        if not self._is_damaged(path):
            return []
        with explained("write", path):
            lines = path.read_bytes().splitlines()
            bad = [line for line in lines if not _is_json(line)]
            path.write_bytes(b"".join(line + b"\n" for line in lines if line not in bad))
        return bad

    def _states(self, topics: Sequence[TopicFiles], state: State) -> None:
        """State whose query has no commit on record belongs to no offsets: it is taken away."""
        for topic in topics:
            if topic.name.startswith("_streamsql-") and topic.name.endswith("-changelog"):
                if not any(topic.name.startswith(f"_streamsql-{name}-") for name in state.writers):
                    grave = topic_files.bury_topic(topic)
                    topic_files.clear(grave)
                    self._say("removed: the query that keeps its state here begins again", topic.directory)

    # -- topics

    def _settings(self, topic: TopicFiles, state: State) -> None:
        """Write settings anew for a topic that has lost them; or make the partitions that it lacks."""
        directory = topic.directory
        numbers = sorted(int(p.name) for p in directory.iterdir() if p.is_dir() and p.name.isdigit())
        try:
            files = topic_files.read_settings(directory)
        except DataError:
            known = self._settings_known(topic, state, numbers)
            if known is None:
                return
            files = known
        topic_files.write_topic(files)
        for number in set(range(files.config.partitions)) - set(numbers):
            self._say(f"partition {number} made anew, empty: its records are lost", directory)

    def _settings_known(self, topic: TopicFiles, state: State, numbers: Sequence[int]) -> TopicFiles | None:
        """The settings of a topic whose topic.json is lost: its copy's, else defaults; None without its id.

        numbers  of the partitions that are there
        """
        directory = topic.directory
        try:
            files = topic_files.read_settings(directory, topic_files.COPY)
        except DataError:
            ids = {files.id for files in self._report.topics} | {place[0] for place in state.ends}
            found = self._id_of(directory, numbers, ids)
            if found is None:
                self._say("not repaired: without topic.json its records cannot be told from others; "
                          "restore the file from a copy, or DROP the topic", directory)  # fmt: skip
                return None
            is_compacted = any("-" in path.stem for path in directory.rglob("*.log"))
            config = TopicConfig(
                partitions=max(numbers, default=0) + 1, cleanup="compact" if is_compacted else "delete"
            )
            files = TopicFiles(directory, topic.name, found, config)
            self._say(
                "settings written anew, with defaults: ALTER TOPIC sets others", directory / "topic.json"
            )
        else:
            self._say("settings written anew, from their copy", directory / "topic.json")
        return files

    @staticmethod
    def _id_of(directory: Path, numbers: Iterable[int], known: Iterable[str]) -> str | None:
        """The id the frames of a topic were written with, or None if it is none of those known."""
        firsts = {
            number: memoryview(path.read_bytes())
            for number in numbers
            for path in sorted((directory / str(number)).glob("*.log"))
            if path.stat().st_size
        }
        for candidate in known:
            files = TopicFiles(directory, "", candidate, TopicConfig())
            if any(
                frame.next_frame(data, 0, len(data), files.seed(number), 0) is not None
                for number, data in firsts.items()
            ):
                return candidate
        return None

    # -- partitions

    def _partition(self, part: PartitionScan, state: State | None) -> None:
        """Write segments anew that are damaged; fill gaps; remove what leads astray.

        state  what the commits on record come to, if some are not
        """
        directory, _, seed = part.files.place(part.number)
        for name in ("start.json", "producers.json"):
            path = directory / name
            if self._is_damaged(path):
                path.unlink()
                self._say("removed", path)
                if name == "producers.json":
                    self._say("what named producers sent before may be stored twice if sent again", path)
        for lost in part.lost:
            index.path_of(directory / lost.file).unlink()
            self._say("given up, with its index", directory / lost.file)
        first = part.scans[0].name.base if part.scans else part.end
        if part.gaps and part.gaps[0][0] == part.start and first:
            segment_files.write_start(directory, first)
            self._say(f"the partition begins at offset {first} from now on", directory / "start.json")
        for begin, end in part.gaps:
            if end > first:
                self._write(directory, seed, begin, end, None, [])
                self._say(f"offsets {begin} to {end} are a gap now", directory)
        for place, one in enumerate(part.scans):
            is_last = place == len(part.scans) - 1
            end = one.name.end or (
                max(part.end, one.end_offset) if is_last else part.scans[place + 1].name.base
            )
            kept = [(at, h) for at, h in one.good if state is None or not _is_unknown(h, part, state)]
            if one.bad or len(kept) < len(one.good):
                self._write(directory, seed, one.name.base, end, one, kept)
                gone = [(bad.offset, bad.end_offset) for bad in one.bad]
                gone += [(h.base_offset, h.next_offset) for at, h in one.good if (at, h) not in kept]
                stretches = ", ".join(f"{begin} to {end}" for begin, end in sorted(gone) if begin < end)
                self._say(f"written anew without the offsets {stretches or '(none)'}", one.path)
            elif self._is_damaged(index.path_of(one.path)):
                index.path_of(one.path).unlink()
                self._say("removed: it is made again", index.path_of(one.path))

    def _write(
        self,
        directory: Path,
        seed: int,
        base: int,
        end: int,
        old: Scan | None,
        kept: Sequence[tuple[int, Header]],
    ) -> None:
        """Put a segment for the offsets [base, end) in place, with frames of an old one and gaps between."""
        name = SegmentName(base, end, segment_files.next_generation(directory))
        draft = directory / f"{name.file}.tmp"
        with explained("repair", directory):
            data = old.path.read_bytes() if old else b""
            writer = CompactedFile(draft, base, seed)
            try:
                for position, header in kept:
                    writer.copy(header, data[position : position + header.frame_bytes])
                writer.finish(end)
            finally:
                writer.close()
            os.replace(draft, directory / name.file)
            sync_directory(directory)
            if old is not None:
                old.path.unlink()
                index.path_of(old.path).unlink(missing_ok=True)

    # -- inside

    def _is_damaged(self, path: Path) -> bool:
        file = str(path.relative_to(self._root))
        return any(finding.file == file for finding in self._report.damage)

    def _say(self, what: str, path: Path, position: int | None = None) -> None:
        self._done.append(Finding(False, what, str(path.relative_to(self._root)), position))


def _is_unknown(header: Header, part: PartitionScan, state: State) -> bool:
    """Whether a frame belongs to a commit that is not on record."""
    if not header.flags & frame.TRANSACTIONAL:
        return False
    if header.base_offset < state.ends.get((part.files.id, part.number), 0):
        return False
    sequences = {state.producers[name]: record.sequence for name, record in state.writers.items()}
    return header.sequence > sequences.get(header.producer, 0)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True

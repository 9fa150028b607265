"""What a partition's files hold after a crash: which frames stay, what is cut off, what is damage.

Only the last segment can have a torn end: a segment is synced before the next one begins. A bad frame
in it is *damage*, and stays where it is to be reported by whoever reads it, if something proves that
its records were once on the disk and committed: the index file reaches past it, a later frame calls it
settled, or a commit does. Anything else may never have been acknowledged, and the file is cut there.
A last segment without a frame is empty because it has just been begun, unless its index file says that
records were about to be written: these may have been acknowledged, and that is noted.

After that, the frames of transactions whose commit is not on record are cut off too. They can only be
at the end: a partition is locked from a transaction's first frame to its commit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from streamsql.engine.log import frame, segment_files
from streamsql.engine.log.files import Handles, explained
from streamsql.engine.log.index import Index
from streamsql.engine.log.segment import Segment
from streamsql.errors import DataError

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovery:
    """The state of a partition's files, first as found, then as they are to be.

    segments      all of them; the last is the one to write to
    proven        every offset below was once on the disk and committed
    index         of the last segment: what of it stays
    uncertain     (position, base offset) of the transactional frames of the last segment, in order,
                  which nothing but a commit on record can vouch for
    is_unsaved    the last segment holds more, or less, than its index file says
    notes         what was cut off or found damaged, as sentences
    start         the smallest offset that can be read
    leftover      files that do not count any more, to be removed
    """

    where: str
    segments: list[Segment]
    proven: int
    index: Index | None = None
    uncertain: list[tuple[int, int]] = field(default_factory=list)
    is_unsaved: bool = False
    notes: list[str] = field(default_factory=list)
    start: int = 0
    leftover: list[Path] = field(default_factory=list)

    @property
    def end_offset(self) -> int:
        """The offset after the last record that stays."""
        return max(self.proven, self.index.end_offset if self.index else 0)

    def drop_uncommitted(self, committed: int) -> None:
        """Cut off the transactions after offset `committed`, the end of the last one on record.

        raises  DataError LOG-CORRUPT if one was committed all the same: then the record was lost
        """
        open_ones = [place for place in self.uncertain if place[1] >= committed]
        if not open_ones or self.index is None:
            return
        position, offset = open_ones[0]
        if offset < self.proven:
            raise DataError(
                f"{self.where} has records of a commit, from offset {offset} on, "
                "that the file of commits does not know",
                code="LOG-CORRUPT",
                hint="restore the file commits.log, or the whole data directory, from a copy",
            )
        lost = self.index.end_offset - offset
        self.notes.append(f"{self.where}: cut off {lost} records of an unfinished commit at offset {offset}")
        self.index.truncate(position, offset)
        self.is_unsaved = True

    def finish(self, directory: Path, seed: int, handles: Handles) -> None:
        """Make the files as found out: cut, synced, and ready to be written to. ExternalError."""
        with explained("recover", directory):
            for path in self.leftover:
                path.unlink(missing_ok=True)
        if self.index is not None:
            last = self.segments[-1]
            with explained("recover", last.path):
                is_whole = self.index.end_offset >= self.proven
                # What comes after damage at the very end of a file stays, for whoever wants to repair it.
                if is_whole and last.file_bytes() > self.index.end:
                    last.truncate(self.index.end, self.index.end_offset)
                elif self.is_unsaved:
                    last.sync()
                if self.is_unsaved:
                    self._save_index(last)
        if self.proven > (self.index.end_offset if self.index else 0):
            if self.segments:
                self.segments[-1].close()
            with explained("recover", directory):
                begun = Segment.create(directory, self.proven, self.where, seed, handles)
            self.segments.append(begun)
            self.index = begun.index

    def _save_index(self, last: Segment) -> None:
        """A failure is logged: the file can be lost, and a full disk must not keep the log closed."""
        try:
            last.save_index()
        except OSError as problem:
            _logger.warning("%s: cannot save the index: %s", self.where, problem)


def recover(directory: Path, where: str, seed: int, handles: Handles, proven: int) -> Recovery:
    """Look through a partition's files and decide what stays. Nothing is changed yet.

    where   "topic T partition P", for messages
    proven  every offset below this was committed, as far as the file of commits knows
    """
    with explained("open", directory):
        files = segment_files.find(directory)
    proven = max(proven, files.start)
    recovery = Recovery(where, [], proven, start=files.start, leftover=files.leftover)
    for name in files.lost:
        recovery.notes.append(f"{where}: the file {name.file} is missing, and with it what it held")
        # An index file says how far its segment was on the disk and committed.
        lost = Segment(directory / name.file, where, seed, handles).stored_index()
        if lost is not None:
            recovery.proven = proven = max(proven, lost.end_offset)
    segments = recovery.segments
    segments += [Segment(path, where, seed, handles) for _, path in files.segments]
    begin = segments[0].base_offset if segments else proven
    if begin > files.start:
        recovery.notes.append(
            f"{where}: the records from offset {files.start} to {begin} are missing from {directory}"
        )
    if not segments:
        return recovery
    last, path = segments[-1], segments[-1].path
    if last.name.end is not None:
        # What comes after a compacted segment, if only an empty one, is missing: a new one is begun.
        recovery.proven = max(proven, last.name.end)
        if recovery.proven > last.name.end:
            recovery.notes.append(
                f"{where}: the records from offset {last.name.end} to {recovery.proven} "
                f"are missing from {directory}"
            )
        return recovery
    with explained("open", path):
        stored = last.stored_index()
    index = Index(last.base_offset)
    if stored is not None:
        proven = max(proven, stored.end_offset)
        if stored.end <= last.file_bytes():
            index = stored
    frames = last.headers(index.end, index.end_offset)
    proven = max([proven, *(found.header.settled for found, _ in frames if found.header)])
    if index.is_awaiting and not frames:
        recovery.notes.append(
            f"{where}: {path} is empty, and records were about to be written to it, at offset "
            f"{index.end_offset}: if acknowledged, they are lost"
        )
        index = Index(last.base_offset)  # said once: it will be saved without
    last.set_index(index)
    recovery.proven, recovery.index = proven, index
    recovery.is_unsaved = bool(frames) or index is not stored
    for number, (found, is_good) in enumerate(frames):
        # A schema is written together with the records that need it.
        is_torn = not is_good or (number == len(frames) - 1 and frame.is_schema(found.header))
        if is_torn and found.offset >= proven:
            size = last.file_bytes() - found.start
            recovery.notes.append(
                f"{where}: cut off {size} bytes of an append that was not finished, "
                f"at offset {found.offset}, byte {found.start} of {path}"
            )
            break
        if not is_good:
            recovery.notes.append(f"{where}: damage at offset {found.offset}, byte {found.start} of {path}")
        if found.header is not None:
            index.add(found.start, found.header)
            if found.header.flags & frame.TRANSACTIONAL:
                recovery.uncertain.append((found.start, found.offset))
    if index.end_offset < proven:
        recovery.notes.append(f"{where}: the records from offset {index.end_offset} to {proven} are damaged")
    return recovery

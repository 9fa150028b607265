"""The file of commits: what makes a transaction, over any number of partitions, one moment.

`commits.log` is a sequence of records, each a header and a JSON text:

    at  bytes, little-endian
     0  4   magic "sQLc"
     4  4   CRC-32 of all that follows
     8  4   bytes of the text
    12  4   0
    16  8   position in this file before which everything was on the disk when this was written
    24  ..  the text, by its "kind":
            snapshot  writers and ends as they were; always the first record, and the second, which is a
                      copy of it: it has what no later record says again
            commit    writer, producer, sequence, offsets, metadata, ends; synced: data was on the disk
            forget    writer
            close     ends: of all partitions; the log was closed properly

An *end* is [topic id, partition, offset]: every transactional record of the partition before that offset
is committed. It is kept when a writer is forgotten. Those of a snapshot and of a close reach to the end of
every partition, so that records that are missing later are known to be.

The last record may be torn, and is then cut off, as if that commit had never been. A bad record that a
later one calls synced is damage, and the log does not open, unless it is the first of the two snapshots.
At every open, and when it has grown, the file is replaced by one snapshot.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log.crc import crc32
from streamsql.engine.log.files import Handles, explained, external, sync, write_at, write_whole
from streamsql.engine.log.log import CommitRecord, TopicPartition
from streamsql.engine.log.refusals import merged_commit
from streamsql.errors import DataError, ExternalError

_logger = logging.getLogger(__name__)

MAGIC = b"sQLc"
_HEAD = struct.Struct("<4sIIIq")
_REPLACE_BYTES = 4 * 1024 * 1024
_REPLACE_FACTOR = 8

Ends = dict[tuple[str, int], int]
"""Topic id and partition -> offset after the last transactional record that is committed."""


@dataclass(slots=True)
class State:
    """What all records so far come to.

    producers  writer -> number; a number is never used for another writer of the same file
    """

    writers: dict[str, CommitRecord] = field(default_factory=dict)
    producers: dict[str, int] = field(default_factory=dict)
    next_producer: int = 1
    ends: Ends = field(default_factory=dict)

    def apply(self, said: Mapping[str, Any]) -> None:
        """Take in one record."""
        match said["kind"]:
            case "snapshot":
                self.next_producer = said["next_producer"]
                for writer in said["writers"]:
                    self._commit(writer)
                self._reach(said["ends"])
            case "commit":
                self._commit(said)
                self._reach(said["ends"])
            case "forget":
                self.writers.pop(said["writer"], None)
                self.producers.pop(said["writer"], None)
            case "close":
                self._reach(said.get("ends", []))
            case other:
                raise ExternalError(
                    f"the file of commits has a record of a kind this version does not know: {other}",
                    code="LOG-NEWER-FORMAT",
                    hint="use a newer version of streamsql",
                )

    def producer(self, writer: str) -> int:
        """The number of a writer, new if it has none yet; it is on record from its first commit on."""
        if writer not in self.producers:
            self.producers[writer] = self.next_producer
            self.next_producer += 1
        return self.producers[writer]

    def snapshot(self) -> dict[str, Any]:
        """One record that says all of it."""
        writers = [
            {
                "writer": name,
                "producer": self.producers[name],
                "sequence": record.sequence,
                "offsets": [[*place, offset] for place, offset in record.offsets.items()],
                "metadata": dict(record.metadata),
            }
            for name, record in self.writers.items()
        ]
        ends = [[*place, offset] for place, offset in self.ends.items()]
        return {"kind": "snapshot", "next_producer": self.next_producer, "writers": writers, "ends": ends}

    def _commit(self, said: Mapping[str, Any]) -> None:
        writer, producer = said["writer"], said["producer"]
        offsets = {TopicPartition(topic, partition): offset for topic, partition, offset in said["offsets"]}
        before = self.writers.get(writer)
        self.writers[writer] = merged_commit(before, writer, said["sequence"], offsets, said["metadata"])
        self.producers[writer] = producer
        self.next_producer = max(self.next_producer, producer + 1)

    def _reach(self, ends: list[tuple[str, int, int]]) -> None:
        for topic, partition, offset in ends:
            self.ends[topic, partition] = max(offset, self.ends.get((topic, partition), 0))


def commit_record(
    writer: str,
    producer: int,
    sequence: int,
    offsets: Mapping[TopicPartition, int] | None,
    metadata: Mapping[str, Any] | None,
    ends: Ends,
    is_synced: bool,
) -> dict[str, Any]:
    """The text of a commit: who, and only what this commit changes."""
    return {
        "kind": "commit",
        "writer": writer,
        "producer": producer,
        "sequence": sequence,
        "offsets": [[*place, offset] for place, offset in (offsets or {}).items()],
        "metadata": None if metadata is None else dict(metadata),
        "ends": [[*place, offset] for place, offset in ends.items()],
        "synced": is_synced,
    }


class Found(NamedTuple):
    """A record of the file. durable: as in the header."""

    position: int
    said: dict[str, Any]
    durable: int


def load(path: Path, notes: list[str]) -> list[Found]:
    """All records of the file; a torn one at its end is left out, and noted.

    raises  DataError LOG-CORRUPT for damage, ExternalError if the file cannot be read
    """
    if not path.exists():
        raise DataError(
            f"the file of commits {path} is missing",
            code="LOG-CORRUPT",
            hint="restore it, or the whole data directory, from a copy",
        )
    with explained("read", path):
        data = path.read_bytes()
    found: list[Found] = []
    position = 0
    for record in good_records(data):
        bad = position if record.position != position else None
        if not found and record.said["kind"] == "snapshot" and bad is not None:
            notes.append(f"the first of two snapshots in {path} is damaged: the second one is used")
            bad = None
        if bad is not None and record.durable > bad:
            raise _damaged(path, bad)
        if bad is None:
            found.append(record)
            position = record.position + _size(data, record.position)
    if not found or found[0].said["kind"] != "snapshot":
        raise _damaged(path, 0)
    if position < len(data):
        notes.append(f"cut off a commit that was not finished, at byte {position} of {path}")
    return found


def state_of(found: Iterable[Found], *, only_synced: bool = False) -> State:
    """What the records come to; without commits whose data may not have been on the disk, if asked."""
    state = State()
    for record in found:
        if not only_synced or record.said["kind"] != "commit" or record.said["synced"]:
            state.apply(record.said)
    return state


def without_lost(found: Sequence[Found], reached: Ends, notes: list[str]) -> Sequence[Found]:
    """The records up to the first commit whose data a crash of the machine has taken.

    That happens with commits that did not wait for the disk only. Later ones may build on it, so that
    they go too.

    reached  the offset after the last record of each partition
    """
    for place, record in enumerate(found):
        if record.said["kind"] == "commit" and not record.said["synced"]:
            for topic, partition, offset in record.said["ends"]:
                if offset > reached.get((topic, partition), offset):
                    notes.append(f"cut off {len(found) - place} commits that were not on the disk yet")
                    return found[:place]
    return found


def good_records(data: bytes) -> Iterator[Found]:
    """Every good record, wherever it is."""
    position = 0
    while (position := data.find(MAGIC, position)) >= 0:
        size = _size(data, position)
        if size and position + size <= len(data):
            _, crc, _, _, durable = _HEAD.unpack_from(data, position)
            if crc == crc32(data[position + 8 : position + size]):
                yield Found(position, orjson.loads(data[position + _HEAD.size : position + size]), durable)
                position += size
                continue
        position += 1


def _size(data: bytes, position: int) -> int:
    if position + _HEAD.size > len(data):
        return 0
    return _HEAD.size + int.from_bytes(data[position + 8 : position + 12], "little")


def _encoded(said: Mapping[str, Any], durable: int) -> bytes:
    text = orjson.dumps(dict(said))
    rest = _HEAD.pack(MAGIC, 0, len(text), 0, durable)[8:] + text
    return MAGIC + crc32(rest).to_bytes(4, "little") + rest


def _damaged(path: Path, position: int) -> DataError:
    return DataError(
        f"the file of commits {path} is damaged at byte {position}",
        code="LOG-CORRUPT",
        hint="restore it, or the whole data directory, from a copy",
    )


class CommitFile:
    """The file as it is written. The caller sees to it that one thread at a time does.

    After a failure that leaves open whether a commit is on the disk, all later writes are refused:
    opening the log again finds out.
    """

    def __init__(self, path: Path, handles: Handles, must_sync: bool) -> None:
        self._path = path
        self._handles = handles
        self._must_sync = must_sync
        self._end = 0
        self._durable = 0
        self._least = 0
        self._doubt: BaseException | None = None

    def replace(self, state: State) -> None:
        """Begin a new file that says `state`, and is durable. ExternalError; the old one then stays."""
        self._check()
        said = state.snapshot()
        first = _encoded(said, 0)
        data = first + _encoded(said, len(first))
        before = self._path.stat().st_ino if self._path.exists() else None
        try:
            write_whole(self._path, data)
        except OSError as cause:
            if before is not None and self._path.stat().st_ino != before:
                # Which of the two files a crash of the machine would leave is not known.
                self._doubt = cause
            raise external(cause, "write", self._path) from cause
        finally:
            self._handles.drop(self._path)
        self._end = self._durable = self._least = len(data)

    def go_on(self) -> None:
        """Write on at the end of the file, all of which is good. ExternalError."""
        with explained("read", self._path):
            self._end = self._durable = self._least = self._path.stat().st_size

    def append(self, said: Mapping[str, Any]) -> None:
        """Add a record, durable on return if the flush policy is "always".

        raises  ExternalError; then the record is not there, unless `is_in_doubt`
        """
        self._check()
        data = _encoded(said, self._durable)
        with explained("commit to", self._path), self._handles.use(self._path) as handle:
            try:
                write_at(handle, [data], self._end)
                fail_point("commit.before_record_sync")
                if self._must_sync:
                    sync(handle)
                self._end += len(data)
            except BaseException as cause:
                self._take_back(handle, cause)
                raise
        if self._must_sync:
            self._durable = self._end

    def flush(self) -> None:
        """Bring everything to the disk. OSError."""
        if self._durable < self._end:
            with self._handles.use(self._path) as handle:
                try:
                    sync(handle)
                except OSError as cause:
                    self._doubt = cause
                    raise
                self._durable = self._end

    @property
    def is_due_for_replacement(self) -> bool:
        """Whether the file is so much longer than a snapshot that it should be replaced by one."""
        return self._end > max(_REPLACE_BYTES, _REPLACE_FACTOR * self._least)

    def close(self, ends: Ends) -> None:
        """Add the closing record and sync. ExternalError.

        ends  of all partitions
        """
        if self._doubt is None:
            with explained("close", self._path):
                self.flush()
            try:
                self.append({"kind": "close", "ends": [[*place, offset] for place, offset in ends.items()]})
            except ExternalError as problem:
                # It says no more than what is there; a disk that is full must not keep a log open.
                _logger.warning("%s", problem.message)
            with explained("close", self._path):
                self.flush()
        self._handles.drop(self._path)

    def _take_back(self, handle: int, cause: BaseException) -> None:
        try:
            os.ftruncate(handle, self._end)
            sync(handle)
        except OSError:
            self._doubt = cause

    def _check(self) -> None:
        if self._doubt is not None:
            raise self.problem() from self._doubt

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last record may, or may not, be found at the next open."""
        return self._doubt is not None

    def problem(self) -> ExternalError:
        """What to say while in doubt."""
        return ExternalError(
            f"the disk failed on {self._path}: whether the last commit was kept is not known",
            code="LOG-IN-DOUBT",
            hint="check the disk, then open the data directory again",
        )

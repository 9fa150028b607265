"""Loads that go on where they stopped: a file's place is committed together with the records up to it.

The place is the metadata of the log's writer `load:[topic, path]`. A file is known by its path, and is
the same if its first bytes, and those before the end of what was looked at, are what they were: lines
may be added to it, and what was not loaded yet may be mended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from streamsql.engine.log.log import Log
from streamsql.errors import DataError

_WRITER = "load:"
_SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file is loaded.

    rows      records
    position  of lines: where the next one begins in the contents, after decompression, bytes
    line      ... its number
    is_ended  ... False if the one before it was the last of the file, and had no end
    """

    rows: int = 0
    position: int = 0
    line: int = 1
    is_ended: bool = True


class Bookmark:
    """The place of one file in one topic.

    place    where to go on
    is_done  nothing has come since it was loaded to its end

    raises  DataError LOAD-RESUME if the file is not what it was, or was loaded in another format; OSError
    """

    def __init__(self, log: Log, topic: str, path: Path, format: str, *, is_gzip: bool) -> None:
        self._log = log
        self._topic = topic
        self._path = path
        self._writer = _WRITER + orjson.dumps([topic, str(path.resolve())]).decode()
        self._format = format
        self._has_places = format in ("lines", "jsonl") and not is_gzip
        self._may_grow = format != "parquet" and not (format == "csv" and is_gzip)
        self._size = path.stat().st_size
        self.place = Place()
        self.is_done = False
        found = log.committed(self._writer)
        if found is not None:
            self._check(found.metadata)
            self.place = Place(**found.metadata["place"])
            self.is_done = found.metadata["is_whole"] and found.metadata["size"] == self._size

    def commit(self, parts: Sequence[tuple[int, pa.RecordBatch]], place: Place) -> None:
        """Store records, by partition, and the place after them; both, or neither."""
        self._commit(parts, place, is_whole=False)

    def finish(self, place: Place) -> None:
        """The file is loaded to its end."""
        self._commit((), place, is_whole=True)

    def _commit(self, parts: Sequence[tuple[int, pa.RecordBatch]], place: Place, *, is_whole: bool) -> None:
        end = place.position if self._has_places else self._size
        said = {
            "format": self._format,
            "place": asdict(place),
            "is_whole": is_whole,
            "size": self._size,
            "end": end,
            "sample": self._sample(end),
        }
        self._log.commit(self._writer, [(self._topic, *part) for part in parts], metadata=said)

    def _check(self, said: dict[str, Any] | Any) -> None:
        if said["format"] != self._format:
            raise self._changed(f"was loaded as {said['format']}, not as {self._format}")
        if self._size < said["end"]:
            raise self._changed(f"has {self._size:,} bytes, and had {said['size']:,} when it was loaded")
        if self._sample(said["end"]) != said["sample"]:
            raise self._changed("is another file than the one that was loaded")
        if not self._may_grow and self._size != said["size"]:
            raise self._changed(f"has {self._size:,} bytes, and had {said['size']:,} when it was loaded")
        if self._format == "csv" and self._size > said["size"] and not self._is_line_end(said["size"]):
            raise unended_line(str(self._path))

    def _sample(self, end: int) -> str:
        """A hash of the first and the last bytes of those before `end`."""
        digest = hashlib.sha256()
        with open(self._path, "rb") as file:
            digest.update(file.read(min(end, _SAMPLE_BYTES)))
            file.seek(max(0, end - _SAMPLE_BYTES))
            digest.update(file.read(min(end, _SAMPLE_BYTES)))
        return digest.hexdigest()

    def _is_line_end(self, end: int) -> bool:
        with open(self._path, "rb") as file:
            file.seek(max(0, end - 1))
            return file.read(1) in (b"\n", b"")

    def _changed(self, how: str) -> DataError:
        return DataError(
            f"{self._path} {how}",
            code="LOAD-RESUME",
            hint="load it under another name, or without --resume, to load all of it",
        )


def unended_line(name: str) -> DataError:
    """What to say of a file whose last line was loaded before it was written to its end."""
    return DataError(
        f"the last line of {name} had no line end when it was loaded, and goes on now",
        code="LOAD-RESUME",
        hint="load such a file when its lines are written to their ends",
    )


def forget_loads(log: Log, topic: str) -> None:
    """Forget what was loaded into a topic: it is deleted."""
    for writer in log.writers():
        if writer.startswith(_WRITER) and orjson.loads(writer.removeprefix(_WRITER))[0] == topic:
            log.forget(writer)

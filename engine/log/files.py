"""Files as a log needs them: synced, replaced whole, locked, with errors that say what to do."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log.crc import crc32
from streamsql.errors import DataError, ExternalError

if sys.platform == "darwin":
    import fcntl
if sys.platform != "win32":
    import resource

_FEWEST_OPEN, _MOST_OPEN = 64, 4096
_PARTS = 512
"""Parts of one call; systems take 1,024 at most."""

_WRITE = 2
"""Of Linux's sync_file_range, which Python does not name."""

_HINTS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("LOG-DISK-FULL", "free some space on that disk, then try again"),
    errno.EDQUOT: ("LOG-DISK-FULL", "the disk quota is used up: free some space, then try again"),
    errno.EFBIG: ("LOG-DISK-FULL", "the file may not grow: raise the limit on file sizes (ulimit -f)"),
    errno.EROFS: ("LOG-READ-ONLY", "use a data directory on a disk that can be written"),
    errno.EACCES: ("LOG-READ-ONLY", "use a data directory that you may write, or change its permissions"),
    errno.EPERM: ("LOG-READ-ONLY", "use a data directory that you may write, or change its permissions"),
    errno.EMFILE: ("LOG-TOO-MANY-FILES", "raise the limit on open files (ulimit -n), then try again"),
    errno.ENFILE: ("LOG-TOO-MANY-FILES", "the system has no file handles left: close something, try again"),
    errno.EIO: ("LOG-DISK-FAILED", "the disk reports a fault: check it before you go on"),
    errno.ENOENT: ("LOG-FILE-MISSING", "was the data directory moved or deleted while in use?"),
    errno.ENOTDIR: ("LOG-NOT-A-DIRECTORY", "give a directory, or a path where one can be made"),
    errno.EEXIST: ("LOG-FILE-EXISTS", "something of that name is there already: move it away"),
    errno.ENOTEMPTY: ("LOG-FILE-EXISTS", "something of that name is there already: move it away"),
}


def external(cause: OSError, doing: str, path: Path | str) -> ExternalError:
    """An OSError in the user's words: what was being done, to which file, and what helps."""
    code, hint = _HINTS.get(cause.errno or 0, ("LOG-DISK", "see the message of the system, then try again"))
    reason = cause.strerror or str(cause)
    return ExternalError(f"cannot {doing} {path}: {reason}", code=code, hint=hint)


@contextmanager
def explained(doing: str, path: Path | str) -> Iterator[None]:
    """Any OSError inside becomes an ExternalError about `path`."""
    try:
        yield
    except OSError as cause:
        raise external(cause, doing, path) from cause


def sync(handle: int) -> None:
    """Return once what was written to the file is on the disk; OSError if that failed."""
    fail_point("file.sync")
    if sys.platform == "darwin":
        # There fsync stops at the drive's cache.
        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(handle)


def begin_sync(handle: int, start: int, end: int) -> None:
    """Have the bytes [start, end) of a file on their way to the disk, so that a sync later waits for less.

    Only a hint: whether they got there, the sync says.
    """
    if _sync_file_range is not None:
        _sync_file_range(handle, ctypes.c_int64(start), ctypes.c_int64(end - start), _WRITE)


_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_at(handle: int, parts: Sequence[bytes | pa.Buffer], position: int) -> None:
    """Write all parts, one after the other, beginning at `position`; OSError may leave some of it."""
    fail_point("file.write")
    left = [memoryview(part).cast("B") for part in parts]
    while left:
        written = os.pwritev(handle, left[:_PARTS], position)
        position += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put a file in place at once: a reader, or a crash, sees the old contents or the new.

    durable  wait for the disk; without it a crash of the machine may leave an empty file
    """
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            if durable:
                sync(file.fileno())
        fail_point("file.before_replace")
        os.replace(draft, path)
        fail_point("file.after_replace")
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def write_json(path: Path, said: Mapping[str, Any], *, durable: bool = True) -> None:
    """A small JSON file with a checksum, put in place at once; durable: as for `write_whole`."""
    body = orjson.dumps(dict(said), option=orjson.OPT_SORT_KEYS)
    text = orjson.dumps({"crc": crc32(body), **said}, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    write_whole(path, text + b"\n", durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote; DataError LOG-CORRUPT if the file is not as it was written."""
    data = path.read_bytes()
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError as cause:
        raise _damaged(path, "it is not JSON") from cause
    if not isinstance(said, dict) or "crc" not in said:
        raise _damaged(path, "it has no checksum")
    crc = said.pop("crc")
    if crc32(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)) != crc:
        raise _damaged(path, "its checksum does not match")
    return said


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"file {path} is damaged: {why}", code="LOG-CORRUPT", hint="restore it from a copy")


def directory_name(topic: str) -> str:
    """A topic's name as a safe name of a directory: percent-escapes for all but letters, digits, - and _.

    A dot is kept, unless it comes first.

    >>> directory_name("page.views/2")
    'page.views%2F2'
    """
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    escaped = "".join(chr(byte) if chr(byte) in safe else f"%{byte:02X}" for byte in topic.encode())
    return f"%2E{escaped[1:]}" if escaped.startswith(".") else escaped


def open_files_allowed() -> int:
    """How many files a log may keep open: half of what the process may, so that others find some too."""
    if sys.platform == "win32":
        return _FEWEST_OPEN
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MOST_OPEN, max(_FEWEST_OPEN, allowed // 2))


class Handles:
    """Open files for writing, at most so many of them: the one unused longest is closed first.

    A handle in use is never closed, so the limit may be passed by as many as are in use at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, _Handle] = OrderedDict()

    @contextmanager
    def use(self, path: Path) -> Iterator[int]:
        """The descriptor of an existing file, opened if need be; OSError if that fails."""
        with self._lock:
            handle = self._open.get(path)
            if handle is None:
                handle = self._open[path] = _Handle(self._opened(path, os.O_RDWR))
            self._open.move_to_end(path)
            handle.users += 1
        try:
            yield handle.descriptor
        finally:
            with self._lock:
                handle.users -= 1
                if handle.is_dropped:
                    self._close_if_unused(handle)
                self._shrink(self._limit)

    def open(self, path: Path, flags: int) -> int:
        """A descriptor for the caller to close; if there are too many, unused ones are given up first."""
        with self._lock:
            return self._opened(path, flags)

    def drop(self, path: Path) -> None:
        """Close the file, now or when its last user is done."""
        with self._lock:
            handle = self._open.pop(path, None)
            if handle is not None:
                handle.is_dropped = True
                self._close_if_unused(handle)

    def close(self) -> None:
        for path in list(self._open):
            self.drop(path)

    def _opened(self, path: Path, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o644)
        except OSError as cause:
            if cause.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._shrink(0)
            return os.open(path, flags | os.O_CLOEXEC, 0o644)

    def _shrink(self, limit: int) -> None:
        """Close what is not in use, the oldest first, until no more than `limit` are open."""
        too_many = len(self._open) - limit
        if too_many <= 0:
            return
        unused = (item for item in self._open.items() if item[1].users == 0)
        # Looked through from the oldest only as far as need be: with many files, most calls come here.
        for path, handle in list(islice(unused, too_many)):
            del self._open[path]
            os.close(handle.descriptor)

    @staticmethod
    def _close_if_unused(handle: _Handle) -> None:
        if handle.users == 0:
            os.close(handle.descriptor)


class _Handle:
    __slots__ = ("descriptor", "is_dropped", "users")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users = 0
        self.is_dropped = False

"""A data directory: who owns it, and in which format it is.

lock          held (flock) by the one process that owns the directory; JSON: pid, host, command, started,
              and what the owner tells of itself, such as an address
version.json  format: 1
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from streamsql.engine.log.files import explained, external, read_json, write_json
from streamsql.errors import ExternalError

FORMAT = 1


class Owner:
    """The lock on a data directory, from construction to `release`.

    raises  ExternalError LOG-LOCKED, naming the owner, if another process, or this one, has it
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        with explained("open", self._path):
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            os.close(self._handle)
            if cause.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise _taken(directory, owner_of(directory)) from cause
            raise external(cause, "lock", self._path) from cause
        self._said: dict[str, Any] = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(sys.argv) or sys.executable,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            self.tell({})
        except ExternalError:
            self.release()
            raise

    def tell(self, said: Mapping[str, Any]) -> None:
        """Add to what others can read about the owner, for example its address. ExternalError."""
        self._said.update(said)
        data = orjson.dumps(self._said, option=orjson.OPT_INDENT_2) + b"\n"
        with explained("write", self._path):
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, data, 0)

    def release(self) -> None:
        """Let the directory go. The file stays: removing it could give two processes a lock each."""
        os.close(self._handle)


@contextmanager
def looking(directory: Path) -> Iterator[None]:
    """Keep others from opening the directory for as long as it is looked at; nothing is written.

    raises  ExternalError LOG-LOCKED, naming the owner; LOG-NO-DATA if there is no database
    """
    path = directory / "lock"
    if not (directory / "topics").is_dir():
        raise ExternalError(
            f"there is no database in {directory}",
            code="LOG-NO-DATA",
            hint="name the directory that was given as --data; the default is ./streamsql-data",
        )
    if not path.exists():
        yield
        return
    with explained("open", path):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise _taken(directory, owner_of(directory)) from cause
        yield
    finally:
        os.close(handle)


def owner_of(directory: Path) -> dict[str, Any]:
    """What the lock file says of its owner, who may be gone; {} if it says nothing."""
    try:
        said = orjson.loads((directory / "lock").read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _taken(directory: Path, owner: Mapping[str, Any]) -> ExternalError:
    who = "another process"
    if "pid" in owner:
        started = f"since {owner.get('started')}"
        who = f"process {owner['pid']} on {owner.get('host')}, {started}: {owner.get('command')}"
    address = f" It listens on {owner['address']}." if "address" in owner else ""
    return ExternalError(
        f"the data directory {directory} is in use by {who}.{address}",
        code="LOG-LOCKED",
        hint="stop that process, connect to it, or use another data directory",
    )


def check_format(directory: Path) -> bool:
    """Whether the directory holds a log already.

    raises  ExternalError LOG-NEWER-FORMAT for one of a later version, DataError LOG-CORRUPT
    """
    path = directory / "version.json"
    with explained("read", path):
        if not path.exists():
            return False
        found = read_json(path).get("format")
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ExternalError(
            f"the data directory {directory} has format {found}; this version of streamsql reads {FORMAT}",
            code="LOG-NEWER-FORMAT",
            hint="use a newer version of streamsql",
        )
    return True


def write_format(directory: Path) -> None:
    """Mark the directory as holding a log of today's format. ExternalError."""
    path = directory / "version.json"
    with explained("write", path):
        write_json(path, {"format": FORMAT})

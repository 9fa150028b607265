"""Disks that are full or cannot be written, for real: small file systems, mounted for one test each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_UNSHARE = shutil.which("unshare")
_CAN_MOUNT = (
    _UNSHARE is not None
    and os.geteuid() == 0
    and not subprocess.run(
        [_UNSHARE, "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"],
        capture_output=True,
        check=False,
    ).returncode
)
pytestmark = pytest.mark.skipif(not _CAN_MOUNT, reason="needs the right to mount a file system of its own")

CHILD = """
import json, os, subprocess, sys
import streamsql
from streamsql.errors import StreamSQLError
from streamsql.repl.app import main
disk = {disk!r}
subprocess.run(["mount", "-t", "tmpfs", "-o", "size={size}", "tmpfs", disk], check=True)
data = disk + "/data"
said = {{}}

def remount(how):
    subprocess.run(["mount", "-o", "remount," + how, disk], check=True)

def code_of(use):
    try:
        use()
    except StreamSQLError as error:
        assert error.hint, error
        return error.code
    return ""

{body}
print(json.dumps(said))
"""


def on_a_disk(tmp_path: Path, size: str, body: str) -> dict[str, Any]:
    """Run `body` in a process that has a disk of its own, and give what it noted in `said`."""
    script = CHILD.format(disk=str(tmp_path), size=size, body=body)
    assert _UNSHARE is not None
    done = subprocess.run(
        [_UNSHARE, "-m", sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_a_full_disk_loses_nothing_that_was_acknowledged_and_opens_when_it_is_still_full(
    tmp_path: Path,
) -> None:
    said = on_a_disk(
        tmp_path,
        "2m",
        """
db = streamsql.connect(data)
db.execute("CREATE STREAM s (v VARCHAR) WITH (KAFKA_TOPIC='s', PARTITIONS=1);"
           "CREATE STREAM other (v VARCHAR) WITH (KAFKA_TOPIC='other', PARTITIONS=1);"
           "CREATE TABLE counts AS SELECT v, COUNT(*) AS n FROM s GROUP BY v;")
written = 0
code = ""
while not code:
    code = code_of(lambda: db.append("s", [{"V": str(written % 3)} for _ in range(2000)]))
    written += 0 if code else 2000
said["appending"] = code
# The disk is filled up to its last byte.
with open(disk + "/ballast", "wb") as ballast:
    try:
        while True:
            os.write(ballast.fileno(), bytes(4096))
    except OSError:
        pass
said["reading"] = [db.execute("SELECT COUNT(*) FROM s;").fetchone()[0], written]
db.close()
db = streamsql.connect(data)
said["reopened"] = db.execute("SELECT COUNT(*) FROM s;").fetchone()[0]
said["still"] = code_of(lambda: db.append("s", [{"V": "0"} for _ in range(5000)]))
db.execute("SHOW ALL TOPICS;").fetchall()
db.close()
os.remove(disk + "/ballast")
remount("size=8m")
with streamsql.connect(data) as db:
    db.append("s", [{"V": "0"}])
    db.wait_idle()
    said["after"] = db.execute("SELECT SUM(n) FROM counts;").fetchone()[0]
said["check"] = main(["check", data])
""",
    )
    count, written = said["reading"]
    assert (said["appending"], said["still"]) == ("LOG-DISK-FULL", "LOG-DISK-FULL")
    assert count == said["reopened"] == written > 0
    assert said["after"] == written + 1
    assert said["check"] == 0


def test_a_directory_that_cannot_be_written_is_refused_and_can_be_checked(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "8m",
        """
with streamsql.connect(data) as db:
    db.execute("CREATE STREAM s (v VARCHAR) WITH (KAFKA_TOPIC='s', PARTITIONS=1);")
    db.append("s", [{"V": "0"}])
remount("ro")
said["open"] = code_of(lambda: streamsql.connect(data))
said["new"] = code_of(lambda: streamsql.connect(disk + "/new"))
said["check"] = main(["check", data])
remount("rw")
with streamsql.connect(data) as db:
    said["after"] = db.execute("SELECT COUNT(*) FROM s;").fetchone()[0]
""",
    )
    assert said == {"open": "LOG-READ-ONLY", "new": "LOG-READ-ONLY", "check": 0, "after": 1}


def test_a_limit_on_the_size_of_files_fails_the_append_and_nothing_else(tmp_path: Path) -> None:
    said = on_a_disk(
        tmp_path,
        "8m",
        """
db = streamsql.connect(data)
db.execute("CREATE STREAM s (v VARCHAR) WITH (KAFKA_TOPIC='s', PARTITIONS=1);")
db.append("s", [{"V": "0"}])
import resource
# A limit on the size of files stands in for a disk that takes no more.
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
said["append"] = code_of(lambda: db.append("s", [{"V": "x" * 9000}]))
said["read"] = db.execute("SELECT COUNT(*) FROM s;").fetchone()[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
db.append("s", [{"V": "1"}])
said["after"] = db.execute("SELECT COUNT(*) FROM s;").fetchone()[0]
db.close()
""",
    )
    assert said == {"append": "LOG-DISK-FULL", "read": 1, "after": 2}

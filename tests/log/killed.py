"""Processes that die at fail points: one imports everything, and makes a child for each point.

Importing takes longer than all that the children do.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PARENT = """
import os, sys, traceback
sys.path.insert(0, {tests!r})
from streamsql.engine.failpoints import arm_from
from {module} import work
os.fsync = os.fdatasync = lambda handle: None  # a killed process loses nothing that it wrote
for number, point in enumerate({points!r}):
    said, wrote = os.pipe()
    child = os.fork()
    if not child:
        try:
            work(f"{data}/{{number}}", wrote, lambda: arm_from(point))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(wrote)
    _, status = os.waitpid(child, 0)
    with open(said) as words:
        print(os.waitstatus_to_exitcode(status), *words.read().split(), flush=True)
"""


def killed_at(points: Sequence[str], module: str, data: Path) -> dict[str, tuple[Path, list[str]]]:
    """Runs a module's `work(data, told, arm)` once per fail point, each of which must kill it.

    told   a pipe to write words to
    arm    to be called once the fail point is to count
    gives  per fail point the directory that is left, and the words
    """
    script = _PARENT.format(tests=str(Path(__file__).parent), module=module, points=list(points), data=data)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {}
    for number, (point, line) in enumerate(zip(points, done.stdout.splitlines(), strict=True)):
        status, *words = line.split()
        assert int(status) == -signal.SIGKILL, f"{point} did not kill it: {done.stderr}"
        found[point] = data / str(number), words
    return found

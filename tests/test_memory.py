"""Memory that was freed stays with the process, unless the environment says otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_COUNT = """
import resource
from streamsql.engine.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_freed_memory()
pages = 4 << 8
bytearray(pages << 12)
before = faults()
for _ in range(50):
    kept = [bytearray(pages << 12) for _ in range(4)]
    del kept
print((faults() - before) // pages)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's allocator that is told")
@pytest.mark.parametrize(("said", "stays"), [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "1000"}, False)])
def test_freed_memory_stays_unless_the_environment_has_its_say(said: dict[str, str], stays: bool) -> None:
    """Two hundred times four megabytes, at most four of them at once: how many were faulted in."""
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name.upper()} | said
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], env=environment, capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) <= 10) == stays

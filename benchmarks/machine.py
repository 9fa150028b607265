"""What the machine is: said beside every number, since numbers mean nothing without it."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path


def described() -> dict[str, str]:
    """Processor, cores, system, and versions of what the numbers depend on most."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("duckdb", "pyarrow", "numpy")},
        "synced write of 4 KiB": f"{synced_write_ms():.2f} ms",
    }


def synced_write_ms(times: int = 100) -> float:
    """Median milliseconds of a 4 KiB write that is forced to disk: the floor of every commit."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        handle = os.open(Path(folder) / "probe", os.O_WRONLY | os.O_CREAT)
        try:
            for _ in range(times):
                begin = time.perf_counter()
                os.write(handle, bytes(4096))
                os.fdatasync(handle)
                taken.append((time.perf_counter() - begin) * 1000)
        finally:
            os.close(handle)
    return statistics.median(taken)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")

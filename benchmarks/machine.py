"""What the machine is, and what this process takes of it."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa


def described() -> dict[str, str]:
    """Processor, cores, system, and versions of what the numbers depend on most."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load before": f"{os.getloadavg()[0]:.1f}",
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


def yardstick_seconds(times: int = 5) -> float:
    """CPU-seconds of a fixed piece of work of the kinds that streamsql does: DuckDB, numpy, Python."""
    values = np.random.default_rng(1).integers(0, 10_000, 1_000_000)
    table = pa.table({"k": values})
    taken = []
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        con.register("t", table)
        for _ in range(times):
            begin = time.process_time()
            con.execute("SELECT k, count(*) FROM t GROUP BY k").fetchall()
            np.sort(values)
            sum(number * number for number in range(200_000))
            taken.append(time.process_time() - begin)
    return min(taken)


def resident_bytes() -> int:
    """Memory of this process that is in use and not a file's: what was freed is given back first."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not say RssAnon: memory is measured on Linux")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")

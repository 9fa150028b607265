"""How the process keeps memory that batches have freed, so that the next ones find it."""

from __future__ import annotations

import ctypes
import os
from functools import cache

import pyarrow as pa

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_KEPT = 32 * 1024 * 1024
"""Bytes: glibc takes no higher threshold."""
_KEPT_BYTES = 256 * 1024 * 1024
_CHOSEN_BY_USER = (
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"),
    "ARROW_DEFAULT_MEMORY_POOL",
)


@cache
def keep_freed_memory() -> None:
    """Have the allocator keep up to 256 MiB at its end instead of giving them back to the system at once.

    A batch's columns are some megabytes each and live as long as the batch. Given back and asked for
    again, every page of them is cleared and faulted in anew, which takes a tenth of the time of a query on
    one thread, and a third on two: where the system has not seen a page for long, it is dear to get.

    So all threads have one heap, since others than the first are given back whenever they are empty, and
    batches lie there as well: Arrow's own allocator gives back what is not in use within milliseconds. What
    the environment says about either of them goes first; others than glibc's are left as they are.
    """
    if any(name in os.environ for name in _CHOSEN_BY_USER):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 1)
        pa.set_memory_pool(pa.system_memory_pool())

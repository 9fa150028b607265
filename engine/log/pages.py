"""Mapped files: having their pages mapped in one go."""

from __future__ import annotations

import ctypes
import mmap

import pyarrow as pa

# Linux's MADV_POPULATE_READ, which Python does not name.
_POPULATE_READ = 22
_libc = ctypes.CDLL(None)


def bring_in(data: pa.Buffer, start: int, end: int) -> None:
    """Map the pages of [start, end) of a mapped file at once, which costs far less than a fault for each.

    Only a hint: a system that does not know it maps the pages one by one as they are read.
    """
    madvise = getattr(_libc, "madvise", None)
    if madvise is None or end <= start:
        return
    first = data.address + start
    aligned = first - first % mmap.PAGESIZE
    madvise(ctypes.c_void_p(aligned), ctypes.c_size_t(data.address + end - aligned), _POPULATE_READ)

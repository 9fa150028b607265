"""Text files cut into lines, a block at a time: no line is ever a Python object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.errors import DataError

BLOCK_BYTES = 8 * 1024 * 1024
LONGEST_LINE_BYTES = 64 * 1024 * 1024
_LF, _CR = 10, 13

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Block:
    """Neighbouring lines of a file.

    start     where they begin in the file's contents, bytes
    body      the bytes, each line with its end
    lines     binary[n] without the ends
    is_ended  False if the last one is the last of the file, and has no end there
    """

    start: int
    body: bytes
    lines: pa.BinaryArray
    is_ended: bool = True

    def after(self, count: int) -> int:
        """Where the contents stand after the first `count` lines, bytes."""
        if count == len(self.lines):
            return self.start + len(self.body)  # mostly so, and the ends need not be looked for
        return self.start + (int(self._ends[count - 1]) if count else 0)

    @cached_property
    def _ends(self) -> Places:
        ends: Places = np.flatnonzero(np.frombuffer(self.body, np.uint8) == _LF) + 1
        return ends


def read_lines(file: IO[bytes], name: str, block_bytes: int = BLOCK_BYTES, start: int = 0) -> Iterator[Block]:
    """All lines of a file, without their ends (LF or CR LF), some megabytes at a time.

    start  where the file stands, at the beginning of a line

    A last line need not be ended. Bytes are not looked into: text that is not UTF-8 stays as it is.
    raises  DataError LOAD-LONG-LINE for a line of more than 64 MiB
    """
    lines = 0
    pending: list[bytes] = []
    pending_bytes = 0
    while block := file.read(block_bytes):
        cut = block.rfind(b"\n") + 1
        if cut:
            body = b"".join([*pending, block[:cut]])
            found = split(body)
            lines += len(found)
            yield Block(start, body, found)
            start += len(body)
            pending, pending_bytes = [], 0
        rest = block[cut:]
        if rest:
            pending.append(rest)
            pending_bytes += len(rest)
        if pending_bytes > LONGEST_LINE_BYTES:
            raise DataError(
                f"line {lines + 1:,} of {name} is longer than {LONGEST_LINE_BYTES // 1024**2} MiB",
                code="LOAD-LONG-LINE",
                hint="is it a text file with one record per line?",
            )
    if pending:
        body = b"".join(pending)
        yield Block(start, body, split(body + b"\n"), is_ended=False)


def split(body: bytes) -> pa.BinaryArray:
    r"""The lines of a text that ends with a line end.

    >>> split(b"a\r\n\nbc\n").to_pylist()
    [b'a', b'', b'bc']
    """
    data = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(data == _LF)
    # A line loses its LF, and the CR before it: what is left of the text is the values one after
    # the other, and each end moves back by what was dropped up to it.
    has_cr = np.zeros(len(ends), bool)
    has_cr[ends > 0] = data[ends[ends > 0] - 1] == _CR
    if has_cr.any():
        keep = np.ones(len(data), bool)
        keep[ends] = False
        keep[ends[has_cr] - 1] = False
        values = data[keep].tobytes()
    else:
        values = body.replace(b"\n", b"")
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends - np.arange(len(ends)) - np.cumsum(has_cr)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(values)]
    return cast(pa.BinaryArray, pa.Array.from_buffers(pa.binary(), len(ends), buffers))


def without_blank(lines: pa.BinaryArray) -> tuple[pa.BinaryArray, Places]:
    """The lines that are not empty, and their places among all."""
    places: Places = np.flatnonzero(pc.binary_length(lines).to_numpy())
    return (lines, places) if len(places) == len(lines) else (lines.take(places), places)

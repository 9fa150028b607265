"""Windowed keys on the wire: the key's bytes, then the bounds as big-endian 64-bit milliseconds.

    time windows   key · start            the end is start + size, which the reader must know
    sessions       key · end · start      both inclusive

For format ARROW the key is a struct, and the bounds are its last two fields, `$start` and `$end`.
The layouts are those of Kafka Streams' windowed serdes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamsql.engine.batch import WINDOW_END, WINDOW_START


@dataclass(frozen=True, slots=True)
class WindowedKey:
    """kind: TUMBLING, HOPPING or SESSION; size_ms: length of a time window, None for sessions."""

    kind: str
    size_ms: int | None = None

    @property
    def is_session(self) -> bool:
        return self.kind == "SESSION"


def join_windowed_keys(
    keys: pa.Array[Any], start: pa.Array[Any], end: pa.Array[Any], window: WindowedKey
) -> pa.Array[Any]:
    """Add the bounds to encoded keys; binary[n] or struct[n], int64[n], int64[n] -> as the keys."""
    if pa.types.is_struct(keys.type):
        fields = [*keys.type, pa.field(WINDOW_START, pa.int64()), pa.field(WINDOW_END, pa.int64())]
        return pa.StructArray.from_arrays([*keys.flatten(), start, end], fields=fields)
    bounds = [end, start] if window.is_session else [start]
    # column_stack gives the machine's byte order, whatever its inputs have.
    tail = np.column_stack([np.asarray(b) for b in bounds]).astype(">i8")
    width = tail.shape[1] * 8
    tails = pa.Array.from_buffers(pa.binary(width), len(keys), [None, pa.py_buffer(tail.tobytes())]).cast(
        pa.binary()
    )
    joined: pa.Array[Any] = pc.binary_join_element_wise(keys, tails, b"")
    return joined


def split_windowed_keys(
    keys: pa.Array[Any], window: WindowedKey
) -> tuple[pa.Array[Any], pa.Array[Any], pa.Array[Any]]:
    """The bare keys and the bounds: the inverse of `join_windowed_keys`.

    A key too short to hold its bounds becomes null, with bounds 0.
    """
    if pa.types.is_struct(keys.type):
        children = dict(zip((f.name for f in keys.type), keys.flatten(), strict=True))
        start, end = children.pop(WINDOW_START), children.pop(WINDOW_END)
        fields = [f for f in keys.type if f.name in children]
        return pa.StructArray.from_arrays(list(children.values()), fields=fields), start, end
    width = 16 if window.is_session else 8
    bare: list[bytes | None] = []
    starts: list[int] = []
    ends: list[int] = []
    # A loop over records: windowed sources are rare, and their keys have no fixed width to stride over.
    for key in keys.to_pylist():
        if key is None or len(key) < width:
            bare.append(None)
            starts.append(0)
            ends.append(0)
            continue
        bare.append(key[:-width])
        numbers = np.frombuffer(key[-width:], dtype=">i8")
        starts.append(int(numbers[-1]))
        ends.append(int(numbers[0]) if window.is_session else int(numbers[0]) + (window.size_ms or 0))
    return pa.array(bare, pa.binary()), pa.array(starts, pa.int64()), pa.array(ends, pa.int64())

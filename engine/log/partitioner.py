"""Which partition a record belongs to, as Kafka's Java client decides it.

A key's partition is its murmur2 hash (32 bits, seed 0x9747b28c), made positive by clearing the sign
bit, modulo the count of partitions. Records without a key go round robin.

after  Austin Appleby's MurmurHash2; org.apache.kafka.common.utils.Utils.murmur2 for seed and sign
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.errors import InternalError

Int32Array = np.ndarray[tuple[int], np.dtype[np.int32]]
_UInt32Array = np.ndarray[tuple[int], np.dtype[np.uint32]]
_Int64Array = np.ndarray[tuple[int], np.dtype[np.int64]]

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
# All keys of a batch advance together, a word of four bytes a step; longer keys are hashed one by one.
_LONGEST_WORDS = 256


def murmur2(key: bytes) -> int:
    """The hash of one key, as Java's signed int.

    >>> murmur2(b"foobar")
    -790332482
    """
    state = (_SEED ^ len(key)) & _MASK
    whole = len(key) & ~3
    # A loop over the words of one key: only for single keys and for those too long to go along with others.
    for word in np.frombuffer(key, dtype="<u4", count=whole // 4).tolist():
        word = (word * _MULTIPLIER) & _MASK
        word = ((word ^ (word >> 24)) * _MULTIPLIER) & _MASK
        state = ((state * _MULTIPLIER) & _MASK) ^ word
    if len(key) > whole:
        state = ((state ^ int.from_bytes(key[whole:], "little")) * _MULTIPLIER) & _MASK
    state = ((state ^ (state >> 13)) * _MULTIPLIER) & _MASK
    state ^= state >> 15
    return state - (1 << 32) if state >> 31 else state


def murmur2_of(keys: pa.Array[Any]) -> Int32Array:
    """The hash of every key, int32[n]; that of a null is of no use."""
    offsets = _offsets(keys)
    starts, lengths = offsets[:-1], np.diff(offsets)
    data = _data(keys)
    state = (np.uint32(_SEED) ^ lengths.astype(np.uint32)).astype(np.uint32)
    words = lengths >> 2
    short = np.minimum(words, _LONGEST_WORDS)
    # Longest first, so that the keys that have a word left are always the first ones.
    order = np.argsort(-short.astype(np.int16), kind="stable")
    left = np.searchsorted(-short[order], -np.arange(1, int(short.max(initial=0)) + 1), side="right")
    place, mixed = starts[order], state[order]
    for step, count in enumerate(left.tolist()):
        mixed[:count] = _mix(mixed[:count], _words_at(data, place[:count] + 4 * step))
    state[order] = mixed
    state = _finish(state, _tails(data, starts + 4 * words, lengths & 3), (lengths & 3) > 0)
    hashes: Int32Array = state.view(np.int32)
    for row in np.flatnonzero(words > _LONGEST_WORDS).tolist():
        hashes[row] = murmur2(data[starts[row] : starts[row] + lengths[row]].tobytes())
    return hashes


def partition_keys(keys: pa.Array[Any], partitions: int) -> Int32Array:
    """The partition of every key, int32[n]; that of a null is of no use."""
    chosen: Int32Array = (murmur2_of(keys) & np.int32(0x7FFFFFFF)) % np.int32(partitions)
    return chosen


@dataclass(slots=True)
class Partitioner:
    """Gives records their partition; it remembers where the round of those without a key stands.

    partitions  count, 1 or more
    """

    partitions: int
    _next: int = 0

    def assign(self, keys: pa.Array[Any]) -> Int32Array:
        """The partition of every key, int32[n]. InternalError unless the keys are binary or null."""
        if pa.types.is_null(keys.type):
            return self._round(len(keys))
        if not pa.types.is_binary(keys.type):
            raise InternalError(f"keys of type {keys.type} have no hash: partitioning wants bytes")
        chosen = partition_keys(keys, self.partitions)
        if keys.null_count:
            is_null = keys.is_null().to_numpy(zero_copy_only=False)
            chosen[is_null] = self._round(int(is_null.sum()))
        return chosen

    def _round(self, rows: int) -> Int32Array:
        first, self._next = self._next, (self._next + rows) % self.partitions
        turns: Int32Array = ((np.arange(rows) + first) % self.partitions).astype(np.int32)
        return turns


def _offsets(keys: pa.Array[Any]) -> _Int64Array:
    """int64[n + 1]: where each key begins in the data."""
    buffer = keys.buffers()[1]
    if buffer is None:
        return np.zeros(len(keys) + 1, dtype=np.int64)
    raw = np.frombuffer(memoryview(buffer), dtype=np.int32, count=keys.offset + len(keys) + 1)
    return raw[keys.offset :].astype(np.int64)


def _data(keys: pa.Array[Any]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    buffer = keys.buffers()[2]
    if buffer is None:
        return np.zeros(0, dtype=np.uint8)
    return np.frombuffer(memoryview(buffer), dtype=np.uint8)


def _words_at(data: np.ndarray[tuple[int], np.dtype[np.uint8]], places: _Int64Array) -> _UInt32Array:
    """The four bytes at each place as a little-endian number."""
    # A view with a step of one byte: words that overlap, so that any place can be looked up.
    overlapping = np.ndarray((len(data) - 3,), dtype="<u4", buffer=data, strides=(1,))
    words: _UInt32Array = overlapping[places]
    return words


def _mix(state: _UInt32Array, word: _UInt32Array) -> _UInt32Array:
    multiplier = np.uint32(_MULTIPLIER)
    word = word * multiplier
    word ^= word >> np.uint32(24)
    word *= multiplier
    mixed: _UInt32Array = (state * multiplier) ^ word
    return mixed


def _tails(
    data: np.ndarray[tuple[int], np.dtype[np.uint8]], places: _Int64Array, counts: _Int64Array
) -> _UInt32Array:
    """The zero to three bytes at each place as a little-endian number."""
    tails: _UInt32Array = np.zeros(len(places), dtype=np.uint32)
    for byte in range(3):
        rows = np.flatnonzero(counts > byte)
        tails[rows] |= data[places[rows] + byte].astype(np.uint32) << np.uint32(8 * byte)
    return tails


def _finish(
    state: _UInt32Array, tails: _UInt32Array, has_tail: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> _UInt32Array:
    multiplier = np.uint32(_MULTIPLIER)
    state = np.where(has_tail, (state ^ tails) * multiplier, state)
    state ^= state >> np.uint32(13)
    state *= multiplier
    state ^= state >> np.uint32(15)
    return state

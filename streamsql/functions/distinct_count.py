"""How many distinct values there were, in at most 16 KB a group.

Up to 1024 distinct values are kept as their hashes and counted exactly. Beyond, 2^14 registers of a
HyperLogLog take over (Flajolet et al., 2007; the estimate is Ertl's improved raw estimator, "New
cardinality estimation algorithms for HyperLogLog sketches", 2017, which needs no correction tables);
its standard error is 0.8 %.

Bytes of a state: hashes, 8 bytes each, little-endian, rising, distinct; or 2^14 bytes, a register each.
The two cannot be mistaken, since 1024 hashes are half as long. Hashes are the first eight bytes of the
MD5 of the value's text, which does not change with the version of anything.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.distinct import Column, Vector
from streamsql.engine.kernel import ArrowFunction

_REGISTER_BITS = 14
_REGISTERS = 1 << _REGISTER_BITS
_VALUE_BITS = 64 - _REGISTER_BITS
_LONGEST_LIST = 1024

UInt64s = npt.NDArray[np.uint64]
Registers = npt.NDArray[np.uint8]


def sketch_of(hashes: UInt64s) -> bytes:
    """The state that has seen these hashes; uint64[n], in any order, with repetitions."""
    distinct = np.unique(hashes)
    if len(distinct) <= _LONGEST_LIST:
        return distinct.astype("<u8").tobytes()
    return _registers(distinct).tobytes()


def merged(a: bytes, b: bytes) -> bytes:
    """The state that has seen what either has."""
    if not a or not b:
        return a or b
    if len(a) < _REGISTERS and len(b) < _REGISTERS:
        return sketch_of(np.concatenate([_hashes(a), _hashes(b)]))
    return np.maximum(_as_registers(a), _as_registers(b)).tobytes()


def estimate(state: bytes) -> int:
    """How many distinct values a state has seen.

    >>> estimate(sketch_of(np.array([7, 8, 7], dtype=np.uint64)))
    2
    """
    if len(state) < _REGISTERS:
        return len(state) // 8
    histogram = np.bincount(np.frombuffer(state, dtype=np.uint8), minlength=_VALUE_BITS + 2)
    m = float(_REGISTERS)
    z = m * _tau(1.0 - histogram[_VALUE_BITS + 1] / m)
    for count in histogram[_VALUE_BITS:0:-1]:
        z = 0.5 * (z + float(count))
    z += m * _sigma(float(histogram[0]) / m)
    return round(m * m / (2.0 * math.log(2.0) * z))


def _hashes(state: bytes) -> UInt64s:
    return np.frombuffer(state, dtype="<u8").astype(np.uint64)


def _as_registers(state: bytes) -> Registers:
    return np.frombuffer(state, dtype=np.uint8) if len(state) == _REGISTERS else _registers(_hashes(state))


def _registers(hashes: UInt64s) -> Registers:
    """Per register the longest run of leading zeros, plus one, among the other bits of its hashes."""
    registers = np.zeros(_REGISTERS, dtype=np.uint8)
    place = (hashes >> np.uint64(_VALUE_BITS)).astype(np.int64)
    rest = hashes & np.uint64((1 << _VALUE_BITS) - 1)
    # The exponent of a number is where its highest bit stands; below 2^53 doubles hold it exactly.
    _, bits = np.frexp(rest.astype(np.float64))
    np.maximum.at(registers, place, (_VALUE_BITS - bits + 1).astype(np.uint8))
    return registers


def _sigma(x: float) -> float:
    if x == 1.0:
        return float("inf")
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = x**0.5
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0


def _bytes(column: Column) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


# Loops over groups, not over rows: a batch's distinct values come in one list per group.


def _sketches(lists: Column) -> Vector:
    column: Any = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    hashes = column.flatten().to_numpy(zero_copy_only=False).astype(np.uint64)
    ends = np.cumsum(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    return pa.array([sketch_of(part) for part in np.split(hashes, ends[:-1])], pa.binary())


def _merged(olds: Column, news: Column) -> Vector:
    pairs = zip(_bytes(olds), _bytes(news), strict=True)
    return pa.array([merged(old or b"", new or b"") for old, new in pairs], pa.binary())


def _estimates(states: Column) -> Vector:
    return pa.array([estimate(state or b"") for state in _bytes(states)], pa.int64())


SKETCH = ArrowFunction("ksql_distinct_sketch", ("UBIGINT[]",), "BLOB", _sketches)
MERGE = ArrowFunction("ksql_distinct_merge", ("BLOB", "BLOB"), "BLOB", _merged)
ESTIMATE = ArrowFunction("ksql_distinct_estimate", ("BLOB",), "BIGINT", _estimates)

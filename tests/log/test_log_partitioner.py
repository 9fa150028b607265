"""Partitions as Kafka's Java client chooses them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.log.partitioner import Partitioner, murmur2, murmur2_of, partition_keys
from streamsql.errors import InternalError

# From the tests of Kafka's Java client.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def test_hashes_are_those_of_kafka() -> None:
    assert {key: murmur2(key) for key in KNOWN} == KNOWN
    assert murmur2_of(pa.array(list(KNOWN))).tolist() == list(KNOWN.values())


def test_a_partition_is_the_positive_hash_modulo_the_count() -> None:
    chosen = partition_keys(pa.array(list(KNOWN)), 7).tolist()
    assert chosen == [(value & 0x7FFFFFFF) % 7 for value in KNOWN.values()]


KEYS = st.lists(
    st.none() | st.binary(max_size=70) | st.builds(lambda b, n: b * n, st.binary(max_size=3), st.just(900))
)


@given(KEYS, st.integers(0, 3))
def test_all_keys_together_hash_as_each_alone(keys: list[bytes | None], skipped: int) -> None:
    array = pa.array([b"other"] * skipped + keys, pa.binary())[skipped:]
    hashes = murmur2_of(array).tolist()
    for key, found in zip(keys, hashes, strict=True):
        if key is not None:
            assert found == murmur2(key)


def test_records_without_a_key_go_round_and_the_round_goes_on() -> None:
    partitioner = Partitioner(3)
    assert partitioner.assign(pa.nulls(4)).tolist() == [0, 1, 2, 0]
    keys = pa.array([None, b"abc", None, b"21"], pa.binary())
    own = {key: (KNOWN[key] & 0x7FFFFFFF) % 3 for key in (b"abc", b"21")}
    assert partitioner.assign(keys).tolist() == [1, own[b"abc"], 2, own[b"21"]]
    assert partitioner.assign(pa.array([], pa.binary())).tolist() == []
    assert partitioner.assign(pa.array([None], pa.binary())).tolist() == [0]


def test_keys_that_are_not_bytes_are_refused() -> None:
    with pytest.raises(InternalError, match="partitioning wants bytes"):
        Partitioner(2).assign(pa.array([1]))

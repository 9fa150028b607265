"""The checksum is that of zlib, whatever computes it."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.log.crc import crc32


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_sums_are_those_of_zlib_and_can_be_gone_on_with(one: bytes, other: bytes) -> None:
    assert crc32(other, crc32(one)) == zlib.crc32(one + other)

"""Frames and the index, as bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from log_samples import numbered

from streamsql.engine.log import frame
from streamsql.engine.log.frame import Header
from streamsql.engine.log.index import Index
from streamsql.errors import ExternalError

SEED = 77


def record_frame(offset: int, rows: int = 2, settled: int = 0) -> tuple[Header, bytes]:
    payload = frame.record_payload(numbered(rows, offset))
    crc = frame.payload_crc(payload)
    header = Header(
        *(frame.RECORDS, frame.TRANSACTIONAL, crc, frame.payload_bytes(payload), 3, rows, rows, 4),
        *(offset, offset),
        *(offset + rows - 1, 5, 6, settled),
    )
    return header, frame.encode(header, SEED) + b"".join(payload)


FRAMES = [record_frame(10), record_frame(12, 1, 10), record_frame(13, 3, 12)]
FILE = b"".join(data for _, data in FRAMES)


def test_headers_read_back_as_they_were_written() -> None:
    found = list(frame.walk(memoryview(FILE), 0, len(FILE), SEED, 10))
    assert [one.header for one in found] == [header for header, _ in FRAMES]
    assert [one.offset for one in found] == [10, 12, 13]
    assert found[0].start == 0 and found[-1].end == len(FILE)
    assert all(len(data) % frame.ALIGNMENT == 0 for _, data in FRAMES)
    assert all(
        frame.is_payload_good(memoryview(FILE), one.start, header) for one in found if (header := one.header)
    )


def test_every_flipped_bit_is_found_and_the_frames_around_it_are_not_lost() -> None:
    starts = [0, len(FRAMES[0][1]), len(FRAMES[0][1]) + len(FRAMES[1][1]), len(FILE)]
    for bit in range(8 * len(FILE)):
        data = bytearray(FILE)
        data[bit // 8] ^= 1 << bit % 8
        view = memoryview(data)
        hit = next(n for n in range(3) if bit // 8 < starts[n + 1])
        found = list(frame.walk(view, 0, len(data), SEED, 10))
        if bit // 8 - starts[hit] < frame.HEADER_BYTES:
            assert [one.header for one in found] == [None if n == hit else FRAMES[n][0] for n in range(3)]
            assert (found[hit].start, found[hit].end) == (starts[hit], starts[hit + 1])
        else:
            assert [one.header for one in found] == [header for header, _ in FRAMES]
            good = [frame.is_payload_good(view, one.start, h) for one in found if (h := one.header)]
            assert good == [n != hit for n in range(3)]


def test_frames_that_are_missing_or_come_twice_are_damage() -> None:
    first, second, third = (data for _, data in FRAMES)
    missing = list(frame.walk(memoryview(first + third), 0, len(first + third), SEED, 10))
    assert [(one.offset, one.header and one.header.base_offset) for one in missing] == [
        (10, 10),
        (12, None),
        (13, 13),
    ]
    twice = first + first + second
    found = list(frame.walk(memoryview(twice), 0, len(twice), SEED, 10))
    assert [one.header and one.header.base_offset for one in found] == [10, None, 12]


def test_a_frame_of_another_partition_is_none() -> None:
    assert [one.header for one in frame.walk(memoryview(FILE), 0, len(FILE), SEED + 1, 10)] == [None]


def test_a_frame_of_a_later_version_is_refused_not_skipped() -> None:
    header, data = FRAMES[0]
    raw = bytearray(data)
    raw[4] = 2
    crc = frame._header_crc(raw, 0, SEED)
    raw[8:12] = crc.to_bytes(4, "little")
    with pytest.raises(ExternalError, match="written in format 2"):
        frame.decode(memoryview(raw), 0, len(raw), SEED)


def filled_index() -> Index:
    index = Index(10)
    position = 0
    schema = FRAMES[0][0]._replace(kind=frame.SCHEMA, rows=0, span=0, payload_bytes=200, schema=7)
    index.add(0, schema)
    for number in range(200):
        header = FRAMES[0][0]._replace(
            base_offset=10 + 2 * number, max_time=(number * 37) % 101, payload_bytes=4008
        )
        position = index.end
        index.add(position, header)
    return index


def test_an_index_is_sparse_and_leads_to_every_offset() -> None:
    index = filled_index()
    assert len(index.offsets) == 50
    for offset in range(10, 410):
        position, due = index.before(offset)
        assert due <= offset < due + 8
        assert position == 288 + (due - 10) // 2 * 4096 or (position, due) == (0, 10)
    found = index.from_time(100, 410)
    assert found is not None and found[1] <= 10 + 2 * next(n for n in range(200) if n * 37 % 101 >= 100)
    assert index.from_time(101, 410) is None
    assert index.from_time(0, 10) is None


def test_an_index_reads_back_and_one_flipped_bit_makes_it_none() -> None:
    index = filled_index()
    data = index.to_bytes(SEED)
    assert Index.from_bytes(data, SEED, 10) == index
    assert Index.from_bytes(data, SEED + 1, 10) is None
    assert Index.from_bytes(data, SEED, 11) is None
    assert Index.from_bytes(data[:-1], SEED, 10) is None
    for bit in range(0, 8 * len(data), 5):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert Index.from_bytes(bytes(changed), SEED, 10) is None


def test_a_truncated_index_is_that_of_fewer_frames() -> None:
    index = filled_index()
    short = index.up_to(288 + 100 * 4096, 210)
    assert (len(short.offsets), short.end, short.end_offset, short.schemas) == (
        25,
        288 + 100 * 4096,
        210,
        {7: 0},
    )
    assert len(index.offsets) == 50
    short.truncate(0, 10)
    assert (short.schemas, short.first_time, short.before(10)) == ({}, None, (0, 10))


@pytest.mark.parametrize("rows", [0, 3, 50_000])
def test_a_payload_in_pieces_is_the_message_in_one(rows: int) -> None:
    columns = {f"c{i}": pa.array([None, "x" * i, "y"] * (rows // 3)) for i in range(40)}
    batch = pa.record_batch(columns).slice(1)
    payload = frame.record_payload(batch)
    assert b"".join(payload) == batch.serialize().to_pybytes()
    assert frame.payload_bytes(payload) == batch.serialize().size
    assert (len(payload) > 1) == (rows > 3)

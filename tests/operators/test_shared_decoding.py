"""Queries that read a topic in the same way decode it once, and never take another's records for theirs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing

import pyarrow as pa
import pytest

from streamsql.database import Database
from streamsql.engine.codec import Decoded
from streamsql.engine.shared import SharedDecoding, SharedReader


def records(offsets: Sequence[int], partition: int = 0) -> pa.RecordBatch:
    """Records of a topic, as far as sharing looks at them."""
    return pa.RecordBatch.from_arrays(
        [pa.array([partition] * len(offsets), pa.int32()), pa.array(offsets, pa.int64())],
        names=["$partition", "$offset"],
    )


class Decodes:
    """Decodes a record to its offset, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, reader: SharedReader, raw: pa.RecordBatch) -> list[int]:
        def decode() -> Decoded:
            self.calls += 1
            return Decoded((raw.column("$offset"),))

        return reader.decode(raw, decode).columns[0].to_pylist()


@pytest.fixture
def shared() -> SharedDecoding:
    return SharedDecoding(max_bytes=800, max_pieces=3)


@pytest.fixture
def decodes() -> Decodes:
    return Decodes()


def test_every_reader_gets_what_the_first_has_decoded(shared: SharedDecoding, decodes: Decodes) -> None:
    readers = [shared.reader("views") for _ in range(3)]
    assert [decodes(reader, records([4, 5, 6])) for reader in readers] == [[4, 5, 6]] * 3
    assert decodes.calls == 1


def test_nothing_is_kept_once_all_have_had_it(shared: SharedDecoding, decodes: Decodes) -> None:
    readers = [shared.reader("views") for _ in range(3)]
    kept = []
    for reader in readers:
        decodes(reader, records([4, 5, 6]))
        kept.append(shared.bytes)
    assert kept == [24, 24, 0]


def test_a_single_reader_keeps_nothing(shared: SharedDecoding, decodes: Decodes) -> None:
    reader = shared.reader("views")
    decodes(reader, records([1, 2]))
    assert (shared.bytes, decodes(reader, records([1, 2])), decodes.calls) == (0, [1, 2], 2)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(records([1, 3]), id="another offset in the middle"),
        pytest.param(records([1, 2, 3]), id="more of them"),
        pytest.param(records([1, 2], partition=1), id="another partition"),
    ],
)
def test_other_records_are_not_taken_for_these(
    shared: SharedDecoding, decodes: Decodes, other: pa.RecordBatch
) -> None:
    one, two = shared.reader("views"), shared.reader("views")
    decodes(one, records([1, 2]))
    assert decodes(two, other) == other.column("$offset").to_pylist()


def test_who_reads_another_way_shares_nothing(shared: SharedDecoding, decodes: Decodes) -> None:
    for way in ("page", "page", "price"):
        decodes(shared.reader(way), records([1, 2]))
    assert decodes.calls == 3


def test_what_is_kept_is_bounded_in_bytes_and_in_pieces(shared: SharedDecoding, decodes: Decodes) -> None:
    ahead, behind = shared.reader("views"), shared.reader("views")
    for begin in range(0, 500, 50):
        decodes(ahead, records(range(begin, begin + 50)))
        assert shared.bytes <= 800
    for begin in range(500, 510):
        decodes(ahead, records([begin]))
    assert shared.bytes == 3 * 8
    assert decodes(behind, records(range(50))) == list(range(50))


def test_the_last_but_one_to_leave_clears_up(shared: SharedDecoding, decodes: Decodes) -> None:
    # The topic may be made anew under its name, with other records at the same offsets.
    one, two = shared.reader("views"), shared.reader("views")
    decodes(one, records([1, 2]))
    one.close()
    assert shared.bytes == 0
    assert (decodes(two, records([1, 2])), decodes.calls) == ([1, 2], 2)


def test_a_failure_is_the_one_readers_whose_decoding_failed(shared: SharedDecoding, decodes: Decodes) -> None:
    one, two = shared.reader("views"), shared.reader("views")

    def fail() -> Decoded:
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        one.decode(records([1, 2]), fail)
    assert decodes(two, records([1, 2])) == [1, 2]


def test_who_comes_while_it_is_decoded_waits_for_it(shared: SharedDecoding) -> None:
    one, two = shared.reader("views"), shared.reader("views")
    raw, begun, go_on = records([1, 2]), threading.Event(), threading.Event()
    found: list[list[int]] = []

    def slowly() -> Decoded:
        begun.set()
        assert go_on.wait(20)
        return Decoded((raw.column("$offset"),))

    def never() -> Decoded:
        raise AssertionError("decoded twice")

    first = threading.Thread(target=lambda: one.decode(raw, slowly))
    second = threading.Thread(target=lambda: found.append(two.decode(raw, never).columns[0].to_pylist()))
    first.start()
    assert begun.wait(20)
    second.start()
    go_on.set()
    first.join(20)
    second.join(20)
    assert found == [[1, 2]]


def test_queries_that_share_report_bad_records_each_for_itself(db: Database) -> None:
    db.execute("CREATE STREAM v (a INT) WITH (KAFKA_TOPIC = 'v', VALUE_FORMAT = 'JSON', PARTITIONS = 2);")
    for number in range(3):
        db.execute(f"CREATE STREAM s{number} AS SELECT a + {number} AS a FROM v;")
    with closing(db.topic_writer("v")) as writer:
        writer.write_text(pa.array(['{"a": 1}', "{", '{"a": 3}', '{"a": 4}']))
    for number in range(3):
        found = db.execute(f"SELECT a FROM s{number};").fetchall()
        assert sorted(found) == [(1 + number,), (3 + number,), (4 + number,)]
    assert db.execute("SELECT COUNT(*) FROM KSQL_PROCESSING_LOG;").fetchall() == [(3,)]

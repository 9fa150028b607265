"""Queries that read a topic in the same way decode it once, and never take another's records for theirs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    """Decodes a record to its offset, and remembers which records it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    @property
    def calls(self) -> int:
        return len(self.asked)

    def __call__(self, reader: SharedReader, raw: pa.RecordBatch) -> list[int]:
        return reader.decode(raw, self.decode).columns[0].to_pylist()

    def decode(self, records: pa.RecordBatch) -> Decoded:
        self.asked.append(records.column("$offset").to_pylist())
        return Decoded((records.column("$offset"),))


@pytest.fixture
def shared() -> SharedDecoding:
    return SharedDecoding(max_bytes=800, max_pieces=3, piece_rows=1000)


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

    def fail(records: pa.RecordBatch) -> Decoded:
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        one.decode(records([1, 2]), fail)
    assert decodes(two, records([1, 2])) == [1, 2]


def test_who_comes_while_it_is_decoded_waits_for_it(shared: SharedDecoding) -> None:
    one, two = shared.reader("views"), shared.reader("views")
    raw, begun, go_on = records([1, 2]), threading.Event(), threading.Event()
    found: list[list[int]] = []

    def slowly(records: pa.RecordBatch) -> Decoded:
        begun.set()
        assert go_on.wait(20)
        return Decoded((records.column("$offset"),))

    def never(records: pa.RecordBatch) -> Decoded:
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


def test_batches_that_are_cut_elsewhere_share_what_they_have_in_common(decodes: Decodes) -> None:
    # offset   0    4    8    12   16
    # one      |---------|----|
    # two           |--------------|
    shared = SharedDecoding(piece_rows=4)
    one, two = shared.reader("views"), shared.reader("views")
    for raw in (records(range(8)), records(range(8, 12))):
        decodes(one, raw)
    assert decodes(two, records(range(4, 16))) == list(range(4, 16))
    assert decodes.asked == [list(range(8)), [8, 9, 10, 11], [12, 13, 14, 15]]


def odd_offsets_are_bad(batch: pa.RecordBatch) -> Decoded:
    """Decodes to the offset plus a thousand times the partition; every record with an odd offset is bad."""
    offsets, partitions = batch.column("$offset").to_numpy(), batch.column("$partition").to_numpy()
    bad = np.flatnonzero(offsets % 2)
    reasons = [f"{partitions[row]}/{offsets[row]}" for row in bad.tolist()]
    return Decoded((pa.array(offsets + 1000 * partitions),), bad, pa.array(reasons, pa.string()))


def batch_cuts(rows: int) -> st.SearchStrategy[list[int]]:
    return st.sets(st.integers(1, rows - 1), max_size=6).map(lambda cuts: [0, *sorted(cuts), rows])


@given(
    partitions=st.lists(st.integers(0, 2), min_size=60, max_size=60),
    readers=st.lists(batch_cuts(60), min_size=2, max_size=4),
    piece_rows=st.integers(1, 20),
    max_bytes=st.sampled_from([0, 100, 10_000]),
)
def test_whoever_reads_how_gets_what_decoding_alone_gives(
    partitions: list[int], readers: list[list[int]], piece_rows: int, max_bytes: int
) -> None:
    seen = [0, 0, 0]
    offsets = []
    for partition in partitions:
        offsets.append(seen[partition])
        seen[partition] += 1
    topic = pa.RecordBatch.from_arrays(
        [pa.array(partitions, pa.int32()), pa.array(offsets, pa.int64())], names=["$partition", "$offset"]
    )
    shared = SharedDecoding(max_bytes=max_bytes, piece_rows=piece_rows)
    for reader, cuts in [(shared.reader("topic"), cuts) for cuts in readers]:
        for begin, end in pairwise(cuts):
            raw = topic.slice(begin, end - begin)
            found, alone = reader.decode(raw, odd_offsets_are_bad), odd_offsets_are_bad(raw)
            assert [c.to_pylist() for c in found.columns] == [c.to_pylist() for c in alone.columns]
            assert (list(found.bad), found.reasons.to_pylist()) == (
                list(alone.bad),
                alone.reasons.to_pylist(),
            )
            assert shared.bytes <= max_bytes


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

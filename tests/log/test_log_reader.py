"""A topic as one stream: the order between partitions, positions, schemas that change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_samples import batch, numbered, timed

from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.log.reader import TopicReader, earliest, latest
from streamsql.engine.log.records import HEADERS
from streamsql.engine.log.wanted import Wanted
from streamsql.errors import InternalError


def log_of(*partitions: Sequence[Sequence[int]]) -> Log:
    """A log with topic t: per partition, batches of timestamps."""
    log = MemoryLog()
    log.create_topic("t", TopicConfig(partitions=len(partitions)))
    for number, batches in enumerate(partitions):
        for times in batches:
            log.append("t", number, timed(times))
    return log


def drain(reader: TopicReader, max_rows: int = 1000) -> list[tuple[int, int, int]]:
    """(partition, offset, timestamp) of all that is left."""
    found: list[tuple[int, int, int]] = []
    while (got := reader.poll(max_rows)) is not None:
        assert 0 < got.num_rows <= max_rows
        columns = [got.column(name).to_pylist() for name in ("$partition", "$offset", "timestamp")]
        found += zip(*columns, strict=True)
    return found


def test_partitions_are_merged_by_time_and_a_late_record_stays_with_its_neighbours() -> None:
    # partition 0   10       30  (5)  40      5 is late: it goes where 30 is
    # partition 1      20  25              50
    log = log_of([[10, 30, 5, 40]], [[20, 25], [50]])
    assert drain(TopicReader(log, "t", earliest(log, "t"))) == [
        (0, 0, 10),
        (1, 0, 20),
        (1, 1, 25),
        (0, 1, 30),
        (0, 2, 5),
        (0, 3, 40),
        (1, 2, 50),
    ]


def test_equal_times_are_in_order_of_partition() -> None:
    log = log_of([[7, 7]], [[7]], [[7, 7]])
    expected = [(0, 0, 7), (0, 1, 7), (1, 0, 7), (2, 0, 7), (2, 1, 7)]
    for max_rows in (1, 2, 100):
        assert drain(TopicReader(log, "t", earliest(log, "t")), max_rows) == expected


def test_a_partition_read_to_its_end_holds_nobody_back() -> None:
    log = log_of([[100]], [[10]], [])
    reader = TopicReader(log, "t", earliest(log, "t"))
    assert drain(reader) == [(1, 0, 10), (0, 0, 100)]
    log.append("t", 2, timed([50]))
    assert drain(reader) == [(2, 0, 50)]
    assert reader.poll(10) is None


def test_positions_are_what_was_given_and_lag_is_what_is_left() -> None:
    log = log_of([[1, 3, 5]], [[2, 4, 6, 8]])
    reader = TopicReader(log, "t", earliest(log, "t"))
    assert reader.lag() == 7
    got = reader.poll(3)
    assert got is not None and got.column("timestamp").to_pylist() == [1, 2, 3]
    assert reader.positions == {TopicPartition("t", 0): 2, TopicPartition("t", 1): 1}
    assert reader.lag() == 4
    resumed = TopicReader(log, "t", reader.positions)
    assert drain(resumed) == drain(reader) == [(1, 1, 4), (0, 2, 5), (1, 2, 6), (1, 3, 8)]
    assert (reader.lag(), reader.positions) == (0, latest(log, "t"))


def test_only_the_partitions_of_the_topic_that_were_asked_for_are_read() -> None:
    log = log_of([[1]], [[2]])
    log.create_topic("other", TopicConfig())
    log.append("other", 0, timed([0]))
    reader = TopicReader(log, "t", {TopicPartition("t", 1): 0, TopicPartition("other", 0): 0})
    assert drain(reader) == [(1, 0, 2)]
    assert reader.positions == {TopicPartition("t", 1): 1}


def test_reading_begins_where_it_is_asked_to() -> None:
    log = log_of([[1, 5, 3, 9]], [[2]])
    places = {TopicPartition("t", number): log.offset_for_time("t", number, 4) for number in (0, 1)}
    assert drain(TopicReader(log, "t", places)) == [(0, 1, 5), (0, 2, 3), (0, 3, 9)]
    assert drain(TopicReader(log, "t", latest(log, "t"))) == []


PARTS = st.lists(
    st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), max_size=4), min_size=1, max_size=4
)


def test_partitions_that_need_no_order_come_in_turn_and_go_on_where_the_batch_was_full() -> None:
    log = log_of([[10, 30], [40]], [[20]], [[1, 2]])
    reader = TopicReader(log, "t", earliest(log, "t"), in_order=False)
    batches = [got.column("timestamp").to_pylist() for _ in range(2) if (got := reader.poll(4))]
    assert batches == [[10, 30, 40, 20], [1, 2]]
    log.append("t", 0, timed([5]))
    assert drain(reader) == [(0, 3, 5)]


@given(PARTS, st.lists(st.integers(1, 9), min_size=1))
def test_in_turn_a_backlog_is_read_once_whatever_the_cuts_and_resumes(
    parts: list[list[list[int]]], cuts: list[int]
) -> None:
    log = log_of(*parts)
    reader = TopicReader(log, "t", earliest(log, "t"), in_order=False)
    found: list[tuple[int, int]] = []
    turn = 0
    while (got := reader.poll(cuts[turn % len(cuts)])) is not None:
        assert 0 < got.num_rows <= cuts[turn % len(cuts)]
        found += zip(got.column("$partition").to_pylist(), got.column("$offset").to_pylist(), strict=True)
        assert reader.lag() == sum(end for end in latest(log, "t").values()) - len(found)
        if turn % 3 == 2:
            reader = TopicReader(log, "t", reader.positions, in_order=False)
        turn += 1
    for number, batches in enumerate(parts):
        offsets = [offset for partition, offset in found if partition == number]
        assert offsets == list(range(sum(map(len, batches))))


@given(PARTS, st.lists(st.integers(1, 9), min_size=1))
def test_a_backlog_comes_in_one_order_however_it_is_cut(
    parts: list[list[list[int]]], cuts: list[int]
) -> None:
    log = log_of(*parts)
    rows = []
    for number, batches in enumerate(parts):
        reached = -1
        for offset, time in enumerate(time for times in batches for time in times):
            reached = max(reached, time)
            rows.append((reached, number, offset, time))
    expected = [(number, offset, time) for _, number, offset, time in sorted(rows)]
    reader = TopicReader(log, "t", earliest(log, "t"))
    found: list[tuple[int, int, int]] = []
    turn = 0
    while (got := reader.poll(cuts[turn % len(cuts)])) is not None:
        columns = [got.column(name).to_pylist() for name in ("$partition", "$offset", "timestamp")]
        found += zip(*columns, strict=True)
        assert reader.lag() == len(rows) - len(found)
        turn += 1
    assert found == expected


@pytest.mark.parametrize("in_order", [True, False])
@given(PARTS, st.data())
def test_live_records_each_come_once_and_in_their_partition_s_order(
    in_order: bool, parts: list[list[list[int]]], data: st.DataObject
) -> None:
    log = log_of(*([] for _ in parts))
    reader = TopicReader(log, "t", earliest(log, "t"), in_order=in_order)
    waiting = [(number, times) for number, batches in enumerate(parts) for times in batches]
    found: list[tuple[int, int, int]] = []
    while waiting:
        number, times = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        log.append("t", number, timed(times))
        if data.draw(st.booleans()):
            found += drain(reader, data.draw(st.integers(1, 5)))
    found += drain(reader)
    for number in range(len(parts)):
        offsets = [offset for part, offset, _ in found if part == number]
        assert offsets == list(range(log.end_offset("t", number)))


def struct_batch(at: int, **fields: object) -> pa.RecordBatch:
    return pa.record_batch(
        {"key": pa.nulls(1), "value": pa.array([fields]), "timestamp": pa.array([at], pa.int64())}
    )


def test_a_poll_ends_where_the_schema_changes(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    for one in (
        struct_batch(1, a=1),
        struct_batch(2, a=2),
        struct_batch(3, a=3, b="x"),
        struct_batch(4, a=4),
    ):
        log.append("t", 0, one)
    reader = TopicReader(log, "t", earliest(log, "t"))
    got = [found.column("value").to_pylist() for _ in range(3) if (found := reader.poll(100)) is not None]
    assert got == [[{"a": 1}, {"a": 2}], [{"a": 3, "b": "x"}], [{"a": 4}]]
    assert reader.poll(100) is None


def test_schemas_that_differ_between_partitions_do_not_change_the_order(log: Log) -> None:
    log.create_topic("t", TopicConfig(partitions=2))
    for at in (1, 3, 4):
        log.append("t", 0, struct_batch(at, a=at))
    for at in (2, 4, 5):
        log.append("t", 1, struct_batch(at, b=at))
    reader = TopicReader(log, "t", earliest(log, "t"))
    got = []
    while (found := reader.poll(100)) is not None:
        got.append(found.column("value").to_pylist())
    assert got == [[{"a": 1}], [{"b": 2}], [{"a": 3}, {"a": 4}], [{"b": 4}, {"b": 5}]]


def test_tombstones_without_a_type_and_headers_that_come_and_go_do_not_end_a_poll(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    untyped = pa.record_batch({"key": pa.nulls(1), "value": pa.nulls(1), "timestamp": pa.array([1])})
    headers = pa.array([[{"key": "h", "value": b"1"}]], HEADERS)
    for one in (untyped, numbered(1), batch("x", key="k").append_column("headers", headers), untyped):
        log.append("t", 0, one)
    got = TopicReader(log, "t", earliest(log, "t")).poll(100)
    assert got is not None
    assert got.column_names == ["key", "value", "timestamp", "headers", "$partition", "$offset"]
    assert got.column("value").to_pylist() == [None, b"v0", b"x", None]
    assert got.column("key").to_pylist() == [None, b"k", b"k", None]
    assert got.column("headers").to_pylist() == [[], [], [{"key": "h", "value": b"1"}], []]
    assert got.schema.field("$partition").type == pa.int32()
    assert got.schema.field("$offset").type == pa.int64()


def test_a_large_batch_is_given_without_a_copy(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    for first in (0, 40_000):
        log.append("t", 0, numbered(40_000, first))
    reader = TopicReader(log, "t", earliest(log, "t"))
    (read,) = log.read("t", 0, 0, 40_000)
    before = pa.total_allocated_bytes()
    got = reader.poll(100_000)
    assert got is not None and got.num_rows == 40_000
    assert got.column("value").equals(read.column("value"))
    # Offsets and partition numbers are new; values and keys are not.
    assert pa.total_allocated_bytes() - before < 2 * 40_000 * 8 + 40_000 * 4 + 100_000


def test_a_large_frame_is_given_in_even_parts(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    for first in (0, 100_000):
        log.append("t", 0, numbered(100_000, first))
    reader = TopicReader(log, "t", earliest(log, "t"))
    given = [got for _ in range(6) if (got := reader.poll(40_000)) is not None]
    # Cut where all readers cut, at multiples of 16,384, and where the frame ends.
    assert [got.num_rows for got in given] == [32_768, 32_768, 34_464, 31_072, 32_768, 36_160]
    assert pa.concat_batches(given).column("$offset").to_pylist() == list(range(200_000))
    assert reader.poll(40_000) is None


def test_frames_of_long_rows_are_not_joined(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    long = pa.array([b"x" * 200] * 20_000)
    for first in (0, 20_000, 40_000):
        frame = numbered(20_000, first)
        log.append("t", 0, frame.set_column(frame.schema.get_field_index("value"), "value", long))
    reader = TopicReader(log, "t", earliest(log, "t"))
    assert [got.num_rows for _ in range(3) if (got := reader.poll(60_000)) is not None] == [20_000] * 3


@pytest.mark.parametrize(("reset", "expected"), [("earliest", [(0, 2, 2), (0, 3, 3)]), ("latest", [])])
def test_a_position_whose_records_were_dropped_is_set_anew(
    tmp_path: Path, reset: str, expected: list[tuple[int, int, int]]
) -> None:
    with DiskLog(tmp_path) as log:
        log.create_topic("t", TopicConfig(segment_bytes=1, retention_ms=1))
        for time in range(4):
            log.append("t", 0, timed([time]))
        reader = TopicReader(log, "t", {TopicPartition("t", 0): 1}, reset=reset)
        log.maintain(3)
        assert drain(reader) == expected
        assert reader.positions == {TopicPartition("t", 0): 4}
        assert reader.lag() == 0


def test_a_position_past_the_end_reads_nothing_twice(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    log.append("t", 0, timed([1]))
    reader = TopicReader(log, "t", {TopicPartition("t", 0): 5})
    assert reader.poll(1) is None
    log.append("t", 0, timed([2]))
    assert drain(reader) == [(0, 1, 2)]


def test_an_empty_poll_is_refused(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    with pytest.raises(InternalError, match="one row at least"):
        TopicReader(log, "t", earliest(log, "t")).poll(0)


def test_a_reader_takes_only_the_fields_that_are_wanted_and_keeps_tombstones(log: Log) -> None:
    log.create_topic("t", TopicConfig())
    kind = pa.struct([("a", pa.int64()), ("b", pa.string()), ("c", pa.int64())])
    for rows in ([{"a": 1, "b": "x", "c": 3}, None], [{"a": 2, "b": "y", "c": 4}]):
        value = pa.array(rows, kind)
        batch = {
            "key": pa.nulls(len(rows)),
            "value": value,
            "timestamp": pa.array([0] * len(rows), pa.int64()),
        }
        log.append("t", 0, pa.record_batch(batch))

    def values(*names: str) -> list[object]:
        wanted = Wanted(value=frozenset(names), headers=False)
        got = TopicReader(log, "t", earliest(log, "t"), wanted=wanted).poll(100)
        assert got is not None
        return got.column("value").to_pylist()

    assert values("c", "a") == [{"a": 1, "c": 3}, None, {"a": 2, "c": 4}]
    assert values("b", "nothing of that name") == [{"b": "x"}, None, {"b": "y"}]
    # A null struct must stay apart from one with fields that nobody wants.
    assert [value is None for value in values()] == [False, True, False]

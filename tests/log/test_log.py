"""What every log does, wherever it keeps its records."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from log_samples import batch, numbered, rows, timed, values

from streamsql.engine.log.log import CommitRecord, Log, TopicConfig, TopicPartition
from streamsql.engine.log.records import HEADERS
from streamsql.errors import DataError, InternalError, PlanError, StreamSQLError


@pytest.fixture
def topic(log: Log) -> str:
    log.create_topic("views", TopicConfig(partitions=2))
    return "views"


def test_topics_are_listed_by_name_with_the_settings_they_were_made_with(log: Log) -> None:
    config = TopicConfig(3, "compact,delete", 1000, 2000, 3000, 4000, {"format": "JSON"})
    log.create_topic("Ümlaut/%2F…", config)
    log.create_topic("a", TopicConfig())
    log.create_topic(".hidden", TopicConfig())
    assert log.topics() == [".hidden", "a", "Ümlaut/%2F…"]
    assert log.topic_config("Ümlaut/%2F…") == config
    assert log.has_topic("a") and not log.has_topic("A")


def test_a_deleted_topic_is_gone_and_its_name_begins_anew(log: Log, topic: str) -> None:
    log.append(topic, 0, numbered(3))
    kept = log.read(topic, 0, 0, 10)
    log.delete_topic(topic)
    assert log.topics() == []
    with pytest.raises(PlanError, match="no topic views"):
        log.end_offset(topic, 0)
    log.create_topic(topic, TopicConfig(partitions=1))
    assert (log.end_offset(topic, 0), log.read(topic, 0, 0, 10)) == (0, [])
    assert log.append(topic, 0, numbered(1)) == 0
    assert kept[0].column("value").to_pylist() == [b"v0", b"v1", b"v2"]


def test_a_topic_may_get_more_partitions_and_other_settings(log: Log, topic: str) -> None:
    log.append(topic, 1, numbered(2))
    log.alter_topic(topic, TopicConfig(partitions=3, retention_ms=5))
    assert log.topic_config(topic).retention_ms == 5
    assert log.append(topic, 2, numbered(1)) == 0
    assert values(log, topic, 1) == ["v0", "v1"]
    with pytest.raises(PlanError, match="has 3 partitions and cannot have 2"):
        log.alter_topic(topic, TopicConfig(partitions=2))


def test_records_come_back_in_order_with_their_offsets(log: Log, topic: str) -> None:
    assert log.append(topic, 0, numbered(3)) == 0
    assert log.append(topic, 0, batch("x", None, at=50)) == 3
    assert log.append(topic, 1, numbered(1)) == 0
    assert rows(log, topic, 0) == [
        (0, b"k", b"v0", 0),
        (1, b"k", b"v1", 1),
        (2, b"k", b"v2", 2),
        (3, None, b"x", 50),
        (4, None, None, 51),
    ]
    assert (log.start_offset(topic, 0), log.end_offset(topic, 0), log.end_offset(topic, 1)) == (0, 5, 1)


@pytest.mark.parametrize(
    ("offset", "max_rows", "expected"),
    [
        pytest.param(0, 100, range(9), id="all"),
        pytest.param(1, 100, range(1, 9), id="from inside a batch"),
        pytest.param(1, 4, range(1, 5), id="to inside a batch"),
        pytest.param(4, 1, range(4, 5), id="one row"),
        pytest.param(3, 3, range(3, 6), id="exactly one batch"),
        pytest.param(8, 100, range(8, 9), id="the last row"),
        pytest.param(9, 100, range(0), id="the end"),
    ],
)
@pytest.mark.parametrize("padding", ["", "x" * 20_000], ids=["small", "large"])
def test_reading_is_cut_at_offset_and_at_max_rows(
    log: Log, topic: str, offset: int, max_rows: int, expected: range, padding: str
) -> None:
    for first in (0, 3, 6):
        log.append(topic, 0, batch(*(f"v{n}{padding}" for n in range(first, first + 3))))
    found = log.read(topic, 0, offset, max_rows)
    got = [row for part in found for row in part.select(["offset", "value"]).to_pylist()]
    assert got == [{"offset": n, "value": f"v{n}{padding}".encode()} for n in expected]


@pytest.mark.parametrize("offset", [-1, 3])
def test_an_offset_outside_the_partition_is_refused(log: Log, topic: str, offset: int) -> None:
    log.append(topic, 0, numbered(2))
    with pytest.raises(
        DataError, match=f"offset {offset} of topic views partition 0 is out of range"
    ) as found:
        log.read(topic, 0, offset, 1)
    assert found.value.code == "LOG-OFFSET-OUT-OF-RANGE"


STRUCTS = pa.record_batch(
    {
        "key": pa.array([{"id": 1}, None], pa.struct([("id", pa.int64())])),
        "value": pa.array(
            [{"tags": ["a", None], "price": None, "at": {"x": 1.5}}, None],
            pa.struct(
                [
                    ("tags", pa.list_(pa.string())),
                    ("price", pa.decimal128(10, 2)),
                    ("at", pa.map_(pa.string(), pa.float64())),
                ]
            ),
        ),
        "timestamp": pa.array([-5, 2**62]),
    }
)
WITH_HEADERS = pa.record_batch(
    {
        "key": pa.nulls(2),
        "value": pa.array([b"", None]),
        "timestamp": pa.array([1, 1]),
        "headers": pa.array([[{"key": "a", "value": b"\0"}, {"key": "a", "value": None}], []], HEADERS),
    }
)


def test_each_batch_keeps_its_own_schema(log: Log, topic: str) -> None:
    written = [numbered(2), STRUCTS, WITH_HEADERS, numbered(1), STRUCTS.slice(1)]
    for one in written:
        log.append(topic, 0, one)
    written.append(written[-1])
    log.append(topic, 0, written[-1])
    found = [part for offset in (0, 2, 4, 6, 7, 8) for part in log.read(topic, 0, offset, 1 + (offset < 6))]
    assert [got.drop_columns(["offset"]).to_pylist() for got in found] == [one.to_pylist() for one in written]
    assert [got.schema.remove(0) for got in found] == [one.schema for one in written]


def test_a_batch_without_rows_adds_nothing(log: Log, topic: str) -> None:
    told: list[str] = []
    log.subscribe(told.append)
    assert log.append(topic, 0, numbered(0)) == 0
    assert log.commit("q", [(topic, 0, numbered(0))]) == {}
    assert (log.end_offset(topic, 0), told) == (0, [])


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        pytest.param(numbered(1).drop_columns(["key"]), "its columns are value, timestamp", id="columns"),
        pytest.param(
            numbered(1).set_column(1, "value", pa.array(["text"])), "column value is string", id="value type"
        ),
        pytest.param(
            numbered(1).set_column(2, "timestamp", pa.array([1.5])),
            "column timestamp is double",
            id="time type",
        ),
        pytest.param(
            numbered(1).set_column(2, "timestamp", pa.array([None], pa.int64())), "has nulls", id="null time"
        ),
        pytest.param(
            numbered(1).append_column("headers", pa.array([b"x"])),
            "column headers is binary",
            id="headers type",
        ),
        pytest.param(
            numbered(1).set_column(
                0, "key", pa.StructArray.from_arrays([pa.array(["a"]).dictionary_encode()], ["id"])
            ),
            "column key has a dictionary-encoded field",
            id="dictionary",
        ),
    ],
)
def test_what_is_no_batch_of_records_is_refused(log: Log, topic: str, bad: pa.RecordBatch, why: str) -> None:
    with pytest.raises(InternalError, match=f"not a batch of records: .*{why}"):
        log.append(topic, 0, bad)
    with pytest.raises(InternalError, match=why):
        log.commit("q", [(topic, 0, numbered(1)), (topic, 0, bad)], {TopicPartition("in", 0): 1})
    assert log.end_offset(topic, 0) == 0
    assert log.committed("q") is None


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        pytest.param(
            lambda log: log.append("nope", 0, numbered(1)), PlanError, "LOG-UNKNOWN-TOPIC", id="topic"
        ),
        pytest.param(lambda log: log.read("nope", 0, 0, 1), PlanError, "LOG-UNKNOWN-TOPIC", id="read"),
        pytest.param(
            lambda log: log.append("views", 2, numbered(1)),
            PlanError,
            "LOG-UNKNOWN-PARTITION",
            id="partition",
        ),
        pytest.param(lambda log: log.end_offset("views", -1), PlanError, "LOG-UNKNOWN-PARTITION", id="minus"),
        pytest.param(
            lambda log: log.create_topic("views", TopicConfig()), PlanError, "LOG-TOPIC-EXISTS", id="exists"
        ),
        pytest.param(
            lambda log: log.create_topic("", TopicConfig()), PlanError, "LOG-TOPIC-NAME", id="empty"
        ),
        pytest.param(
            lambda log: log.create_topic("a\nb", TopicConfig()), PlanError, "LOG-TOPIC-NAME", id="control"
        ),
        pytest.param(
            lambda log: log.create_topic("x" * 250, TopicConfig()), PlanError, "LOG-TOPIC-NAME", id="too long"
        ),
        pytest.param(lambda log: log.delete_topic("nope"), PlanError, "LOG-UNKNOWN-TOPIC", id="delete"),
        pytest.param(
            lambda log: log.commit("q", [("views", 0, numbered(1)), ("nope", 0, numbered(1))]),
            PlanError,
            "LOG-UNKNOWN-TOPIC",
            id="commit",
        ),
        pytest.param(
            lambda log: log.commit("q", [("views", 0, numbered(1))], metadata={"x": object()}),
            InternalError,
            "LOG-BAD-METADATA",
            id="metadata",
        ),
        pytest.param(
            lambda log: TopicConfig(partitions=0), PlanError, "LOG-TOPIC-CONFIG", id="no partitions"
        ),
        pytest.param(lambda log: TopicConfig(cleanup="burn"), PlanError, "LOG-TOPIC-CONFIG", id="cleanup"),
    ],
)
def test_refusals_have_a_code_and_change_nothing(
    log: Log, topic: str, call: object, error: type[StreamSQLError], code: str
) -> None:
    assert callable(call)
    with pytest.raises(error) as found:
        call(log)
    assert found.value.code == code
    assert (log.topics(), log.end_offset(topic, 0), log.committed("q")) == (["views"], 0, None)


def test_a_closed_log_says_so(log: Log, topic: str) -> None:
    log.close()
    log.close()
    for call in (lambda: log.append(topic, 0, numbered(1)), lambda: log.read(topic, 0, 0, 1), log.topics):
        with pytest.raises(InternalError, match="after it was closed"):
            call()


@pytest.mark.parametrize(
    ("time", "offset"), [(-10, 0), (10, 0), (11, 1), (20, 1), (25, 3), (30, 3), (31, 6), (40, 6), (41, 7)]
)
def test_offset_for_time_is_the_first_record_that_late(log: Log, topic: str, time: int, offset: int) -> None:
    # offset  0   1   2    3   4    5   6
    log.append(topic, 0, timed([10, 20, 5]))
    log.append(topic, 0, timed([30, 12]))
    log.append(topic, 0, timed([1, 40]))
    assert log.offset_for_time(topic, 0, time) == offset


def test_a_commit_shows_batches_offsets_and_metadata_together(log: Log, topic: str) -> None:
    log.append(topic, 0, numbered(1))
    first = log.commit(
        "q",
        [(topic, 1, batch("a")), (topic, 0, batch("b", "c")), (topic, 1, batch("d"))],
        {TopicPartition("in", 0): 7, TopicPartition("in", 1): 3},
        {"state": [1, {"x": None}]},
    )
    assert first == {TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 0}
    assert (values(log, topic, 0), values(log, topic, 1)) == (["v0", "b", "c"], ["a", "d"])
    log.commit("q", [], {TopicPartition("in", 1): 4})
    log.commit("q", [(topic, 1, batch("e"))])
    found = log.committed("q")
    assert found == CommitRecord(
        "q", 3, {TopicPartition("in", 0): 7, TopicPartition("in", 1): 4}, {"state": [1, {"x": None}]}
    )
    assert log.committed("other") is None


def test_a_forgotten_writer_leaves_its_records(log: Log, topic: str) -> None:
    log.commit("q", [(topic, 0, batch("a"))], {TopicPartition("in", 0): 1})
    log.forget("q")
    log.forget("never was")
    assert log.committed("q") is None
    assert values(log, topic) == ["a"]
    log.commit("q", [(topic, 0, batch("b"))], None, {"n": 1})
    found = log.committed("q")
    assert found is not None and (dict(found.offsets), found.metadata) == ({}, {"n": 1})


def test_listeners_hear_of_each_topic_once_after_it_can_be_read(log: Log, topic: str) -> None:
    log.create_topic("other", TopicConfig())
    heard: list[tuple[str, int]] = []
    stop = log.subscribe(lambda name: heard.append((name, log.end_offset(name, 0))))
    log.append(topic, 0, numbered(1))
    log.commit("q", [("other", 0, numbered(2)), (topic, 0, numbered(3)), (topic, 1, numbered(1))])
    log.commit("q", [], {TopicPartition("in", 0): 1})
    assert sorted(heard) == [("other", 2), (topic, 1), (topic, 4)]
    stop()
    stop()
    log.append(topic, 0, numbered(1))
    assert len(heard) == 3


def test_a_listener_that_fails_does_not_fail_the_append(
    log: Log, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("not today")

    heard: list[str] = []
    log.subscribe(broken)
    log.subscribe(heard.append)
    assert log.append(topic, 0, numbered(1)) == 0
    assert (heard, values(log, topic)) == ([topic], ["v0"])
    assert "a listener failed on new records of topic views" in caplog.text


def test_appends_and_commits_from_many_threads_all_arrive_once_and_in_order(log: Log, topic: str) -> None:
    def append(name: int) -> None:
        for turn in range(25):
            log.append(topic, turn % 2, batch(f"a{name}-{turn}", at=turn))

    def commit(name: int) -> None:
        for turn in range(25):
            pair = [(topic, part, batch(f"c{name}-{turn}", at=turn)) for part in (turn % 2, 1 - turn % 2)]
            log.commit(f"w{name}", pair, {TopicPartition("in", name): turn + 1})

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(append, name) for name in range(3)]
        jobs += [pool.submit(commit, name) for name in range(3)]
        for job in jobs:
            job.result()
    both = [values(log, topic, part) for part in (0, 1)]
    for name in range(3):
        for part in (0, 1):
            mine = [value for value in both[part] if value and value.startswith(f"a{name}-")]
            assert mine == [f"a{name}-{turn}" for turn in range(25) if turn % 2 == part]
            mine = [value for value in both[part] if value and value.startswith(f"c{name}-")]
            assert mine == [f"c{name}-{turn}" for turn in range(25)]
        found = log.committed(f"w{name}")
        assert found is not None and found.offsets == {TopicPartition("in", name): 25}


def test_a_reader_never_sees_half_a_commit(log: Log, topic: str) -> None:
    places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    done = threading.Event()

    def write() -> None:
        for turn in range(100):
            log.commit("q", [(topic, part, batch(str(turn))) for part in (0, 1)])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        ends = log.end_offsets(places)
        seen.add(ends[places[0]])
        assert ends[places[0]] == ends[places[1]]
        for place, end in ends.items():
            assert sum(got.num_rows for got in log.read(*place, 0, end)) == end
    writer.join()
    assert log.end_offsets(places) == dict.fromkeys(places, 100)
    assert seen

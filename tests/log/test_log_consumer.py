"""A consumer of records by itself: where it starts, what it is given, seeking and pausing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from log_samples import given_by, timed

from streamsql.engine.log.consumer import RecordConsumer
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition
from streamsql.errors import DataError, InternalError, PlanError

U0 = TopicPartition("u", 0)
T0, T1, T2 = (TopicPartition("t", number) for number in range(3))


@pytest.fixture
def log(two_topics: Log) -> Log:
    return two_topics


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("earliest", {T0: [0, 1, 2], T1: [0]}),
        ("latest", {}),
        (15, {T0: [1, 2]}),
        (datetime.fromtimestamp(0.02, UTC), {T0: [1, 2]}),
        ({T0: 2}, {T0: [2], T1: [0]}),
        ({T0: 3, T1: 1}, {}),
    ],
)
def test_where_a_consumer_starts(log: Log, start: object, expected: dict[TopicPartition, list[int]]) -> None:
    log.append("t", 0, timed([10, 20, 30]))
    log.append("t", 1, timed([5]))
    consumer = RecordConsumer(log, ["t"], start)  # type: ignore[arg-type]
    assert given_by(consumer) == expected
    log.append("t", 2, timed([0]))
    assert given_by(consumer) == {T2: [0]}


def test_positions_and_lag_follow_what_was_given(log: Log) -> None:
    log.append("t", 0, timed([1, 2, 3]))
    consumer = RecordConsumer(log, ["t"], "earliest")
    assert consumer.lag() == {T0: 3, T1: 0, T2: 0}
    polled = consumer.poll(2, 0)
    assert polled is not None and polled[1].num_rows == 2
    assert (consumer.positions()[T0], consumer.lag()[T0]) == (2, 1)


def test_topics_take_turns(log: Log) -> None:
    log.append("t", 0, timed(range(5)))
    log.append("u", 0, timed(range(5)))
    consumer = RecordConsumer(log, ["t", "u"], "earliest")
    polls = [consumer.poll(1, 0) for _ in range(4)]
    assert [polled[0] for polled in polls if polled] == ["t", "u", "t", "u"]


def test_seeking_moves_what_is_named_and_pausing_holds_it_back(log: Log) -> None:
    for partition in (0, 1):
        log.append("t", partition, timed([10, 20, 30]))
    consumer = RecordConsumer(log, ["t"], "earliest")
    given_by(consumer)
    consumer.seek({T0: 1})
    assert given_by(consumer) == {T0: [1, 2]}
    consumer.seek(20)
    consumer.pause([T0])
    assert given_by(consumer) == {T1: [1, 2]}
    assert consumer.lag()[T0] == 2
    consumer.resume()
    assert given_by(consumer) == {T0: [1, 2]}
    consumer.seek("latest")
    consumer.pause()
    log.append("t", 0, timed([40]))
    assert given_by(consumer) == {}
    with pytest.raises(PlanError, match="topic u partition 0 is not read by this consumer"):
        consumer.seek({U0: 0})
    with pytest.raises(PlanError, match="cannot start at 'now'"):
        consumer.seek("now")


def test_an_offset_that_is_not_there_is_told(log: Log) -> None:
    log.append("t", 0, timed([10]))
    with pytest.raises(DataError, match="offset 7 of topic t partition 0 is out of range"):
        RecordConsumer(log, ["t"], {T0: 7})
    consumer = RecordConsumer(log, ["t"], {T0: 1})
    with pytest.raises(DataError, match="it holds offsets 0 to 1"):
        consumer.seek({T0: 2})
    assert given_by(consumer) == {}


def test_partitions_that_are_added_are_read_from_their_beginning(log: Log) -> None:
    consumer = RecordConsumer(log, ["u"], "latest")
    log.alter_topic("u", TopicConfig(partitions=2))
    log.append("u", 1, timed([1]))
    assert given_by(consumer) == {TopicPartition("u", 1): [0]}


def test_a_poll_waits_for_records_and_a_close_ends_it(log: Log) -> None:
    consumer = RecordConsumer(log, ["t"], "earliest")
    found: list[object] = []
    thread = threading.Thread(target=lambda: [found.append(consumer.poll(10, 600_000)) for _ in range(2)])
    thread.start()
    log.append("t", 0, timed([1]))
    while not found:
        pass
    consumer.close()
    thread.join(10)
    assert not thread.is_alive() and found[1] is None
    with pytest.raises(InternalError, match="after it was closed"):
        consumer.seek("earliest")


def test_what_only_a_group_can_do(log: Log) -> None:
    consumer = RecordConsumer(log, ["t"], "earliest")
    for act in (consumer.commit, consumer.committed):
        with pytest.raises(PlanError, match="this consumer is in no group"):
            act()
    with pytest.raises(PlanError, match="there is no topic nothing"):
        RecordConsumer(log, ["nothing"], "earliest")

"""Consumer groups: who reads what, where it goes on, who may commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from log_samples import batch, given_by, timed

from streamsql.engine.log.consumer import GroupSettings, RecordConsumer
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.groups import Groups
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition
from streamsql.errors import ConflictError, PlanError, StreamSQLError

T0, T1, T2 = (TopicPartition("t", number) for number in range(3))
U0 = TopicPartition("u", 0)
TIMEOUT_MS = 1000


@pytest.fixture
def log(two_topics: Log) -> Log:
    return two_topics


class Bench:
    """A log, a clock that is set by hand, and consumers of group g that tell what happens to them."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.now_ms = 0
        self.groups = Groups(log, lambda: self.now_ms)
        self.told: list[tuple[str, str, list[TopicPartition]]] = []

    def member(
        self, name: str, *topics: str, start: str = "earliest", assignment: str = "sticky"
    ) -> RecordConsumer:
        settings = GroupSettings(
            self.groups.group("g"),
            assignment,
            TIMEOUT_MS,
            *(self._teller(name, what) for what in ("assigned", "revoked", "lost")),
        )
        return RecordConsumer(self.log, topics or ("t",), start, settings)

    def _teller(self, name: str, what: str) -> Callable[[frozenset[TopicPartition]], None]:
        return lambda places: self.told.append((name, what, sorted(places)))


@pytest.fixture
def bench(log: Log) -> Bench:
    return Bench(log)


def settle(*members: RecordConsumer) -> None:
    """Let all come to their targets; of what they hold already they read nothing."""
    for _ in range(3):
        for member in members:
            member.pause()
            member.poll(1, 0)
            member.resume()


def test_a_member_that_joins_takes_its_share_when_the_other_has_released_it(bench: Bench) -> None:
    a = bench.member("a")
    given_by(a)
    b = bench.member("b")
    assert given_by(b) == {} and b.positions() == {}
    given_by(a)
    given_by(b)
    assert bench.told == [("a", "assigned", [T0, T1, T2]), ("a", "revoked", [T0]), ("b", "assigned", [T0])]
    b.close()
    given_by(a)
    assert bench.told[3:] == [("b", "revoked", [T0]), ("a", "assigned", [T0])]


def test_the_next_owner_goes_on_where_the_last_one_has_committed(bench: Bench) -> None:
    bench.log.append("t", 0, timed(range(10)))
    a = bench.member("a")
    a.poll(3, 0)
    a.commit()
    a.poll(3, 0)
    a.close()
    b = bench.member("b", start="latest")
    assert given_by(b) == {T0: [3, 4, 5, 6, 7, 8, 9]}
    assert b.committed() == {T0: 3, T1: 0, T2: 0}


def test_what_is_revoked_can_still_be_committed(bench: Bench) -> None:
    bench.log.append("t", 0, timed(range(10)))
    a = bench.member("a")
    a._grouped = a._grouped._replace(on_revoked=lambda places: a.commit())  # type: ignore[union-attr]
    a.poll(3, 0)
    b = bench.member("b")
    a.pause()
    a.poll(1, 0)
    assert given_by(b) == {T0: [3, 4, 5, 6, 7, 8, 9]}


def test_a_member_that_stays_away_is_out_and_its_late_commit_refused(bench: Bench) -> None:
    a, b = bench.member("a"), bench.member("b")
    settle(a, b)
    bench.log.append("t", 0, timed(range(10)))
    owner, other = (a, b) if T0 in a.positions() else (b, a)
    owner.poll(3, 0)
    bench.now_ms += TIMEOUT_MS
    settle(other)
    bench.now_ms += 1
    given_by(other)
    assert set(other.positions()) == {T0, T1, T2}
    for _ in range(2):
        with pytest.raises(ConflictError) as found:
            owner.commit()
        assert found.value.code == "GROUP-FENCED"
    assert other.committed()[T0] == 0
    bench.told.clear()
    settle(owner, other)
    assert [what for _, what, _ in bench.told][0] == "lost"
    owner.commit()
    assert len(owner.positions()) + len(other.positions()) == 3


def test_out_of_time_is_out_even_if_nobody_has_noticed(bench: Bench) -> None:
    bench.log.append("t", 0, timed(range(10)))
    a = bench.member("a")
    a.poll(3, 0)
    bench.now_ms += TIMEOUT_MS + 1
    with pytest.raises(ConflictError, match="member g-1 is not in group g any more"):
        a.commit()
    assert given_by(a) == {T0: list(range(10))}


def test_a_commit_is_a_sign_of_life(bench: Bench) -> None:
    bench.log.append("t", 0, timed(range(10)))
    a = bench.member("a")
    for turn in range(1, 5):
        a.poll(1, 0)
        bench.now_ms += TIMEOUT_MS
        a.commit()
        assert a.committed()[T0] == turn


def test_a_commit_of_what_another_one_owns_is_refused(bench: Bench) -> None:
    a, b = bench.member("a"), bench.member("b")
    settle(a, b)
    theirs = next(iter(b.positions()))
    with pytest.raises(ConflictError, match="is not owned by member g-1 of group g"):
        a.commit({theirs: 0})


def test_latest_stays_where_it_was_found(bench: Bench) -> None:
    a = bench.member("a", start="latest")
    given_by(a)
    bench.log.append("t", 0, timed(range(3)))
    bench.now_ms += TIMEOUT_MS + 1
    assert given_by(bench.member("b", start="latest")) == {T0: [0, 1, 2]}


def test_members_with_different_topics_and_topics_that_grow(bench: Bench) -> None:
    a, b = bench.member("a", "t"), bench.member("b", "t", "u")
    settle(a, b)
    assert U0 in b.positions() and len(a.positions()) == 2
    bench.log.alter_topic("u", TopicConfig(partitions=3))
    settle(a, b)
    assert len(a.positions()) == 3 and len(b.positions()) == 3


def test_all_members_use_one_assignment(bench: Bench) -> None:
    a = bench.member("a", "t", "u", assignment="range")
    with pytest.raises(PlanError, match="group g uses assignment 'range', not 'sticky'"):
        bench.member("b")
    a.close()
    bench.member("b")
    with pytest.raises(PlanError, match="there is no assignment 'fair'"):
        bench.member("c", assignment="fair")


def test_committed_offsets_and_generations_outlive_the_process(data: Path) -> None:
    for turn in range(3):
        with DiskLog(data) as log:
            if not turn:
                log.create_topic("t", TopicConfig(partitions=3))
            log.append("t", 0, timed(range(4)))
            bench = Bench(log)
            before = bench.groups.group("g").generation
            a = bench.member("a")
            assert given_by(a) == {T0: [4 * turn + n for n in range(4)]}
            a.commit()
            assert bench.groups.group("g").generation > before >= turn


def test_what_a_group_tells_of_itself(bench: Bench) -> None:
    bench.log.append("t", 0, timed(range(10)))
    assert bench.groups.status() == []
    a = bench.member("a")
    a.poll(3, 0)
    a.commit()
    (status,) = bench.groups.status()
    assert (status.name, status.members) == ("g", {"g-1": {T0, T1, T2}})
    first = status.partitions[0]
    assert (first.member, first.committed, first.end, first.lag) == ("g-1", 3, 10, 7)
    with pytest.raises(PlanError, match="group g has members"):
        bench.groups.delete("g")
    a.close()
    (status,) = bench.groups.status()
    assert [one.member for one in status.partitions] == [None] * 3
    bench.groups.delete("g")
    assert bench.groups.status() == []
    assert given_by(bench.member("b")) == {T0: list(range(10))}


def test_threads_that_come_and_go_process_everything_in_order(log: Log) -> None:
    groups = Groups(log, lambda: 0)
    processed: dict[TopicPartition, list[int]] = {T0: [], T1: [], T2: []}
    failures: list[BaseException] = []
    is_over = threading.Event()

    def work(rounds: int) -> None:
        """Read a little, commit, leave, come again."""
        try:
            while not is_over.is_set():
                consumer = RecordConsumer(
                    log,
                    ["t"],
                    "earliest",
                    GroupSettings(groups.group("g"), "sticky", 60_000, *[lambda places: None] * 3),
                )
                for _ in range(rounds):
                    polled = consumer.poll(3, 5)
                    if polled is not None:
                        _, rows = polled
                        for p, o in zip(
                            rows.column("$partition").to_pylist(),
                            rows.column("$offset").to_pylist(),
                            strict=True,
                        ):
                            processed[TopicPartition("t", p)].append(o)
                        consumer.commit()
                consumer.close()
        except StreamSQLError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(rounds,)) for rounds in (3, 7, 50)]
    for thread in threads:
        thread.start()
    for number in range(300):
        log.append("t", number % 3, batch(str(number)))
    while sum(map(len, processed.values())) < 300 and not failures:
        is_over.wait(0.005)
    is_over.set()
    for thread in threads:
        thread.join(20)
    assert not failures
    # Nobody dies here, so that each record is processed exactly once.
    assert processed == {place: list(range(100)) for place in (T0, T1, T2)}


@pytest.mark.parametrize("name", ["", "two\nlines"])
def test_a_group_has_a_printable_name(log: Log, name: str) -> None:
    with pytest.raises(PlanError, match="cannot name a consumer group") as found:
        Groups(log, lambda: 0).group(name)
    assert found.value.code == "GROUP-NAME"

"""Members that join, leave, die, come back, poll and commit in any order, against what a group promises."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from log_samples import timed

from streamsql.engine.log.consumer import GroupSettings, RecordConsumer
from streamsql.engine.log.groups import Groups, Places
from streamsql.engine.log.log import TopicConfig, TopicPartition
from streamsql.engine.log.memory import MemoryLog
from streamsql.errors import ConflictError
from tests.examples import tried

TIMEOUT_MS = 100
PARTITIONS = {"t": 3, "u": 2}
ALL = [TopicPartition(topic, number) for topic, count in PARTITIONS.items() for number in range(count)]
WHO = st.integers(0, 9)


@dataclass
class Member:
    """A consumer, and the offset it must be given next, per partition it was told it has."""

    topics: tuple[str, ...]
    consumer: RecordConsumer
    due: dict[TopicPartition, int] = field(default_factory=dict)


class GroupAgainstPromises(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = MemoryLog()
        for topic, count in PARTITIONS.items():
            self.log.create_topic(topic, TopicConfig(partitions=count))
        self.now_ms = 0
        self.groups = Groups(self.log, lambda: self.now_ms)
        self.group = self.groups.group("g")
        self.members: list[Member] = []
        self.processed: dict[TopicPartition, set[int]] = {place: set() for place in ALL}
        self.committed: dict[TopicPartition, int] = {}
        self.acquired: set[tuple[int, TopicPartition]] = set()

    # -- what happens

    @precondition(lambda self: len(self.members) < 5)
    @rule(topics=st.sampled_from([("t",), ("u",), ("t", "u")]))
    def join(self, topics: tuple[str, ...]) -> None:
        def assigned(places: Places) -> None:
            for place in places:
                assert place not in member.due
                assert (self.group.generation, place) not in self.acquired
                self.acquired.add((self.group.generation, place))
                member.due[place] = self.group.committed()[place]

        def dropped(places: Places) -> None:
            for place in places:
                del member.due[place]

        callbacks = (assigned, dropped, dropped)
        member = Member(
            topics,
            RecordConsumer(
                self.log, topics, "earliest", GroupSettings(self.group, "sticky", TIMEOUT_MS, *callbacks)
            ),
        )
        self.members.append(member)

    @precondition(lambda self: self.members)
    @rule(who=WHO, commits=st.booleans())
    def leave(self, who: int, commits: bool) -> None:
        member = self.members.pop(who % len(self.members))
        if commits:
            self.try_to_commit(member)
        member.consumer.close()

    @precondition(lambda self: self.members)
    @rule(who=WHO)
    def die_for_good(self, who: int) -> None:
        """Not a word from it any more."""
        self.members.pop(who % len(self.members))

    @rule(ms=st.integers(1, TIMEOUT_MS))
    def time_passes(self, ms: int) -> None:
        """Who does not poll often enough is out, and comes back with its next poll."""
        self.now_ms += ms

    @rule(place=st.sampled_from(ALL), rows=st.integers(1, 5))
    def append(self, place: TopicPartition, rows: int) -> None:
        self.log.append(*place, timed(range(rows)))

    @precondition(lambda self: self.members)
    @rule(who=WHO, rows=st.integers(1, 7))
    def poll(self, who: int, rows: int) -> None:
        self.read(self.members[who % len(self.members)], rows)

    @precondition(lambda self: self.members)
    @rule(who=WHO)
    def commit(self, who: int) -> None:
        self.try_to_commit(self.members[who % len(self.members)])

    @precondition(lambda self: self.members)
    @rule()
    def all_live_and_come_to_rest(self) -> None:
        for _ in range(6):
            self.now_ms += TIMEOUT_MS // 2
            for member in self.members:
                self.read(member, 100)
        wanted = {place for place in ALL for member in self.members if place.topic in member.topics}
        assert {place for member in self.members for place in member.due} == wanted
        for place in wanted:
            assert self.processed[place] >= set(range(self.log.end_offset(*place)))
        if len({member.topics for member in self.members}) == 1:
            sizes = [len(member.due) for member in self.members]
            assert max(sizes) - min(sizes) <= 1

    # -- what must hold

    def read(self, member: Member, rows: int) -> None:
        """Poll once; a partition's records come in order, without a gap, from where its owner began."""
        polled = member.consumer.poll(rows, 0)
        assert member.consumer.positions().keys() == member.due.keys()
        if polled is None:
            return
        topic, batch = polled
        for partition, offset in zip(
            batch.column("$partition").to_pylist(), batch.column("$offset").to_pylist(), strict=True
        ):
            place = TopicPartition(topic, partition)
            assert member.due[place] == offset
            member.due[place] += 1
            self.processed[place].add(offset)

    def try_to_commit(self, member: Member) -> None:
        positions = member.consumer.positions()
        before = self.group.committed()
        is_owner = (
            member.consumer.member is not None
            and self.group.owned(member.consumer.member) >= positions.keys()
        )
        try:
            member.consumer.commit()
        except ConflictError:
            assert self.group.committed() == before
        else:
            assert is_owner
            assert all(self.group.committed()[place] == offset for place, offset in positions.items())

    @invariant()
    def a_partition_has_one_owner_at_a_time(self) -> None:
        taken: set[TopicPartition] = set()
        for places in self.group.status().members.values():
            assert not taken & places
            taken |= places

    @invariant()
    def committed_offsets_never_go_back_and_nothing_before_them_is_lost(self) -> None:
        committed = self.group.committed()
        for place, offset in committed.items():
            assert offset >= self.committed.get(place, 0)
            assert self.processed[place] >= set(range(offset))
        self.committed = committed


TestGroupAgainstPromises = GroupAgainstPromises.TestCase
TestGroupAgainstPromises.settings = tried(60, share=5, stateful_step_count=40)

"""Consumer groups: members share the partitions of their topics, and go on where the group has committed.

Members are threads of this process. Each calls `heartbeat` at every poll; one that stays away for its
session timeout is out, and its partitions go to the others. A change of members, topics or counts of
partitions begins a new *generation* with a new target for everyone. Members come to it one by one, and
only with the partitions that move (KIP-848): one that is to give a partition up releases it when it has
committed, and then the other may acquire it. So a partition never has two owners, and the others are
read all the while.

Committed offsets are those of the log's writer `group:<name>`. A commit is refused unless the member is
in the group and owns the partition: what a member that was thought dead has still to say comes too late.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from streamsql.engine.log.assignment import assignment_of
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.errors import ConflictError, PlanError

_WRITER = "group:"

Places = frozenset[TopicPartition]


@dataclass(slots=True)
class _Member:
    """wake: called when there may be something to release or to acquire."""

    topics: frozenset[str]
    session_timeout_ms: int
    wake: Callable[[], None]
    seen_ms: int
    target: Places = frozenset()
    held: set[TopicPartition] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of a group.

    member     who reads it now; None if nobody does
    committed  next offset to process; None if nothing was committed
    lag        offsets between that, or else the start, and the end
    """

    topic: str
    partition: int
    member: str | None
    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A group at one moment; members by id with the topics they want."""

    name: str
    generation: int
    members: Mapping[str, Places]
    partitions: tuple[PartitionStatus, ...]


class Group:
    """One group; every method may be called from any thread."""

    def __init__(self, name: str, log: Log, now_ms: Callable[[], int], numbers: Iterable[int]) -> None:
        self.name = name
        self._log = log
        self._now_ms = now_ms
        self._numbers = iter(numbers)
        self._lock = threading.RLock()
        self._members: dict[str, _Member] = {}
        self._assignment = ""
        self._counts: dict[str, int] = {}
        committed = log.committed(_WRITER + name)
        self.generation: int = committed.metadata["generation"] if committed else 0

    def join(
        self,
        topics: Collection[str],
        assignment: str = "sticky",
        session_timeout_ms: int = 45_000,
        wake: Callable[[], None] = lambda: None,
    ) -> str:
        """Become a member; gives its id. PlanError GROUP-ASSIGNMENT if the others use another one."""
        assignment_of(assignment)
        with self._lock:
            self._expire()
            if self._members and assignment != self._assignment:
                raise PlanError(
                    f"group {self.name} uses assignment '{self._assignment}', not '{assignment}'",
                    code="GROUP-ASSIGNMENT",
                )
            self._assignment = assignment
            member = f"{self.name}-{next(self._numbers)}"
            self._members[member] = _Member(frozenset(topics), session_timeout_ms, wake, self._now_ms())
            self._rebalance()
            return member

    def leave(self, member: str) -> None:
        """Give everything up. Nothing happens for one that is out already."""
        with self._lock:
            if self._members.pop(member, None) is not None:
                self._rebalance()

    def heartbeat(self, member: str) -> Places | None:
        """Say that the member lives; gives what it is to own, None if it is out.

        It has to `release` what it owns beyond that, and may `acquire` the rest.
        """
        with self._lock:
            self._expire()
            found = self._members.get(member)
            if found is None:
                return None
            found.seen_ms = self._now_ms()
            if self._counts != self._current_counts():
                self._rebalance()
            return found.target

    def release(self, member: str, places: Collection[TopicPartition]) -> None:
        """Own these no more."""
        with self._lock:
            found = self._members.get(member)
            if found is not None:
                found.held.difference_update(places)
                self._wake()

    def acquire(self, member: str) -> Places:
        """Own what is due to the member and nobody has any more; gives what is new."""
        with self._lock:
            found = self._members.get(member)
            if found is None:
                return frozenset()
            taken = {place for one in self._members.values() for place in one.held}
            new = found.target - taken
            found.held |= new
            return new

    def owned(self, member: str) -> Places:
        """What the member owns now."""
        with self._lock:
            found = self._members.get(member)
            return frozenset(found.held) if found else frozenset()

    def commit(self, member: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Make offsets durable: where to go on, whoever reads the partitions next.

        raises  ConflictError GROUP-FENCED if the member is out, or does not own one of the partitions;
                nothing is then committed
        """
        # The lock is held until it is done, so that nobody acquires a partition between check and commit.
        with self._lock:
            self._expire()
            found = self._members.get(member)
            if found is None:
                raise _fenced(f"member {member} is not in group {self.name} any more")
            for place in offsets:
                if place not in found.held:
                    raise _fenced(
                        f"topic {place[0]} partition {place[1]} is not owned by member {member} "
                        f"of group {self.name} (generation {self.generation})"
                    )
            found.seen_ms = self._now_ms()
            if offsets:
                self._log.commit(_WRITER + self.name, [], dict(offsets), {"generation": self.generation})

    def committed(self) -> dict[TopicPartition, int]:
        """Next offset to process of every partition that was ever committed."""
        found = self._log.committed(_WRITER + self.name)
        return dict(found.offsets) if found else {}

    def status(self) -> GroupStatus:
        """What is known of it now."""
        with self._lock:
            self._expire()
            committed = self.committed()
            owner = {place: name for name, member in self._members.items() for place in member.held}
            counts = self._current_counts()
            places = {TopicPartition(t, p) for t, count in counts.items() for p in range(count)}
            places |= {place for place in committed if self._log.has_topic(place.topic)}
            members = {name: frozenset(member.held) for name, member in self._members.items()}
            generation = self.generation
        ends = self._log.end_offsets(places)
        listed = []
        for place in sorted(places):
            start = committed.get(place, self._log.start_offset(*place))
            lag = max(0, ends[place] - start)
            listed.append(PartitionStatus(*place, owner.get(place), committed.get(place), ends[place], lag))
        return GroupStatus(self.name, generation, members, tuple(listed))

    # -- inside, the lock held

    def _expire(self) -> None:
        now = self._now_ms()
        dead = [n for n, one in self._members.items() if now - one.seen_ms > one.session_timeout_ms]
        for name in dead:
            del self._members[name]
        if dead:
            self._rebalance()

    def _current_counts(self) -> dict[str, int]:
        topics = sorted({topic for member in self._members.values() for topic in member.topics})
        return {t: self._log.topic_config(t).partitions for t in topics if self._log.has_topic(t)}

    def _rebalance(self) -> None:
        """Begin a generation: new targets for all."""
        self.generation += 1
        self._counts = self._current_counts()
        if self._members:
            wanted = {name: member.topics for name, member in self._members.items()}
            before = {name: member.target for name, member in self._members.items()}
            targets = assignment_of(self._assignment)(wanted, self._counts, before)
            for name, member in self._members.items():
                member.target = targets[name]
        self._wake()

    def _wake(self) -> None:
        for member in self._members.values():
            member.wake()


class Groups:
    """All groups of a log.

    now_ms  the wall clock, for session timeouts
    """

    def __init__(self, log: Log, now_ms: Callable[[], int]) -> None:
        self._log = log
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        # Over all groups, so that a group that was deleted and made again has no member of an old name.
        self._numbers = itertools.count(1)

    def group(self, name: str) -> Group:
        """The group of a name, which need not have been used before. PlanError GROUP-NAME."""
        if not name or not name.isprintable():
            raise PlanError(f"{name!r} cannot name a consumer group", code="GROUP-NAME")
        with self._lock:
            if name not in self._groups:
                self._groups[name] = Group(name, self._log, self._now_ms, self._numbers)
            return self._groups[name]

    def status(self) -> list[GroupStatus]:
        """All groups that have members or have committed, by name."""
        with self._lock:
            live = list(self._groups)
        kept = [w.removeprefix(_WRITER) for w in self._log.writers() if w.startswith(_WRITER)]
        found = [self.group(name).status() for name in sorted({*live, *kept})]
        return [status for status in found if status.members or status.name in kept]

    def delete(self, name: str) -> None:
        """Forget what a group has committed. PlanError GROUP-IN-USE while it has members."""
        with self._lock:
            group = self._groups.get(name)
            if group is not None and group.status().members:
                raise PlanError(
                    f"group {name} has members", code="GROUP-IN-USE", hint="close its consumers first"
                )
            self._log.forget(_WRITER + name)


def _fenced(what: str) -> ConflictError:
    return ConflictError(
        f"{what}: nothing was committed",
        code="GROUP-FENCED",
        hint="the records since the last commit go to the partition's new owner; poll to join again",
    )

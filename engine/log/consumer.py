"""A consumer of records: positions in the partitions it reads, by itself or as a member of a group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from streamsql.engine.log.groups import Group, Places
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.log.positions import Start, start_positions
from streamsql.engine.log.reader import TopicReader
from streamsql.errors import ConflictError, InternalError, PlanError

Callback = Callable[[Places], None]


class GroupSettings(NamedTuple):
    """As a member of which group, and how.

    on_assigned  called with partitions that are new to this consumer, before the first of their records
    on_revoked   ... that it is about to give up: it can still commit
    on_lost      ... that it has lost by staying away for the session timeout: a commit is refused
    """

    group: Group
    assignment: str
    session_timeout_ms: int
    on_assigned: Callback
    on_revoked: Callback
    on_lost: Callback


class RecordConsumer:
    """Reads topics. Methods may be called from any thread; while one polls and waits, others get in.

    start    where to begin in a partition of which the group has committed nothing
    grouped  None: it reads all partitions of the topics by itself
    """

    def __init__(
        self, log: Log, topics: Sequence[str], start: Start, grouped: GroupSettings | None = None
    ) -> None:
        self._log = log
        self._topics = tuple(dict.fromkeys(topics))
        self._start = start
        self._grouped = grouped
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._is_closed = False
        self._paused: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._readers: dict[str, TopicReader] = {}
        self._member: str | None = None
        self._places()  # topics that are unknown are told at once
        start_positions(log, [], start)
        if grouped is None:
            self._take(self._places())
        else:
            self._join(grouped)
        wanted = frozenset(self._topics)
        self._unsubscribe = log.subscribe(lambda topic: self._wake.set() if topic in wanted else None)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    # -- reading

    def poll(self, max_rows: int, timeout_ms: float) -> tuple[str, pa.RecordBatch] | None:
        """The next records of one topic; None if there are none for `timeout_ms`, or after `close`.

        Columns as `TopicReader.poll` gives them. In a group this is where partitions come and go.
        If the next record is gone (retention), reading goes on at the first that is there, which is logged.
        raises  DataError LOG-CORRUPT, and what the callbacks raise
        """
        deadline = time.monotonic() + timeout_ms / 1000
        while not self._is_closed:
            self._wake.clear()
            with self._lock:
                self._reconcile()
                found = self._read(max_rows)
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if self._grouped is not None:
                # A heartbeat now and then, and a look whether others are out.
                left = min(left, self._grouped.session_timeout_ms / 3000)
            self._wake.wait(left)
        return None

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of each partition it reads: all before has been given."""
        with self._lock:
            return dict(self._positions)

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets between the position and the end of each partition."""
        positions = self.positions()
        ends = self._log.end_offsets(positions)
        return {place: ends[place] - offset for place, offset in positions.items()}

    def seek(self, start: Start) -> None:
        """Go on elsewhere. Offsets move the partitions they name, all else moves every one.

        raises  PlanError CONSUMER-PARTITION for a partition that is not this consumer's, CONSUMER-START,
                DataError LOG-OFFSET-OUT-OF-RANGE
        """
        with self._lock:
            chosen = self._owned(start if isinstance(start, Mapping) else self._positions)
            self._positions.update(start_positions(self._log, chosen, start))
            self._readers.clear()

    def pause(self, places: Collection[TopicPartition] | None = None) -> None:
        """Give no records of these partitions, or of any, until `resume`. PlanError CONSUMER-PARTITION."""
        with self._lock:
            self._paused |= self._owned(self._positions if places is None else places)
            self._readers.clear()

    def resume(self, places: Collection[TopicPartition] | None = None) -> None:
        """Give records of these partitions, or of all, again. PlanError CONSUMER-PARTITION."""
        with self._lock:
            self._paused -= self._owned(self._positions if places is None else places)
            self._readers.clear()
        self._wake.set()

    # -- the group

    @property
    def member(self) -> str | None:
        """Its id in the group, as long as it is a member."""
        return self._member

    def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """Make the group go on here: at these offsets, or after all that was given.

        raises  PlanError CONSUMER-NO-GROUP, ConflictError GROUP-FENCED
        """
        with self._lock:
            group, member = self._membership()
            chosen = self._positions if offsets is None else offsets
            changed = {place: to for place, to in chosen.items() if self._committed.get(place) != to}
            group.commit(member, changed)
            self._committed.update(changed)

    def committed(self) -> dict[TopicPartition, int]:
        """What the group has committed of the partitions of these topics. PlanError CONSUMER-NO-GROUP."""
        if self._grouped is None:
            raise _no_group()
        return {p: o for p, o in self._grouped.group.committed().items() if p.topic in self._topics}

    def close(self) -> None:
        """Leave the group, without a commit. A second call does nothing."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._unsubscribe()
            self._wake.set()
            if self._grouped is None or self._member is None:
                return
            group, member, self._member = self._grouped.group, self._member, None
            if group.heartbeat(member) is not None and self._positions:
                self._member = member
                try:
                    self._grouped.on_revoked(frozenset(self._positions))
                finally:
                    self._member = None
                    group.leave(member)
            else:
                group.leave(member)

    # -- inside, the lock held

    def _read(self, max_rows: int) -> tuple[str, pa.RecordBatch] | None:
        if not self._readers:
            going = {p: offset for p, offset in self._positions.items() if p not in self._paused}
            topics = {place.topic for place in going}
            self._readers = {t: TopicReader(self._log, t, going) for t in self._topics if t in topics}
        for topic, reader in list(self._readers.items()):
            batch = reader.poll(max_rows)
            # Every topic has its turn: the one that was looked at goes to the end.
            self._readers[topic] = self._readers.pop(topic)
            self._positions.update(reader.positions)
            if batch is not None:
                return topic, batch
        return None

    def _reconcile(self) -> None:
        """Come closer to what the group wants this member to read."""
        if self._grouped is None:
            new = self._places() - self._positions.keys()
            if new:
                self._take(new, "earliest")
            return
        group = self._grouped.group
        target = None if self._member is None else group.heartbeat(self._member)
        if target is None:
            lost = frozenset(self._positions)
            self._drop(lost)
            self._join(self._grouped)
            if lost:
                self._grouped.on_lost(lost)
            target = group.heartbeat(self._member) if self._member is not None else None
        revoked = self._positions.keys() - (target or frozenset())
        if revoked and self._member is not None:
            self._grouped.on_revoked(frozenset(revoked))
            self._drop(revoked)
            group.release(self._member, revoked)
        gained = group.acquire(self._member) if self._member is not None else frozenset()
        if gained:
            self._take(gained)
            self._grouped.on_assigned(gained)

    def _join(self, grouped: GroupSettings) -> None:
        self._member = grouped.group.join(
            self._topics, grouped.assignment, grouped.session_timeout_ms, self._wake.set
        )

    def _take(self, new: Collection[TopicPartition], start: Start | None = None) -> None:
        """Begin to read partitions: where the group has committed, else at `start`.

        A start is committed at once: "latest" must not be a later place for who comes after.
        """
        start = self._start if start is None else start
        committed = self._grouped.group.committed() if self._grouped else {}
        known = {place: committed[place] for place in new if place in committed}
        begun = start_positions(self._log, [place for place in new if place not in known], start)
        if begun and self._grouped is not None and self._member is not None:
            self._grouped.group.commit(self._member, begun)
        self._committed.update(known | begun)
        self._positions.update(known | begun)
        self._readers.clear()

    def _drop(self, places: Collection[TopicPartition]) -> None:
        for place in places:
            self._positions.pop(place, None)
            self._committed.pop(place, None)
            self._paused.discard(place)
        self._readers.clear()

    def _places(self) -> set[TopicPartition]:
        return {
            TopicPartition(topic, number)
            for topic in self._topics
            for number in range(self._log.topic_config(topic).partitions)
        }

    def _owned(self, places: Collection[TopicPartition]) -> set[TopicPartition]:
        self._check_open()
        chosen = {TopicPartition(*place) for place in places}
        for place in sorted(chosen - self._positions.keys()):
            raise PlanError(
                f"topic {place.topic} partition {place.partition} is not read by this consumer",
                code="CONSUMER-PARTITION",
                hint="in a group, partitions come with poll: see on_assigned" if self._grouped else None,
            )
        return chosen

    def _membership(self) -> tuple[Group, str]:
        self._check_open()
        if self._grouped is None:
            raise _no_group()
        if self._member is None:
            raise ConflictError(
                f"this consumer is not in group {self._grouped.group.name}", code="GROUP-FENCED"
            )
        return self._grouped.group, self._member

    def _check_open(self) -> None:
        if self._is_closed and self._member is None:
            raise InternalError("the consumer was used after it was closed", code="CONSUMER-CLOSED")


def _no_group() -> PlanError:
    return PlanError(
        "this consumer is in no group, and only groups commit",
        code="CONSUMER-NO-GROUP",
        hint="open it with group='name', or keep its positions yourself",
    )

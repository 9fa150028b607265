"""One life of a database: from opening it to being killed, or to closing it.

It runs in a process of its own, which a fail point may kill. What it has seen acknowledged it appends to
a file, which outlives it.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from streamsql.database import Database, connect
from streamsql.engine import failpoints, parallel, read_ahead
from streamsql.engine.log.log import Log, Stamp, TopicPartition
from streamsql.engine.log.maintenance import Maintenance
from tests.crash import workload

LOADER = "loader"
VISITOR = "visitor"
SEGMENT_BYTES = 2_500
MAINTENANCE_MS = 50
BROKEN = 3
"""Exit code of a life that found something wrong."""


@dataclass(frozen=True, slots=True)
class Life:
    """What a life is to do.

    directory    of the campaign: `data` is the database, `acknowledged` what came through, `problem` what
                 went wrong
    rounds       how much to load in this life; None: what is missing of `upto`
    upto         how much of each input there is to be in the end: the last life, and the only one of the
                 run that is compared with
    is_tidy      records go by retention and compaction; False: all that was ever told stays
    fail_points  as STREAMSQL_FAILPOINTS takes them
    batch_rows   rows of a micro-batch, at most
    threads      of each query
    """

    directory: str
    seed: int
    number: int
    rounds: int = 0
    upto: dict[TopicPartition, int] | None = None
    fail_points: str = ""
    batch_rows: int = 7
    threads: int = 1
    is_tidy: bool = True

    @property
    def data(self) -> Path:
        return Path(self.directory) / "data"

    @property
    def acknowledged(self) -> Path:
        return Path(self.directory) / "acknowledged"

    @property
    def problem(self) -> Path:
        return Path(self.directory) / "problem"


def live(life: Life) -> None:
    """The whole life; to be called in a fresh process."""
    try:
        failpoints.arm_from(life.fail_points)
        # However few rows there are, they are read ahead and cut into pieces.
        read_ahead._LEAST_ROWS = parallel._PIECE_ROWS = 1
        settings = {"max.batch.rows": str(life.batch_rows), "num.stream.threads": str(life.threads)}
        with connect(life.data, settings=settings) as db:
            _check_acknowledged(db.log, life)
            _make(db, life)
            maintenance = Maintenance(db.log, db.clock.now_ms, MAINTENANCE_MS)
            maintenance.start()
            if life.upto is None:
                _load(db, life)
            else:
                _complete(db, life, life.upto)
            maintenance.stop()
    except BaseException:
        life.problem.write_text(traceback.format_exc())
        os._exit(BROKEN)


def acknowledged(life: Life) -> dict[TopicPartition, int]:
    """How far each partition was acknowledged, by all lives so far."""
    reached: dict[TopicPartition, int] = {}
    if life.acknowledged.exists():
        for line in life.acknowledged.read_text().splitlines():
            topic, partition, end = line.split()
            reached[TopicPartition(topic, int(partition))] = int(end)
    return reached


def _check_acknowledged(log: Log, life: Life) -> None:
    for place, end in acknowledged(life).items():
        found = log.end_offset(*place)
        assert found >= end, f"{place} was acknowledged up to {end} and ends at {found}"


def _acknowledge(life: Life, place: TopicPartition, end: int) -> None:
    with life.acknowledged.open("a") as file:
        file.write(f"{place.topic} {place.partition} {end}\n")


def _make(db: Database, life: Life) -> None:
    for statement in workload.DECLARED:
        db.execute(statement)
    for query in workload.QUERIES:
        db.execute(query.sql)
    _set_up_topics(db.log, life)


def _set_up_topics(log: Log, life: Life) -> None:
    """Small segments, so that they roll, and what is closed is compacted, as often as it takes.

    Tombstones go at once from the topics that no query reads while it runs.
    """
    for topic in log.topics():
        config = log.topic_config(topic)
        if config.segment_bytes == SEGMENT_BYTES:
            continue
        config = replace(config, segment_bytes=SEGMENT_BYTES)
        if not life.is_tidy or topic in workload.INPUTS:
            # A query that lags behind compaction does not see what it would have seen before.
            config = replace(config, cleanup="delete", retention_ms=None)
        elif topic != workload.COMPACTED_LATE:
            config = replace(config, delete_retention_ms=0)
        if life.is_tidy and topic == workload.KEPT_SHORT:
            config = replace(config, retention_bytes=4 * SEGMENT_BYTES)
        log.alter_topic(topic, config)


def _load(db: Database, life: Life) -> None:
    chance = Random(f"{life.seed}/life/{life.number}")
    send = _senders(db.log, life)
    for turn in range(life.rounds):
        for sender in chance.sample(send, len(send)):
            sender()
        statement = chance.choice([None, None, *workload.IN_BETWEEN])
        if statement is not None:
            db.execute(statement)
            _set_up_topics(db.log, life)
        if turn == life.rounds // 2:
            db.wait_idle()


def _complete(db: Database, life: Life, upto: dict[TopicPartition, int]) -> None:
    send = _senders(db.log, life)
    while True:
        short = [sender for sender in send if db.log.end_offset(*sender.place) < upto[sender.place]]
        if not short:
            break
        for sender in short:
            sender()
    for statement in workload.IN_THE_END:
        db.execute(statement)
    db.wait_idle()


@dataclass(slots=True)
class _Sender:
    """Sends the next records of a place when called."""

    place: TopicPartition
    send: Callable[[], int]
    life: Life

    def __call__(self) -> None:
        _acknowledge(self.life, self.place, self.send())


def _senders(log: Log, life: Life) -> list[_Sender]:
    """A sender of each input; each begins where the log stands."""
    places = [TopicPartition("events", partition) for partition in range(workload.EVENTS_PARTITIONS)]
    senders = [_Sender(place, lambda place=place: _send_events(log, life, place), life) for place in places]
    senders.append(_Sender(TopicPartition("visits", 0), _visitor(log, life), life))
    senders.append(_Sender(TopicPartition("lefts", 0), lambda: _send_round(log, life), life))
    return senders


def _send_events(log: Log, life: Life, place: TopicPartition) -> int:
    have = log.end_offset(*place)
    count = workload.EVENTS_BATCH
    if life.upto is not None:
        count = min(count, life.upto[place] - have)
    return log.append(*place, workload.events(life.seed, place.partition, have, count)) + count


def _visitor(log: Log, life: Life) -> Callable[[], int]:
    """As a client that does not know whether its last batch got through: it sends it again."""
    producer = log.open_producer(VISITOR)
    place = TopicPartition("visits", 0)
    sequence = max(log.last_sequence(*place, producer) - 1, 0)

    def send() -> int:
        nonlocal sequence
        batch = workload.visits(life.seed, sequence)
        sequence += 1
        log.append(*place, batch, stamp=Stamp(producer, sequence))
        return sequence * workload.VISITS_BATCH

    return send


def _send_round(log: Log, life: Life) -> int:
    """Consumed and produced in one: the round is the loader's own metadata."""
    committed = log.committed(LOADER)
    number = committed.metadata["rounds"] if committed else 0
    log.commit(LOADER, list(workload.round_of(life.seed, number)), {}, {"rounds": number + 1})
    return (number + 1) * workload.ROUND_ROWS

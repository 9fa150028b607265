"""Producers that have a name: a batch that is sent again is stored once, and only the latest owner writes.

A named producer has a number, which stands in its frames, and an epoch, which rises each time the name
is opened: whoever opened it before is *fenced*, and gets an error. Its batches carry a sequence, which
rises with every batch of a partition and goes on across epochs. A batch whose sequence is not above
the last one stored in its partition was stored before.

    <partition>/producers.json  {"end_offset", "producers": [[number, [[sequence, base offset], ..]], ..]}:
                                what the frames before that offset come to. Made before the first frame of
                                a named producer, and again whenever the segment's index is saved. Opening
                                the log walks over the headers of the frames that came after it

after  Kafka's idempotent producer (KIP-98), with sequences that outlive the client as in Pulsar's
       message deduplication
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from streamsql.engine.log import frame
from streamsql.engine.log.files import explained, read_json, write_json
from streamsql.engine.log.log import ProducerId, Stamp
from streamsql.engine.log.segment import Segment
from streamsql.errors import ConflictError, DataError

_REMEMBERED_BATCHES = 5


class Stored(NamedTuple):
    """A batch that is in the partition."""

    sequence: int
    base_offset: int


@dataclass(slots=True)
class ProducerStates:
    """The last batches that each named producer has stored in one partition, in order."""

    batches: dict[int, list[Stored]] = field(default_factory=dict)

    def last_sequence(self, producer: int) -> int:
        """The sequence of the producer's last batch; 0 if it has stored none."""
        known = self.batches.get(producer)
        return known[-1].sequence if known else 0

    def duplicate(self, stamp: Stamp) -> int | None:
        """Where the batch was stored before, -1 if it was and the place is not remembered; else None."""
        if stamp.sequence > self.last_sequence(stamp.producer.number):
            return None
        known = self.batches[stamp.producer.number]
        return next((one.base_offset for one in known if one.sequence == stamp.sequence), -1)

    def add(self, producer: int, sequence: int, base_offset: int) -> None:
        """Take in a batch that was written."""
        known = self.batches.setdefault(producer, [])
        known.append(Stored(sequence, base_offset))
        del known[:-_REMEMBERED_BATCHES]

    def truncate(self, end_offset: int) -> None:
        """Forget the batches from this offset on: they were taken back."""
        self.batches = {
            producer: kept
            for producer, known in self.batches.items()
            if (kept := [one for one in known if one.base_offset < end_offset])
        }


class KeptProducers:
    """The same on disk. Nothing is written, nor read at open, before the first named producer comes.

    segments    of the partition, as recovery has left them
    end_offset  the offset after their last record
    states      what the producers have stored

    If the file is damaged, named producers are refused; everybody else goes on.
    raises  ExternalError
    """

    def __init__(self, directory: Path, segments: Sequence[Segment], end_offset: int) -> None:
        self._path = directory / "producers.json"
        self.states = ProducerStates()
        self._damage: DataError | None = None
        try:
            with explained("read", self._path):
                self._is_begun = self._path.exists()
                said = read_json(self._path) if self._is_begun else None
        except DataError as damage:
            damage.hint = (
                f"restore {self._path.name} from a copy, or remove it: then a retry may be stored twice"
            )
            self._damage = damage
            return
        if said is None:
            return
        self.states.batches = {number: [Stored(*one) for one in known] for number, known in said["producers"]}
        self.states.truncate(end_offset)
        reached = min(said["end_offset"], end_offset)
        for segment in segments:
            if segment.index.end_offset > reached:
                self._walk(segment, reached)

    def check(self) -> None:
        """DataError LOG-CORRUPT if it is not known what producers have stored."""
        if self._damage is not None:
            raise self._damage

    def begin(self, end_offset: int) -> None:
        """Be ready for a named producer. ExternalError, DataError LOG-CORRUPT."""
        self.check()
        if not self._is_begun:
            self._write(end_offset)
            self._is_begun = True

    def save(self, end_offset: int) -> None:
        """Write what the frames before `end_offset`, all on the disk and settled, come to. ExternalError."""
        if self._is_begun and self._damage is None:
            self._write(end_offset)

    def _write(self, end_offset: int) -> None:
        said = [
            [number, [list(one) for one in known if one.base_offset < end_offset]]
            for number, known in self.states.batches.items()
        ]
        with explained("write", self._path):
            write_json(self._path, {"end_offset": end_offset, "producers": said})

    def _walk(self, segment: Segment, reached: int) -> None:
        """Take in the frames of a segment from the offset `reached` on."""
        for found, _ in segment.headers(*segment.index.before(reached)):
            header = found.header
            if header is None or header.kind != frame.RECORDS or header.base_offset < reached:
                continue
            if header.producer and not header.flags & frame.TRANSACTIONAL:
                self.states.add(header.producer, header.sequence, header.base_offset)


@dataclass(slots=True)
class _Fence:
    """lock  held while a frame is written, so that none of an older epoch comes after the epoch has risen"""

    epoch: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Fences:
    """The latest epoch of every producer of a log that was opened."""

    def __init__(self) -> None:
        self._fences: dict[int, _Fence] = {}

    def rise(self, producer: ProducerId) -> None:
        """From now on nothing of an older epoch is written."""
        fence = self._fences.setdefault(producer.number, _Fence())
        with fence.lock:
            fence.epoch = max(fence.epoch, producer.epoch)

    @contextmanager
    def passed(self, producer: ProducerId) -> Iterator[None]:
        """Write inside of this. ConflictError LOG-PRODUCER-FENCED for an older epoch."""
        fence = self._fences.setdefault(producer.number, _Fence(producer.epoch))
        with fence.lock:
            if producer.epoch < fence.epoch:
                raise ConflictError(
                    f"producer {producer.name} was opened again since (epoch {fence.epoch}, "
                    f"this one has {producer.epoch}): nothing was stored",
                    code="LOG-PRODUCER-FENCED",
                    hint="one producer of a name writes at a time: stop this one, or give it another name",
                )
            yield


def writer_of(name: str) -> str:
    """The writer whose commits keep the epoch of a producer."""
    return f"producer:{name}"

"""The frames of one commit, over all the partitions it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log import records
from streamsql.engine.log.commits import Ends
from streamsql.engine.log.files import external
from streamsql.engine.log.log import TopicPartition
from streamsql.engine.log.partition import Partition
from streamsql.engine.log.segment import Encoded, Origin
from streamsql.errors import ExternalError


class Transaction:
    """`locked`, inside it `write`, then one of `settle`, `roll_back` and `freeze`.

    writes  partition and batch, in the order given; batches without rows are left out

    raises  InternalError LOG-BAD-BATCH
    """

    def __init__(self, writes: Iterable[tuple[Partition, pa.RecordBatch]]) -> None:
        batches: dict[Partition, list[Encoded]] = {}
        for partition, batch in writes:
            if records.checked(batch).num_rows:
                batches.setdefault(partition, []).append(Encoded.of(batch))
        # One order for all transactions, so that two of them cannot wait for each other.
        self._batches = {partition: batches[partition] for partition in sorted(batches, key=_place)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold every partition, ready to be written. ExternalError if one of them cannot be."""
        with ExitStack() as held:
            for partition in self._batches:
                held.enter_context(partition.lock)
            for partition, batches in self._batches.items():
                size = sum(batch.frame_bytes for batch in batches)
                partition.ready(size, max(batch.max_time for batch in batches))
            yield

    def write(self, origin: Origin, must_sync: bool) -> dict[TopicPartition, int]:
        """Write all frames, and sync them; gives the first offset per partition.

        raises  ExternalError; everything is then taken back
        """
        bases: dict[TopicPartition, int] = {}
        try:
            for partition, batches in self._batches.items():
                fail_point("commit.before_write")
                bases[partition.place] = partition.write(batches[0], origin)
                for batch in batches[1:]:
                    partition.write(batch, origin)
            fail_point("commit.before_sync")
            if must_sync:
                for partition in self._batches:
                    partition.sync()
        except BaseException as cause:
            self.roll_back()
            if isinstance(cause, OSError):
                raise external(cause, "write a commit to", ", ".join(map(_named, self._batches))) from cause
            raise
        return bases

    def ends(self) -> Ends:
        """Where the transaction ends in each partition."""
        return {partition.key: partition.written_offset for partition in self._batches}

    def settle(self) -> None:
        """It is committed: show it to readers."""
        for partition in self._batches:
            partition.settle()

    def roll_back(self) -> None:
        """It is not committed: cut the frames off again."""
        for partition in self._batches:
            partition.roll_back()

    def freeze(self, problem: Callable[[], ExternalError]) -> None:
        """Nobody knows whether it is committed: leave the frames for the next open to judge."""
        for partition in self._batches:
            partition.refuse(problem)


def _place(partition: Partition) -> TopicPartition:
    return partition.place


def _named(partition: Partition) -> str:
    return f"topic {partition.place.topic} partition {partition.place.partition}"

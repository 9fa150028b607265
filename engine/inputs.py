"""The inputs of a task: what to process next, over all its topics and partitions.

With one source a poll is what its reader gives. With several, records are taken in the order of their
timestamps, as far as that can be known: a topic that has more to read holds the others back to the
time it has reached, a topic that has been read to its end does not (Kafka Streams does the same with
`max.task.idle.ms` 0). What is there when a poll begins is so taken in one order, however it is cut into
batches and however often the query is stopped in between and goes on from its last commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import OFFSET, PARTITION, SEQ
from streamsql.engine.by_partition import largest_by_partition
from streamsql.engine.graph import Graph
from streamsql.engine.log.buffered import NO_TIME
from streamsql.engine.log.log import Readable, TopicPartition
from streamsql.engine.log.reader import TopicReader
from streamsql.engine.log.wanted import Wanted
from streamsql.engine.operators.sink import Sink
from streamsql.engine.operators.source import Source
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.partition_order import needs_order
from streamsql.engine.ramps import counting
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.ordering import merged


class Inputs:
    """Polls the topics of a graph from given positions.

    positions  next offset to process for each partition: what a commit must remember
    reached    largest timestamp processed of each partition, ms: a late record comes where its neighbours
               are, after a restart as before it. Empty if partitions are not merged
    reset      "earliest" or "latest": where to go on if the next records were dropped by retention; of a
               table, the earliest always
    """

    def __init__(
        self,
        log: Readable,
        graph: Graph,
        positions: Mapping[TopicPartition, int],
        reached: Mapping[TopicPartition, int] | None = None,
        reset: str = "earliest",
    ) -> None:
        self._nodes: dict[str, list[int]] = {}
        wanted: dict[str, Wanted] = {}
        # Without state a batch costs by its rows; with it, changes of a key in one batch are one change.
        has_state = not all(isinstance(node.spec, (Source, Stateless, Sink)) for node in graph.nodes)
        tables = {source.topic for _, source in graph.sources() if source.is_table}
        for number, source in graph.sources():
            self._nodes.setdefault(source.topic, []).append(number)
            wanted[source.topic] = wanted.get(source.topic, source.wanted) | source.wanted
        self.positions: dict[TopicPartition, int] = dict(positions)
        self.reached: dict[TopicPartition, int] = dict(reached or {})
        self._readers = {
            topic: TopicReader(
                *(log, topic, positions, self.reached, wanted[topic]),
                reset="earliest" if topic in tables else reset,
                joins=has_state,
                in_order=len(self._nodes) > 1 or needs_order(graph),
            )
            # In the order in which records of one time are taken: a stream's finds what a table then has.
            for topic in sorted(self._nodes, key=lambda topic: topic not in tables)
        }
        self._buffers: dict[str, pa.RecordBatch | None] = dict.fromkeys(self._nodes)

    def lag(self) -> int:
        """Records that are in the log and not processed yet."""
        return sum(reader.lag() for reader in self._readers.values()) + sum(
            buffer.num_rows for buffer in self._buffers.values() if buffer is not None
        )

    def poll(self, max_rows: int) -> dict[int, pa.RecordBatch] | None:
        """The next micro-batch by source node, `$seq` filled in; None if there is nothing to read."""
        if len(self._readers) > 1:
            return self._interleave(self._fill(max_rows))
        ((topic, reader),) = self._readers.items()
        batch = reader.poll(max_rows)
        self._catch_up(topic)
        if batch is None:
            return None
        if len(self.positions) > 1:
            # Without an order between partitions there is nothing to go on with.
            self.reached.update(reader.reached)
        numbered = batch.append_column(SEQ, counting(batch.num_rows))
        return dict.fromkeys(self._nodes[topic], numbered)

    def _fill(self, max_rows: int) -> frozenset[str]:
        """Have a batch of every topic that has one; gives the topics that have more to read after it.

        A commit to several topics may come between reading one of them and the next: a topic that turns
        out to have something after all is read again, lest the others run ahead of it.
        """
        due = {topic for topic, buffer in self._buffers.items() if buffer is None}
        read_again: set[str] = set()
        while True:
            for topic in due:
                self._buffers[topic] = self._readers[topic].poll(max_rows)
                if self._buffers[topic] is None:
                    self._catch_up(topic)
            lags = {topic: reader.lag() for topic, reader in self._readers.items()}
            empty = {topic for topic, buffer in self._buffers.items() if buffer is None and lags[topic]}
            # A second time in vain: what lies there has been compacted away.
            due = empty - read_again
            read_again |= due
            if not due:
                return frozenset(topic for topic, lag in lags.items() if lag)

    def _interleave(self, unfinished: frozenset[str]) -> dict[int, pa.RecordBatch] | None:
        # In the order of the readers: equal times go by it.
        ready = {topic: rows for topic in self._readers if (rows := self._buffers[topic]) is not None}
        if not ready:
            return None
        places = {topic: place for place, topic in enumerate(ready)}
        # A topic by itself is in order as it is.
        times = {topic: self._running_times(topic, rows) for topic, rows in ready.items() if len(ready) > 1}
        holders = {topic: int(times[topic][-1]) for topic in times if topic in unfinished}
        taken: dict[str, pa.RecordBatch] = {}
        for topic, rows in ready.items():
            count = rows.num_rows
            for holder, held_to in holders.items():
                if holder != topic:
                    # The holder's next record may have this time too.
                    end = held_to + 1 if places[topic] < places[holder] else held_to
                    count = min(count, int(np.searchsorted(times[topic], end)))
            if count:
                taken[topic] = rows.slice(0, count)
                self._buffers[topic] = rows.slice(count) if count < rows.num_rows else None
                self._advance(topic, taken[topic])
        result: dict[int, pa.RecordBatch] = {}
        for (topic, rows), seq in zip(taken.items(), _order(taken, times), strict=True):
            result.update(dict.fromkeys(self._nodes[topic], rows.append_column(SEQ, seq)))
        return result

    def _catch_up(self, topic: str) -> None:
        """All a reader has given is taken: it may have stepped over offsets without a record, too."""
        self.positions.update(self._readers[topic].positions)

    def _running_times(self, topic: str, batch: pa.RecordBatch) -> Int64s:
        """For every row the largest timestamp its topic had reached with it, ms; int64[n]."""
        before = max((time for place, time in self.reached.items() if place.topic == topic), default=NO_TIME)
        running: Int64s = np.maximum.accumulate(batch.column("timestamp").to_numpy())
        return np.maximum(running, before, out=running)

    def _advance(self, topic: str, batch: pa.RecordBatch) -> None:
        partitions = batch.column(PARTITION).to_numpy()
        for partition, offset in largest_by_partition(partitions, batch.column(OFFSET).to_numpy()):
            self.positions[TopicPartition(topic, partition)] = offset + 1
        times = batch.column("timestamp").to_numpy()
        for partition, latest in largest_by_partition(partitions, times):
            place = TopicPartition(topic, partition)
            self.reached[place] = max(latest, self.reached.get(place, latest))


def _order(taken: Mapping[str, pa.RecordBatch], times: Mapping[str, Int64s]) -> list[pa.Int64Array]:
    """The `$seq` of each topic's rows; `times` of all topics that have rows, if there are several."""
    if len(taken) == 1:
        return [counting(rows.num_rows) for rows in taken.values()]
    return [pa.array(places) for places in merged([times[t][: rows.num_rows] for t, rows in taken.items()])]


def reached_as_metadata(reached: Mapping[TopicPartition, int]) -> dict[str, Any]:
    """What a commit keeps of `Inputs.reached`."""
    return {"reached": [[*place, time] for place, time in reached.items()]} if reached else {}


def reached_of_metadata(metadata: Mapping[str, Any]) -> dict[TopicPartition, int]:
    """The inverse of `reached_as_metadata`."""
    said: Iterable[tuple[str, int, int]] = metadata.get("reached", ())
    return {TopicPartition(topic, partition): time for topic, partition, time in said}

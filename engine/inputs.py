"""The inputs of a task: what to process next, over all its topics and partitions.

With one source a poll is what its reader gives. With several, records are taken in the order of their
timestamps, as far as that can be known: a topic that has more to read holds the others back to the
time it has reached, a topic that has been read to its end does not (Kafka Streams does the same with
`max.task.idle.ms` 0).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import OFFSET, PARTITION, SEQ
from streamsql.engine.graph import Graph
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.engine.log.reader import TopicReader

Int64s = np.ndarray[tuple[int], np.dtype[np.int64]]


class Inputs:
    """Polls the topics of a graph from given positions.

    positions  next offset to process for each partition: what a commit must remember
    """

    def __init__(self, log: Log, graph: Graph, positions: Mapping[TopicPartition, int]) -> None:
        self._nodes: dict[str, list[int]] = {}
        for number, source in graph.sources():
            self._nodes.setdefault(source.topic, []).append(number)
        self.positions: dict[TopicPartition, int] = dict(positions)
        self._readers = {topic: TopicReader(log, topic, positions) for topic in self._nodes}
        self._buffers: dict[str, pa.RecordBatch | None] = dict.fromkeys(self._nodes)

    def lag(self) -> int:
        """Records that are in the log and not processed yet."""
        return sum(reader.lag() for reader in self._readers.values()) + sum(
            buffer.num_rows for buffer in self._buffers.values() if buffer is not None
        )

    def poll(self, max_rows: int) -> dict[int, pa.RecordBatch] | None:
        """The next micro-batch by source node, `$seq` filled in; None if there is nothing to read."""
        for topic, reader in self._readers.items():
            if self._buffers[topic] is None:
                self._buffers[topic] = reader.poll(max_rows)
        ready = {topic: buffer for topic, buffer in self._buffers.items() if buffer is not None}
        if not ready:
            return None
        if len(self._readers) == 1:
            ((topic, batch),) = ready.items()
            self._buffers[topic] = None
            self._advance(topic, batch)
            numbered = batch.append_column(SEQ, pa.array(np.arange(batch.num_rows)))
            return dict.fromkeys(self._nodes[topic], numbered)
        return self._interleave(ready)

    def _interleave(self, ready: dict[str, pa.RecordBatch]) -> dict[int, pa.RecordBatch]:
        times = {t: np.maximum.accumulate(b.column("timestamp").to_numpy()) for t, b in ready.items()}
        held_to = [times[topic][-1] for topic in ready if self._readers[topic].lag()]
        taken: dict[str, pa.RecordBatch] = {}
        for topic, batch in ready.items():
            count = (
                int(np.searchsorted(times[topic], min(held_to), side="right")) if held_to else batch.num_rows
            )
            if count:
                taken[topic] = batch.slice(0, count)
                self._buffers[topic] = batch.slice(count) if count < batch.num_rows else None
                self._advance(topic, taken[topic])
        topics = list(taken)
        time = np.concatenate([times[t][: taken[t].num_rows] for t in topics])
        place = np.concatenate([np.full(taken[t].num_rows, i) for i, t in enumerate(topics)])
        order = np.lexsort((place, time))
        seq: Int64s = np.empty(len(order), dtype=np.int64)
        seq[order] = np.arange(len(order))
        result: dict[int, pa.RecordBatch] = {}
        begin = 0
        for topic in topics:
            end = begin + taken[topic].num_rows
            numbered = taken[topic].append_column(SEQ, pa.array(seq[begin:end]))
            result.update(dict.fromkeys(self._nodes[topic], numbered))
            begin = end
        return result

    def _advance(self, topic: str, batch: pa.RecordBatch) -> None:
        partitions = batch.column(PARTITION).to_numpy()
        offsets = batch.column(OFFSET).to_numpy()
        is_one = partitions[0] == partitions[-1] and (partitions == partitions[0]).all()
        for partition in partitions[:1] if is_one else np.unique(partitions):
            last = int((offsets if is_one else offsets[partitions == partition]).max())
            self.positions[TopicPartition(topic, int(partition))] = last + 1

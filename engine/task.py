"""A task: one query's graph with its operators open, stepped by whoever owns it.

It has no thread and no clock: `feed` takes raw records and runs them through, `drain` hands over what
must be committed. The runner does this in a loop; tests and tools do it by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.graph import Graph
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.base import Context, Operator, Store, WindowBounds
from streamsql.engine.operators.sink import CollectOperator, SinkOperator
from streamsql.engine.operators.stateless import StatelessOperator
from streamsql.engine.problems import Problems
from streamsql.engine.shared import SharedDecoding
from streamsql.engine.state.keys import UInt64s


class Task:
    """Not thread-safe: the owner takes turns.

    workspace  to run in, which is closed with the task; one of its own if none is given
    """

    def __init__(
        self,
        graph: Graph,
        threads: int = 1,
        shared: SharedDecoding | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        self.graph = graph
        self.problems = Problems()
        self.workspace = workspace or Workspace(threads)
        context = Context(self.workspace, self.problems, shared)
        self.operators: list[Operator] = [node.spec.open(context) for node in graph.nodes]
        self._sources = tuple(graph.sources())

    def feed(self, raw: Mapping[int, pa.RecordBatch]) -> None:
        """Run one micro-batch through the graph.

        raw  source node -> records: key, value, timestamp, [headers], `$partition`, `$offset`, `$seq`
        """
        self.problems.counters.batches += 1
        outputs: list[pa.RecordBatch | None] = []
        for number, (node, operator) in enumerate(zip(self.graph.nodes, self.operators, strict=True)):
            inputs = [outputs[i] for i in node.inputs] if node.inputs else [raw.get(number)]
            outputs.append(operator.process(*inputs))

    def feed_topic(self, topic: str, records: pa.RecordBatch) -> None:
        """Run records of one topic through every source that reads it, in the order given."""
        with_seq = records.append_column(SEQ, pa.array(np.arange(records.num_rows)))
        self.feed({number: with_seq for number, source in self._sources if source.topic == topic})

    def take_records(self) -> list[tuple[str, int, pa.RecordBatch]]:
        """The sinks' records since the last call: (topic, partition, records)."""
        return [
            append
            for operator in self.operators
            if isinstance(operator, SinkOperator)
            for append in operator.take()
        ]

    def take_rows(self) -> list[pa.RecordBatch]:
        """The rows for the reader of a push query since the last call."""
        return [
            rows
            for operator in self.operators
            if isinstance(operator, CollectOperator)
            for rows in operator.take()
        ]

    @property
    def pending_rows(self) -> int:
        """Records in the sinks, and entries for the processing log, that wait for a commit."""
        sinks = (operator for operator in self.operators if isinstance(operator, SinkOperator))
        return sum(sink.pending_rows for sink in sinks) + self.problems.pending

    def stores(self) -> Sequence[tuple[str, Store]]:
        """Every durable store under a name that stays the same as long as the graph does."""
        return [
            (f"{number}-{store.name}", store)
            for number, operator in enumerate(self.operators)
            for store in operator.stores
        ]

    def snapshot(self, number: int) -> pa.RecordBatch | None:
        """The table that a node's output stands for now; None if it keeps none."""
        operator = self.operators[number]
        if isinstance(operator, StatelessOperator):
            return operator.view(self.snapshot(self.graph.nodes[number].inputs[0]))
        return operator.snapshot()

    def look_up(
        self, number: int, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None = None
    ) -> pa.RecordBatch | None:
        """Rows of the table that a node's output stands for, as `snapshot` has them, by key.

        keys    the key columns in the order of the key, n rows; keys that are not there give no row
        hashes  of the keys, uint64[n], if they are at hand
        gives   None if this table cannot be looked into
        """
        operator = self.operators[number]
        if isinstance(operator, StatelessOperator):
            return operator.view(self.look_up(self.graph.nodes[number].inputs[0], keys, bounds, hashes))
        return operator.look_up(keys, bounds, hashes)

    def close(self) -> None:
        for operator in self.operators:
            operator.close()
        self.workspace.close()

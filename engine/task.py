"""A task: one query's graph with its operators open, stepped by whoever owns it.

It has no thread and no clock: `feed` takes raw records and runs them through, `drain` hands over what
must be committed. The runner does this in a loop; tests and tools do it by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.batch_size import Stopwatch
from streamsql.engine.graph import Graph
from streamsql.engine.kernel import Workspace, one_batch
from streamsql.engine.operators.base import Context, Finish, Guess, Operator, Store, WindowBounds
from streamsql.engine.operators.sink import CollectOperator, SinkOperator
from streamsql.engine.operators.source import Source
from streamsql.engine.operators.stateless import Stateless, StatelessOperator
from streamsql.engine.problems import Problems
from streamsql.engine.shared import SharedDecoding
from streamsql.engine.state.keys import UInt64s

_KEPT_BYTES = 1 << 27
"""A larger snapshot is taken anew each time: kept, it would hold the memory of the state twice."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A micro-batch, as far as it goes without the state.

    rows      of the largest of its inputs
    outputs   node -> its output, in pieces
    begun     node -> the rest of its work, where a part of it is done
    guesses   node -> its output, if all goes as expected
    relies_on  node with guessed inputs -> the nodes whose guesses must have been right
    problems  what went wrong on the way, unless it was told already
    seconds   what it took, as a `Stopwatch` has it
    is_ahead  whether it was prepared while the batch before was worked on
    """

    rows: int
    outputs: Mapping[int, Sequence[pa.RecordBatch]]
    begun: Mapping[int, Finish]
    guesses: Mapping[int, Guess]
    relies_on: Mapping[int, frozenset[int]]
    problems: Problems | None
    seconds: float
    is_ahead: bool


class Task:
    """The owner takes turns; but others may `prepare` batches while it applies those before.

    A task has two halves: sources and stateless steps right after them, and everything else. Of the first
    half there are as many as threads, each of which prepares a batch at a time; with more than one thread
    the halves share nothing that changes.

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
        late = Context(self.workspace, self.problems, shared)
        # In one thread, problems come in the order in which they are to be told.
        is_alone = self.workspace in self.workspace.ahead
        early = [
            Context(workspace, self.problems if is_alone else Problems(), shared)
            for workspace in self.workspace.ahead
        ]
        self._is_early = early_nodes(graph)
        self.operators: list[Operator] = [
            node.spec.open(early[0] if is_early else late)
            for node, is_early in zip(graph.nodes, self._is_early, strict=True)
        ]
        self._early_problems = [context.problems for context in early]
        # The first halves after the first one, which is among `operators`.
        self._others = [
            {
                number: self.operators[number].beside(context)
                for number in np.flatnonzero(self._is_early).tolist()
            }
            for context in early[1:]
        ]
        self._idle = list(range(len(early)))
        self._sources = tuple(graph.sources())
        self._snapshots: dict[int, pa.RecordBatch | None] = {}
        """By node, since the last micro-batch."""

    def prepare(self, raw: Mapping[int, pa.RecordBatch], *, is_ahead: bool = False) -> Prepared:
        """Run a micro-batch through the first half of the graph: of several at the same time one per thread.

        raw       source node -> records: key, value, timestamp, [headers], `$partition`, `$offset`, `$seq`
        is_ahead  whether the batch before is worked on meanwhile, so that other operators had better begin
        """
        place = self._idle.pop()
        try:
            return self._prepared(raw, place, is_ahead)
        finally:
            self._idle.append(place)

    def _prepared(self, raw: Mapping[int, pa.RecordBatch], place: int, is_ahead: bool) -> Prepared:
        watch = Stopwatch()
        outputs: dict[int, Sequence[pa.RecordBatch]] = {}
        begun: dict[int, Finish] = {}
        guesses: dict[int, Guess] = {}
        relies_on: dict[int, frozenset[int]] = {}
        own = self._others[place - 1] if place else {}
        for number, (node, operator) in enumerate(zip(self.graph.nodes, self.operators, strict=True)):
            if self._is_early[number]:
                outputs[number] = self._output(number, own.get(number, operator), outputs, raw)
            elif is_ahead and all(other in outputs or other in guesses for other in node.inputs):
                guessed = [other for other in node.inputs if other in guesses]
                if guessed and not operator.takes_guesses:
                    continue
                relies_on[number] = frozenset(guessed).union(*(relies_on[other] for other in guessed))
                given = [guesses[i].output if i in guesses else _whole(outputs[i]) for i in node.inputs]
                prepared = operator.prepare(place, *given)
                if isinstance(prepared, Guess):
                    guesses[number] = prepared
                elif prepared is not None:
                    begun[number] = prepared
        rows = max((records.num_rows for records in raw.values()), default=0)
        early = self._early_problems[place]
        problems = None if early is self.problems else early.hand_over()
        return Prepared(rows, outputs, begun, guesses, relies_on, problems, watch.seconds(), is_ahead)

    def forget_prepared(self) -> None:
        """The batches that were prepared and not applied will not be; none is being prepared now."""
        for operator in self.operators:
            operator.forget_prepared()

    def apply(self, prepared: Prepared) -> None:
        """Run the micro-batch that was prepared through the rest of the graph. In the order of reading."""
        if prepared.problems is not None:
            self.problems.take_in(prepared.problems)
        self.problems.counters.batches += 1
        self._snapshots.clear()
        outputs = dict(prepared.outputs)
        mistaken: set[int] = set()
        for number, operator in enumerate(self.operators):
            if number in outputs:
                continue
            holds = not prepared.relies_on.get(number, frozenset()) & mistaken
            guess, finish = prepared.guesses.get(number), prepared.begun.get(number)
            if guess is not None and holds and guess.is_right():
                outputs[number] = _pieces(guess.output)
            elif finish is not None and holds:
                outputs[number] = _pieces(finish())
            else:
                mistaken.add(number)
                outputs[number] = self._output(number, operator, outputs, {})

    def feed(self, raw: Mapping[int, pa.RecordBatch]) -> None:
        """Run one micro-batch through the graph; `raw` as for `prepare`."""
        self.apply(self.prepare(raw))

    def _output(
        self,
        number: int,
        operator: Operator,
        outputs: Mapping[int, Sequence[pa.RecordBatch]],
        raw: Mapping[int, pa.RecordBatch],
    ) -> Sequence[pa.RecordBatch]:
        inputs = self.graph.nodes[number].inputs
        if len(inputs) == 1:
            return operator.process_pieces(outputs[inputs[0]])
        return _pieces(operator.process(*([_whole(outputs[i]) for i in inputs] or [raw.get(number)])))

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
        """The table that a node's output stands for now; None if it keeps none.

        cost  a copy of the table, if it has changed since it was asked for last or is very large
        """
        if number in self._snapshots:
            return self._snapshots[number]
        rows = self._taken(number)
        if rows is None or rows.nbytes <= _KEPT_BYTES:
            self._snapshots[number] = rows
        return rows

    def _taken(self, number: int) -> pa.RecordBatch | None:
        operator = self.operators[number]
        if isinstance(operator, StatelessOperator):
            return operator.view(self._taken(self.graph.nodes[number].inputs[0]))
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


def early_nodes(graph: Graph) -> Sequence[bool]:
    """Whether a node's output follows from the records at hand alone: sources, and stages on them."""
    is_early: list[bool] = []
    for node in graph.nodes:
        is_row_wise = isinstance(node.spec, (Source, Stateless))
        is_early.append(is_row_wise and all(is_early[number] for number in node.inputs))
    return is_early


def _whole(pieces: Sequence[pa.RecordBatch]) -> pa.RecordBatch | None:
    return one_batch(pieces[0].schema, pieces) if pieces else None


def _pieces(output: pa.RecordBatch | None) -> Sequence[pa.RecordBatch]:
    return () if output is None else (output,)

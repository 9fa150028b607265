"""What an operator is: batches in, batches out, its state behind `stores`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

from streamsql.engine.kernel import Workspace, one_batch
from streamsql.engine.problems import Problems
from streamsql.engine.shared import SharedDecoding
from streamsql.engine.state.keys import UInt64s
from streamsql.errors import InternalError


class Store(Protocol):
    """State of an operator that outlives the process: it is what its changelog says.

    A changelog record has the form of any record: key struct<..>, value struct<..> or null when the
    key was dropped, timestamp int64 (ms).

    bound    what keeps it from growing for ever, for people to read; None: nothing does
    cleanup  what keeps its changelog from growing: "compact", or "delete" if that is `needed` alone
    """

    name: str
    bound: str | None
    cleanup: str

    def drain(self) -> pa.RecordBatch | None:
        """The rows changed since the last call, each key once, as changelog records; None if none."""

    def needed(self) -> int | None:
        """How many of the records drained last a restore needs, those before may go; None: not known."""

    def restore(self, records: pa.RecordBatch) -> None:
        """Apply changelog records; later ones win."""

    @property
    def rows(self) -> int: ...

    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What an operator may use while it runs.

    workspace, problems  the query's own
    shared               what the queries of a database decode together; None: each for itself
    """

    workspace: Workspace
    problems: Problems
    shared: SharedDecoding | None = None


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """Which windows of a key are asked for: both bounds inclusive, ms; everything by default."""

    first_start: int = -(1 << 62)
    last_start: int = 1 << 62
    first_end: int = -(1 << 62)
    last_end: int = 1 << 62


Finish = Callable[[], pa.RecordBatch | None]
"""The rest of the work on a batch; gives what `Operator.process` would have given."""


class Guess(NamedTuple):
    """What a batch gives if nothing that it was made of changes before its turn.

    is_right  to be asked when its turn has come; if it is not, the batch is to be processed instead
    """

    output: pa.RecordBatch | None
    is_right: Callable[[], bool]


class Operator(ABC):
    """A node of a running query.

    stores         its durable state, () if it keeps none
    takes_guesses  whether it may prepare what is then not finished, beside other batches that are
    """

    stores: Sequence[Store] = ()
    takes_guesses = True

    @abstractmethod
    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        """Take one micro-batch, an input per edge (None: nothing there), and give what follows from it.

        Rows of all inputs of one call carry `$seq` in one order of processing; the output's rows are
        in that order too. None stands for an empty batch.
        """

    def beside(self, context: Context) -> Operator:
        """One more for the same node, which works on other batches at the same time.

        For operators that know nothing of other batches: sources, and stages on them.
        """
        raise InternalError(f"{type(self).__name__} takes one batch after the other")

    def prepare(self, place: int, *inputs: pa.RecordBatch | None) -> Finish | Guess | None:
        """Do what of the work on a batch does not, or will hardly, depend on those before it, beside them.

        Nothing of what can be seen may change by it, as the batch may be forgotten.

        place  of the workspace in `Workspace.ahead` to do it in: other ones are in use for other batches
        gives  what is to be called instead of `process`, or what that will probably give; None if there is
               nothing to be done so early
        """
        return None

    def forget_prepared(self) -> None:  # noqa: B027 - most operators keep nothing of it
        """The batches that were prepared and not finished will not be; none is being prepared now."""

    def process_pieces(self, pieces: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
        """As `process` with one input, both in pieces that follow each other, no more than threads."""
        output = self.process(one_batch(pieces[0].schema, pieces) if pieces else None)
        return () if output is None else (output,)

    def snapshot(self) -> pa.RecordBatch | None:
        """The table this operator's output stands for, `$weight` 1 everywhere; None if it keeps none."""
        return None

    def close(self) -> None:  # noqa: B027 - most operators hold nothing outside the workspace
        """Let go of what is not in the workspace."""

    def look_up(
        self, keys: Sequence[pa.Array], bounds: WindowBounds, hashes: UInt64s | None
    ) -> pa.RecordBatch | None:
        """Rows of the snapshot by key, see `Task.look_up`. The cost depends on the rows, not on the table."""
        return None


class Spec(Protocol):
    """The frozen settings of an operator; `open` makes the running one."""

    @property
    def output(self) -> pa.Schema: ...

    def open(self, context: Context) -> Operator: ...

    def describe(self) -> str:
        """One line for EXPLAIN."""

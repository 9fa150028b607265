"""Stream-table join: every stream row sees the table as it was when the row was processed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, WEIGHT
from streamsql.engine.kernel import one_batch
from streamsql.engine.operators.as_of import LastChanges, Ranks, is_complete, pooled
from streamsql.engine.operators.base import Context, Guess, Operator
from streamsql.engine.operators.table_state import TableChanges, TableState
from streamsql.engine.parallel import PerThread
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.readers import Readers

_SLOT = "$slot"


@dataclass(frozen=True, slots=True)
class StreamTableJoin:
    """A stream on the left, a table on the right; only stream rows cause output.

    left, right            schemas of the inputs; no column but meta columns is in both; `right_keys` are
                           not in the output
    left_keys, right_keys  the columns that must be equal; `right_keys` are the table's key
    keeps_unmatched        LEFT: a row without a match comes out with nulls; INNER drops it
    """

    left: pa.Schema
    right: pa.Schema
    left_keys: tuple[str, ...]
    right_keys: tuple[str, ...]
    keeps_unmatched: bool

    @property
    def right_columns(self) -> tuple[str, ...]:
        """What the table adds to a row."""
        return tuple(n for n in self.right.names if not n.startswith("$") and n not in self.right_keys)

    @property
    def output(self) -> pa.Schema:
        own = [f for f in self.left if not f.name.startswith("$")]
        meta = [f for f in self.left if f.name.startswith("$")]
        return pa.schema([*own, *(self.right.field(name) for name in self.right_columns), *meta])

    def open(self, context: Context) -> Operator:
        return StreamTableJoinOperator(self, context)

    def describe(self) -> str:
        kind = "left" if self.keeps_unmatched else "inner"
        return (
            f"{kind} join stream with table on ({', '.join(self.left_keys)}) = ({', '.join(self.right_keys)})"
        )


class StreamTableJoinOperator(Operator):
    """A batch without changes of the table is joined ahead, in the hope that those before it have none."""

    def __init__(self, spec: StreamTableJoin, context: Context) -> None:
        self.spec = spec
        values = [spec.right.field(name) for name in spec.right_columns]
        keys = pa.schema([spec.right.field(name) for name in spec.right_keys])
        self._threads = PerThread(context.workspace, lambda lane: Ranks())
        self._ahead = [(KeyHasher(workspace, keys), Ranks()) for workspace in context.workspace.ahead]
        self._readers = Readers()
        self._last = LastChanges()
        self.table = TableState("table", keys, pa.schema(values), context.workspace)
        self.stores = (self.table.store,)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        left, right = inputs
        if right is None:
            return None if left is None else self._join(left, None)
        with self._readers.changing():
            changes = self.table.begin(right)
            joined = None if left is None else self._join(left, changes)
            self.table.apply(changes)
            return joined

    def prepare(self, place: int, *inputs: pa.RecordBatch | None) -> Guess | None:
        left, right = inputs
        if left is None or right is not None:
            return None
        hasher, ranks = self._ahead[place]
        with self._readers.reading() as version:
            joined = self._join_found(self._looked_up(left, hasher), None, ranks)
        return Guess(joined, lambda: self._readers.version == version)

    def _join(self, left: pa.RecordBatch, changes: TableChanges | None) -> pa.RecordBatch | None:
        looked_up = self._looked_up(left)
        if changes is not None:
            self._last.begin(changes.slots, changes.batch.column(SEQ).to_numpy())
        found = self._threads.over(
            self._threads.cut(looked_up), lambda ranks, piece: self._join_found(piece, changes, ranks)
        )
        joined = [rows for rows in found if rows is not None]
        return one_batch(joined[0].schema, joined) if joined else None

    def _looked_up(self, left: pa.RecordBatch, hasher: KeyHasher | None = None) -> pa.RecordBatch:
        """Rows of the stream with the slots of their keys."""
        keys = [left.column(name) for name in self.spec.left_keys]
        slots = np.where(is_complete(keys), self.table.store.find(keys, hasher), -1)
        return left.append_column(_SLOT, pa.array(slots))

    def _join_found(
        self, left: pa.RecordBatch, changes: TableChanges | None, ranks: Ranks
    ) -> pa.RecordBatch | None:
        """Rows of the stream, with their slots, joined to the table as of each; nothing is changed."""
        spec = self.spec
        slots: Int64s = left.column(_SLOT).to_numpy()
        left = left.drop_columns([_SLOT])
        in_store = self.table.stored(slots)
        # What is added comes from a pool: the changes of the batch, then stored rows, each once.
        place = np.full(len(slots), -1, dtype=np.int64)
        parts = []
        if changes is not None:
            version = self._last.before(slots, left.column(SEQ).to_numpy())
            rows = np.flatnonzero(version >= 0)
            in_store[rows] = False
            version = version[rows]
            puts_in = changes.batch.column(WEIGHT).to_numpy()[version] > 0
            place[rows] = np.where(puts_in, version, -1)
            parts.append([changes.batch.column(name) for name in spec.right_columns])
        offset = 0 if changes is None else changes.batch.num_rows
        stored, rank = ranks.of(slots if in_store.all() else slots[in_store])
        place[in_store] = offset + rank
        parts.append(self.table.rows(stored, spec.right_columns))
        if not spec.keeps_unmatched and (place < 0).any():
            kept = np.flatnonzero(place >= 0)
            if not len(kept):
                return None
            left, place = left.take(pa.array(kept)), place[kept]
        added = pooled(parts, place)
        by_name = {name: left.column(name) for name in left.schema.names}
        by_name.update(zip(spec.right_columns, added, strict=True))
        return pa.RecordBatch.from_arrays([by_name[f.name] for f in spec.output], schema=spec.output)

"""Stream-table join: every stream row sees the table as it was when the row was processed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import SEQ, WEIGHT
from streamsql.engine.kernel import one_batch
from streamsql.engine.operators.as_of import is_complete, last_before, pooled
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.table_state import TableChanges, TableState
from streamsql.engine.parallel import PerThread
from streamsql.engine.state.columns import Int64s

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
    def __init__(self, spec: StreamTableJoin, context: Context) -> None:
        self.spec = spec
        values = [spec.right.field(name) for name in spec.right_columns]
        keys = pa.schema([spec.right.field(name) for name in spec.right_keys])
        self._threads = PerThread(context.workspace, lambda lane: None)
        self.table = TableState("table", keys, pa.schema(values), context.workspace)
        self.stores = (self.table.store,)

    def process(self, *inputs: pa.RecordBatch | None) -> pa.RecordBatch | None:
        left, right = inputs
        changes = None if right is None else self.table.begin(right)
        joined = None if left is None else self._join(left, right, changes)
        if right is not None and changes is not None:
            self.table.apply(right, changes)
        return joined

    def _join(
        self, left: pa.RecordBatch, right: pa.RecordBatch | None, changes: TableChanges | None
    ) -> pa.RecordBatch | None:
        keys = [left.column(name) for name in self.spec.left_keys]
        slots = np.where(is_complete(keys), self.table.store.find(keys), -1)
        found = self._threads.over(
            self._threads.cut(left.append_column(_SLOT, pa.array(slots))),
            lambda _, piece: self._join_found(piece, right, changes),
        )
        joined = [rows for rows in found if rows is not None]
        return one_batch(joined[0].schema, joined) if joined else None

    def _join_found(
        self, left: pa.RecordBatch, right: pa.RecordBatch | None, changes: TableChanges | None
    ) -> pa.RecordBatch | None:
        """Rows of the stream, with their slots, joined to the table as of each; nothing is changed."""
        spec = self.spec
        slots: Int64s = left.column(_SLOT).to_numpy()
        left = left.drop_columns([_SLOT])
        stored = self.table.stored(slots)
        if right is None or changes is None:
            version = np.full(len(slots), -1, dtype=np.int64)
            puts_in = np.zeros(0, dtype=np.bool_)
            parts = []
        else:
            version = last_before(
                slots, left.column(SEQ).to_numpy(), changes.slots, right.column(SEQ).to_numpy()
            )
            puts_in = right.column(WEIGHT).to_numpy() > 0
            parts = [[right.column(name) for name in spec.right_columns]]
        in_batch = version >= 0
        matched = stored & ~in_batch
        if len(puts_in):
            matched |= in_batch & puts_in[np.maximum(version, 0)]
        from_store = np.flatnonzero(stored & ~in_batch)
        offset = right.num_rows if parts and right is not None else 0
        index = np.where(matched & in_batch, version, -1)
        index[from_store] = offset + np.arange(len(from_store))
        parts.append(self.table.rows(slots[from_store], spec.right_columns))
        if not spec.keeps_unmatched:
            kept = np.flatnonzero(matched)
            if not len(kept):
                return None
            left, index = left.take(pa.array(kept)), index[kept]
        added = pooled(parts, index)
        by_name = {name: left.column(name) for name in left.schema.names}
        by_name.update(zip(spec.right_columns, added, strict=True))
        return pa.RecordBatch.from_arrays([by_name[f.name] for f in spec.output], schema=spec.output)

"""A table kept for joining: its rows by key, brought forward one micro-batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streamsql.engine.batch import WEIGHT
from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.group_states import last_places
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.store import KeyedStore


@dataclass(frozen=True, slots=True)
class TableChanges:
    """A batch of changes, looked up.

    batch  the changes, without deletes of keys that are not there
    slots  of its rows
    """

    batch: pa.RecordBatch
    slots: Int64s


class TableState:
    """Rows of a table by key.

    `begin` looks a batch of changes up without applying it, so that others can still see the table as
    it was; `apply` then brings the table to where the batch leaves it.
    """

    def __init__(self, name: str, keys: pa.Schema, values: pa.Schema, workspace: Workspace) -> None:
        self.keys = keys
        self.store = KeyedStore(name, keys, values, KeyHasher(workspace, keys))

    def begin(self, batch: pa.RecordBatch) -> TableChanges:
        """Find the keys of a batch; new ones get a slot that holds no row yet. `apply` must follow."""
        puts_in = batch.column(WEIGHT).to_numpy() > 0
        slots, _ = self.store.find_or_put_in([batch.column(name) for name in self.keys.names], puts_in)
        return TableChanges(*known(batch, slots))

    def stored(self, slots: Int64s) -> Bools:
        """Which slots held a row before the batch at hand, and not -1; bool[n]."""
        return self.store.values.is_live(slots)

    def rows(self, slots: Int64s, names: Sequence[str]) -> list[pa.Array[Any]]:
        """Columns, of key or value, of rows that are stored."""
        keys, values = self.store.index.keys.get(slots), self.store.values.get(slots)
        return [keys.column(n) if n in keys.schema.names else values.column(n) for n in names]

    def apply(self, changes: TableChanges) -> None:
        """The last row of each key stays; a delete drops it."""
        batch, last = changes.batch, last_places(changes.slots)
        puts_in = batch.column(WEIGHT).to_numpy()[last] > 0
        kept = last[puts_in]
        rows = pa.array(kept)
        self.store.put(
            changes.slots[kept], [batch.column(n).take(rows) for n in self.store.values.schema.names]
        )
        gone = changes.slots[last[~puts_in]]
        is_unknown = ~self.stored(gone)
        # A key that came and went within the batch was never anyone's business.
        self.store.index.remove(gone[is_unknown])
        self.store.remove(gone[~is_unknown])


def known(batch: pa.RecordBatch, slots: Int64s) -> tuple[pa.RecordBatch, Int64s]:
    """The changes whose key has a slot, and the slots: what is deleted and never was is no change."""
    has_slot = slots >= 0
    return (batch, slots) if has_slot.all() else (batch.filter(pa.array(has_slot)), slots[has_slot])

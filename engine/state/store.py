"""Keyed store: key columns -> value columns, and which of them changed since the last commit."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.state.columns import Bools, Int64s, concatenated
from streamsql.engine.state.keys import Hasher, KeyIndex, UInt64s
from streamsql.engine.state.last_records import LastRecords
from streamsql.engine.state.rows import RowStore
from streamsql.errors import InternalError

_SCANNED = 64
"""So many marks are looked at in the time that reading a row out of order takes."""


class KeyedStore:
    """An operator's durable table: rows by key, drained as changelog records.

    name    names its changelog among the operator's stores
    keys    key columns
    values  value columns
    hasher  must agree with the hashes that are passed in
    restorations  how often `restore` was called: who keeps an index over the rows sees that it is stale
    time    the int64 value column (ms) that stamps changelog records; None stamps 0
    bound   what keeps it from growing with every new key; whoever removes rows says so

    Keys may be looked up, and added, in another thread than the one that does all else. A key that was only
    looked up is no row yet.
    """

    cleanup = "compact"

    def __init__(
        self, name: str, keys: pa.Schema, values: pa.Schema, hasher: Hasher, time: str | None = None
    ) -> None:
        self.name = name
        self.bound: str | None = None
        self.index = KeyIndex(keys)
        self.values = RowStore(values)
        self.hasher = hasher
        self.restorations = 0
        self._time = time
        self._looking = RLock()
        self._last = LastRecords()
        self._dirty: Bools = np.zeros(0, dtype=np.bool_)
        self._mark: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._changed: list[Int64s] = []
        self._removed: list[tuple[UInt64s, list[pa.Array], npt.NDArray[np.int64]]] = []

    @property
    def rows(self) -> int:
        return self.values.rows

    @property
    def bytes(self) -> int:
        return self.index.bytes + self.values.bytes + self._dirty.nbytes + self._mark.nbytes

    def find(self, keys: Sequence[pa.Array], hashes: UInt64s | Hasher | None = None) -> Int64s:
        """The slot of each key, -1 where there is none; `hashes` of the keys, or what computes them."""
        with self._looking:
            return self.index.find(self.hasher if hashes is None else hashes, keys)

    def find_or_add(
        self, keys: Sequence[pa.Array], hashes: UInt64s | Hasher | None = None
    ) -> tuple[Int64s, Bools]:
        """The slot of each key and whether the row is the first of a new key.

        The caller writes the values of new keys before the next drain.

        hashes  of the keys, or what computes them
        """
        # As a rule nobody has to wait here for others that look up as well.
        direct = self.index.find_directly(keys)
        if direct is not None and (direct >= 0).all():
            return direct, np.zeros(len(direct), dtype=np.bool_)
        with self._looking:
            return self.index.find_or_add(self.hasher if hashes is None else hashes, keys, direct)

    def keys(self, slots: Int64s) -> list[pa.Array]:
        """The key columns of some slots."""
        with self._looking:
            return self.index.keys.get(slots).columns

    def find_or_put_in(self, keys: Sequence[pa.Array], puts_in: Bools) -> tuple[Int64s, Bools]:
        """As `find_or_add` for changes of a table: a delete adds no key, and has slot -1 if there is none.

        puts_in  bool[n]: the change is no delete
        """
        if puts_in.all():
            return self.find_or_add(keys)
        slots, is_new = np.full(len(puts_in), -1, dtype=np.int64), np.zeros(len(puts_in), dtype=np.bool_)
        if puts_in.any():
            chosen = pa.array(puts_in)
            slots[puts_in], is_new[puts_in] = self.find_or_add([key.filter(chosen) for key in keys])
        deletes = pa.array(~puts_in)
        slots[~puts_in] = self.find([key.filter(deletes) for key in keys])
        return slots, is_new

    def put(self, slots: Int64s, values: pa.RecordBatch | Sequence[pa.Array]) -> None:
        """Write the value columns of slots that the index holds; of a repeated slot the last row stays."""
        self.values.put(slots, values)
        self.touch(slots)

    def touch(self, slots: Int64s) -> None:
        """Mark slots as changed: for callers that write values in place."""
        if not len(slots):
            return
        largest = int(slots.max())
        if largest >= len(self._dirty):
            grown = np.zeros(max(64, 1 << largest.bit_length()), dtype=np.bool_)
            grown[: len(self._dirty)] = self._dirty
            self._dirty = grown
            self._mark = np.zeros(len(grown), dtype=np.int32)
        fresh = slots[~self._dirty[slots]]
        if len(fresh):
            self._dirty[fresh] = True
            # Each slot once: of several rows that write their number to its mark, the last one stays.
            own = np.arange(len(fresh), dtype=np.int32)
            self._mark[fresh] = own
            self._changed.append(fresh[self._mark[fresh] == own])

    def remove(self, slots: Int64s) -> None:
        """Drop rows, each slot given once; their keys drain as tombstones."""
        if not len(slots):
            return
        times = np.zeros(len(slots), dtype=np.int64)
        if self._time is not None:
            times = self.values.fixed(self._time).values[slots]
        with self._looking:
            self._removed.append((self.index.hashes(slots), self.index.keys.get(slots).columns, times))
            self.index.remove(slots)
        self.values.remove(slots)
        if len(self._dirty):
            self._dirty[slots[slots < len(self._dirty)]] = False
        if self.bound is not None:
            self._last.gone(slots)

    def table(self, slots: Int64s | None = None) -> pa.RecordBatch:
        """Key and value columns of all rows, or of the given slots; no keys may be looked up meanwhile."""
        with self._looking:
            keys = self.index.keys.table(slots)
        values = self.values.table(slots)
        return pa.RecordBatch.from_arrays(
            [*keys.columns, *values.columns], schema=pa.schema([*keys.schema, *values.schema])
        )

    def drain(self) -> pa.RecordBatch | None:
        """The changed rows since the last call as changelog records, tombstones first; None if none."""
        slots = self._take_changed()
        parts = [
            part
            for part in (self._drain_removed(), self.records(slots) if len(slots) else None)
            if part is not None
        ]
        if not parts:
            return None
        if self.bound is not None:
            self._last.drained(slots, sum(part.num_rows for part in parts))
        return parts[0] if len(parts) == 1 else pa.concat_batches(parts)

    def needed(self) -> int | None:
        """As `Store.needed`; where rows stay for ever it is not looked for, and compaction sees to it."""
        return None if self.bound is None else self._last.needed()

    def others_drained(self, records: int) -> None:
        """So many records of other stores went to the same changelog, after those that were drained last."""
        if self.bound is not None and records:
            self._last.drained(np.zeros(0, dtype=np.int64), records)

    def restore(self, records: pa.RecordBatch) -> None:
        """Apply changelog records; later ones win.

        raises  InternalError if the records have other columns than this store
        """
        self.check(records)
        self.restorations += 1
        keys, values = records.column("key"), records.column("value")
        if not records.num_rows:
            return
        slots, _ = self.find_or_add(keys.flatten())
        self.values.use(slots)
        rows = np.arange(len(slots))
        last = np.empty(int(slots.max()) + 1, dtype=np.int64)
        last[slots] = rows
        final = last[slots] == rows
        present = values.is_valid().to_numpy(zero_copy_only=False)
        upserts = np.flatnonzero(final & present)
        if len(upserts):
            self.values.put(slots[upserts], values.take(pa.array(upserts)).flatten())
        dropped = slots[final & ~present]
        if len(dropped):
            with self._looking:
                self.index.remove(dropped)
            self.values.remove(dropped)
        if self.bound is not None:
            self._last.restored(slots[upserts])
            self._last.gone(dropped)

    def check(self, records: pa.RecordBatch) -> None:
        """Raise InternalError if changelog records have other columns than this store."""
        keys, values = records.column("key"), records.column("value")
        for side, schema in ((keys, self.index.keys.schema), (values, self.values.schema)):
            if not pa.types.is_null(side.type) and side.type != pa.struct(list(schema)):
                raise InternalError(
                    f"the changelog of store {self.name} holds {side.type}, "
                    f"the store {pa.struct(list(schema))}",
                    code="INTERNAL-CHANGELOG",
                )

    def _take_changed(self) -> Int64s:
        """The slots that were written since the last call and still hold a row, each once, mostly rising."""
        if sum(map(len, self._changed)) > len(self._dirty) // _SCANNED:
            # Looking at all is cheap then, and rows are read faster in their order in memory.
            self._changed = []
            dirty = np.flatnonzero(self._dirty)
            self._dirty[dirty] = False
            return dirty
        # A slot that was removed and used again is listed twice; one removed for good is not dirty.
        living: list[Int64s] = []
        for slots in self._changed:
            still_dirty = slots[self._dirty[slots]]
            self._dirty[still_dirty] = False
            living.append(still_dirty)
        self._changed = []
        return np.concatenate(living) if living else np.zeros(0, dtype=np.int64)

    def records(self, slots: Int64s) -> pa.RecordBatch:
        """The rows of some slots as changelog records."""
        keys, values = self.keys(slots), self.values.get(slots)
        times = pa.array(np.zeros(len(slots), dtype=np.int64))
        if self._time is not None:
            times = values.column(self._time)
        return _records(keys, values.columns, times, self.index.keys.schema, values.schema)

    def _drain_removed(self) -> pa.RecordBatch | None:
        if not self._removed:
            return None
        removed, self._removed = self._removed, []
        schema = self.index.keys.schema
        hashes = np.concatenate([part[0] for part in removed])
        keys = [concatenated([part[1][i] for part in removed], f.type) for i, f in enumerate(schema)]
        times = np.concatenate([part[2] for part in removed])
        # A key that came back is an upsert, and one that went twice is said once.
        gone = self.find(keys, hashes) < 0
        if len(removed) > 1:
            _, is_first = KeyIndex(schema).find_or_add(hashes, keys)
            gone &= is_first
        rows = np.flatnonzero(gone)
        if not len(rows):
            return None
        chosen = pa.array(rows)
        return _records(
            [k.take(chosen) for k in keys], None, pa.array(times[rows]), schema, self.values.schema
        )


def _records(
    keys: Sequence[pa.Array],
    values: Sequence[pa.Array] | None,
    times: pa.Array,
    key_schema: pa.Schema,
    value_schema: pa.Schema,
) -> pa.RecordBatch:
    key = pa.StructArray.from_arrays(list(keys), fields=list(key_schema))
    if values is None:
        value: pa.Array = pa.nulls(len(key), pa.struct(list(value_schema)))
    else:
        value = _structs(list(values), value_schema, len(key))
    return pa.RecordBatch.from_arrays([key, value, times], names=["key", "value", "timestamp"])


def _structs(columns: list[pa.Array], schema: pa.Schema, rows: int) -> pa.Array:
    if not columns:
        return pa.array([{}] * rows, pa.struct([]))  # from_arrays would not know how many
    return pa.StructArray.from_arrays(columns, fields=list(schema))

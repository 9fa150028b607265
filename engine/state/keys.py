"""Key index: key -> slot, an open-addressing hash table over arrays.

The table is an array of 64-bit entries, a power of two of them, at most half of them in use:

    0                                     empty
    2^32 - 1                              a key was here (tombstone)
    hash's high 32 bits | slot + 1        a key

Probing is linear from the hash's low bits and runs over all rows of a call at once, a round of numpy
per step. Half of a hash may collide, so every row found is compared with the stored key; a row that
turns out to be another key takes the exact path, one row at a time.

A single integer column whose values lie close together is found without all that (`direct.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.direct import DirectSlots
from streamsql.engine.state.equality import equal_rows
from streamsql.engine.state.rows import RowStore, SlotPool

UInt64s = npt.NDArray[np.uint64]
Hasher = Callable[[Sequence[pa.Array]], UInt64s]

_HIGH = np.uint64(0xFFFFFFFF00000000)
_EMPTY = np.uint64(0)
_TOMBSTONE = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_SMALLEST = 1 << 10


class KeyIndex:
    """Finds and adds keys, many at a time; slots are dense and used again after `remove`.

    keys  slot -> key columns
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.keys = RowStore(schema)
        self._pool = SlotPool()
        self._hashes: UInt64s = np.zeros(0, dtype=np.uint64)
        self._table: UInt64s = np.zeros(_SMALLEST, dtype=np.uint64)
        self._tombstones = 0
        self._direct = DirectSlots(schema)

    def __len__(self) -> int:
        return self.keys.rows

    @property
    def bytes(self) -> int:
        return self._table.nbytes + self._hashes.nbytes + self._direct.bytes + self.keys.bytes

    def find_directly(self, keys: Sequence[pa.Array]) -> Int64s | None:
        """The slot of each key, -1 where none was found; None if it takes hashes to find any.

        It may be asked while another thread adds keys.
        """
        return self._direct.find(keys[0])

    def find(self, hashes: UInt64s | Hasher, keys: Sequence[pa.Array]) -> Int64s:
        """The slot of each key, -1 where there is none; keys may repeat.

        hashes  uint64[n], equal for equal keys, or what computes them if they are needed
        keys    the key columns, n rows each
        """
        direct = self.find_directly(keys)
        if direct is not None:
            return direct
        hashes = hashes(keys) if callable(hashes) else hashes
        slots, _ = self._probe(hashes)
        for row in self._mistaken(slots, keys):
            slots[row] = self._find_exactly(hashes[row], _row(keys, row))
        return slots

    def find_or_add(
        self, hashes: UInt64s | Hasher, keys: Sequence[pa.Array], direct: Int64s | None = None
    ) -> tuple[Int64s, Bools]:
        """The slot of each key, adding those that are missing; keys may repeat.

        direct  what `find_directly` has given a moment ago, if it was asked
        gives   int64[n] slots, and bool[n]: this row is the first of a key that was added
        """
        if direct is None:
            direct = self.find_directly(keys)
        if direct is None:
            return self._find_or_add(hashes(keys) if callable(hashes) else hashes, keys)
        is_new = np.zeros(len(direct), dtype=np.bool_)
        missing = np.flatnonzero(direct < 0)
        if len(missing):
            chosen = pa.array(missing)
            added = [k.take(chosen) for k in keys]
            own = hashes(added) if callable(hashes) else hashes[missing]
            direct[missing], is_new[missing] = self._find_or_add(own, added)
        return direct, is_new

    def _find_or_add(self, hashes: UInt64s, keys: Sequence[pa.Array]) -> tuple[Int64s, Bools]:
        if len(self):
            slots, ends = self._probe(hashes)
        else:
            # As when state is restored: nothing to find.
            slots = np.full(len(hashes), -1, dtype=np.int64)
            ends = hashes.astype(np.int64) & np.int64(len(self._table) - 1)
        is_new = np.zeros(len(hashes), dtype=np.bool_)
        mistaken = self._mistaken(slots, keys)
        missing = np.flatnonzero(slots < 0)
        if len(missing):
            if self._make_room(len(missing)):
                ends = hashes.astype(np.int64) & np.int64(len(self._table) - 1)
            mistaken += self._insert(missing, hashes, ends, keys, slots, is_new)
        for row in sorted(mistaken):
            slots[row], is_new[row] = self._find_or_add_exactly(hashes[row], _row(keys, row))
        return slots, is_new

    def remove(self, slots: Int64s) -> None:
        """Forget the keys of live slots, each given once; the slots will be used again."""
        if not len(slots):
            return
        mask = np.int64(len(self._table) - 1)
        hashes = self._hashes[slots]
        wanted = (hashes & _HIGH) | (slots.astype(np.uint64) + _ONE)
        places = hashes.astype(np.int64) & mask
        rows = np.arange(len(slots))
        while len(rows):
            found = self._table[places] == wanted[rows]
            self._table[places[found]] = _TOMBSTONE
            rows, places = rows[~found], (places[~found] + 1) & mask
        self._tombstones += len(slots)
        if self._direct.is_on:
            self._direct.remove(self.keys.fixed(self.keys.schema.names[0]).values[slots])
        self.keys.remove(slots)
        self._pool.give_back(slots.copy())

    def hashes(self, slots: Int64s) -> UInt64s:
        """The hashes that the keys of some live slots came with."""
        return self._hashes[slots]

    def _probe(self, hashes: UInt64s) -> tuple[Int64s, Int64s]:
        """The slot with each hash's fingerprint (-1: none), and the place where probing ended."""
        table = self._table
        mask = np.int64(len(table) - 1)
        ends: Int64s = hashes.astype(np.int64) & mask
        fingerprints = hashes & _HIGH
        # An entry minus the fingerprint is slot + 1 when the fingerprint is the same; minus one more, an
        # empty place and a tombstone both lie outside the range of slots.
        entries = table[ends]
        slots = (entries ^ fingerprints) - _ONE
        hit = slots < _TOMBSTONE - _ONE
        result: Int64s = np.where(hit, slots.astype(np.int64), np.int64(-1))
        rows = np.flatnonzero(~hit & (entries != _EMPTY))
        places = ends[rows]
        while len(rows):
            places = (places + 1) & mask
            entries = table[places]
            slots = (entries ^ fingerprints[rows]) - _ONE
            hit = slots < _TOMBSTONE - _ONE
            result[rows[hit]] = slots[hit].astype(np.int64)
            ends[rows] = places
            going = ~hit & (entries != _EMPTY)
            rows, places = rows[going], places[going]
        return result, ends

    def _insert(
        self,
        rows: Int64s,
        hashes: UInt64s,
        ends: Int64s,
        keys: Sequence[pa.Array],
        slots: Int64s,
        is_new: Bools,
    ) -> list[int]:
        """Add the keys of `rows`, probing on from `ends`; gives the rows that were taken for another key.

        Each round the rows at an empty place claim it; the first row of a key wins and gets a slot, the
        others of that key find it there in the next round.
        """
        table = self._table
        mask = np.int64(len(table) - 1)
        places = ends[rows]
        repeated: list[Int64s] = []
        while len(rows):
            entries = table[places]
            slot = (entries ^ (hashes[rows] & _HIGH)) - _ONE
            hit = slot < _TOMBSTONE - _ONE
            if hit.any():
                slots[rows[hit]] = slot[hit].astype(np.int64)
                repeated.append(rows[hit])
            empty = entries == _EMPTY
            claimants, claimed = rows[empty], places[empty]
            # Of several writes to one place numpy keeps the last: backwards, the first row wins.
            table[claimed[::-1]] = claimants[::-1].astype(np.uint64) + _ONE
            won = table[claimed] == claimants.astype(np.uint64) + _ONE
            winners = claimants[won]
            slots[winners] = self._occupy(hashes[winners], claimed[won])
            is_new[winners] = True
            # Losers look at the same place again: it may hold their key now.
            going = ~hit
            going[empty] = ~won
            step = (~empty[going]).astype(np.int64)
            rows, places = rows[going], (places[going] + step) & mask
        self._store(np.flatnonzero(is_new), slots, hashes, keys)
        if not repeated:
            return []
        again = np.concatenate(repeated)
        mine = slots[again]
        chosen = pa.array(again)
        equal = equal_rows([k.take(chosen) for k in keys], self.keys.get(mine).columns)
        return [int(row) for row in again[~equal]]

    def _occupy(self, hashes: UInt64s, places: Int64s) -> Int64s:
        """Take slots for new keys and write them to their places in the table."""
        slots = self._pool.take(len(hashes))
        self._table[places] = (hashes & _HIGH) | (slots.astype(np.uint64) + _ONE)
        return slots

    def _store(self, rows: Int64s, slots: Int64s, hashes: UInt64s, keys: Sequence[pa.Array]) -> None:
        """Keep the keys of some rows under their new slots."""
        if self._pool.end > len(self._hashes):
            grown = np.zeros(max(_SMALLEST, 1 << (self._pool.end - 1).bit_length()), dtype=np.uint64)
            grown[: len(self._hashes)] = self._hashes
            self._hashes = grown
        self._hashes[slots[rows]] = hashes[rows]
        if len(rows) < len(hashes):
            index = pa.array(rows)
            slots, keys = slots[rows], [k.take(index) for k in keys]
        self.keys.put(slots, keys)
        self._direct.put(keys[0], slots, len(self))

    def _mistaken(self, slots: Int64s, keys: Sequence[pa.Array]) -> list[int]:
        """The rows whose slot holds another key with the same fingerprint."""
        found = slots >= 0
        if not found.any():
            return []
        if found.all():
            rows = None
            equal = equal_rows(keys, self.keys.get(slots).columns)
        else:
            rows = np.flatnonzero(found)
            index = pa.array(rows)
            equal = equal_rows([k.take(index) for k in keys], self.keys.get(slots[rows]).columns)
        if equal.all():
            return []
        wrong = np.flatnonzero(~equal)
        return [int(row) for row in (wrong if rows is None else rows[wrong])]

    def _find_exactly(self, key_hash: np.uint64, key: Sequence[pa.Array]) -> int:
        """Probe for one key, comparing every candidate: the path of keys that share a fingerprint."""
        mask = len(self._table) - 1
        place = int(key_hash) & mask
        while (entry := self._table[place]) != _EMPTY:
            slot = int((entry ^ (key_hash & _HIGH)) - _ONE) if entry != _TOMBSTONE else -1
            if 0 <= slot < int(_TOMBSTONE) - 1:
                stored = self.keys.get(np.array([slot]))
                if equal_rows(key, stored.columns)[0]:
                    return slot
            place = (place + 1) & mask
        return -1

    def _find_or_add_exactly(self, key_hash: np.uint64, key: Sequence[pa.Array]) -> tuple[int, bool]:
        slot = self._find_exactly(key_hash, key)
        if slot >= 0:
            return slot, False
        self._make_room(1)
        mask = len(self._table) - 1
        place = int(key_hash) & mask
        while self._table[place] != _EMPTY:
            place = (place + 1) & mask
        hashes = np.array([key_hash], dtype=np.uint64)
        slots = self._occupy(hashes, np.array([place]))
        self._store(np.array([0]), slots, hashes, key)
        return int(slots[0]), True

    def _make_room(self, count: int) -> bool:
        """Keep the table at most half full with `count` more; gives whether places have changed."""
        used = len(self) + self._tombstones
        if 2 * (used + count) <= len(self._table):
            return False
        size = len(self._table)
        while 2 * (len(self) + count) > size - size // 4:
            # Three quarters of what is allowed: the next rebuild is then far away even with removals.
            size *= 2
        self._rebuild(size)
        return True

    def _rebuild(self, size: int) -> None:
        """Write all live keys to a fresh table without tombstones."""
        self._table = np.zeros(size, dtype=np.uint64)
        self._tombstones = 0
        mask = np.int64(size - 1)
        slots = self.keys.slots()
        hashes = self._hashes[slots]
        entries = (hashes & _HIGH) | (slots.astype(np.uint64) + _ONE)
        places = hashes.astype(np.int64) & mask
        while len(entries):
            empty = self._table[places] == _EMPTY
            self._table[places[empty]] = entries[empty]
            # Of several keys that met at one place one was written; the rest go on.
            homeless = self._table[places] != entries
            entries, places = entries[homeless], (places[homeless] + 1) & mask
        self._direct.come_back(self.keys, slots)


def _row(keys: Sequence[pa.Array], row: int) -> list[pa.Array]:
    return [k.slice(row, 1) for k in keys]

"""Keys of both sides of a join as small numbers, for as long as a row has them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Workspace
from streamsql.engine.state.columns import Int64s, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import Hasher, KeyIndex


class JoinKeys:
    """Keys of both sides as slots; a key is forgotten with its last row."""

    def __init__(self, schema: pa.Schema, workspace: Workspace) -> None:
        self._hasher = KeyHasher(workspace, schema)
        self._schema = schema
        self._index = KeyIndex(schema)
        self._rows: Int64s = np.zeros(64, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._index)

    def clear(self) -> None:
        self._index = KeyIndex(self._schema)
        self._rows[:] = 0

    def slots(self, keys: Sequence[pa.Array[Any]], hasher: Hasher | None = None) -> Int64s:
        """The slot of each key, a new one if it has none; no key has a null in it.

        hasher  to be used instead of its own, which belongs to one thread
        """
        slots, _ = self._index.find_or_add(hasher or self._hasher, keys)
        if len(slots) and int(slots.max()) >= len(self._rows):
            grown = np.zeros(1 << int(slots.max()).bit_length(), dtype=np.int64)
            grown[: len(self._rows)] = self._rows
            self._rows = grown
        return slots

    def hold(self, slots: Int64s) -> None:
        """A row more for each slot given."""
        np.add.at(self._rows, slots, 1)

    def release(self, slots: Int64s) -> None:
        """A row less for each slot given."""
        np.subtract.at(self._rows, slots, 1)

    def forget_unused(self, slots: Int64s) -> None:
        """Drop those of these keys that no row holds."""
        if len(slots):
            once = distinct(slots)
            once = once[self._index.keys.is_live(once)]
            self._index.remove(once[self._rows[once] == 0])


class KeysOfBatches:
    """The same for keys that batches look up, maybe long before their rows are in a buffer; from any thread.

    A slot is held by each row from the look-up on.
    """

    def __init__(self, schema: pa.Schema, workspace: Workspace) -> None:
        self._keys = JoinKeys(schema, workspace)
        self._lock = Lock()
        self._numbers = itertools.count()
        self._ahead: dict[int, list[Int64s]] = {}
        """What is held for batches whose rows are in no buffer yet."""

    def __len__(self) -> int:
        return len(self._keys)

    def clear(self) -> None:
        with self._lock:
            self._keys.clear()
            self._ahead.clear()

    def held(
        self, sides: Sequence[Sequence[pa.Array[Any]]], hasher: Hasher | None = None
    ) -> tuple[list[Int64s], int]:
        """The slots of the keys of a batch, held once more by every row.

        sides   key columns, without a null in them; () if a side has no rows
        hasher  as for `JoinKeys.slots`
        gives   int64[n] for each side, and a number for the batch, to be given to `release`
        """
        with self._lock:
            found = [
                self._keys.slots(keys, hasher) if keys else np.zeros(0, dtype=np.int64) for keys in sides
            ]
            for slots in found:
                self._keys.hold(slots)
            number = next(self._numbers)
            self._ahead[number] = found
            return found, number

    def release(self, slots: Int64s, number: int) -> None:
        """A row less for each slot given; keys that no row has are forgotten.

        number  of a batch whose rows are in a buffer by now, or in none for good
        """
        with self._lock:
            del self._ahead[number]
            self._release(slots)

    def forget_ahead(self) -> None:
        """The batches that were looked up and not released will not come: others come in their place."""
        with self._lock:
            for slots in self._ahead.values():
                self._release(np.concatenate(slots))
            self._ahead.clear()

    def _release(self, slots: Int64s) -> None:
        self._keys.release(slots)
        self._keys.forget_unused(slots)

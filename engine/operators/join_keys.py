"""Keys of both sides of a join as small numbers, for as long as a row has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Workspace
from streamsql.engine.state.columns import Int64s, distinct
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import KeyIndex, UInt64s


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

    def slots(self, keys: Sequence[pa.Array[Any]], hashes: UInt64s | None = None) -> Int64s:
        """The slot of each key, a new one if it has none; no key has a null in it.

        hashes  of the keys, if they are known
        """
        slots, _ = self._index.find_or_add(self._hasher if hashes is None else hashes, keys)
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

"""The keys of a stream-stream join, or a shard of them: which rows of either side have them, and when.

The rows themselves are in the buffers of both sides (`join_buffer.py`); this is an index over them, which is
built anew after a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.join_arrivals import Arrivals, Ordered
from streamsql.engine.operators.join_keys import JoinKeys
from streamsql.engine.operators.join_pairs import Pairs, among, joined_pairs, with_earlier
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.keys import UInt64s
from streamsql.engine.state.ordering import order_of
from streamsql.engine.state.row_log import RowLog
from streamsql.engine.state.shards import taken
from streamsql.engine.state.spine import Spine, sorted_run

Reach = tuple[int, int]
"""How much earlier and later than a row its partner may be, ms."""


class JoinShard:
    """Finds rows of both sides.

    keys    key columns
    stores  the rows of both sides
    reach   of rows of the left side, of the right side
    by_key  of either side, (slot, time) -> row
    """

    def __init__(
        self, keys: pa.Schema, stores: Sequence[RowLog], reach: Sequence[Reach], workspace: Workspace
    ) -> None:
        self.keys = JoinKeys(keys, workspace)
        self._stores = stores
        self._reach = reach
        self.by_key = [Spine(_alive(store), sum(reach[0])) for store in stores]

    def clear(self) -> None:
        """Know nothing, before the rows of the stores are entered again."""
        self.keys.clear()
        for spine in self.by_key:
            spine.clear()

    def enter(
        self, side: int, keys: Sequence[pa.Array[Any]], hashes: UInt64s | None, times: Int64s, rows: Int64s
    ) -> Int64s:
        """Rows of a store with this shard's keys; gives the slots of those."""
        slots = self.keys.slots(keys, hashes)
        self.keys.hold(slots)
        order = order_of(slots, times)
        self.by_key[side].add(sorted_run(slots[order], times[order], rows[order]))
        return slots

    def looked_up(
        self,
        arrived: Arrivals,
        own: Int64s | slice,
        keys: Sequence[pa.Array[Any]],
        hashes: UInt64s | None,
    ) -> tuple[Ordered, Int64s]:
        """Rows with this shard's keys that arrived, and the slots of those, row by row.

        own           their places; a slice stands for all
        keys, hashes  of all rows
        """
        slots = self.keys.slots([taken(key, own) for key in keys], None if hashes is None else hashes[own])
        time = arrived.time[own]
        order = order_of(slots, time)
        places = order if isinstance(own, slice) else own[order]
        return Ordered(arrived, places, slots[order], time[order]), slots

    def pairs(self, sides: Sequence[Ordered]) -> list[Pairs]:
        """By side the pairs that its rows make with the other's that came before them; enters them."""
        made = [[with_earlier(sides[side], self.by_key[1 - side], *self._reach[side])] for side in (0, 1)]
        # Those of the batch find each other from the shorter side.
        short = 0 if len(sides[0].places) <= len(sides[1].places) else 1
        by_short, by_long = among(sides[short], sides[1 - short], *self._reach[short])
        made[short].append(by_short)
        made[1 - short].append(by_long)
        for spine, side in zip(self.by_key, sides, strict=True):
            if side.run is not None:
                self.keys.hold(side.run.slots())
            spine.add(side.run)
        return [joined_pairs(parts) for parts in made]

    def forget(self, unused: Int64s, gone: Sequence[Int64s]) -> None:
        """Forget rows that nobody will find any more, and keys that no row has.

        unused  slots of rows that arrived and were not kept
        gone    by side, the slots of rows that have gone from the store
        """
        for spine, slots, store in zip(self.by_key, gone, self._stores, strict=True):
            if len(slots):
                self.keys.release(slots)
                spine.drop_before(store.first)
                spine.forget(len(slots))
        self.keys.forget_unused(np.concatenate([unused, *gone]))


def _alive(store: RowLog) -> Callable[[Int64s, Int64s], Bools]:
    return lambda rows, times: store.is_kept(rows)

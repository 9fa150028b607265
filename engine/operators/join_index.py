"""The keys of a stream-stream join: which rows of either side have them, and when.

The rows themselves are in the buffers of both sides (`join_buffer.py`); this is an index over them, which is
built anew after a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.join_arrivals import NONE, Arrivals, Ordered
from streamsql.engine.operators.join_keys import KeysOfBatches
from streamsql.engine.operators.join_pairs import Meetings, Pairs, among, joined_pairs, with_earlier
from streamsql.engine.state.columns import Bools, Int64s
from streamsql.engine.state.keys import Hasher
from streamsql.engine.state.ordering import order_of
from streamsql.engine.state.row_log import RowLog
from streamsql.engine.state.spine import Spine, run_of_places, sorted_run

Reach = tuple[int, int]
"""How much earlier and later than a row its partner may be, ms."""


class LookedUp(NamedTuple):
    """A batch whose keys have been looked up, and whose rows have been held against each other; by side.

    seq      `$seq` by number
    slots    int64[n], of the key of each row; -1 where it has a null in it
    held     what `KeysOfBatches.held` calls what it holds for the batch
    """

    seq: Int64s
    arrivals: Sequence[Arrivals]
    slots: Sequence[Int64s]
    ordered: Sequence[Ordered]
    meetings: Sequence[Meetings]
    held: int


class JoinIndex:
    """Finds rows of both sides.

    Only `look_up` may be called while another thread works on an earlier batch.

    keys    key columns
    stores  the rows of both sides
    reach   of rows of the left side, of the right side
    by_key  of either side, (slot, time) -> row
    """

    def __init__(
        self, keys: pa.Schema, stores: Sequence[RowLog], reach: Sequence[Reach], workspace: Workspace
    ) -> None:
        self.keys = KeysOfBatches(keys, workspace)
        self._stores = stores
        self._reach = reach
        self.by_key = [Spine(_alive(store), sum(reach[0])) for store in stores]

    def clear(self) -> None:
        """Know nothing, before the rows of the stores are entered again."""
        self.keys.clear()
        for spine in self.by_key:
            spine.clear()

    def enter(self, side: int, keys: Sequence[pa.Array[Any]], times: Int64s, rows: Int64s) -> Int64s:
        """Rows of a store; gives the slots of their keys."""
        (slots,), held = self.keys.held([keys])
        self.keys.release(NONE, held)
        order = order_of(slots, times)
        self.by_key[side].add(sorted_run(slots[order], times[order], rows[order]))
        return slots

    def look_up(
        self,
        seq: Int64s,
        arrivals: Sequence[Arrivals],
        keys: Sequence[Sequence[pa.Array[Any]]],
        hasher: Hasher | None,
    ) -> LookedUp:
        """What can be said about a batch before those before it are in the index.

        keys    the key columns of either side's rows, none of a side without any
        hasher  as for `JoinKeys.slots`
        """
        places = [np.flatnonzero(a.has_key) for a in arrivals]
        keyed = [
            columns if a.has_key.all() else [column.take(pa.array(own)) for column in columns]
            for a, columns, own in zip(arrivals, keys, places, strict=True)
        ]
        found, held = self.keys.held(keyed, hasher)
        slots, ordered = [], []
        for arrived, own, of_keyed in zip(arrivals, places, found, strict=True):
            if len(own) == len(arrived.has_key):
                ordered.append(Ordered.of(run_of_places(of_keyed, arrived.time)))
                slots.append(of_keyed)
                continue
            run = run_of_places(of_keyed, arrived.time[own])
            ordered.append(Ordered.of(run and replace(run, rows=own[run.rows], newest=int(own[-1]))))
            slots.append(np.full(len(arrived.has_key), -1, dtype=np.int64))
            slots[-1][own] = of_keyed
        # Those of the batch find each other from the shorter side.
        short = 0 if len(ordered[0].places) <= len(ordered[1].places) else 1
        meetings = among(ordered[short], ordered[1 - short], *self._reach[short], arrivals[:: 1 - 2 * short])
        return LookedUp(seq, arrivals, slots, ordered, meetings[:: 1 - 2 * short], held)

    def pairs(self, found: LookedUp, arrivals: Sequence[Arrivals]) -> list[Pairs]:
        """By side the pairs that its rows make with the other's that came before them; enters the rows.

        arrivals  those of the batch, when it is known which of them are in the buffers
        """
        made = [
            joined_pairs(
                [
                    with_earlier(
                        found.ordered[side], arrivals[side], self.by_key[1 - side], *self._reach[side]
                    ),
                    found.meetings[side].pairs(arrivals[side], arrivals[1 - side]),
                ]
            )
            for side in (0, 1)
        ]
        for spine, ordered, arrived in zip(self.by_key, found.ordered, arrivals, strict=True):
            spine.add(ordered.kept(arrived))
        return made

    def forget(self, held: int, unused: Sequence[Int64s], gone: Sequence[Int64s]) -> None:
        """Forget rows that nobody will find any more, and keys that no row has.

        held    of the batch: what is held for it is held for its rows in the buffers from now on
        unused  by side, slots of rows that came and were not kept
        gone    by side, the slots of rows that have gone from the store
        """
        for spine, slots, store in zip(self.by_key, gone, self._stores, strict=True):
            if len(slots):
                spine.drop_before(store.first)
                spine.forget(len(slots))
        self.keys.release(np.concatenate([NONE, *unused, *gone]), held)


def _alive(store: RowLog) -> Callable[[Int64s, Int64s], Bools]:
    return lambda rows, times: store.is_kept(rows)

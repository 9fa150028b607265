"""Shards: the state of an operator cut by key, each part worked on by a thread of its own.

Rows of different keys have nothing to do with each other, so that an operator may keep as many states as its
query has threads, and hand each row to the one that its key's hash says. What does depend on all rows of a
batch (stream time, and so which rows are late) is found out before they are handed out.

In the changelog there are no shards: it has the records of all of them, and whoever restores it, with however
many threads, hands the rows out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.kernel import Workspace, one_batch
from streamsql.engine.parallel import at_once, is_large
from streamsql.engine.state.columns import Int64s
from streamsql.engine.state.keys import Hasher, UInt64s
from streamsql.engine.state.store import KeyedStore

Shard = TypeVar("Shard")
Result = TypeVar("Result")

_ALL = slice(None)


class Shards(Generic[Shard]):
    """One state per thread of a workspace; with one thread, one that has all keys.

    open  makes one, in the workspace given
    """

    def __init__(self, workspace: Workspace, open: Callable[[Workspace], Shard]) -> None:
        self._workspace = workspace
        self.all: Sequence[Shard] = [open(lane) for lane in workspace.lanes]

    def store(self, of: Callable[[Shard], KeyedStore], hasher: Hasher) -> KeyedStore | ShardedStore[Shard]:
        """The stores of the shards as one; arguments as for `ShardedStore`."""
        return of(self.all[0]) if len(self.all) == 1 else ShardedStore(self, of, hasher)

    def over(self, hashes: UInt64s, work: Callable[[Shard, Int64s | slice], Result]) -> list[Result]:
        """What `work` gives for each shard that rows with these hashes belong to, and the places of those."""
        if len(self.all) == 1:
            return [work(self.all[0], _ALL)]
        homes = homes_of(hashes, len(self.all))

        def own(number: int) -> Result | None:
            places = np.flatnonzero(homes == number)
            return work(self.all[number], places) if len(places) else None

        calls = [partial(own, number) for number in range(len(self.all))]
        return [result for result in self._run(calls, len(hashes)) if result is not None]

    def each(self, rows: int, work: Callable[..., Result], *parts: Sequence[object]) -> list[Result]:
        """What `work` gives for each shard, when a batch of so many rows has been handed out.

        parts  one for each shard, what `work` takes after it
        """
        return self._run([partial(work, *given) for given in zip(self.all, *parts, strict=True)], rows)

    def taken(self, batches: Sequence[pa.RecordBatch], order: Int64s) -> pa.RecordBatch:
        """Rows of some batches that follow each other, by their places, as one batch."""
        whole = one_batch(batches[0].schema, batches)
        if len(self.all) == 1 or not is_large(len(order)):
            return whole.take(pa.array(order))
        pieces = np.array_split(order, len(self.all))
        taken = at_once(self._workspace, [partial(whole.take, pa.array(piece)) for piece in pieces])
        return one_batch(whole.schema, taken)

    def _run(self, calls: Sequence[Callable[[], Result]], rows: int) -> list[Result]:
        return at_once(self._workspace, calls) if is_large(rows) else [call() for call in calls]


Rows = TypeVar("Rows", pa.Array, pa.RecordBatch)


def taken(rows: Rows, places: Int64s | slice) -> Rows:
    """Some rows of a batch or a column; a slice stands for all of them."""
    return rows if isinstance(places, slice) else rows.take(pa.array(places))


def homes_of(hashes: UInt64s, count: int) -> npt.NDArray[np.uint8]:
    """The shard of each key, by its hash, of `count` at most 255; the low bits are the hash table's.

    >>> homes_of(np.array([1, 1 << 63], dtype=np.uint64), 2)
    array([0, 1], dtype=uint8)
    """
    half = np.uint64(32)
    homes: npt.NDArray[np.uint8] = (((hashes >> half) * np.uint64(count)) >> half).astype(np.uint8)
    return homes


class ShardedStore(Generic[Shard]):
    """The stores of all shards as the one durable store that they are; see `base.Store`.

    of      the store of a shard
    hasher  gives the hash that a key's shard goes by, for the columns that stores know their keys by
    """

    def __init__(self, shards: Shards[Shard], of: Callable[[Shard], KeyedStore], hasher: Hasher) -> None:
        self._shards = shards
        self._of = of
        self._hasher = hasher
        (first, *_) = self.stores
        self.name, self.bound, self.cleanup = first.name, first.bound, first.cleanup

    @property
    def stores(self) -> Sequence[KeyedStore]:
        """Those of the shards, in their order."""
        return [self._of(shard) for shard in self._shards.all]

    @property
    def rows(self) -> int:
        return sum(store.rows for store in self.stores)

    @property
    def bytes(self) -> int:
        return sum(store.bytes for store in self.stores)

    def drain(self) -> pa.RecordBatch | None:
        stores = self.stores
        drained = self._shards.each(self.rows, lambda shard: self._of(shard).drain())
        for store, own in zip(stores, drained, strict=True):
            for other in drained:
                if other is not None and other is not own:
                    # Some of them lie before its own: it takes them for later ones, and keeps some more.
                    store.others_drained(other.num_rows)
        parts = [part for part in drained if part is not None]
        return one_batch(parts[0].schema, parts) if parts else None

    def needed(self) -> int | None:
        counts = [store.needed() for store in self.stores]
        known = [count for count in counts if count is not None]
        return max(known) if len(known) == len(counts) else None

    def restore(self, records: pa.RecordBatch) -> None:
        """As `Store.restore`; raises InternalError if the records have other columns than the stores."""
        self.stores[0].check(records)
        homes = homes_of(self._hasher(records.column("key").flatten()), len(self._shards.all))

        def restore(shard: Shard, number: int) -> None:
            self._of(shard).restore(records.filter(pa.array(homes == number)))

        self._shards.each(records.num_rows, restore, range(len(self._shards.all)))

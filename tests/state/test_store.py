"""A keyed store gives back after a restart what it held, whatever happened between drains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.engine.state import last_records
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.shards import ShardedStore, Shards, homes_of
from streamsql.engine.state.store import KeyedStore
from streamsql.errors import InternalError
from tests.workspaces import kept_workspace

KEYS = pa.schema([("k", pa.string())])
VALUES = pa.schema([("v", pa.int64()), ("note", pa.string()), ("$time", pa.int64())])
RECORD = pa.schema(
    [("key", pa.struct(list(KEYS))), ("value", pa.struct(list(VALUES))), ("timestamp", pa.int64())]
)
WORKSPACES = {threads: kept_workspace(threads) for threads in (1, 2, 3)}
WORKSPACE = WORKSPACES[1]
HASHER = KeyHasher(WORKSPACE, KEYS)
Store = KeyedStore | ShardedStore[KeyedStore]
threads = st.sampled_from([*WORKSPACES])
"""A store for each, by the hash of the key."""


def make(threads: int = 1, bound: str | None = None) -> Store:
    def opened(workspace: Workspace) -> KeyedStore:
        store = KeyedStore("groups", KEYS, VALUES, KeyHasher(workspace, KEYS), time="$time")
        store.bound = bound
        return store

    shards = Shards(WORKSPACES[threads], opened)
    return shards.store(lambda store: store, HASHER)


def shard(store: Store, key: str | None) -> KeyedStore:
    """Where a key is, or would be."""
    if isinstance(store, KeyedStore):
        return store
    (home,) = homes_of(HASHER([pa.array([key], pa.string())]), len(store.stores))
    return store.stores[home]


def put(store: Store, rows: list[tuple[str | None, int | None]], time: int = 0) -> None:
    for one in [store] if isinstance(store, KeyedStore) else store.stores:
        _put(one, [(k, v) for k, v in rows if shard(store, k) is one], time)


def _put(store: KeyedStore, rows: list[tuple[str | None, int | None]], time: int) -> None:
    slots, _ = store.find_or_add([pa.array([k for k, _ in rows], pa.string())])
    values = [v for _, v in rows]
    notes = pa.array([None if v is None else f"note {v}" for v in values], pa.string())
    store.put(slots, [pa.array(values, pa.int64()), notes, pa.array([time] * len(rows), pa.int64())])


def remove(store: Store, keys: list[str | None]) -> None:
    for key in dict.fromkeys(keys):
        one = shard(store, key)
        slots = one.find([pa.array([key], pa.string())])
        one.remove(slots[slots >= 0])


def contents(store: Store) -> dict[str | None, int | None]:
    shards = [store] if isinstance(store, KeyedStore) else store.stores
    rows = [row for one in shards for row in one.table().to_pylist()]
    assert all(row["note"] == (None if row["v"] is None else f"note {row['v']}") for row in rows)
    return {row["k"]: row["v"] for row in rows}


name = st.sampled_from(["a", "b", "c", "d", None])
step = (
    st.tuples(st.just("put"), st.lists(st.tuples(name, st.none() | st.integers(0, 9)), max_size=5))
    | st.tuples(st.just("remove"), st.lists(name, max_size=3))
    | st.tuples(st.just("drain"), st.just([]))
)


@given(
    steps=st.lists(step, max_size=15),
    cut=st.integers(0, 100),
    before=threads,
    after=threads,
)
def test_restoring_what_was_drained_gives_the_store_back(steps, cut, before, after):
    store, model, drained = make(before), {}, []
    for number, (what, items) in enumerate(steps):
        if what == "put":
            put(store, items, time=number)
            model.update(items)
        elif what == "remove":
            remove(store, items)
            for key in items:
                model.pop(key, None)
        elif (records := store.drain()) is not None:
            keys = [key["k"] for key in records.column("key").to_pylist()]
            assert len(set(keys)) == len(keys), "each key once"
            drained.append(records)
        assert contents(store) == model
        assert store.rows == len(model)
    if (records := store.drain()) is not None:
        drained.append(records)
    assert store.drain() is None
    copy = make(after)
    if drained:
        # The changelog is read back in other pieces than it was written.
        log = pa.Table.from_batches(drained).combine_chunks().to_batches()[0]
        cut %= log.num_rows + 1
        copy.restore(log.slice(0, cut))
        copy.restore(log.slice(cut))
    assert contents(copy) == model
    assert copy.drain() is None, "what was restored is not a change"


@given(
    steps=st.lists(step | st.just(("restart", [])), max_size=25),
    stretch=st.sampled_from([1, 3]),
    random=st.randoms(use_true_random=False),
    data=st.data(),
)
def test_what_is_needed_of_the_changelog_gives_the_store_back(steps, stretch, random, data):
    def opened() -> Store:
        return make(data.draw(threads), bound="rows go")

    def commit() -> None:
        changelog.extend([] if (records := store.drain()) is None else records.to_pylist())
        if (needed := store.needed()) is not None:
            assert needed <= len(changelog)
            # Segments go as a whole: seldom all that may.
            del changelog[: random.randint(0, len(changelog) - needed)]

    last_records._STRETCH, saved = stretch, last_records._STRETCH
    try:
        store, model, changelog = opened(), {}, []
        for number, (what, items) in enumerate([*steps, ("restart", [])]):
            if what == "put":
                put(store, items, time=number)
                model.update(items)
            elif what == "remove":
                remove(store, items)
                for key in items:
                    model.pop(key, None)
            else:
                commit()
            if what == "restart":
                store = opened()
                if changelog:
                    store.restore(pa.RecordBatch.from_pylist(changelog, RECORD))
                assert contents(store) == model
        put(store, [("a", 1)])
        remove(store, [*model, "a"])
        for turn in range(2 + stretch):
            put(store, [(("b", "c")[turn % 2], turn)])
            commit()
        assert store.needed() <= stretch + 2
    finally:
        last_records._STRETCH = saved


def test_a_record_carries_key_value_and_time():
    store = make()
    put(store, [("a", 1), ("b", None)], time=70)
    assert store.drain().to_pylist() == [
        {"key": {"k": "a"}, "value": {"v": 1, "note": "note 1", "$time": 70}, "timestamp": 70},
        {"key": {"k": "b"}, "value": {"v": None, "note": None, "$time": 70}, "timestamp": 70},
    ]
    remove(store, ["a"])
    assert store.drain().to_pylist() == [{"key": {"k": "a"}, "value": None, "timestamp": 70}]


def test_a_drain_costs_the_changed_rows_not_the_kept_ones():
    store = make()
    put(store, [(str(i), i) for i in range(1000)])
    assert store.drain().num_rows == 1000
    put(store, [("7", 8), ("7", 9), ("new", 1)])
    assert [row["value"]["v"] for row in store.drain().to_pylist()] == [9, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_changelog_of_other_columns_is_refused(threads):
    other = KeyedStore("groups", KEYS, pa.schema([("v", pa.string())]), KeyHasher(WORKSPACE, KEYS))
    slots, _ = other.find_or_add([pa.array(["a"])])
    other.put(slots, [pa.array(["x"])])
    with pytest.raises(InternalError, match="store groups holds struct<v: string>"):
        make(threads).restore(other.drain())


def test_keys_are_looked_up_while_another_thread_adds_some() -> None:
    """Whole numbers, which are found directly as long as they lie close together, and again later on."""
    keys = pa.schema([("k", pa.int64())])
    store = KeyedStore("numbers", keys, pa.schema([("v", pa.int64())]), KeyHasher(WORKSPACE, keys))
    other = KeyHasher(WORKSPACES[2], keys)
    known = pa.array(range(1000))
    slots, _ = store.find_or_add([known])
    # To both sides, far away, and so many that they lie close together again.
    added = [range(-500 * n, 500 * n, 7) for n in range(1, 20)] + [range(10**8, 10**8 + 9)]
    added += [range(20_000 * n, 20_000 * (n + 1)) for n in range(20)]
    is_done = Event()

    def add() -> None:
        for numbers in added:
            store.find_or_add([pa.array(numbers)], other)
        is_done.set()

    with ThreadPoolExecutor(1) as thread:
        adding = thread.submit(add)
        while not is_done.is_set() and not adding.done():
            found, is_new = store.find_or_add([known])
            assert found.tolist() == slots.tolist() and not is_new.any()
        adding.result()
    every = pa.array(sorted({*known.to_pylist(), *(number for numbers in added for number in numbers)}))
    found, is_new = store.find_or_add([every])
    assert not is_new.any()
    assert sorted(found.tolist()) == list(range(len(every)))

"""The key index against a dict, with hashes that collide on purpose."""

from __future__ import annotations

import zlib
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.engine.state.hashing import KeyHasher, hash_sql, integer_hashes, text_hashes
from streamsql.engine.state.keys import KeyIndex
from tests.examples import tried

KEYS = pa.schema([("name", pa.string()), ("number", pa.int64())])
Key = tuple[str | None, int | None]


def columns(keys: list[Key]) -> list[pa.Array]:
    return [pa.array([k[0] for k in keys], pa.string()), pa.array([k[1] for k in keys], pa.int64())]


def crc(key: Key) -> int:
    return zlib.crc32(repr(key).encode())


def spread(keys: list[Key]) -> np.ndarray:
    """Ordinary hashes."""
    return np.array([crc(k) * 0x9E3779B97F4A7C15 % 2**64 for k in keys], dtype=np.uint64)


def colliding(keys: list[Key]) -> np.ndarray:
    """Three hashes for all keys: most of them share all 64 bits."""
    return np.array([crc(k) % 3 for k in keys], dtype=np.uint64)


def same_high_half(keys: list[Key]) -> np.ndarray:
    """Fingerprints agree, places do not; and all of them meet at the end of the table."""
    return np.array([(7 << 32) | (1020 + crc(k) % 6) for k in keys], dtype=np.uint64)


def no_high_half(keys: list[Key]) -> np.ndarray:
    """A fingerprint of zero, which an empty place and a tombstone have too."""
    return np.array([crc(k) % 50 for k in keys], dtype=np.uint64)


HASHES = [spread, colliding, same_high_half, no_high_half]

some_keys = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "", None]), st.sampled_from([0, 1, 2, 3, None])), max_size=30
)
calls = st.lists(st.tuples(st.sampled_from(["add", "find", "remove"]), some_keys), max_size=12)


numbers = st.lists(st.integers(-3, 40) | st.sampled_from([-(2**63), 2**63 - 1, None, 9_000]), max_size=30)


@given(calls=st.lists(st.tuples(st.sampled_from(["add", "find", "remove"]), numbers), max_size=12))
def test_an_index_of_one_integer_column_agrees_with_a_dict(calls):
    """Close keys are found by themselves; far ones and nulls end that, with the same answers."""
    index, model = KeyIndex(pa.schema([("n", pa.int64())])), {}
    asked: list[int] = []

    def hashes(given: list[pa.Array]) -> np.ndarray:
        asked.append(len(given[0]))
        return spread([(None, n) for n in given[0].to_pylist()])

    for what, keys in calls:
        column = [pa.array(keys, pa.int64())]
        if what == "remove":
            gone = {key: model.pop(key) for key in keys if key in model}
            index.remove(np.array(list(gone.values()), dtype=np.int64))
        elif what == "find":
            assert index.find(hashes, column).tolist() == [model.get(key, -1) for key in keys]
        else:
            slots, is_new = index.find_or_add(hashes, column)
            for key, slot, new in zip(keys, slots.tolist(), is_new.tolist(), strict=True):
                assert new == (key not in model)
                assert model.setdefault(key, slot) == slot
        assert len(index) == len(model)


def test_close_integers_are_hashed_once_when_they_are_new():
    index = KeyIndex(pa.schema([("n", pa.int32())]))
    hashed: list[int] = []

    def hashes(given: list[pa.Array]) -> np.ndarray:
        hashed.append(len(given[0]))
        return np.arange(len(given[0]), dtype=np.uint64)

    for keys in ([5, 6, 5], [6, 7, -2], [7, 6, 5, -2]):
        index.find_or_add(hashes, [pa.array(keys, pa.int32())])
    assert hashed == [3, 2]


@pytest.mark.parametrize("hashes", HASHES)
@given(calls=calls)
def test_an_index_agrees_with_a_dict(hashes, calls):
    index, model = KeyIndex(KEYS), {}
    for what, keys in calls:
        if what == "add":
            slots, is_new = index.find_or_add(hashes(keys), columns(keys))
            added: set[Key] = set()
            for key, slot, new in zip(keys, slots.tolist(), is_new.tolist(), strict=True):
                assert new == (key not in model)
                if new:
                    assert slot not in model.values()
                    added.add(key)
                assert model.setdefault(key, slot) == slot
        elif what == "find":
            found = index.find(hashes(keys), columns(keys))
            assert found.tolist() == [model.get(key, -1) for key in keys]
        else:
            gone = {key: model.pop(key) for key in keys if key in model}
            index.remove(np.array(list(gone.values()), dtype=np.int64))
        assert len(index) == len(model)
    slots = np.array(list(model.values()), dtype=np.int64)
    stored = index.keys.get(slots).to_pylist()
    assert [(row["name"], row["number"]) for row in stored] == list(model)


def test_slots_stay_dense_when_keys_come_and_go():
    index = KeyIndex(pa.schema([("k", pa.int64())]))
    rng = np.random.default_rng(5)
    for generation in range(200):
        keys = np.arange(generation * 100, generation * 100 + 100)
        hashes = rng.integers(0, 2**63, 100).astype(np.uint64)
        slots, _ = index.find_or_add(hashes, [pa.array(keys)])
        index.remove(slots)
    assert len(index) == 0
    assert int(slots.max()) < 100
    # 20,000 keys went through; the table is as large as a hundred need, so probing has not degraded.
    assert index.bytes < 50_000


def test_a_call_costs_its_own_rows_whatever_the_index_holds():
    """Rounds of probing stay few at any size: the table never gets fuller than half."""
    index = KeyIndex(pa.schema([("k", pa.int64())]))
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 200_000).astype(np.uint64)
    for begin in range(0, len(hashes), 50_000):
        keys = pa.array(np.arange(begin, begin + 50_000))
        index.find_or_add(hashes[begin : begin + 50_000], [keys])
    used = np.count_nonzero(index._table)
    assert used == 200_000
    assert 2 * used <= len(index._table)
    found = index.find(hashes, [pa.array(np.arange(len(hashes)))])
    assert len(np.unique(found)) == len(hashes)


@pytest.mark.parametrize(
    ("t", "values"),
    [
        (pa.int32(), [1, None, -1]),
        (pa.bool_(), [True, None, False]),
        (pa.float64(), [1.5, None, float("nan"), float("inf")]),
        (pa.decimal128(10, 2), ["1.50", None, "-2.25"]),
        (pa.date32(), [1, None, 2]),
        (pa.time64("us"), [1, None, 2]),
        (pa.timestamp("us"), [1, None, 2]),
        (pa.binary(), [b"", None, b"\0x"]),
        (pa.string(), ["", None, "ä"]),
        (pa.list_(pa.int64()), [[1, None], [1], [], None, [1, 2]]),
        (pa.list_(pa.string()), [["a", None], ["a"], [], None, ["b", None]]),
        (pa.struct([("x", pa.int32()), ("y", pa.string())]), [{"x": 1, "y": "a"}, {"x": 1, "y": None}, None]),
        (
            pa.list_(pa.struct([("x", pa.list_(pa.int64()))])),
            [[{"x": [1]}, {"x": None}], [{"x": [1]}], [{"x": [2]}, {"x": None}], None],
        ),
    ],
    ids=str,
)
def test_a_key_of_any_type_is_found_again(t, values):
    if pa.types.is_decimal(t):
        values = [None if v is None else Decimal(v) for v in values]
    index = KeyIndex(pa.schema([("k", t)]))
    # One hash for all: only equality of the keys tells them apart.
    hashes = np.zeros(len(values), dtype=np.uint64)
    slots, is_new = index.find_or_add(hashes, [pa.array(values, t)])
    assert is_new.all() and len(set(slots.tolist())) == len(values)
    backwards = pa.array(values[::-1], t)
    again, is_new = index.find_or_add(hashes, [backwards])
    assert again.tolist() == slots.tolist()[::-1] and not is_new.any()
    # A slice of a longer array is the same keys.
    assert index.find(hashes[1:], [backwards.slice(1)]).tolist() == again.tolist()[1:]


def test_doubles_are_equal_as_group_by_has_it():
    keys = pa.array([0.0, -0.0, float("nan"), -float("nan")])
    workspace = Workspace()
    schema = pa.schema([("k", pa.float64())])
    slots, is_new = KeyIndex(schema).find_or_add(KeyHasher(workspace, schema)([keys]), [keys])
    assert is_new.tolist() == [True, False, True, False]
    assert slots[0] == slots[1] and slots[2] == slots[3]
    workspace.close()


@tried(20, share=5)
@given(keys=some_keys)
def test_a_hasher_agrees_with_the_hash_in_a_kernel(keys):
    workspace = Workspace()
    batch = pa.RecordBatch.from_arrays(columns(keys), schema=KEYS)
    kernel = workspace.kernel(f"SELECT {hash_sql(KEYS.names)} AS h FROM {{input}}", {"input": KEYS})
    assert KeyHasher(workspace, KEYS)(batch.columns).tolist() == kernel.run(input=batch).column(0).to_pylist()
    workspace.close()


@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=64),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1),
)
def test_hashes_are_duckdbs(texts: list[str], longs: list[int], ints: list[int]):
    duck = duckdb.connect(":memory:")
    for values, own, name in (
        (pa.array(texts), text_hashes, "VARCHAR"),
        (pa.array(longs, pa.int64()), integer_hashes, "BIGINT"),
        (pa.array(ints, pa.int32()), integer_hashes, "INTEGER"),
    ):
        duck.register("given", pa.table({"x": values}))
        theirs = duck.execute(f"SELECT hash(x::{name}) FROM given").fetchall()
        hashes = own(values)
        assert hashes is not None and [(int(h),) for h in hashes] == theirs

"""The row store against a dict of rows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.state.rows import RowStore, SlotPool

SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("flag", pa.bool_()),
        ("money", pa.decimal128(10, 2)),
        ("day", pa.date32()),
        ("name", pa.string()),
        ("raw", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("point", pa.struct([("x", pa.int32()), ("label", pa.string())])),
        ("counts", pa.map_(pa.string(), pa.int64())),
    ]
)


def maybe(strategy):
    return st.none() | strategy


small = st.integers(-5, 5)
text = st.text("ab\0é", max_size=3)
row = st.fixed_dictionaries(
    {
        "n": maybe(small),
        "x": maybe(st.floats(allow_nan=False, width=32)),
        "flag": maybe(st.booleans()),
        "money": maybe(small.map(lambda i: Decimal(i) / 4).map(lambda d: d.quantize(Decimal("0.01")))),
        "day": maybe(small.map(lambda i: dt.date(2026, 1, 6) + dt.timedelta(i))),
        "name": maybe(text),
        "raw": maybe(st.binary(max_size=3)),
        "tags": maybe(st.lists(maybe(text), max_size=3)),
        "point": maybe(st.fixed_dictionaries({"x": maybe(small), "label": maybe(text)})),
        "counts": maybe(st.dictionaries(text, maybe(small), max_size=2).map(lambda d: list(d.items()))),
    }
)
puts = st.tuples(st.just("put"), st.lists(st.tuples(st.integers(0, 12), row), max_size=6))
removals = st.tuples(st.just("remove"), st.lists(st.integers(0, 12), max_size=4, unique=True))


def batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


@given(steps=st.lists(puts | removals, max_size=10), wanted=st.lists(st.integers(-1, 12), max_size=8))
def test_a_store_agrees_with_a_dict_of_rows(steps, wanted):
    store, model = RowStore(SCHEMA), {}
    for what, items in steps:
        if what == "put":
            store.put(np.array([s for s, _ in items], dtype=np.int64), batch([r for _, r in items]))
            model.update(items)
        else:
            gone = [slot for slot in items if slot in model]
            store.remove(np.array(gone, dtype=np.int64))
            for slot in gone:
                del model[slot]
        assert store.rows == len(model)
    assert store.table().to_pylist() == [model[slot] for slot in sorted(model)]
    nothing = dict.fromkeys(SCHEMA.names)
    asked = [slot for slot in wanted if slot < 0 or slot in model]
    found = store.get(np.array(asked, dtype=np.int64)).to_pylist()
    assert found == [nothing if slot < 0 else model[slot] for slot in asked]


def test_what_was_read_does_not_change_when_the_store_does():
    store = RowStore(pa.schema([("n", pa.int64()), ("name", pa.string())]))
    slots = np.arange(3)
    store.put(slots, [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])])
    before = store.table()
    store.put(slots, [pa.array([7, None, 9]), pa.array(["x", "y", None])])
    assert before.to_pydict() == {"n": [1, 2, 3], "name": ["a", "b", "c"]}
    assert store.table().to_pydict() == {"n": [7, None, 9], "name": ["x", "y", None]}


def test_a_heap_does_not_outgrow_its_living_rows():
    store = RowStore(pa.schema([("name", pa.string())]))
    slots = np.arange(1000)
    for generation in range(60):
        store.put(slots, [pa.array([f"{generation}-{i}" for i in range(1000)])])
    assert store.get(slots[:2]).to_pydict() == {"name": ["59-0", "59-1"]}
    one_generation = 1000 * 20
    assert store.bytes < 4 * one_generation
    store.remove(slots)
    assert store.table().num_rows == 0
    assert store.bytes < one_generation


def test_a_heap_of_many_small_batches_stays_in_few_chunks():
    store = RowStore(pa.schema([("name", pa.string())]))
    for i in range(3000):
        store.put(np.array([i]), [pa.array([f"row {i}"])])
    chunks = store.columns[0]._chunks
    assert len(chunks) <= 13  # log2(3000) + 1
    picked = np.array([2999, 0, 1500, 7])
    assert store.get(picked).to_pydict() == {"name": ["row 2999", "row 0", "row 1500", "row 7"]}


@given(steps=st.lists(st.integers(-6, 9), max_size=30))
def test_a_pool_never_gives_a_slot_twice(steps):
    pool, held, most = SlotPool(), [], 0
    for step in steps:
        if step >= 0:
            taken = pool.take(step).tolist()
            assert len(taken) == step
            assert not set(taken) & set(held)
            held += taken
        else:
            pool.give_back(np.array(held[:-step], dtype=np.int64))
            held = held[-step:]
        most = max(most, len(held))
        assert pool.end == most, "freed slots are used before new ones"

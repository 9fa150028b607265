"""A kept table against a dict: the rows it holds, and what each change says it replaced."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.check import CheckedOperator
from streamsql.engine.operators.base import Context
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.problems import Problems
from tests.workspaces import KeptWorkspace

SCHEMA = pa.schema(
    [
        ("k", pa.string()),
        ("v", pa.int64()),
        ("note", pa.string()),
        ("$time", pa.int64()),
        ("$seq", pa.int64()),
        ("$weight", pa.int8()),
    ]
)
WORKSPACE = KeptWorkspace()

histories = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=25)
cuts = st.lists(st.integers(0, 25), max_size=4)


def batch(history, first: int) -> pa.RecordBatch:
    rows = [
        {
            "k": k,
            "v": v,
            "note": None if v is None else f"n{v}",
            "$time": 100 + first + i,
            "$seq": i,
            "$weight": -1 if v is None else 1,
        }
        for i, (k, v) in enumerate(history)
    ]
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def open_table(**options) -> CheckedOperator:
    spec = Materialise(SCHEMA, ("k",), **options)
    operator = spec.open(Context(WORKSPACE, Problems()))
    # Without old rows, deletes pass whether there is something to delete or not.
    unknown = spec.forward_unknown_deletes or not spec.emit_old
    return CheckedOperator(operator, spec.output, ("k",), spec.emit_old, deletes_unknown=unknown)


def model(history, first: int, table, forward: bool):
    """The changes that a history causes on a table, as (key, value, time, number, weight)."""
    out = []
    for number, (key, value) in enumerate(history):
        time = 100 + first + number
        old = table.get(key)
        if value is not None:
            if old is not None:
                out.append((key, old[0], time, number, -1))
            table[key] = (value, time)
            out.append((key, value, time, number, 1))
        elif old is not None:
            del table[key]
            out.append((key, old[0], time, number, -1))
        elif forward:
            out.append((key, None, time, number, -1))
    return out


@pytest.mark.parametrize("forward", [False, True])
@given(history=histories, cuts=cuts)
def test_every_change_says_what_it_replaced(forward, history, cuts):
    operator, table = open_table(emit_old=True, forward_unknown_deletes=forward), {}
    places = sorted({0, len(history), *(c % (len(history) + 1) for c in cuts)})
    for begin, end in zip(places, places[1:], strict=False):
        piece = history[begin:end]
        output = operator.process(batch(piece, begin))
        rows = [] if output is None else output.to_pylist()
        found = [(r["k"], r["v"], r["$time"], r["$seq"], r["$weight"]) for r in rows]
        assert found == model(piece, begin, table, forward)
        assert all(r["note"] == (None if r["v"] is None else f"n{r['v']}") for r in rows)
        kept = operator.snapshot().to_pylist()
        assert {r["k"]: (r["v"], r["$time"]) for r in kept} == table


@given(history=histories, cut=st.integers(0, 25))
def test_without_old_rows_changes_pass_as_they_are_and_the_table_is_kept(history, cut):
    operator, table = open_table(emit_old=False), {}
    for begin, piece in ((0, history[:cut]), (cut, history[cut:])):
        if piece:
            given_rows = batch(piece, begin)
            assert operator.process(given_rows) == given_rows
            model(piece, begin, table, True)
    assert {r["k"]: (r["v"], r["$time"]) for r in operator.snapshot().to_pylist()} == table


@given(history=histories, cut=st.integers(0, 25))
def test_a_restart_changes_nothing(history, cut):
    before, after = open_table(emit_old=True), open_table(emit_old=True)
    if history[:cut]:
        before.process(batch(history[:cut], 0))
    for old, new in zip(before.stores, after.stores, strict=True):
        if (records := old.drain()) is not None:
            new.restore(records)
    assert sorted(map(str, after.snapshot().to_pylist())) == sorted(map(str, before.snapshot().to_pylist()))
    if history[cut:]:
        rest = batch(history[cut:], cut)
        assert after.operator.process(rest) == before.operator.process(rest)

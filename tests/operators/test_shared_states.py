"""Aggregates of one query keep what is declared alike once, and give what they would alone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.aggregate_call import state_columns
from streamsql.engine.windows import Session, hopping
from streamsql.functions.aggregate import StateNames
from streamsql.types import BIGINT, DOUBLE, INTEGER
from tests.examples import few
from tests.operators.aggregation import INPUT, Row, X, call, open_run, pieces, stage

AS_INTEGER, AS_DOUBLE = ("x", INTEGER), ("x", DOUBLE)

# The calls, and how many state columns they have together.
KEPT: dict[str, tuple[list[tuple[Any, ...]], int]] = {
    "rows, sum and mean": ([("COUNT",), ("SUM", X), ("AVG", X)], 3),
    "values, sum and mean": ([("COUNT", X), ("SUM", X), ("AVG", X)], 2),
    "of an INTEGER": ([("COUNT", AS_INTEGER), ("SUM", AS_INTEGER), ("AVG", AS_INTEGER)], 2),
    "of a DOUBLE": ([("COUNT", AS_DOUBLE), ("SUM", AS_DOUBLE), ("AVG", AS_DOUBLE)], 2),
    "of two columns": ([("SUM", X), ("SUM", ("y", BIGINT)), ("AVG", X)], 3),
    "rows and values": ([("COUNT",), ("COUNT", X)], 2),
    "the extremes": ([("MIN", X), ("MAX", X)], 2),
    "deviation and variance": ([("STDDEV_SAMPLE", X), ("STDDEV_SAMP", X)], 3),
    "lists of all and of some": ([("COLLECT_LIST", X), ("COLLECT_SET", X)], 2),
}


@pytest.mark.parametrize(("calls", "columns"), KEPT.values(), ids=KEPT)
def test_what_is_declared_alike_is_kept_once(calls: list[tuple[Any, ...]], columns: int) -> None:
    names = StateNames()
    bound = [call(f"r{n}", *parts, names=names) for n, parts in enumerate(calls)]
    assert len(state_columns(bound)) == columns


def test_a_query_keeps_each_partial_once(db: Database) -> None:
    db.execute(
        "CREATE STREAM s (k VARCHAR, x INTEGER);"
        "CREATE TABLE t AS SELECT k, COUNT(*) AS n, COUNT(x) AS m, SUM(x) AS s, AVG(x) AS a, AVG(x) * 2 AS b "
        "FROM s GROUP BY k HAVING SUM(x) > 0;"
    )
    (query_id,) = db.catalog.queries
    specs = [node.spec for node in db.queries.runners[query_id].graph.nodes]
    (aggregate,) = (spec for spec in specs if isinstance(spec, Aggregate))
    assert (len(aggregate.calls), len(state_columns(aggregate.calls))) == (4, 3)
    db.append("s", [{"k": "a", "x": x} for x in (2, None, 5, 2**31 - 1)])
    # An INTEGER's sum wraps at 32 bits, its mean does not.
    db.append("s", [{"k": "b", "x": x} for x in (1, None, 3)])
    assert db.execute("SELECT * FROM t;").fetchall() == [("b", 3, 2, 4, 2.0, 4.0)]


rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | st.integers(-5, 9), st.integers(0, 60)), max_size=25
)
CALLS = [
    ("COUNT",),
    ("COUNT", X),
    ("SUM", X),
    ("AVG", X),
    ("MIN", X),
    ("STDDEV_SAMPLE", X),
    ("STDDEV_SAMP", X),
    ("LATEST_BY_OFFSET", X),
    ("COLLECT_LIST", X),
]
ON_TABLE = [("COUNT",), ("COUNT", X), ("SUM", X), ("AVG", X), ("STDDEV_SAMPLE", X), ("STDDEV_SAMP", X)]
WINDOWS = {"none": None, "hopping": hopping(10, 5, 3), "sessions": Session(5, 10, 15)}


@pytest.mark.parametrize("every", [False, True], ids=["last", "every"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@few
@given(
    plain=rows,
    cuts=st.lists(st.integers(0, 100), max_size=3),
    chosen=st.lists(st.sampled_from(CALLS), min_size=2, max_size=5),
)
def test_shared_states_give_what_separate_ones_give(window, every, plain, cuts, chosen):
    names = StateNames()
    specs = [
        Aggregate(
            stage(),
            ("k",),
            tuple(call(f"r{n}", *parts, names=shared) for n, parts in enumerate(chosen)),
            window,
            emit_old=True,
            emit_every=every,
        )
        for shared in (names, None)
    ]
    shared, separate = map(open_run, specs)
    for piece in pieces([Row(k, x, t) for k, x, t in plain], cuts):
        assert repr(shared.feed(piece)) == repr(separate.feed(piece))
    assert repr(shared.table()) == repr(separate.table())


@few
@given(
    plain=rows,
    cuts=st.lists(st.integers(0, 100), max_size=3),
    chosen=st.lists(st.sampled_from(ON_TABLE), min_size=2, max_size=5),
)
def test_shared_states_over_a_table(plain, cuts, chosen):
    """Some rows are put in and later taken back, in the order in which they came."""
    schema = INPUT.append(pa.field("$weight", pa.int8()))
    names = StateNames()
    specs = [
        Aggregate(
            stage(schema),
            ("k",),
            tuple(call(f"r{n}", *parts, on_table=True, names=shared) for n, parts in enumerate(chosen)),
        )
        for shared in (names, None)
    ]
    shared, separate = map(open_run, specs)
    put_in = [Row(k, x, t) for k, x, t in plain]
    taken_back = [Row(r.key, r.x, r.time, weight=-1) for r in put_in[::2]]
    for piece in pieces([*put_in, *taken_back], cuts):
        assert repr(shared.feed(piece)) == repr(separate.feed(piece))
    assert repr(shared.table()) == repr(separate.table())

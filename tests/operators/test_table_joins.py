"""Table-table and stream-table joins against dictionaries and DuckDB, their input cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql.engine.check import CheckedOperator
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.problems import Problems
from tests.examples import many
from tests.workspaces import KeptWorkspace

META = [pa.field("$time", pa.int64()), pa.field("$seq", pa.int64())]
WEIGHT = pa.field("$weight", pa.int8())
LEFT = pa.schema([pa.field("K", pa.int64()), pa.field("L", pa.int64()), *META, WEIGHT])
RIGHT = pa.schema([pa.field("K", pa.int64()), pa.field("R", pa.string()), *META, WEIGHT])
STREAM = pa.schema([pa.field("K", pa.int64()), pa.field("L", pa.int64()), *META])
TABLE = pa.schema([pa.field("T", pa.int64()), pa.field("R", pa.string()), *META, WEIGHT])


@dataclass(frozen=True)
class Event:
    side: int
    key: int | None
    is_delete: bool
    seq: int


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    workspace = KeptWorkspace()
    yield Context(workspace, Problems())
    workspace.close()


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def batch(events: Sequence[Event], side: int, schema: pa.Schema) -> pa.RecordBatch | None:
    """A left value is its `$seq`, a right one a text of it; a delete has only the key."""
    own = [e for e in events if e.side == side]
    rows = [
        {
            "K": e.key,
            "T": e.key,
            "L": None if e.is_delete else e.seq,
            "R": None if e.is_delete else f"r{e.seq}",
            "$time": e.seq,
            "$seq": e.seq,
            "$weight": -1 if e.is_delete else 1,
        }
        for e in own
    ]
    names = schema.names
    return pa.RecordBatch.from_pylist([{n: r[n] for n in names} for r in rows], schema) if own else None


def table_table(context: Context, kind: str, emit_old: bool) -> CheckedOperator:
    spec = TableTableJoin(LEFT, RIGHT, ("K",), kind, emit_old)
    return CheckedOperator(spec.open(context), spec.output, ["K"], takes_back_old=emit_old)


def run(operator: Operator, events: Sequence[Event], left: pa.Schema, right: pa.Schema) -> list[dict]:
    out = operator.process(batch(events, 0, left), batch(events, 1, right))
    return [] if out is None else out.to_pylist()


drawn_events = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 2)), max_size=40
)
drawn_cuts = st.lists(st.integers(0, 40), max_size=6)


def events_of(drawn: Sequence[tuple[int, int | None, int]], deletes: Sequence[int] = (0, 1)) -> list[Event]:
    return [Event(s, k, roll == 0 and s in deletes, seq) for seq, (s, k, roll) in enumerate(drawn)]


def cut(events: Sequence[Event], places: Sequence[int]) -> list[Sequence[Event]]:
    ends = sorted({min(p, len(events)) for p in places} | {0, len(events)})
    return [events[a:b] for a, b in pairwise(ends)]


@many
@given(drawn_events, drawn_cuts, st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"]))
@example([(1, 1, 1), (0, 1, 0)], [], "RIGHT")  # a delete of what was never there
def test_tables_joined_event_by_event(
    context: Context, drawn: list[tuple[int, int | None, int]], cuts: list[int], kind: str
) -> None:
    events = events_of(drawn)
    operator = table_table(context, kind, emit_old=True)
    found = [r for part in cut(events, cuts) for r in run(operator, part, LEFT, RIGHT)]
    expected = []
    tables: tuple[dict[int, int | str], dict[int, int | str]] = ({}, {})
    needs = {"INNER": (True, True), "LEFT": (True, False), "RIGHT": (False, True), "FULL": (False, False)}[
        kind
    ]

    def result(key: int) -> tuple[int, object, object] | None:
        sides = [key in table for table in tables]
        there = any(sides) and all(has or not need for has, need in zip(sides, needs, strict=True))
        return (key, tables[0].get(key), tables[1].get(key)) if there else None

    for e in events:
        if e.key is None:
            continue
        old = result(e.key)
        if e.is_delete:
            tables[e.side].pop(e.key, None)
        else:
            tables[e.side][e.key] = f"r{e.seq}" if e.side else e.seq
        new = result(e.key)
        expected += [(e.seq, -1, *old)] if old else []
        expected += [(e.seq, 1, *new)] if new else []
    assert [(r["$seq"], r["$weight"], r["K"], r["L"], r["R"]) for r in found] == expected


LATEST = 'SELECT K, {0} FROM {1} QUALIFY row_number() OVER (PARTITION BY K ORDER BY "$seq" DESC) = 1 AND "$weight" = 1'


@many
@given(drawn_events, drawn_cuts, st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"]), st.booleans())
def test_the_state_tables_reach_is_duckdbs_join(
    context: Context,
    oracle: duckdb.DuckDBPyConnection,
    drawn: list[tuple[int, int | None, int]],
    cuts: list[int],
    kind: str,
    emit_old: bool,
) -> None:
    events = [e for e in events_of(drawn) if e.key is not None]
    operator = table_table(context, kind, emit_old)
    held: dict[int, tuple[object, object]] = {}
    for part in cut(events, cuts):
        for r in run(operator, part, LEFT, RIGHT):
            if r["$weight"] > 0:
                held[r["K"]] = (r["L"], r["R"])
            else:
                held.pop(r["K"])
    for name, side, schema in (("ls", 0, LEFT), ("rs", 1, RIGHT)):
        own = batch(events, side, schema)
        oracle.register(name, schema.empty_table() if own is None else own)
    expected = oracle.execute(
        f"SELECT coalesce(l.K, r.K), L, R FROM ({LATEST.format('L', 'ls')}) l "
        f"{kind} JOIN ({LATEST.format('R', 'rs')}) r ON l.K = r.K"
    ).fetchall()
    snapshot = operator.snapshot()
    assert snapshot is not None
    found = [(r["K"], r["L"], r["R"]) for r in snapshot.to_pylist()]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {(k, *values) for k, values in held.items()} == set(expected)


@many
@given(drawn_events, drawn_cuts, st.booleans())
def test_a_stream_row_sees_the_table_as_it_is_when_it_comes(
    context: Context, drawn: list[tuple[int, int | None, int]], cuts: list[int], keeps: bool
) -> None:
    events = [e for e in events_of(drawn, deletes=(1,)) if e.side == 0 or e.key is not None]
    spec = StreamTableJoin(STREAM, TABLE, ("K",), ("T",), keeps)
    operator = CheckedOperator(spec.open(context), spec.output)
    found = [r for part in cut(events, cuts) for r in run(operator, part, STREAM, TABLE)]
    table: dict[int | None, str] = {}
    expected = []
    for e in events:
        if e.side == 0 and (keeps or e.key in table):
            expected.append((e.seq, e.key, table.get(e.key)))
        elif e.side and e.is_delete:
            table.pop(e.key, None)
        elif e.side:
            table[e.key] = f"r{e.seq}"
    assert [(r["L"], r["K"], r["R"]) for r in found] == expected


@many
@given(drawn_events, st.integers(0, 40), st.sampled_from(["stream-table", "INNER", "LEFT", "FULL"]))
def test_state_comes_back_from_its_changelog(
    context: Context, drawn: list[tuple[int, int | None, int]], stop: int, kind: str
) -> None:
    joins_stream = kind == "stream-table"
    left, right = (STREAM, TABLE) if joins_stream else (LEFT, RIGHT)
    spec = StreamTableJoin(left, right, ("K",), ("T",), True) if joins_stream else None
    events = events_of(drawn, deletes=(1,) if joins_stream else (0, 1))
    if joins_stream:
        events = [e for e in events if e.side == 0 or e.key is not None]
    first, second = (
        spec.open(context) if spec else table_table(context, kind, emit_old=True).operator for _ in range(2)
    )
    for part in cut(events[:stop], [stop // 2]):
        run(first, part, left, right)
        for store, other in zip(first.stores, second.stores, strict=True):
            if (records := store.drain()) is not None:
                other.restore(records)
    assert run(second, events[stop:], left, right) == run(first, events[stop:], left, right)

"""Table-table and stream-table joins against dictionaries and DuckDB, their input cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsql.engine.kernel import Workspace
from streamsql.engine.operators.base import Context, Operator
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.problems import Problems

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
    workspace = Workspace(1)
    yield Context(workspace, Problems())
    workspace.close()


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


@settings(max_examples=150, deadline=None)
@given(drawn_events, drawn_cuts, st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"]))
def test_tables_joined_event_by_event(
    context: Context, drawn: list[tuple[int, int | None, int]], cuts: list[int], kind: str
) -> None:
    events = events_of(drawn)
    operator = TableTableJoin(LEFT, RIGHT, ("K",), kind, emit_old=True).open(context)
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


@pytest.mark.parametrize("kind", ["INNER", "LEFT", "RIGHT", "FULL"])
def test_the_state_tables_reach_is_duckdbs_join(context: Context, kind: str) -> None:
    drawn = [(n % 2, (n * 7919) % 53, (n * 31) % 5) for n in range(4000)]
    events = events_of(drawn)
    operator = TableTableJoin(LEFT, RIGHT, ("K",), kind, emit_old=False).open(context)
    for part in cut(events, [1, 2, 700, 3999]):
        run(operator, part, LEFT, RIGHT)
    snapshot = operator.snapshot()
    assert snapshot is not None
    latest = (
        'SELECT K, {0} FROM {1} QUALIFY row_number() OVER (PARTITION BY K ORDER BY "$seq" DESC) = 1 '
        'AND "$weight" = 1'
    )
    with duckdb.connect() as con:
        con.register("ls", pa.Table.from_batches([batch(events, 0, LEFT)]))
        con.register("rs", pa.Table.from_batches([batch(events, 1, RIGHT)]))
        expected = con.execute(
            f"SELECT coalesce(l.K, r.K), L, R FROM ({latest.format('L', 'ls')}) l "
            f"{kind} JOIN ({latest.format('R', 'rs')}) r ON l.K = r.K"
        ).fetchall()
    assert len(expected) > 10
    found = [(r["K"], r["L"], r["R"]) for r in snapshot.to_pylist()]
    assert sorted(found, key=str) == sorted(expected, key=str)


@settings(max_examples=150, deadline=None)
@given(drawn_events, drawn_cuts, st.booleans())
def test_a_stream_row_sees_the_table_as_it_is_when_it_comes(
    context: Context, drawn: list[tuple[int, int | None, int]], cuts: list[int], keeps: bool
) -> None:
    events = [e for e in events_of(drawn, deletes=(1,)) if e.side == 0 or e.key is not None]
    operator = StreamTableJoin(STREAM, TABLE, ("K",), ("T",), keeps).open(context)
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

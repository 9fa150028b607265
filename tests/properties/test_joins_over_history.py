"""Joins of every kind and condition: their input cut anywhere, held against DuckDB over the whole history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.graph import Graph
from streamsql.engine.log.memory import MemoryLog
from tests.examples import few
from tests.properties.checked import checked_task
from tests.workspaces import duckdb_beside

DECLARED = """
CREATE TABLE a (id INT PRIMARY KEY, v INT, o INT, p INT) WITH (KAFKA_TOPIC = 'a', FORMAT = 'JSON');
CREATE TABLE b (id INT PRIMARY KEY, v INT, o INT, p INT) WITH (KAFKA_TOPIC = 'b', FORMAT = 'JSON');
CREATE TABLE c (i INT PRIMARY KEY, j INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC = 'c', FORMAT = 'JSON');
CREATE TABLE d (i INT PRIMARY KEY, j INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC = 'd', FORMAT = 'JSON');
CREATE STREAM s (id INT KEY, v INT, o INT, p INT) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON');
CREATE STREAM t (id INT KEY, v INT, o INT, p INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON');
"""
TOPICS = "abcdst"
COLUMNS = {topic: ("i", "j", "v") if topic in "cd" else ("id", "v", "o", "p") for topic in TOPICS}
LATE = 10 * 86_400_000
"""When the last row of each stream comes, that closes all windows."""

TABLES = {
    "inner": "SELECT a.id AS k, a.v, b.v FROM a JOIN b ON a.id = b.id",
    "inner, more": "SELECT a.id AS k, a.v, b.v FROM a JOIN b ON a.id = b.id AND a.v < b.v",
    "left, more": "SELECT a.id AS k, a.v, b.v FROM a LEFT JOIN b ON a.id = b.id AND a.v < b.v",
    "right, more": "SELECT b.id AS k, a.v, b.v FROM a RIGHT JOIN b ON a.id = b.id AND a.v < b.v",
    "full": "SELECT ROWKEY AS k, a.v, b.v FROM a FULL JOIN b ON a.id = b.id",
    "on expressions": "SELECT a.id AS k, a.v, b.v FROM a JOIN b ON a.id + 0 = b.id",
    "of one side": "SELECT a.id AS k, a.v, b.v FROM a LEFT JOIN b ON a.id = b.id AND a.v > 1",
    "that fails on rows": "SELECT a.id AS k, a.v, b.v FROM a LEFT JOIN b ON a.id = b.id AND 4 / a.v > b.v",
    "two columns": "SELECT c.i AS k, c.j AS l, c.v, d.v FROM c JOIN d ON c.j = d.j AND c.i = d.i",
    "two columns, left, more": "SELECT c.i AS k, c.j AS l, c.v, d.v FROM c LEFT JOIN d ON c.i = d.i AND c.j = d.j AND c.v <> d.v",
    "two columns, full": "SELECT ROWKEY AS k, ROWKEY_1 AS l, c.v, d.v FROM c FULL JOIN d ON c.i = d.i AND c.j = d.j",
    "foreign key": "SELECT a.id AS k, a.v, b.v FROM a JOIN b ON a.o = b.id",
    "foreign key, left, more": "SELECT a.id AS k, a.v, b.v FROM a LEFT JOIN b ON a.o = b.id AND a.v < b.v",
    "foreign key by an expression": "SELECT a.id AS k, b.v FROM a LEFT JOIN b ON a.o + a.p = b.id",
    "foreign key of two columns": "SELECT a.id AS k, c.v FROM a LEFT JOIN c ON a.o = c.i AND a.p = c.j",
    "from two columns": "SELECT c.i AS k, c.j AS l, a.v FROM c LEFT JOIN a ON c.j = a.id AND a.v > 0",
    "several foreign keys": "SELECT a.id AS k, x.v, y.v, c.v FROM a LEFT JOIN b x ON a.o = x.id JOIN b y ON a.p = y.id "
    "LEFT JOIN c ON a.o = c.i AND a.p = c.j",
    "foreign key of a foreign key": "SELECT a.id AS k, x.o, y.v FROM a JOIN b x ON a.o = x.id LEFT JOIN b y ON x.o = y.id",
    "after a primary key": "SELECT a.id AS k, b.v, y.v FROM a JOIN b ON a.id = b.id LEFT JOIN b y ON b.o = y.id AND y.v > a.v",
    "after a left join": "SELECT a.id AS k, b.v, y.v FROM a LEFT JOIN b ON a.id = b.id LEFT JOIN b y ON b.id = y.id",
    "a primary key after a foreign key": "SELECT a.id AS k, x.v, b.v FROM a LEFT JOIN a x ON a.o = x.id JOIN b ON a.id = b.id",
    "full, then full": "SELECT ROWKEY AS k, a.v, b.v, x.v FROM a FULL JOIN b ON a.id = b.id FULL JOIN a x ON COALESCE(a.id, b.id) = x.id",
    "with itself": "SELECT a.id AS k, x.v FROM a LEFT JOIN a x ON a.o = x.id AND x.v > a.v",
    "with a group": "SELECT a.id AS k, g.n FROM a LEFT JOIN (SELECT o, COUNT(*) AS n FROM b GROUP BY o HAVING COUNT(*) > 0) g ON a.id = g.o",
    "grouped": "SELECT b.v AS k, COUNT(*) AS n, SUM(a.v) AS s FROM a JOIN b ON a.o = b.id AND a.v < b.v GROUP BY b.v HAVING COUNT(*) > 0",
}  # fmt: skip
WITHIN = "WITHIN 1 DAY GRACE PERIOD 1 HOUR"
STREAMS = {
    "inner": f"SELECT s.id AS k, s.v, t.v FROM s JOIN t {WITHIN} ON s.id = t.id",
    "inner, more": f"SELECT s.id AS k, s.v, t.v FROM s JOIN t {WITHIN} ON s.id = t.id AND s.v < t.v",
    "left, more": f"SELECT s.id AS k, s.v, t.v FROM s LEFT JOIN t {WITHIN} ON s.id = t.id AND s.v < t.v",
    "right, more": f"SELECT t.id AS k, s.v, t.v FROM s RIGHT JOIN t {WITHIN} ON s.id = t.id AND s.v < t.v",
    "full, more": f"SELECT ROWKEY AS k, s.v, t.v FROM s FULL JOIN t {WITHIN} ON s.id = t.id AND s.v < t.v",
    "two columns": f"SELECT s.o AS k, s.v, t.v FROM s LEFT JOIN t {WITHIN} ON s.o = t.o AND s.p = t.p",
    "of one side": f"SELECT s.id AS k, s.v, t.v FROM s LEFT JOIN t {WITHIN} ON s.id = t.id AND s.v > 1",
    "that fails on rows": f"SELECT s.id AS k, s.v, t.v FROM s LEFT JOIN t {WITHIN} ON s.id = t.id AND 4 / s.v > t.v",
    "with itself": f"SELECT s.id AS k, s.v, x.v FROM s JOIN s x {WITHIN} ON s.id = x.id AND s.v < x.v",
    "three": f"SELECT s.id AS k, s.v, t.v, x.o FROM s JOIN t {WITHIN} ON s.id = t.id JOIN t x {WITHIN} ON s.id = x.id AND x.o > t.o",
}  # fmt: skip
LOOK_UPS = {
    "inner": ("JOIN", "b", "s.id = b.id"),
    "left, more": ("LEFT JOIN", "b", "s.id = b.id AND s.v < b.v"),
    "on an expression": ("LEFT JOIN", "b", "s.o + 1 = b.id"),
    "two columns, more": ("LEFT JOIN", "c", "s.o = c.i AND s.p = c.j AND c.v > 0"),
}

Event = tuple[str, int, int, int | None, int | None, bool]
"""Topic, two numbers of which the key is, two values, and whether a table's row is deleted."""
small, maybe = st.integers(0, 2), st.one_of(st.none(), st.integers(0, 3))
cuts = st.lists(st.integers(1, 40), max_size=5)


def drawn(topics: str) -> st.SearchStrategy[list[Event]]:
    deleted = st.integers(0, 3).map(lambda roll: roll == 0)
    return st.lists(st.tuples(st.sampled_from(topics), small, small, maybe, maybe, deleted), max_size=40)


def row(event: Event) -> dict[str, Any]:
    topic, first, second, v, p, _ = event
    if topic in "cd":
        return {"i": first, "j": second, "v": v}
    return {"id": first, "v": v, "o": second, "p": p}


def records(events: Sequence[Event], first: int, topic: str) -> pa.RecordBatch | None:
    own = [(seq, event) for seq, event in enumerate(events) if event[0] == topic]
    if not own:
        return None
    keys, values = [], []
    for _, event in own:
        columns = row(event)
        key = {n: columns.pop(n) for n in COLUMNS[topic] if n in ("id", "i", "j")}
        keys.append(json.dumps(key["id"] if "id" in key else key))
        values.append(None if event[5] and topic in "abcd" else json.dumps(columns))
    count = len(own)
    return pa.record_batch(
        {
            "key": pa.array([k.encode() for k in keys], pa.binary()),
            "value": pa.array([v and v.encode() for v in values], pa.binary()),
            "timestamp": pa.array([first + seq for seq, _ in own], pa.int64()),
            "$partition": pa.array([0] * count, pa.int32()),
            "$offset": pa.array([first + seq for seq, _ in own], pa.int64()),
            "$seq": pa.array([seq for seq, _ in own], pa.int64()),
        }
    )


@cache
def planned(query: str) -> tuple[Graph, int | None]:
    """The graph of a query, and the node that holds its table."""
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(DECLARED + query)
        (plan,) = db.queries.plans.values()
        return plan.graph, plan.view


def run(kind: str, query: str, events: list[Event], places: list[int]) -> list[Any]:
    """A stream's rows in their order, or those of the table at the end."""
    graph, view = planned(f"CREATE {kind} r AS {named(query)};")
    task = checked_task(graph)
    sources = dict(graph.sources())
    found: list[Any] = []
    bounds = sorted({0, len(events), *(p for p in places if p < len(events))})
    chunks = [(begin, events[begin:end]) for begin, end in pairwise(bounds)]
    chunks += [(LATE, [(topic, 9, 9, 9, 9, False)]) for topic in "st"]
    for first, chunk in chunks:
        batches = {n: records(chunk, first, source.topic) for n, source in sources.items()}
        task.feed({n: batch for n, batch in batches.items() if batch is not None})
        found += [
            tuple(record["value"].values()) if record["value"] else None
            for _, _, batch in task.take_records()
            for record in decoded(batch)
        ]
    if view is None:
        task.close()
        return [f for f in found if f is not None and 9 not in f]
    snapshot = task.snapshot(view)
    shown = [] if snapshot is None else snapshot.drop_columns(["$time", "$seq", "$weight"]).to_pylist()
    task.close()
    return [tuple(r.values()) for r in shown]


def decoded(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    return [{"value": json.loads(r["value"]) if r["value"] else None} for r in batch.to_pylist()]


def named(query: str) -> str:
    """The query with a name of its own for each column."""
    items, rest = query.removeprefix("SELECT ").split(" FROM ", 1)
    columns = [c if " AS " in c else f"{c} AS c{n}" for n, c in enumerate(items.split(", "))]
    return f"SELECT {', '.join(columns)} FROM {rest}"


def oracle(events: list[Event], query: str) -> list[Any]:
    query = query.replace(WITHIN, "").replace("ROWKEY_1 AS", "coalesce(c.j, d.j) AS").replace(" / ", " // ")
    full = (
        "coalesce(c.i, d.i)"
        if " c " in query
        else "coalesce(s.id, t.id)"
        if " s " in query
        else "coalesce(a.id, b.id)"
    )
    full = full.replace("b.id)", "b.id, x.id)") if " x " in query else full
    query = query.replace("ROWKEY AS", f"{full} AS")
    con = duckdb_beside()
    con.execute("SET error_on_division_by_zero = false")
    for topic in TOPICS:
        rows: dict[Any, Any] = {}
        for seq, event in enumerate(events):
            if event[0] != topic:
                continue
            values = tuple(row(event)[n] for n in COLUMNS[topic])
            key: Any = seq if topic in "st" else values[: 2 if topic in "cd" else 1]
            rows.pop(key, None)
            if topic in "st" or not event[5]:
                rows[key] = values
        columns = zip(*rows.values(), strict=True) if rows else [() for _ in COLUMNS[topic]]
        con.register(topic, pa.table([pa.array(c, pa.int32()) for c in columns], names=list(COLUMNS[topic])))
    return con.execute(query).fetchall()


@pytest.mark.parametrize("name", TABLES)
@few
@given(events=drawn("abcd"), places=cuts)
def test_a_join_of_tables(name: str, events: list[Event], places: list[int]) -> None:
    found = run("TABLE", TABLES[name], events, places)
    assert by_text(found) == by_text(oracle(events, TABLES[name]))


@pytest.mark.parametrize("name", STREAMS)
@few
@given(events=drawn("st"), places=cuts)
def test_a_join_of_streams(name: str, events: list[Event], places: list[int]) -> None:
    # The key is not among the values: DuckDB's rows are taken without it.
    found = run("STREAM", STREAMS[name], events, places)
    assert by_text(found) == by_text(r[1:] for r in oracle(events, STREAMS[name]))
    assert found == run("STREAM", STREAMS[name], events, [])


@pytest.mark.parametrize("name", LOOK_UPS)
@few
@given(events=drawn("sbc"), places=cuts)
def test_a_stream_looks_up_a_table_as_it_is_then(name: str, events: list[Event], places: list[int]) -> None:
    join, table, condition = LOOK_UPS[name]
    key = "b.id" if "+" in condition else condition.split(" = ")[0]
    found = run(
        "STREAM", f"SELECT {key} AS k, s.v, {table}.v FROM s {join} {table} ON {condition}", events, places
    )
    expected = [
        r[:2]
        for number, event in enumerate(events)
        if event[0] == "s"
        for r in oracle(
            [e for e in events[:number] if e[0] == table] + [event],
            f"SELECT s.v, {table}.v FROM s {join} {table} ON {condition}",
        )
    ]
    assert found == expected


def by_text(rows: Any) -> list[str]:
    return sorted(str(tuple(r)) for r in rows)

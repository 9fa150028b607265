"""Generated expressions: one value however the input is cut, DuckDB's own where the meaning is the same,
and a mistake is refused when the statement is planned, with its place, never when it runs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import assume, given, note
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.task import Task
from streamsql.errors import StreamSQLError
from streamsql.types import BOOLEAN
from tests.properties.expression_mistakes import mistakes, swapped
from tests.properties.expression_trees import COLUMNS, Tree, expressions, rows

DECLARED = f"CREATE STREAM events ({', '.join(f'{name} {t}' for name, t in COLUMNS.items())});"

Found = tuple[list[Any], set[tuple[int, str]]]


def query(trees: Sequence[Tree], condition: Tree | None = None) -> str:
    columns = ", ".join(f"{tree.text} AS c{i}" for i, tree in enumerate(trees))
    where = f" WHERE {condition.text}" if condition else ""
    return f"CREATE STREAM result AS SELECT ROWTIME AS row_at, {columns} FROM events{where};"


def task_of(db: Database, text: str) -> Task:
    db.execute(DECLARED + text)
    (query_id,) = db.catalog.queries
    return db.queries.runners[query_id].task


def run(task: Task, batches: Sequence[pa.RecordBatch]) -> Found:
    """The values that come out, and which expressions failed in which row."""
    values: list[Any] = []
    for batch in batches:
        task.feed_topic("EVENTS", batch)
        for _, _, records in task.take_records():
            values += records.column("value").to_pylist()
    entries = task.problems.drain().to_pylist()
    failed = {(e["time_ms"], e["text"]) for e in entries if e["kind"] == "EXPRESSION"}
    return values, failed


def records(data: pa.RecordBatch, chosen: Sequence[int]) -> pa.RecordBatch:
    """The chosen rows as the topic's records; a record's time tells which row it was."""
    taken = data.take(pa.array(chosen, pa.int64()))
    value = pa.StructArray.from_arrays(taken.columns, fields=list(data.schema))
    n = len(chosen)
    return pa.record_batch(
        {
            "key": pa.nulls(n),
            "value": value,
            "timestamp": pa.array(chosen, pa.int64()),
            "$partition": pa.array([0] * n, pa.int32()),
            "$offset": pa.array(range(n), pa.int64()),
        }
    )


def same(a: Any, b: Any) -> bool:
    """Equal, NaN to NaN and with the sign of zero."""
    return repr(a) == repr(b)


@given(
    st.lists(expressions(), min_size=1, max_size=2),
    st.none() | expressions(BOOLEAN, plain=True, depth=2),
    rows(),
    st.integers(0, 99),
)
def test_the_value_does_not_depend_on_the_batch(
    trees: list[Tree], condition: Tree | None, data: pa.RecordBatch, seed: int
) -> None:
    text = query(trees, condition)
    note(text)
    chance = random.Random(seed)
    with Database(MemoryLog(), autostart=False) as db:
        task = task_of(db, text)
        places = list(range(data.num_rows))
        alone, failed_alone = run(task, [records(data, [i]) for i in places])
        by_row = {v["ROW_AT"]: v for v in alone}
        # Now and then more rows than one vector of DuckDB, in any order; those that fail are few, as they
        # are slow.
        failing = {time for time, _ in failed_alone}
        more = 2_200 if seed % 4 == 0 else 50
        many = places + chance.choices([i for i in places if i not in failing] or places[:1], k=more)
        chance.shuffle(many)
        cut = chance.randrange(len(many))
        together, failed_together = run(task, [records(data, many[:cut]), records(data, many[cut:])])
        assert same(together, [by_row[i] for i in many if i in by_row])
        assert failed_together == failed_alone


@given(st.lists(expressions(plain=True), min_size=1, max_size=3), rows())
def test_the_value_is_duckdbs_where_the_meaning_is_the_same(trees: list[Tree], data: pa.RecordBatch) -> None:
    text = query(trees)
    note(text)
    with Database(MemoryLog(), autostart=False) as db:
        values, _ = run(task_of(db, text), [records(data, range(data.num_rows))])
    for i, tree in enumerate(trees):
        note(tree.oracle)
        for row, (value, expected) in enumerate(zip(values, in_duckdb(tree, data), strict=True)):
            assert expected is OVERFLOW or same(value[f"C{i}"], expected), f"row {row}"


OVERFLOW = object()
"""Integers that overflow raise in DuckDB and wrap here."""


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def in_duckdb(tree: Tree, data: pa.RecordBatch) -> list[Any]:
    """DuckDB's value for each row."""
    connection().register("data", data)
    try:
        return [value for (value,) in connection().execute(f"SELECT {tree.oracle} FROM data").fetchall()]
    except duckdb.Error:
        if data.num_rows == 1:
            return [OVERFLOW]
        return [value for i in range(data.num_rows) for value in in_duckdb(tree, data.slice(i, 1))]


@given(st.data(), rows(3))
def test_a_mistake_is_refused_when_planned(drawn: st.DataObject, data: pa.RecordBatch) -> None:
    tree = drawn.draw(mistakes())
    text = query([tree])
    note(text)
    with Database(MemoryLog(), autostart=False) as db:
        try:
            db.execute(DECLARED + text)
        except StreamSQLError as error:
            check_place(error, DECLARED + text)
        else:
            raise AssertionError("it was taken")


@given(swapped(), rows(3))
def test_what_is_taken_also_runs(tree: Tree, data: pa.RecordBatch) -> None:
    text = query([tree])
    note(text)
    with Database(MemoryLog(), autostart=False) as db:
        try:
            task = task_of(db, text)
        except StreamSQLError as error:
            check_place(error, DECLARED + text)
            assume(False)
        run(task, [records(data, range(data.num_rows))])


def check_place(error: StreamSQLError, text: str) -> None:
    """The error says where, and the place is in the SELECT."""
    assert error.code not in ("INTERNAL", "NOT-SUPPORTED"), error
    assert error.span is not None and error.source is not None
    assert 0 <= error.span.start < error.span.end <= len(error.source)
    assert error.span.start >= text.index("SELECT")
    assert "^" in str(error)

"""Generated expressions: one value however the input is cut, DuckDB's own where the meaning is the same,
and a mistake is refused when the statement is planned, with its place, never when it runs.

An example has several expressions, in one query. What costs more than they do is done once for all examples:
the database they are planned in, and the DuckDB they run in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, note
from hypothesis import strategies as st

from streamsql.database import Database
from streamsql.engine.graph import Graph
from streamsql.engine.log.memory import MemoryLog
from streamsql.engine.python_values import python_values
from streamsql.engine.task import Task
from streamsql.errors import StreamSQLError
from streamsql.grammar import ast
from streamsql.grammar.parser import parse_statement
from streamsql.types import BOOLEAN
from tests.properties.expression_mistakes import Mistake, mistakes, swapped
from tests.properties.expression_trees import Tree, expressions
from tests.properties.expression_values import COLUMNS, rows, rows_of
from tests.workspaces import duckdb_beside

DECLARED = f"CREATE STREAM events ({', '.join(f'{name} {t}' for name, t in COLUMNS.items())});"

Found = tuple[list[Any], set[tuple[int, str]]]


@cache
def database() -> Database:
    """Where the statements are planned; none of them changes it."""
    db = Database(MemoryLog(), autostart=False)
    db.execute(DECLARED)
    return db


def query(trees: Sequence[Tree], condition: Tree | None = None) -> str:
    columns = ", ".join(f"{tree.text} AS c{i}" for i, tree in enumerate(trees))
    where = f" WHERE {condition.text}" if condition else ""
    return f"CREATE STREAM result AS SELECT ROWTIME AS row_at, {columns} FROM events{where};"


def planned(text: str) -> Graph:
    statement = parse_statement(text)
    assert isinstance(statement, ast.CreateAsSelect)
    return database().definitions.plan_query(statement).graph


def task_of(text: str) -> Task:
    return Task(planned(text))


def run(task: Task, batches: Sequence[pa.RecordBatch]) -> Found:
    """The values that come out, and which expressions failed in which row."""
    values: list[Any] = []
    for batch in batches:
        task.feed_topic("EVENTS", batch)
        for _, _, records in task.take_records():
            values += python_values(records.column("value"))
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


several = st.lists(expressions(), min_size=1, max_size=5)


@given(several, st.none() | expressions(BOOLEAN, plain=True, depth=2), rows(), st.integers(0, 15))
def test_the_value_does_not_depend_on_the_batch(
    trees: list[Tree], condition: Tree | None, data: pa.RecordBatch, seed: int
) -> None:
    text = query(trees, condition)
    note(text)
    chance = random.Random(seed)
    with closing(task_of(text)) as task:
        places = list(range(data.num_rows))
        alone, failed_alone = run(task, [records(data, [i]) for i in places])
        by_row = {v["ROW_AT"]: v for v in alone}
        # Now and then more rows than a few vectors of DuckDB, in any order; those that fail are few, as they
        # are slow.
        failing = {time for time, _ in failed_alone}
        more = 10_000 if seed == 7 else 50
        many = places + chance.choices([i for i in places if i not in failing] or places[:1], k=more)
        chance.shuffle(many)
        cut = chance.randrange(len(many) // 2)
        together, failed_together = run(task, [records(data, many[:cut]), records(data, many[cut:])])
    assert same(together, [by_row[i] for i in many if i in by_row])
    # A part that cannot matter, beside a constant or a null, DuckDB may leave out: that it would fail is noted
    # only if another row of the batch fails, so that the batch runs under TRY.
    assert failed_alone <= failed_together


@given(st.lists(expressions(plain=True), min_size=1, max_size=5), rows())
def test_the_value_is_duckdbs_where_the_meaning_is_the_same(trees: list[Tree], data: pa.RecordBatch) -> None:
    text = query(trees)
    note(text)
    with closing(task_of(text)) as task:
        values, _ = run(task, [records(data, range(data.num_rows))])
    for i, tree in enumerate(trees):
        note(tree.oracle)
        for row, (value, expected) in enumerate(zip(values, in_duckdb(tree, data), strict=True)):
            assert expected is OVERFLOW or same(value[f"C{i}"], expected), f"row {row}"


OVERFLOW = object()
"""Integers that overflow raise in DuckDB and wrap here."""


def in_duckdb(tree: Tree, data: pa.RecordBatch) -> list[Any]:
    """DuckDB's value for each row."""
    duckdb_beside().register("data", data)
    try:
        found = duckdb_beside().execute(f"SELECT {tree.oracle} AS v FROM data").to_arrow_table()
        return python_values(found.column("v").combine_chunks())
    except duckdb.Error:
        if data.num_rows == 1:
            return [OVERFLOW]
        return [value for i in range(data.num_rows) for value in in_duckdb(tree, data.slice(i, 1))]


@given(mistakes())
def test_a_mistake_is_refused_when_planned(mistake: Mistake) -> None:
    text = query([Tree(mistake.text, BOOLEAN)])
    note(text)
    begin = text.index("row_at, ") + len("row_at, ")
    try:
        database().execute(f"EXPLAIN {text}")
    except StreamSQLError as error:
        note(str(error))
        check_place(error, f"EXPLAIN {text}")
        assert error.span is not None
        start, end = (begin + len("EXPLAIN ") + place for place in (mistake.start, mistake.end))
        assert start <= error.span.start and error.span.end <= end
        missing = [str(t) for t in mistake.names if str(t) not in str(error)]
        assert not missing
    else:
        raise AssertionError("it was taken")


@given(st.lists(swapped(), min_size=1, max_size=4), rows(3))
def test_what_is_taken_also_runs(trees: list[Tree], data: pa.RecordBatch) -> None:
    """And gives columns of the types it was planned with."""
    taken = []
    for tree in trees:
        text = query([tree])
        note(text)
        try:
            planned(text)
        except StreamSQLError as error:
            error.at(text)
            check_place(error, text)
        else:
            taken.append(tree)
    if taken:
        with closing(task_of(query(taken))) as task:
            run(task, [records(data, range(data.num_rows))])


def check_place(error: StreamSQLError, text: str) -> None:
    """The error says where, and the place is in the SELECT."""
    assert error.code not in ("INTERNAL", "NOT-SUPPORTED"), error
    assert error.span is not None and error.source is not None
    assert 0 <= error.span.start < error.span.end <= len(error.source)
    assert error.span.start >= text.index("SELECT")
    assert "^" in str(error)


POOL = rows_of(seed=1, count=30)


@cache
def filled() -> Database:
    """A database that has the pool's rows in the stream."""
    db = Database(MemoryLog(), autostart=False)
    db.execute(DECLARED)
    db.append("events", POOL)
    return db


@given(st.lists(expressions(), min_size=1, max_size=3), st.integers(0, POOL.num_rows))
def test_a_pull_query_gives_the_same(trees: list[Tree], first: int) -> None:
    columns = ", ".join(f"{tree.text} AS c{i}" for i, tree in enumerate(trees))
    text = f"SELECT {columns} FROM events WHERE ROWOFFSET >= {first};"
    note(text)
    with closing(task_of(query(trees))) as task:
        running, _ = run(task, [records(POOL, range(first, POOL.num_rows))])
    asked = python_values(filled().execute(text).arrow().to_struct_array().combine_chunks())
    assert same([list(row.values())[1:] for row in running], [list(row.values()) for row in asked])

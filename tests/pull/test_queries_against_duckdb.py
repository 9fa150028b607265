"""Random pull queries give what DuckDB gives over the same rows."""

from __future__ import annotations

import random
from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given

import streamsql
from streamsql.database import Database
from tests.pull.query_trees import Query, queries

SETUP = """
CREATE STREAM s (rid BIGINT, g VARCHAR, x INT, y BIGINT) WITH (PARTITIONS = 2);
CREATE TABLE c AS SELECT g, COUNT(*) AS n, SUM(x) AS total FROM s GROUP BY g;
CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR, x INT);
"""


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Database, duckdb.DuckDBPyConnection]]:
    """The same rows in a database of ours, and in DuckDB: few values, many of them NULL or equal."""
    chance = random.Random(7)

    def some(values: object) -> object:
        return None if chance.random() < 0.2 else chance.choice(values)  # type: ignore[arg-type]

    events = [{"RID": n, "G": some("abc"), "X": some(range(5)), "Y": some(range(3))} for n in range(30)]
    changes = [{"ID": chance.randrange(6), "NAME": some("abc"), "X": some(range(4))} for _ in range(12)]
    duck = duckdb.connect(":memory:")
    with streamsql.connect() as db:
        db.execute(SETUP)
        schema = pa.schema([("RID", pa.int64()), ("G", pa.string()), ("X", pa.int32()), ("Y", pa.int64())])
        table = pa.Table.from_pylist(events, schema=schema)
        db.append("s", table)
        db.append("t", changes)
        latest = list({row["ID"]: row for row in changes}.values())
        schema = pa.schema([("ID", pa.int64()), ("NAME", pa.string()), ("X", pa.int32())])
        duck.register("s", table)
        duck.register("t", pa.Table.from_pylist(latest, schema=schema))
        duck.execute(
            "CREATE VIEW c AS SELECT g, count(*) AS n, coalesce(sum(x), 0)::INTEGER AS total FROM s "
            "WHERE g IS NOT NULL GROUP BY g"
        )
        yield db, duck
    duck.close()


@given(queries())
def test_random_queries(sides: tuple[Database, duckdb.DuckDBPyConnection], query: Query) -> None:
    db, duck = sides
    ours = db.execute(query.text.ours + ";").fetchall()
    theirs = duck.execute(query.text.duck).fetchall()
    if not query.is_ordered:
        ours, theirs = sorted(ours, key=repr), sorted(theirs, key=repr)
    assert ours == theirs, query.text.duck

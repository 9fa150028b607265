"""The ways to read a result, and to hand rows in."""

from __future__ import annotations

import threading
from decimal import Decimal

import pandas
import polars
import pyarrow as pa
import pytest

import streamsql
from streamsql.database import Database

TABLE = pa.table(
    {"ID": pa.array([1, 2], pa.int64()), "NAME": ["ann", None], "PRICE": [Decimal("1.50"), Decimal("2.25")]}
)


@pytest.fixture
def people(db: Database) -> Database:
    db.execute("CREATE STREAM people (id BIGINT, name VARCHAR, price DECIMAL(4, 2));")
    db.append(
        "people",
        TABLE.cast(pa.schema([TABLE.schema.field(0), TABLE.schema.field(1), ("PRICE", pa.decimal128(4, 2))])),
    )
    return db


def test_a_result_reads_as_rows_arrow_pandas_and_polars(people: Database) -> None:
    ask = "SELECT id, name, price FROM people;"
    assert people.execute(ask).fetchall() == [(1, "ann", Decimal("1.50")), (2, None, Decimal("2.25"))]
    assert people.execute(ask).arrow().column_names == ["ID", "NAME", "PRICE"]
    assert list(people.execute(ask).df()["ID"]) == [1, 2]
    assert people.execute(ask).pl()["NAME"].to_list() == ["ann", None]
    result = people.execute(ask)
    assert [result.fetchone(), result.fetchone(), result.fetchone()][2] is None


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": 3, "name": "eve"}],
        {"ID": 3, "NAME": "eve"},
        pa.record_batch({"id": pa.array([3], pa.int32()), "name": ["eve"]}),
        pandas.DataFrame({"id": [3], "name": ["eve"]}),
        polars.DataFrame({"id": [3], "name": ["eve"]}),
    ],
    ids=["list", "dict", "batch", "pandas", "polars"],
)
def test_rows_are_taken_in_many_forms(people: Database, rows: object) -> None:
    assert people.append("people", rows, timestamps=[5]) == 1
    assert people.execute("SELECT id, name, price, ROWTIME AS t FROM people WHERE id = 3;").fetchall() == [
        (3, "eve", None, 5)
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"nme": "x"}], "no column nme"),
        (pa.table({"id": ["x"]}), "do not fit"),
        (pa.table({"price": [Decimal("123.456")]}), "do not fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused_whole(people: Database, rows: object, message: str) -> None:
    with pytest.raises(streamsql.DataError, match=message):
        people.append("people", rows)
    assert len(people.execute("SELECT id FROM people;").fetchall()) == 2


def test_a_push_query_hands_over_rows_as_they_come_until_it_is_closed(people: Database) -> None:
    result = people.execute("SELECT id FROM people EMIT CHANGES;")
    seen: list[int] = []
    arrived, more = threading.Event(), threading.Event()

    def read() -> None:
        for batch in result:
            seen.extend(batch.column("ID").to_pylist())
            (more if len(seen) > 2 else arrived).set()

    reader = threading.Thread(target=read)
    reader.start()
    assert arrived.wait(10)
    people.append("people", [{"id": 9}])
    assert more.wait(10)
    result.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen == [1, 2, 9]


def test_deleted_rows_of_a_table_show_as_tombstones(db: Database) -> None:
    db.execute("SET 'max.batch.rows' = '1'; CREATE STREAM v (k VARCHAR, x INTEGER);")
    db.append("v", [{"k": "a", "x": 5}, {"k": "a", "x": -9}])
    query = "SELECT k, SUM(x) AS s FROM v GROUP BY k HAVING SUM(x) > 0 EMIT CHANGES LIMIT 2;"
    shown = [
        (row["K"], row["S"], piece.tombstones is not None)
        for piece in db.execute(query).changes()
        for row in piece.rows.to_pylist()
    ]
    assert shown == [("a", 5, False), ("a", None, True)]


def test_functions_in_python(tmp_path: object) -> None:
    @streamsql.udf("shout(text VARCHAR) -> VARCHAR", says="Louder.")
    def shout(text: str) -> str:
        return text.upper() + "!"

    @streamsql.udf("half(x INTEGER) -> INTEGER", says="Half of an even number.")
    def half(x: int) -> int:
        if x % 2:
            raise ValueError(f"{x} is odd")
        return x // 2

    with streamsql.connect(udfs=[shout, half]) as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR, x INTEGER); CREATE STREAM r AS SELECT SHOUT(t) AS u, HALF(x) AS h FROM s;"
        )
        db.append("s", [{"t": "a", "x": 2}, {"t": "b", "x": 3}])
        assert db.execute("SELECT * FROM r;").fetchall() == [("A!", 1), ("B!", None)]
        (entry,) = db.execute("SELECT kind, text FROM KSQL_PROCESSING_LOG;").fetchall()
        assert entry == ("EXPRESSION", "HALF(X)")

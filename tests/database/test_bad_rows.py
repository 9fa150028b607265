"""A row that fails is NULL where it failed and has an entry in the processing log; its neighbours are fine."""

from __future__ import annotations

from typing import Any

import pytest

import streamsql
from streamsql import udf


@udf("shaken(x BIGINT) -> BIGINT", volatile=True)
def shaken(x: int) -> int:
    if x == 7:
        raise ValueError("seven")
    return x


@pytest.mark.parametrize(
    ("expression", "values", "reason"),
    [
        ("CAST(t AS INTEGER)", [1, None, 3], "cannot cast to INTEGER: 'x'"),
        ("CAST(t AS INTEGER) + FLOOR(RANDOM())", [1.0, None, 3.0], "cannot cast to INTEGER: 'x'"),
        ("CAST(t || SUBSTRING(UUID(), 1, 0) AS INTEGER)", [1, None, 3], "cannot cast to INTEGER: 'x'"),
        ("shaken(n)", [1, None, 3], "function SHAKEN failed: ValueError: seven"),
        ("COALESCE(shaken(n), -1)", [1, -1, 3], "function SHAKEN failed: ValueError: seven"),
        (
            "TRANSFORM(ARRAY[n], q => shaken(q))",
            [[1], None, [3]],
            "function SHAKEN failed: ValueError: seven",
        ),
    ],
)
def test_a_bad_row_does_not_end_a_query_whatever_is_volatile_in_it(
    expression: str, values: list[Any], reason: str
) -> None:
    with streamsql.connect(udfs=[shaken]) as db:
        db.execute(
            f"CREATE STREAM s (t VARCHAR, n BIGINT); CREATE STREAM r AS SELECT {expression} AS v FROM s;"
        )
        db.append("s", [{"T": "1", "N": 1}, {"T": "x", "N": 7}, {"T": "3", "N": 3}])
        assert [v for (v,) in db.execute("SELECT v FROM r;").fetchall()] == values
        entries = db.execute("SELECT kind, reason FROM KSQL_PROCESSING_LOG;").fetchall()
        assert entries == [("EXPRESSION", reason)]


def test_a_batch_with_a_bad_row_has_another_random_value_in_each_row() -> None:
    with streamsql.connect() as db:
        db.execute(
            "CREATE STREAM s (t VARCHAR);"
            "CREATE STREAM r AS SELECT RANDOM() AS a, RANDOM() AS b, UUID() AS u, CAST(t AS INTEGER) AS i FROM s;"
        )
        db.append("s", [{"T": "x"}, *({"T": str(i)} for i in range(99))])
        rows = db.execute("SELECT a, b, u, i FROM r;").fetchall()
    assert len({value for a, b, u, _ in rows for value in (a, b, u)}) == 300
    assert [i for *_, i in rows] == [None, *range(99)]

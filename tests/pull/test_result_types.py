"""The types of what comes out: of every SQL type, plain and nested, through subqueries, windows and groups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import streamsql
from streamsql.database import Database

SETUP = """
CREATE STREAM s (
    id BIGINT KEY, d DECIMAL(6, 2), ts TIMESTAMP, dt DATE, tm TIME, b BYTES,
    a ARRAY<DECIMAL(4, 1)>, m MAP<VARCHAR, BIGINT>, st STRUCT<x INT, m MAP<VARCHAR, ARRAY<INT>>>
);
INSERT INTO s VALUES (
    1, 12.50, '2026-01-01T10:00:00.123', '2026-01-02', '10:11:12', TO_BYTES('abc', 'utf8'),
    ARRAY[1.5, NULL], MAP('a' := 1, 'b' := NULL), STRUCT(x := 1, m := MAP('k' := ARRAY[1, 2]))
);
INSERT INTO s (id) VALUES (2);
"""
COLUMNS: dict[str, tuple[str, Any]] = {
    "D": ("DECIMAL(6, 2)", Decimal("12.50")),
    "TS": ("TIMESTAMP", datetime(2026, 1, 1, 10, 0, 0, 123000)),
    "DT": ("DATE", date(2026, 1, 2)),
    "TM": ("TIME", time(10, 11, 12)),
    "B": ("BYTES", b"abc"),
    "A": ("ARRAY<DECIMAL(4, 1)>", [Decimal("1.5"), None]),
    "M": ("MAP<VARCHAR, BIGINT>", {"a": 1, "b": None}),
    "ST": ("STRUCT<X INTEGER, M MAP<VARCHAR, ARRAY<INTEGER>>>", {"X": 1, "M": {"k": [1, 2]}}),
}
WAYS = {
    "plain": "SELECT {} AS c FROM s WHERE id = 1",
    "derived": "SELECT c FROM (SELECT {} AS c, id FROM s) WHERE id = 1",
    "with": "WITH w AS (SELECT {} AS c, id FROM s) SELECT c FROM w WHERE id = 1",
    "scalar": "SELECT (SELECT {} FROM s x WHERE x.id = s.id) AS c FROM s WHERE id = 1",
    "window": "SELECT c FROM (SELECT FIRST_VALUE({}) OVER (ORDER BY id) AS c, id FROM s) WHERE id = 2",
    "aggregate": "SELECT EARLIEST_BY_OFFSET({}) AS c FROM s",
    "grouped": "SELECT {0} AS c FROM s WHERE id = 1 GROUP BY {0}",
    "distinct": "SELECT DISTINCT {} AS c FROM s WHERE id = 1",
    "union": "SELECT {0} AS c FROM s WHERE id = 1 UNION ALL SELECT {0} FROM s WHERE id > 2",
}


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with streamsql.connect() as database:
        database.execute(SETUP)
        yield database


@pytest.mark.parametrize("way", WAYS)
def test_a_value_keeps_its_type_on_every_way(db: Database, way: str) -> None:
    for name, (t, value) in COLUMNS.items():
        result = db.execute(WAYS[way].format(name) + ";")
        assert [(c.name, str(c.type)) for c in result.columns] == [("C", t)], name
        assert result.fetchall() == [(value,)], name


def test_frames_have_the_types_of_their_library(db: Database) -> None:
    query = "SELECT d, ts, m FROM s ORDER BY id;"
    table = db.execute(query).arrow()
    assert table.schema == pa.schema(
        [("D", pa.decimal128(6, 2)), ("TS", pa.timestamp("us")), ("M", pa.map_(pa.string(), pa.int64()))]
    )
    frame = db.execute(query).df()
    assert str(frame["TS"].dtype) == "datetime64[us]"
    assert frame["D"][0] == Decimal("12.50") and frame["M"][0] == {"a": 1, "b": None}
    assert frame["M"][1] is None
    polars_frame = db.execute(query).pl()
    assert polars_frame["D"].to_list() == [Decimal("12.50"), None]
    assert polars_frame["TS"].to_list() == [COLUMNS["TS"][1], None]

"""Streams' histories: read in pieces, as often as needed, and no more of them than can matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pytest

import streamsql
from streamsql import history, pull
from streamsql.database import Database
from streamsql.errors import DataError

RECORDS = 100


@pytest.fixture(scope="module")
def filled() -> Iterator[Database]:
    with streamsql.connect() as db:
        db.execute("CREATE STREAM s (v INT, wide VARCHAR) WITH (PARTITIONS = 2);")
        for partition in range(2):
            numbers = [n for n in range(RECORDS) if n % 2 == partition]
            rows = pa.table({"V": pa.array(numbers, pa.int32()), "WIDE": ["x"] * len(numbers)})
            db.append("s", rows, timestamps=[n * 10 for n in numbers], partition=partition)
        yield db


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str]]]:
    """(rows, columns) of every batch that is decoded."""
    found: list[tuple[int, list[str]]] = []
    decode = history.Decoder.decode

    def noted(
        self: history.Decoder, raw: Mapping[int, pa.RecordBatch], left_out: history.LeftOut
    ) -> list[pa.RecordBatch]:
        rows = decode(self, raw, left_out)
        found.extend(
            (batch.num_rows, [n for n in batch.schema.names if not n.startswith("$")]) for batch in rows
        )
        return rows

    monkeypatch.setattr(history.Decoder, "decode", noted)
    return found


# (condition, how many records are decoded, how many are there)
PRUNED = [
    ("ROWOFFSET >= 48", 4, 4),
    ("ROWOFFSET = 3", 2, 2),
    ("ROWOFFSET BETWEEN 10 AND 11 AND v > 20", 4, 3),
    ("ROWPARTITION = 1", 50, 50),
    ("ROWPARTITION = 1 AND ROWOFFSET < 5", 5, 5),
    ("ROWPARTITION = 7", 0, 0),
    ("ROWTIME >= 900", 10, 10),
    ("ROWTIME >= '1970-01-01T00:00:00.900' AND ROWTIME < 950", 5, 5),
    ("ROWTIME BETWEEN 100 AND 109", 1, 1),
    ("5 > ROWOFFSET", 10, 10),
    ("ROWOFFSET > 1000", 0, 0),
    ("ROWOFFSET >= 48 OR v = 1", 100, 5),
    ("ROWOFFSET >= v", 100, 1),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "read", "found"), PRUNED, ids=[c for c, _, _ in PRUNED])
def test_what_cannot_matter_is_not_decoded(
    filled: Database, decoded: list[tuple[int, list[str]]], condition: str, read: int, found: int
) -> None:
    assert filled.execute(f"SELECT COUNT(*) AS c FROM s WHERE {condition};").fetchall() == [(found,)]
    assert sum(rows for rows, _ in decoded) == read


def test_only_the_columns_that_are_used_are_decoded(
    filled: Database, decoded: list[tuple[int, list[str]]]
) -> None:
    filled.execute("SELECT SUM(v) AS t FROM s;")
    assert {name for _, names in decoded for name in names} == {"V"}


def test_a_long_history_is_read_in_pieces_and_in_one_order(
    filled: Database, decoded: list[tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_BATCH_ROWS", 7)
    numbers = list(range(RECORDS))
    query = "SELECT COLLECT_LIST(v) AS l, EARLIEST_BY_OFFSET(v) AS e, LATEST_BY_OFFSET(v) AS f FROM s;"
    assert filled.execute(query).fetchall() == [(numbers, 0, RECORDS - 1)]
    assert max(rows for rows, _ in decoded) <= 7
    joined = "SELECT COUNT(*) AS c FROM s a JOIN s b ON a.v = b.v;"
    assert filled.execute(joined).fetchall() == [(RECORDS,)]
    twice = "WITH w AS (SELECT v FROM s) SELECT COUNT(*) AS c FROM w a JOIN w b ON a.v + 1 = b.v;"
    assert filled.execute(twice).fetchall() == [(RECORDS - 1,)]


def test_a_limit_ends_the_reading(
    filled: Database, decoded: list[tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_BATCH_ROWS", 7)
    assert len(filled.execute("SELECT v FROM s LIMIT 3;").fetchall()) == 3
    assert sum(rows for rows, _ in decoded) < RECORDS


def test_a_long_answer_comes_in_pieces(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "_PIECE_ROWS", 2048)
    query = "SELECT a.v * 100 + b.v AS n FROM s a JOIN s b ON a.v >= 0;"
    assert [batch.num_rows for batch in filled.execute(query)] == [2048, 2048, 2048, 2048, 1808]
    assert sorted(n for (n,) in filled.execute(query).fetchall()) == list(range(RECORDS**2))
    assert list(filled.execute("SELECT v FROM s WHERE v < 0;")) == []
    assert filled.execute("SELECT v FROM s WHERE v < 0;").arrow().num_rows == 0


def test_a_time_column_is_not_taken_for_the_time_of_the_log(db: Database) -> None:
    db.execute("CREATE STREAM timed (v INT, happened BIGINT) WITH (TIMESTAMP = 'HAPPENED');")
    # Stamped with 0, 1, 2 in the log; happened at 30, 20, 10.
    db.append("timed", [{"V": n, "HAPPENED": 30 - 10 * n} for n in range(3)], timestamps=[0, 1, 2])
    assert db.execute("SELECT v FROM timed WHERE ROWTIME >= 20 ORDER BY v;").fetchall() == [(0,), (1,)]
    assert db.execute("SELECT v FROM timed AS OF TIMESTAMP 20 ORDER BY v;").fetchall() == [(1,), (2,)]


def test_what_breaks_a_reading_off_is_said_as_it_is(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(
        self: history.Decoder, raw: Mapping[int, pa.RecordBatch], left_out: history.LeftOut
    ) -> list[pa.RecordBatch]:
        raise DataError("this record is damaged", code="LOG-CORRUPT")

    monkeypatch.setattr(history.Decoder, "decode", broken)
    with pytest.raises(DataError) as caught:
        filled.execute("SELECT MAX(v) AS m FROM s WHERE v / 2 > 1;")
    assert (caught.value.code, caught.value.message) == ("LOG-CORRUPT", "this record is damaged")


def test_what_duckdb_finds_wrong_is_said_without_its_words(filled: Database) -> None:
    with pytest.raises(DataError) as caught:
        filled.execute("SELECT v FROM s WHERE v = (SELECT x.v FROM s x);")
    assert caught.value.code == "DATA-SUBQUERY"
    with pytest.raises(DataError) as caught:
        filled.execute("SELECT NTILE(v) OVER (ORDER BY v) AS n FROM s;")
    assert caught.value.code == "DATA-QUERY"

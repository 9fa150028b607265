"""INSERT INTO .. VALUES with several rows: all of them are stored, or none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import streamsql
from streamsql.database import Database
from streamsql.engine.failpoints import armed
from streamsql.errors import PlanError, StreamSQLError

DECLARED = """
CREATE STREAM s (id INT KEY, d DATE, n DOUBLE);
CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR);
"""


def test_several_rows_are_inserted_in_their_order(db: Database) -> None:
    db.execute(DECLARED)
    done = db.execute(
        "INSERT INTO s VALUES (2, '2024-01-02', 1), (1, NULL, 2.5), (2, '2024-01-03', ABS(-3));"
    )
    assert done.message == "3 rows inserted into stream S"
    found = db.execute("SELECT id, CAST(d AS VARCHAR), n FROM s ORDER BY ROWOFFSET;").fetchall()
    assert found == [(2, "2024-01-02", 1.0), (1, None, 2.5), (2, "2024-01-03", 3.0)]
    db.execute("INSERT INTO t (v, id) VALUES ('a', 1), ('b', 2), ('c', 1);")
    assert db.execute("SELECT * FROM t ORDER BY id;").fetchall() == [(1, "c"), (2, "b")]


def test_each_row_has_a_time_of_its_own(db: Database) -> None:
    db.execute(f"{DECLARED} INSERT INTO s (ROWTIME, id) VALUES (20, 1), (10, 2), (NULL, 3);")
    first, second, third = db.execute("SELECT ROWTIME FROM s ORDER BY id;").fetchall()
    assert (first, second) == ((20,), (10,)) and third[0] > 1_600_000_000_000


def test_more_rows_than_duckdb_handles_at_once_keep_their_order(db: Database) -> None:
    rows = ", ".join(f"({n}, ARRAY[{n}, NULL], STRUCT(a := '{n}'))" for n in range(5_000))
    db.execute("CREATE STREAM s (n BIGINT, xs ARRAY<INT>, f STRUCT<a VARCHAR>) WITH (VALUE_FORMAT = 'JSON');")
    db.execute(f"INSERT INTO s VALUES {rows};")
    found = db.execute("SELECT n, xs[1], f->a FROM s ORDER BY ROWOFFSET;").fetchall()
    assert found == [(n, n, str(n)) for n in range(5_000)]


REFUSED = {
    "too few values": ("s VALUES (1, NULL, 2), (1, NULL)", "row 2: 3 columns and 2 values", "1, NULL)"),
    "too many": ("t VALUES (1, 'a', 2), (1, 'b')", "row 1: 2 columns and 3 values", "1, 'a', 2"),
    "another type": ("t VALUES (1, 'a'), ('x', 'b')", "row 2: column ID is INTEGER, and 'x' is VARCHAR", "'x'"),
    "a column": ("t VALUES (1, 'a'), (2, 'b'), (3, v)", "row 3: VALUES cannot use a column: V", "v)"),
    "no number": ("s VALUES (1, NULL, 2), (2, NULL, 1 / 0)", "row 2: 1 / 0 cannot be computed: division", "1 / 0"),
    "no date": ("s VALUES (1, 'soon', 2), (2, NULL, 1)", "row 1: 'soon' cannot be computed", "'soon'"),
    "no key": ("t VALUES (1, 'a'), (NULL, 'b')", "row 2: the key column ID of table T cannot be NULL", "NULL"),
    "one row": ("t VALUES (NULL, 'b')", "the key column ID of table T cannot be NULL", "NULL"),
}  # fmt: skip


@pytest.mark.parametrize(("rest", "text", "place"), REFUSED.values(), ids=REFUSED)
def test_one_wrong_row_keeps_all_from_being_stored(db: Database, rest: str, text: str, place: str) -> None:
    db.execute(DECLARED)
    sql = f"INSERT INTO {rest};"
    with pytest.raises(PlanError) as refused:
        db.execute(sql)
    assert refused.value.message.startswith(text)
    assert refused.value.span is not None and sql[refused.value.span.start :].startswith(place)
    assert [db.execute(f"SELECT * FROM {name};").fetchall() for name in ("s", "t")] == [[], []]


PARTED = "CREATE STREAM p (id INT KEY, n INT) WITH (PARTITIONS = 4);"
ROWS = ", ".join(f"({n}, {n})" for n in range(20))


@pytest.mark.parametrize("point", ["commit.before_write", "commit.before_sync", "commit.before_record"])
def test_a_disk_that_fails_in_between_leaves_no_row_in_any_partition(tmp_path: Path, point: str) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "no space left on the device")

    with streamsql.connect(tmp_path / "d") as db:
        db.execute(PARTED)
        with armed(point, full), pytest.raises((StreamSQLError, OSError)):
            db.execute(f"INSERT INTO p VALUES {ROWS};")
        assert db.execute("SELECT * FROM p;").fetchall() == []
    with streamsql.connect(tmp_path / "d") as db:
        assert db.execute("SELECT * FROM p;").fetchall() == []
        db.execute(f"INSERT INTO p VALUES {ROWS};")
    with streamsql.connect(tmp_path / "d") as db:
        found = db.execute("SELECT id, ROWPARTITION FROM p ORDER BY id;").fetchall()
    assert [n for n, _ in found] == list(range(20))
    assert {number for _, number in found} == {0, 1, 2, 3}

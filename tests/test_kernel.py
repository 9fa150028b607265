"""Kernels: rows in the statement's order, whatever number of threads and pieces they come in."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streamsql.database import Database
from streamsql.engine.kernel import ArrowFunction, Workspace
from streamsql.engine.log.memory import MemoryLog

ROWS = 300_000


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_keep_their_order(threads: int) -> None:
    workspace = Workspace(threads)
    batch = pa.record_batch({"x": pa.array(np.arange(ROWS)), "t": pa.array(["a", "b", None] * (ROWS // 3))})
    kernel = workspace.kernel("SELECT x, upper(t) AS t FROM {rows} WHERE x % 7 > 0", {"rows": batch.schema})
    found = kernel.run(rows=batch.slice(5))
    expected = np.arange(5, ROWS)
    assert found.column("x").to_numpy().tolist() == expected[expected % 7 > 0].tolist()
    assert found.column("t")[:2].to_pylist() == [None, "A"]
    workspace.close()


def test_a_query_on_two_threads_gives_what_it_gives_on_one() -> None:
    tables = []
    for threads in (1, 2):
        with Database(MemoryLog()) as db:
            db.execute(f"SET 'num.stream.threads' = '{threads}'; CREATE STREAM s (k VARCHAR, x BIGINT);")
            numbers = pa.array(np.arange(ROWS))
            db.append("s", pa.record_batch({"K": pa.array(["a", "b", "c"] * (ROWS // 3)), "X": numbers}))
            db.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(x) AS total FROM s GROUP BY k;")
            db.wait_idle()
            tables.append(db.execute("SELECT * FROM t ORDER BY k;").fetchall())
    assert tables[0] == tables[1]
    assert [row[1] for row in tables[0]] == [ROWS // 3] * 3


def test_what_one_query_has_opened_is_the_next_ones():
    first = Workspace()
    batch = pa.record_batch({"x": [1, 2]})
    double = ArrowFunction("twice_in_a_test", ("BIGINT",), "BIGINT", lambda x: pc.multiply(x, 2))
    kernel = first.kernel("SELECT twice_in_a_test(x) AS y FROM {rows}", {"rows": batch.schema}, [double])
    assert kernel.run(rows=batch).to_pydict() == {"y": [2, 4]}
    opened = first._duckdb
    first.close()
    first.close()
    second, third = Workspace(2), Workspace()
    assert second._duckdb is opened, "it was the last to become idle"
    assert third._duckdb is not opened, "nor is it another's when it was closed twice"
    again = second.ahead[1].kernel(
        "SELECT twice_in_a_test(x) AS y FROM {rows}", {"rows": batch.schema}, [double]
    )
    assert again.run(rows=batch).to_pydict() == {"y": [2, 4]}
    with pytest.raises(duckdb.Error, match="locked"):
        second.connection.execute("SET TimeZone = 'Asia/Tokyo'")
    with pytest.raises(duckdb.Error, match="disabled"):
        second.connection.execute("SELECT * FROM read_text('/etc/hostname')")
    second.close()
    third.close()


def test_what_a_fault_has_made_useless_is_not_used_again(monkeypatch):
    broken = Workspace()
    opened = broken._duckdb
    monkeypatch.setattr(opened, "is_sound", lambda: False)
    broken.close()
    following = Workspace()
    assert following._duckdb is not opened
    following.close()

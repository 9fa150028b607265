"""Kernels: rows in the statement's order, whatever number of threads and pieces they come in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from streamsql.database import Database
from streamsql.engine.kernel import Workspace
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

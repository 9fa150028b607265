"""Look-ups by key: how many a second, and whether the size of the table matters.

    python -m benchmarks lookup [--keys 10000,1000000] [--lookups N] [--json]

A table counts by BIGINT key. "same text" asks for one key again and again, so that the statement is planned
once; "new text" asks for another key each time, which has to be parsed and planned; "with a statement" has
an expression left over, so that the row goes through DuckDB. Rates are by CPU time, which a busy machine
does not change; the last column is that of the wall clock.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from streamsql.database import Database, connect

_BATCH_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Lookups:
    """What was measured: look-ups per second of CPU and of wall time."""

    keys: int
    what: str
    lookups: int
    cpu_rate: float
    rate: float


def main(arguments: list[str]) -> int:
    """Measure, and print a line for each way of asking and size of the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks lookup")
    parser.add_argument("--keys", default="10000,1000000", help="sizes of the table")
    parser.add_argument("--lookups", type=int, default=2_000, help="look-ups per measurement")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    if not options.json:
        print(f"{'keys':>10}  {'way':24}{'look-ups/CPU-s':>16}{'µs CPU':>9}{'look-ups/s':>13}")
    for keys in map(int, options.keys.split(",")):
        with connect() as db:
            _fill(db, keys)
            for found in _measured(db, keys, options.lookups):
                if options.json:
                    print(json.dumps(asdict(found)))
                else:
                    print(
                        f"{keys:>10,}  {found.what:24}{found.cpu_rate:>16,.0f}"
                        f"{1e6 / found.cpu_rate:>9,.0f}{found.rate:>13,.0f}"
                    )
    return 0


def _fill(db: Database, keys: int) -> None:
    db.execute("CREATE STREAM s (id BIGINT, v BIGINT);")
    db.execute("CREATE TABLE t AS SELECT id, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY id;")
    numbers = np.random.default_rng(1).permutation(keys)
    for start in range(0, keys, _BATCH_ROWS):
        part = pa.array(numbers[start : start + _BATCH_ROWS])
        db.append("s", pa.table({"ID": part, "V": part}))
    db.wait_idle()


def _measured(db: Database, keys: int, count: int) -> Iterator[Lookups]:
    wanted = np.random.default_rng(2).integers(0, keys, count).tolist()

    def ask(text: str) -> Callable[[int], None]:
        def one(number: int) -> None:
            rows = db.execute(text.format(number)).fetchall()
            assert len(rows) == 1, rows

        return one

    for what, text in (
        ("same text", f"SELECT * FROM t WHERE id = {keys // 2};"),
        ("new text", "SELECT * FROM t WHERE id = {};"),
        ("same, with a statement", f"SELECT id, n + total AS x FROM t WHERE id = {keys // 2} AND n > 0;"),
    ):
        one = ask(text)
        one(wanted[0])
        cpu, wall = time.process_time(), time.perf_counter()
        for number in wanted:
            one(number)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        yield Lookups(keys, what, count, count / cpu, count / wall)

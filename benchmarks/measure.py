"""Running a query both ways over the same events, and comparing the results.

Every measurement is taken at two sizes: the slope between them leaves out what a start costs.

Beside a query over ARROW stands DuckDB's one-shot SQL for it. Beside a query over JSON stands DuckDB's
`from_json` alone, on the columns that the query uses: reading them is most of the work.

    python -m benchmarks clickstream [--events N] [--query q1] [--format arrow|json] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.clickstream import QUERIES, Query, declarations, sources
from streamsql.connectors.generate import START_MS
from streamsql.database import Database, connect

_LOAD_ROWS = 1 << 18
"""Rows of one append, and so of one frame of the log."""


@dataclass(frozen=True, slots=True)
class Run:
    """Wall and CPU seconds of one run, and its final rows."""

    seconds: float
    cpu_seconds: float
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Measurement:
    """Rates in events per second; cpu is CPU-seconds per million events.

    rate              0 where none could be measured; duckdb_rate too
    duckdb_rate       of the same query over ARROW; of `from_json` for JSON
    ratio, cpu_ratio  our rate over DuckDB's, by wall time and by CPU time: on a machine that others use as
                      well, the second is the one to believe
    """

    query: str
    value_format: str
    rate: float
    cpu: float
    duckdb_rate: float
    ratio: float
    cpu_ratio: float
    is_equal: bool


def main(arguments: list[str]) -> int:
    """Measure, print, and fail if a result is not DuckDB's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks clickstream")
    parser.add_argument(
        "--events", type=int, default=2_000_000, help="the smaller size; the larger is three times it"
    )
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--rounds", type=int, default=3, help="runs per size, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per query and line")
    options = parser.parse_args(arguments)
    chosen = [q for q in QUERIES if not options.query or q.name in options.query]
    found: list[Measurement] = []
    if not options.json:
        print(
            f"{'query':6} {'events/s':>12} {'CPU-s/M':>8} {'DuckDB/s':>12} {'ratio':>6} {'by CPU':>6}  "
            "equal  what"
        )
    for query in chosen:
        result = measure(query, (options.events, options.events * 3), options.format.upper(), options.rounds)
        found.append(result)
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        else:
            print(
                f"{result.query:6} {result.rate:12,.0f} {result.cpu:8.3f} {result.duckdb_rate:12,.0f} "
                f"{result.ratio:6.2f} {result.cpu_ratio:6.2f}  "
                f"{'yes' if result.is_equal else 'NO':5}  {query.says}",
                flush=True,
            )
    return 0 if all(m.is_equal for m in found) else 1


def measure(query: Query, sizes: tuple[int, int], value_format: str, rounds: int = 3) -> Measurement:
    """Run the query at both sizes, `rounds` times each; the best of each counts."""
    small, large = sources(query, sizes[0]), sources(query, sizes[1])
    ours = [_best(lambda t=t: _streaming(query, t, value_format), rounds) for t in (small, large)]
    theirs = [_best(lambda t=t: _batch(query, t), rounds) for t in (small, large)]
    is_equal = all(same(mine.rows, other.rows) for mine, other in zip(ours, theirs, strict=True))
    if value_format == "JSON":
        theirs = [_best(lambda t=t: _from_json(query, t), rounds) for t in (small, large)]
    grown = sizes[1] - sizes[0]
    rate = _slope(grown, ours)
    cpu = ours[1].cpu_seconds - ours[0].cpu_seconds
    duckdb_rate = _slope(grown, theirs)
    return Measurement(
        query.name,
        value_format,
        rate,
        cpu / (grown / 1e6),
        duckdb_rate,
        rate / duckdb_rate if duckdb_rate else 0.0,
        (theirs[1].cpu_seconds - theirs[0].cpu_seconds) / max(1e-9, cpu),
        is_equal,
    )


def _slope(grown: int, runs: list[Run]) -> float:
    """Events per second between a small and a large run; 0 if the machine was too busy to show any."""
    seconds = runs[1].seconds - runs[0].seconds
    return grown / seconds if seconds > 0 else 0.0


def _best(run: Callable[[], Run], rounds: int) -> Run:
    """The shortest wall time and the shortest CPU time, of whichever run; the rows of the last."""
    best = run()
    for _ in range(rounds - 1):
        last = run()
        best = Run(min(best.seconds, last.seconds), min(best.cpu_seconds, last.cpu_seconds), last.rows)
    return best


def _streaming(query: Query, tables: Mapping[str, pa.Table], value_format: str) -> Run:
    """From the query's creation until all events are processed and committed to disk."""
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(declarations(query, value_format))
        for name, rows in tables.items():
            load(db, name, rows)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        db.execute(query.streaming)
        db.wait_idle()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Run(wall, cpu, db.execute(query.compared).arrow())


def load(db: Database, name: str, rows: pa.Table) -> None:
    for batch in rows.to_batches(max_chunksize=_LOAD_ROWS):
        # What has no time of its own was there before everything else.
        has_time = "VIEWTIME" in batch.schema.names
        times = batch.column("VIEWTIME") if has_time else pa.array([START_MS - 1] * batch.num_rows)
        db.append(name, batch, timestamps=times)


def _batch(query: Query, tables: Mapping[str, pa.Table]) -> Run:
    """DuckDB's one-shot SQL over the same events in memory, on one thread."""
    con = duckdb.connect(":memory:", config={"threads": 1})
    try:
        for name, rows in tables.items():
            con.register(name, rows)
        wall, cpu = time.perf_counter(), time.process_time()
        result = con.execute(query.batch).to_arrow_reader(1 << 20).read_all()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, result)
    finally:
        con.close()


def _from_json(query: Query, tables: Mapping[str, pa.Table]) -> Run:
    """DuckDB reading the columns that the query uses from JSON texts in memory, on one thread."""
    con = duckdb.connect(":memory:", config={"threads": 1})
    try:
        reads = []
        for name, rows in tables.items():
            texts = con.execute("SELECT to_json(rows)::VARCHAR AS text FROM rows").to_arrow_table()
            con.register(name, texts)
            used = [f for f in rows.schema if f.name == "VIEWTIME" or f.name in query.batch]
            kinds = {f.name: _JSON_TYPES[str(f.type)] for f in used}
            # Every value is made, and looked at, but no rows are handed out.
            seen = ", ".join(f"max(value.{f.name})" for f in used)
            reads.append(
                f"SELECT {seen} FROM (SELECT from_json(text, '{json.dumps(kinds)}') AS value FROM {name})"
            )
        wall, cpu = time.perf_counter(), time.process_time()
        for read in reads:
            con.execute(read).fetchall()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, pa.table({}))
    finally:
        con.close()


_JSON_TYPES = {"int64": "BIGINT", "int32": "INTEGER", "double": "DOUBLE", "string": "VARCHAR"}


def same(ours: pa.Table, theirs: pa.Table) -> bool:
    """Whether two tables hold the same rows in any order; doubles to nine digits."""
    if ours.num_rows != theirs.num_rows or ours.num_columns != theirs.num_columns:
        return False
    return all(
        np.allclose(mine, other, rtol=1e-9) if pa.types.is_floating(mine.type) else mine.equals(other)
        for mine, other in zip(_ordered(ours), _ordered(theirs), strict=True)
    )


def _ordered(table: pa.Table) -> list[pa.ChunkedArray]:
    """The columns, rows sorted by all of them, what is not a double first."""
    names = [f"c{i}" for i in range(table.num_columns)]
    exact = sorted(names, key=lambda n: pa.types.is_floating(table.schema.field(int(n[1:])).type))
    ordered = table.rename_columns(names).sort_by([(name, "ascending") for name in exact])
    return [
        c.cast(pa.int64())
        if pa.types.is_integer(c.type)
        else c.cast(pa.string())
        if pa.types.is_string(c.type)
        else c
        for c in ordered.columns
    ]

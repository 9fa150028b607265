"""Nexmark: the queries of Nexmark in our dialect beside DuckDB over the whole history.

    python -m benchmarks nexmark [--events N] [--query q4] [--rounds N] [--json]

Persons, auctions and bids come from three topics (see `nexmark_data`), processing begins when all are
there. The ratio is ours to DuckDB's, events per CPU-second on one thread, from the slope between two sizes,
which leaves out what a start costs; the results are compared row by row, or as a query says. Which queries
are not here, and where ours differ: nexmark.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute

from benchmarks.measure import Run, growths, ratio
from benchmarks.nexmark_data import Events, events
from benchmarks.nexmark_queries import QUERIES, SOURCES, Query
from streamsql.database import Database, connect

_LOAD_ROWS = 1 << 17


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rates in events (of all kinds) per CPU-second, 0 where none showed; ratio is ours over DuckDB's."""

    query: str
    says: str
    rate: float
    duckdb_rate: float
    ratio: float
    rows: int
    is_equal: bool


def main(arguments: list[str]) -> int:
    """Measure, print, and fail if a result is not DuckDB's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks nexmark", description=__doc__)
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="the smaller size; the larger is three times it"
    )
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--rounds", type=int, default=2, help="runs per size, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per query and line")
    options = parser.parse_args(arguments)
    sizes = options.events, 3 * options.events
    made = events(sizes[0]), events(sizes[1])
    if not options.json:
        print(f"{'query':5} {'events/CPU-s':>13} {'DuckDB':>13} {'ratio':>6} {'rows':>9}  equal  what")
    is_equal = True
    for query in QUERIES:
        if options.query and query.name not in options.query:
            continue
        found = measure(query, made, sizes[1] - sizes[0], options.rounds)
        is_equal &= found.is_equal
        if options.json:
            print(json.dumps(asdict(found)), flush=True)
            continue
        print(
            f"{found.query:5} {found.rate:13,.0f} {found.duckdb_rate:13,.0f} {found.ratio:6.2f} "
            f"{found.rows:9,}  {'yes' if found.is_equal else 'NO':5}  {query.says}",
            flush=True,
        )
    return 0 if is_equal else 1


def measure(query: Query, made: tuple[Events, Events], grown: int, rounds: int) -> Outcome:
    """Run a query both ways over some events, and over `grown` more."""
    sides = [[partial(side, query, rows) for rows in made] for side in (_streaming, _batch)]
    ours, theirs = growths(grown, sides, rounds)
    return Outcome(
        query.name,
        query.says,
        ratio(grown, ours.cpu_seconds),
        ratio(grown, theirs.cpu_seconds),
        ratio(theirs.cpu_seconds, ours.cpu_seconds),
        theirs.large.rows.num_rows,
        ours.is_equal(theirs),
    )


def _streaming(query: Query, made: Events) -> Run:
    """From the query's creation until all events are processed and committed."""
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        for name in query.reads:
            db.execute(SOURCES[name])
            _load(db, name, getattr(made, name))
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        db.execute(query.streaming)
        db.wait_idle()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Run(wall, cpu, db.execute(query.compared).arrow())


def _load(db: Database, name: str, rows: pa.Table) -> None:
    times = pa.compute.cast(rows.column("DATE_TIME").cast(pa.timestamp("ms")), pa.int64())
    for start in range(0, rows.num_rows, _LOAD_ROWS):
        part = rows.slice(start, _LOAD_ROWS)
        db.append(name, part, timestamps=times.slice(start, _LOAD_ROWS).combine_chunks())


def _batch(query: Query, made: Events) -> Run:
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")
        for name in query.reads:
            con.register(name, getattr(made, name))
        wall, cpu = time.perf_counter(), time.process_time()
        rows = con.execute(query.batch).to_arrow_reader(1 << 20).read_all()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, rows)

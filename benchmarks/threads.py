"""What a second thread gives: each query with one thread and with two, and DuckDB's batch run of it too.

    python -m benchmarks threads [--events N] [--query q1 ..] [--format arrow|json] [--threads N] [--json]

A round runs all four, one after the other, at two sizes, one three times the other: the slope between them
leaves out what a start costs. A second thread gains no more than the machine has to give at that moment, so
that only the half of the rounds counts in which DuckDB gained most from it; of those, the median.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.clickstream import QUERIES, Query, declarations, sources
from benchmarks.measure import Run, load, one_shot, same
from streamsql.database import Database, connect


@dataclass(frozen=True, slots=True)
class Gain:
    """Events per second with one thread and with several, and how many times the one the other is.

    cpu_ratio      CPU time with several threads over that with one
    duckdb_gain    of DuckDB's batch run of the same query
    is_equal       whether one thread, several and DuckDB gave the same rows
    """

    query: str
    value_format: str
    threads: int
    rate: float
    threaded_rate: float
    gain: float
    cpu_ratio: float
    duckdb_gain: float
    is_equal: bool


@dataclass(frozen=True, slots=True)
class Sizes:
    """The same at the smaller size and at the larger one."""

    small: Run
    large: Run

    @property
    def seconds(self) -> float:
        """What the events took that the larger one has more; next to nothing if noise made it less."""
        return max(self.large.seconds - self.small.seconds, 1e-6)

    @property
    def cpu_seconds(self) -> float:
        return max(self.large.cpu_seconds - self.small.cpu_seconds, 1e-6)


@dataclass(frozen=True, slots=True)
class Round:
    """Ours with one thread and with several, and DuckDB's."""

    one: Sizes
    several: Sizes
    duckdb_one: Sizes
    duckdb_several: Sizes

    @property
    def duckdb_gain(self) -> float:
        return self.duckdb_one.seconds / self.duckdb_several.seconds

    @property
    def is_equal(self) -> bool:
        """Whether all gave the same rows."""
        return all(
            same(getattr(self.one, size).rows, getattr(other, size).rows)
            for size in ("small", "large")
            for other in (self.several, self.duckdb_one)
        )


def main(arguments: list[str]) -> int:
    """Measure, print, and fail if a result differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks threads")
    parser.add_argument("--events", type=int, default=2_000_000, help="the smaller size")
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6, help="the better half of which counts")
    parser.add_argument("--json", action="store_true", help="one object per query and line")
    options = parser.parse_args(arguments)
    found: list[Gain] = []
    if not options.json:
        print(
            f"{'query':6} {'one/s':>12} {'several/s':>12} {'gain':>5} {'CPU':>5} {'DuckDB':>6}  equal  what"
        )
    for query in QUERIES:
        if options.query and query.name not in options.query:
            continue
        result = measure(query, options.events, options.format.upper(), options.threads, options.rounds)
        found.append(result)
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        else:
            print(
                f"{result.query:6} {result.rate:12,.0f} {result.threaded_rate:12,.0f} {result.gain:5.2f} "
                f"{result.cpu_ratio:5.2f} {result.duckdb_gain:6.2f}  {'yes' if result.is_equal else 'NO':5}  "
                f"{query.says}",
                flush=True,
            )
    return 0 if all(gain.is_equal for gain in found) else 1


def measure(query: Query, events: int, value_format: str, threads: int, rounds: int) -> Gain:
    """Run the query with one thread and with `threads`, over events that are loaded once."""
    both = [sources(query, size) for size in (events, 3 * events)]
    runs: list[Round] = []
    with ExitStack() as opened:
        databases = []
        for tables in both:
            folder = opened.enter_context(tempfile.TemporaryDirectory())
            db = opened.enter_context(connect(Path(folder) / "data"))
            db.execute(declarations(query, value_format))
            for name, rows in tables.items():
                load(db, name, rows)
            databases.append(db)
        for _ in range(rounds):
            ours = [Sizes(*(_ours(db, query, count) for db in databases)) for count in (1, threads)]
            theirs = [Sizes(*(one_shot(query, t, count) for t in both)) for count in (1, threads)]
            runs.append(Round(*ours, *theirs))
    counted = sorted(runs, key=lambda one: -one.duckdb_gain)[: -(-rounds // 2)]
    return Gain(
        query.name,
        value_format,
        threads,
        2 * events / median(one.one.seconds for one in counted),
        2 * events / median(one.several.seconds for one in counted),
        median(one.one.seconds / one.several.seconds for one in counted),
        median(one.several.cpu_seconds / one.one.cpu_seconds for one in counted),
        median(one.duckdb_gain for one in counted),
        runs[-1].is_equal,
    )


def _ours(db: Database, query: Query, threads: int) -> Run:
    """From the query's creation until all events are processed and committed to disk."""
    db.execute(f"SET 'num.stream.threads' = '{threads}';")
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    db.execute(query.streaming)
    db.wait_idle()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rows = db.execute(query.compared).arrow()
    kind = "STREAM" if query.streaming.startswith("CREATE STREAM") else "TABLE"
    db.execute(f"DROP {kind} result DELETE TOPIC;")
    return Run(wall, cpu, rows)

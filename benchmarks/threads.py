"""What a second thread gives: each query with one thread and with two, and DuckDB's batch run of it too.

    python -m benchmarks threads [--events N] [--query q1 ..] [--format arrow|json] [--threads N] [--json]

All four take turns, so that a machine others use as well is as busy for each of them; of each kind the best
round counts. Rates are slopes between two sizes, as everywhere. A second thread gains no more than the
machine has to give at that moment: what DuckDB gains stands beside it.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.clickstream import QUERIES, Query, declarations, sources
from benchmarks.measure import Growth, Run, load, one_shot, ratio, same
from streamsql.database import Database, connect


@dataclass(frozen=True, slots=True)
class Gain:
    """Events per second with one thread and with several, and how many times the one the other is.

    duckdb_gain    of DuckDB's batch run of the same query
    cpu_ratio      CPU time with several threads over that with one
    is_equal       whether the smaller runs gave the same rows as DuckDB
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


def main(arguments: list[str]) -> int:
    """Measure, print, and fail if a result differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks threads")
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="the smaller size; the larger is three times it"
    )
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind, the best of which counts")
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
        sizes = (options.events, options.events * 3)
        result = measure(query, sizes, options.format.upper(), options.threads, options.rounds)
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


def measure(query: Query, sizes: tuple[int, int], value_format: str, threads: int, rounds: int) -> Gain:
    """Run the query at both sizes, with one thread and with `threads`."""
    small, large = (_runs(query, size, value_format, (1, threads), rounds) for size in sizes)
    grown = {way: Growth(sizes[1] - sizes[0], small[way], large[way]) for way in small}
    one, several = grown["ours", 1], grown["ours", threads]
    return Gain(
        query.name,
        value_format,
        threads,
        one.rate,
        several.rate,
        ratio(several.rate, one.rate),
        ratio(several.cpu_seconds, one.cpu_seconds),
        ratio(grown["DuckDB", threads].rate, grown["DuckDB", 1].rate),
        # Sorting the rows of the larger runs takes longer than all else; they are made by the same code.
        all(same(run.rows, small["DuckDB", 1].rows) for run in (one.small, several.small)),
    )


def _runs(
    query: Query, events: int, value_format: str, counts: Sequence[int], rounds: int
) -> dict[tuple[str, int], Run]:
    """The best run of each kind, by whose it is and its threads, over events that are loaded once."""
    tables = sources(query, events)
    found: dict[tuple[str, int], list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(declarations(query, value_format))
        for name, rows in tables.items():
            load(db, name, rows)
        for _ in range(rounds):
            for count in counts:
                found.setdefault(("ours", count), []).append(_ours(db, query, count))
                found.setdefault(("DuckDB", count), []).append(one_shot(query, tables, count))
    return {way: _best(runs) for way, runs in found.items()}


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


def _best(runs: Sequence[Run]) -> Run:
    """The shortest wall time and the shortest CPU time, of whichever run; the rows of the last."""
    return Run(min(run.seconds for run in runs), min(run.cpu_seconds for run in runs), runs[-1].rows)

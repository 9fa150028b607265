"""Threads: each query with one thread and with two, and DuckDB's batch run of it with as many.

    python -m benchmarks threads [--events N] [--query q1 ..] [--format arrow|json] [--threads N] [--json]

One thread is measured twice, as it is and on a single core: as it is, its commits are written by another one
beside it, so that it has some of a second core already.

A round runs all of them, one after the other, at two sizes, one three times the other: the slope between them
leaves out what a start costs. Of each, the best run of all rounds counts: a second thread gains no more than
the machine has to give at that moment, and what else goes on on it only ever takes time.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from benchmarks.clickstream import QUERIES, Query, declarations, sources
from benchmarks.measure import Run, growths, load, one_shot, ratio
from streamsql.database import Database, connect
from streamsql.engine.admission import processors

_CAN_CHOOSE_CORES = hasattr(os, "sched_setaffinity") and os.path.isdir("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Gain:
    """Events per second with one thread and with several, and how many times the one the other is.

    core_rate      with one thread, all that belongs to it on one core; 0 where a system cannot do that
    core_gain      with several threads, over that
    most_gain      what several could gain: the machine's cores over those that one thread, and what belongs
                   to it, keeps busy; 0 if the machine was too busy to show it
    cpu_ratio      CPU time with several threads over that with one
    duckdb_gain    of DuckDB's batch run of the same query
    is_equal       whether one thread, several and DuckDB gave the same rows
    """

    query: str
    value_format: str
    threads: int
    core_rate: float
    rate: float
    threaded_rate: float
    gain: float
    core_gain: float
    most_gain: float
    cpu_ratio: float
    duckdb_gain: float
    is_equal: bool


def main(arguments: list[str]) -> int:
    """Measure, print, and fail if a result differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks threads")
    parser.add_argument("--events", type=int, default=2_000_000, help="the smaller size")
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6, help="runs of each, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per query and line")
    options = parser.parse_args(arguments)
    found: list[Gain] = []
    if not options.json:
        print(
            f"{'query':6} {'one core/s':>12} {'one/s':>12} {'several/s':>12} {'gain':>5} {'most':>5} "
            f"{'core':>5} {'CPU':>5} {'DuckDB':>6}  equal  what"
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
                f"{result.query:6} {result.core_rate:12,.0f} {result.rate:12,.0f} "
                f"{result.threaded_rate:12,.0f} {result.gain:5.2f} {result.most_gain:5.2f} "
                f"{result.core_gain:5.2f} {result.cpu_ratio:5.2f} {result.duckdb_gain:6.2f}  "
                f"{'yes' if result.is_equal else 'NO':5}  {query.says}",
                flush=True,
            )
    return 0 if all(gain.is_equal for gain in found) else 1


def measure(query: Query, events: int, value_format: str, threads: int, rounds: int) -> Gain:
    """Run the query with one thread and with `threads`, over events that are loaded once."""
    both = [sources(query, size) for size in (events, 3 * events)]
    with ExitStack() as opened:
        ways: list[Sequence[Callable[[], Run]]] = []
        databases = [opened.enter_context(_loaded(query, value_format, tables)) for tables in both]
        ways.append([partial(_on_one_core, partial(_ours, db, query, 1)) for db in databases])
        for count in (1, threads):
            ways.append([partial(_ours, db, query, count) for db in databases])
        for count in (1, threads):
            ways.append([partial(one_shot, query, tables, count) for tables in both])
        core, one, several, duckdb_one, duckdb_several = growths(2 * events, ways, rounds)
    busy_cores = one.cpu_seconds / one.grown * one.rate
    core_rate = core.rate if _CAN_CHOOSE_CORES else 0.0
    return Gain(
        query.name,
        value_format,
        threads,
        core_rate,
        one.rate,
        several.rate,
        ratio(several.rate, one.rate),
        ratio(several.rate, core_rate),
        ratio(processors(), busy_cores),
        ratio(several.cpu_seconds, one.cpu_seconds),
        ratio(duckdb_several.rate, duckdb_one.rate),
        all(one.is_equal(other) for other in (core, several, duckdb_one)),
    )


def _on_one_core(run: Callable[[], Run]) -> Run:
    """A run whose threads, and all that it starts, have one core between them."""
    if not _CAN_CHOOSE_CORES:
        return run()
    cores = os.sched_getaffinity(0)
    _keep_to({min(cores)})
    try:
        return run()
    finally:
        _keep_to(cores)


def _keep_to(cores: Collection[int]) -> None:
    """Let all threads of this process run on these cores alone."""
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


@contextmanager
def _loaded(query: Query, value_format: str, tables: Mapping[str, pa.Table]) -> Iterator[Database]:
    """A database in which the events are."""
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(declarations(query, value_format))
        for name, rows in tables.items():
            load(db, name, rows)
        yield db


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

"""Commit: the same query over the same backlog, committing every 100 ms and once at the end.

    python -m benchmarks commit [--events N] [--query q1 ..] [--interval MS] [--against MS] [--rounds N]

Aim: at most 15 % of the throughput. Both runs have batches of the same size, so that nothing but the commits
makes the difference: a commit drains the state, writes a frame for each batch of output and each store,
and waits for the disk twice. By CPU time, which a busy machine does not change; wall time stands beside it.
Without commits the output piles up in memory until the end, which has a price of its own: the cost may be
below nothing. `--against 1000` compares with a commit a second.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from benchmarks.clickstream import QUERIES, Query, declarations, sources
from benchmarks.measure import load
from streamsql.database import connect
from streamsql.engine.log.log import TopicPartition
from streamsql.engine.runner import Runner, RunnerSettings
from streamsql.grammar import ast
from streamsql.grammar.parser import parse

_ONCE_MS = 1 << 40
_BATCH_ROWS = 1 << 17
_RUNNER = "benchmark"


class Run(NamedTuple):
    """CPU and wall seconds, and how many commits there were."""

    cpu_seconds: float
    seconds: float
    commits: int


@dataclass(frozen=True, slots=True)
class Cost:
    """How much longer the run with commits takes than the one without: 0.15 is 15 %."""

    query: str
    events: int
    commits: int
    by_cpu: float
    by_wall: float


def main(arguments: list[str]) -> int:
    """Measure, and print a line for each query."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks commit")
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--interval", type=int, default=100, help="ms between commits")
    parser.add_argument("--against", type=int, default=_ONCE_MS, help="the same of the other runs")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    for query in QUERIES:
        if options.query and query.name not in options.query:
            continue
        cost = measure(query, options.events, options.interval, options.against, options.rounds)
        if options.json:
            print(json.dumps(asdict(cost)), flush=True)
        else:
            print(
                f"{cost.query:4} {cost.commits:4} commits cost {cost.by_cpu:7.1%} of CPU time, "
                f"{cost.by_wall:7.1%} of wall time  {query.says}",
                flush=True,
            )
    return 0


def measure(query: Query, events: int, interval_ms: int, against_ms: int, rounds: int) -> Cost:
    """Run both ways, in turn, each over a log of its own."""
    tables = sources(query, events)
    with tempfile.TemporaryDirectory() as folder:
        often: list[Run] = []
        seldom: list[Run] = []
        for number in range(rounds):
            for interval, runs in ((interval_ms, often), (against_ms, seldom)):
                runs.append(_run(query, tables, interval, Path(folder) / f"{number}-{interval}"))
    best = min(often, key=lambda r: r.cpu_seconds)
    return Cost(
        query.name,
        events,
        best.commits,
        best.cpu_seconds / min(r.cpu_seconds for r in seldom) - 1,
        min(r.seconds for r in often) / min(r.seconds for r in seldom) - 1,
    )


def _run(query: Query, tables: Mapping[str, pa.Table], interval_ms: int, path: Path) -> Run:
    """From the query's start until all events are processed and committed to disk."""
    with connect(path) as db:
        db.execute(declarations(query, "ARROW"))
        for name, rows in tables.items():
            load(db, name, rows)
        (statement,) = parse(query.streaming)
        assert isinstance(statement, ast.CreateAsSelect)
        plan = db.definitions.plan_query(statement)
        db.queries.create_topic_for(plan)
        # Made by hand, since a query as users make it does not let output pile up without a commit.
        settings = RunnerSettings(interval_ms, _BATCH_ROWS, max_pending_rows=1 << 60)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        runner = Runner(_RUNNER, plan.graph, db.log, settings)
        runner.start()
        topics = plan.graph.topics()
        runner.wait_for(db.log.end_offsets([TopicPartition(topic, 0) for topic in topics]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        runner.stop()
        committed = db.log.committed(_RUNNER)
        assert committed is not None
        return Run(cpu, wall, committed.sequence)

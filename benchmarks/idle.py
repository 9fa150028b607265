"""Idle: what persistent queries cost while nothing comes in.

    python -m benchmarks idle [--queries N] [--seconds S] [--json]

Aim: 20 queries of all kinds use less than 1 % of a core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from streamsql.database import connect

_STREAMS = (
    "CREATE STREAM views (user_id BIGINT, page VARCHAR, price DOUBLE) "
    "WITH (KAFKA_TOPIC = 'views', VALUE_FORMAT = 'JSON', PARTITIONS = 4);"
    "CREATE STREAM clicks (user_id BIGINT, ad BIGINT) "
    "WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'JSON', PARTITIONS = 4);"
)
_KINDS = (
    "CREATE STREAM q{} AS SELECT user_id, UCASE(page) AS page FROM views WHERE price > {};",
    "CREATE TABLE q{} AS SELECT user_id, COUNT(*) AS n, {} AS x FROM views GROUP BY user_id;",
    "CREATE TABLE q{} AS SELECT page, COUNT(*) AS n, {} AS x FROM views "
    "WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY page;",
    "CREATE STREAM q{} AS SELECT v.user_id AS u, ad + {} AS ad FROM views v JOIN clicks c WITHIN 10 SECONDS "
    "ON v.user_id = c.user_id;",
)


@dataclass(frozen=True, slots=True)
class Idle:
    """cpu  share of one core; wakeups  voluntary context switches per second of the process"""

    queries: int
    cpu: float
    wakeups: float


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks idle")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true", help="one object")
    options = parser.parse_args(arguments)
    found = measure(options.queries, options.seconds)
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.queries} queries, idle: {found.cpu:.3%} of a core, {found.wakeups:.1f} wake-ups/s")
    return 0


def measure(queries: int, seconds: float) -> Idle:
    """CPU and wake-ups of a database whose queries have processed one record and wait for the next."""
    import resource

    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(_STREAMS)
        for number in range(queries):
            db.execute(_KINDS[number % len(_KINDS)].format(number, number))
        db.append("views", [{"user_id": 1, "page": "/", "price": 100.0}])
        db.append("clicks", [{"user_id": 1, "ad": 1}])
        db.wait_idle()
        before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.process_time()
        time.sleep(seconds)
        after, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.process_time() - cpu
    return Idle(queries, cpu / seconds, (after - before) / seconds)

"""python -m benchmarks clickstream [--events N] [--query q1..q4] [--format arrow|json] [--json]"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from benchmarks.clickstream import QUERIES
from benchmarks.measure import Measurement, measure


def main() -> int:
    """Measure, print, and fail if a result is not DuckDB's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("workload", choices=["clickstream"])
    parser.add_argument(
        "--events", type=int, default=2_000_000, help="the smaller size; the larger is three times it"
    )
    parser.add_argument("--query", choices=[q.name for q in QUERIES], action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--rounds", type=int, default=3, help="runs per size, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per query and line")
    options = parser.parse_args()
    chosen = [q for q in QUERIES if not options.query or q.name in options.query]
    found: list[Measurement] = []
    if not options.json:
        print(f"{'query':6} {'events/s':>12} {'CPU-s/M':>8} {'DuckDB/s':>12} {'ratio':>6}  equal  what")
    for query in chosen:
        result = measure(query, (options.events, options.events * 3), options.format.upper(), options.rounds)
        found.append(result)
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        else:
            print(
                f"{result.query:6} {result.rate:12,.0f} {result.cpu:8.3f} {result.duckdb_rate:12,.0f} "
                f"{result.ratio:6.2f}  {'yes' if result.is_equal else 'NO':5}  {query.says}",
                flush=True,
            )
    return 0 if all(m.is_equal for m in found) else 1


if __name__ == "__main__":
    sys.exit(main())

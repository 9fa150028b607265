"""Growth: what happens to throughput and memory as one thing gets larger and all else stays.

    python -m benchmarks growth [--axis NAME] [--quick] [--json]

    keys        a running COUNT and SUM over a state of that many keys; events touch all of them, or 10,000
    window      a tumbling COUNT per key, by the length of the window, of 1 or 100 events to a key and window
    buffer      a stream-stream join of one match per row, by the rows that its window keeps
    partitions  a topic of that many partitions is read by a running COUNT, read by a filter, which keeps
                rows in the order of time and writes as many, or written by a COUNT; files are there
    queries     that many queries over one JSON, or ARROW, topic
    columns     a query that uses two columns of a topic that has that many

Rates are events per CPU-second of the whole process, so that a busy machine does not show: the best of
some loads, after one that is not counted, in which memory, files and the size of batches find their place.
Every point is a process of its own: memory is what it holds more than it did before the state was there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.growth_axes import AXES, Point
from streamsql.database import connect


def main(arguments: list[str]) -> int:
    """Measure the chosen axes and print a line for each point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth")
    parser.add_argument("--axis", choices=list(AXES), action="append")
    parser.add_argument("--quick", action="store_true", help="fewer events, smaller sizes")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    for name in options.axis or AXES:
        axis = AXES[name]
        for kind in axis.kinds:
            for size in axis.quick_sizes if options.quick else axis.sizes:
                point = _apart(name, kind, size, options.quick)
                print(json.dumps(asdict(point)) if options.json else _line(point), flush=True)
    return 0


def _line(point: Point) -> str:
    kept = f"  {point.bytes:8,.0f} bytes for each of {point.state_rows:,} rows" if point.bytes else ""
    return f"{point.axis:10} {point.kind:14} {point.size:>12,} {point.rate:14,.0f} events/CPU-s{kept}"


def _apart(axis: str, kind: str, size: int, is_quick: bool) -> Point:
    """Measure one point in a new process: memory is not given back in the order it was taken."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_point, (axis, kind, size, is_quick))


def _point(axis: str, kind: str, size: int, is_quick: bool) -> Point:
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        return AXES[axis].measure(db, kind, size, is_quick)

"""Latency: from the moment an event is due to the moment a push query's reader has it.

    python -m benchmarks latency [--rate N] [--seconds S] [--json]

A thread appends events at a steady rate, all that are due at once, each append forced to disk before it
is acknowledged; another reads a push query. Every event carries the time it was due, not the time it
was at last appended, so that a producer that was held up counts against us (no coordinated omission).

    direct   SELECT .. EMIT CHANGES on the stream that is appended to: no commit in between
    commit   the same over the sink of a persistent query: one exactly-once commit in between
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from benchmarks.machine import synced_write_ms
from streamsql.database import Database, connect
from streamsql.result import Result

RATES = (1_000, 10_000, 100_000)
_TICK_SECONDS = 0.001
_WARM_UP_SECONDS = 1.0

_STREAM = (
    "CREATE STREAM events (id BIGINT, page VARCHAR, due BIGINT) "
    "WITH (KAFKA_TOPIC = 'events', VALUE_FORMAT = 'ARROW');"
)
_QUERIES = {
    "direct": ("", "SELECT id, UCASE(page) AS page, due FROM events EMIT CHANGES;"),
    "commit": (
        "CREATE STREAM shouted AS SELECT id, UCASE(page) AS page, due FROM events;",
        "SELECT id, page, due FROM shouted EMIT CHANGES;",
    ),
}


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from due to seen; rate as asked for and `reached` as seen, events per second.

    sync  the longest time that the disk took for one forced write meanwhile: what is due then waits for it
    cpu   CPU-seconds per second of the whole process, its producer and reader included
    """

    way: str
    rate: int
    reached: float
    p50: float
    p99: float
    p999: float
    worst: float
    sync: float
    cpu: float


def main(arguments: list[str]) -> int:
    """Measure both ways at each rate and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks latency")
    parser.add_argument("--rate", type=int, action="append", help="events per second")
    parser.add_argument("--way", choices=list(_QUERIES), action="append")
    parser.add_argument("--seconds", type=float, default=10, help="how long each one is measured")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    if not options.json:
        print(f"a synced write of 4 KiB takes {synced_write_ms():.2f} ms here (median)")
        print("way       events/s   reached   p50 ms      p99    p99.9    worst     sync    CPU")
    for way in options.way or _QUERIES:
        for rate in options.rate or RATES:
            found = measure(way, rate, options.seconds)
            if options.json:
                print(json.dumps(asdict(found)), flush=True)
            else:
                print(
                    f"{way:8}{rate:10,}{found.reached:10,.0f}{found.p50:9.2f}{found.p99:9.2f}"
                    f"{found.p999:9.2f}{found.worst:9.2f}{found.sync:9.2f}{found.cpu:7.0%}",
                    flush=True,
                )
    return 0


def measure(way: str, rate: int, seconds: float) -> Latency:
    """Latencies at a rate; the first second is left out."""
    before, query = _QUERIES[way]
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(_STREAM + before)
        reader = _Reader(db.execute(query))
        reader.start()
        reader.wait_for(_produce(db, rate, _WARM_UP_SECONDS))
        reader.reset()
        cpu, wall = time.process_time(), time.perf_counter()
        with _timed_syncs() as syncs:
            reader.wait_for(_produce(db, rate, seconds))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        ms = reader.milliseconds()
        reader.stop()
    p50, p99, p999, worst = np.percentile(ms, [50, 99, 99.9, 100]).tolist()
    return Latency(way, rate, len(ms) / wall, p50, p99, p999, worst, max(syncs), cpu / wall)


@contextmanager
def _timed_syncs() -> Iterator[list[float]]:
    """How many milliseconds each forced write of this process takes."""
    found = [0.0]
    sync = os.fdatasync

    def timed(handle: int) -> None:
        begin = time.perf_counter()
        sync(handle)
        found.append((time.perf_counter() - begin) * 1000)

    with patch.object(os, "fdatasync", timed):
        yield found


def _produce(db: Database, rate: int, seconds: float) -> int:
    """Append what is due, tick by tick; gives the number of events."""
    begin = time.monotonic_ns()
    total, sent = int(rate * seconds), 0
    while sent < total:
        due = min(total, int((time.monotonic_ns() - begin) * rate / 1e9) + 1)
        if due > sent:
            ids = np.arange(sent, due)
            pages = pa.array(["/page/1"] * len(ids))
            times = begin + (ids * (1e9 / rate)).astype(np.int64)
            db.append("events", pa.RecordBatch.from_arrays([pa.array(ids), pages, times], names=_NAMES))
            sent = due
        next_tick = begin + (sent + 1) * 1_000_000_000 // rate
        time.sleep(max(_TICK_SECONDS, (next_tick - time.monotonic_ns()) / 1e9))
    return total


_NAMES = ["id", "page", "due"]


class _Reader:
    """Reads a push query in a thread and keeps the latency of every row."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self._moved = threading.Condition()
        self._found: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        self._rows = 0
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def reset(self) -> None:
        with self._moved:
            self._found.clear()
            self._rows = 0

    def wait_for(self, rows: int) -> None:
        with self._moved:
            if not self._moved.wait_for(lambda: self._rows >= rows, timeout=60):
                raise TimeoutError(f"{self._rows} of {rows} rows were seen")

    def milliseconds(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.concatenate(self._found)

    def stop(self) -> None:
        self._result.close()
        self._thread.join()

    def _read(self) -> None:
        for batch in self._result:
            late = (time.monotonic_ns() - batch.column("DUE").to_numpy()) / 1e6
            with self._moved:
                self._found.append(late)
                self._rows += len(late)
                self._moved.notify_all()

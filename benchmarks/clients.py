"""Clients: appends of many threads, producers of single rows, consumers.

    python -m benchmarks clients [--appends N] [--sends N] [--rows N] [--sync-ms MS]

Appends wait for the disk; what counts is how many share one wait. --sync-ms makes each wait at least that
long, as on a slow disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from streamsql.database import Database, connect
from streamsql.engine.failpoints import armed

THREADS = (1, 4, 16, 64)


def main(arguments: list[str]) -> int:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks clients")
    parser.add_argument("--appends", type=int, default=2_048, help="single rows, over all threads")
    parser.add_argument("--sends", type=int, default=20_000, help="single rows through one producer")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to consume")
    parser.add_argument("--sync-ms", type=float, default=0.0, help="what a wait for the disk takes more")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        for name, partitions in (("one", 1), ("four", 4)):
            db.execute(
                f"CREATE STREAM {name} (k VARCHAR KEY, n BIGINT) "
                f"WITH (KAFKA_TOPIC='{name}', PARTITIONS={partitions}, VALUE_FORMAT='JSON');"
            )
        with slow_disk(options.sync_ms) as syncs:
            for threads in THREADS:
                appends(db, threads, options.appends, syncs)
            producer(db, options.sends, syncs)
        consumers(db, options.rows)
    return 0


@contextmanager
def slow_disk(extra_ms: float) -> Iterator[list[int]]:
    """Count the waits for the disk, in the one element of the list, and lengthen them."""
    syncs = [0]

    def count() -> None:
        syncs[0] += 1
        if extra_ms:
            time.sleep(extra_ms / 1000)

    with armed("file.sync", count):
        yield syncs


def appends(db: Database, threads: int, count: int, syncs: list[int]) -> None:
    """Single rows by `db.append`, each durable before the next of its thread."""
    syncs[0] = 0
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda n: db.append("one", {"k": "a", "n": n}), range(count)))
    seconds = time.perf_counter() - started
    print(
        f"append   {threads:3} threads {count / seconds:12,.0f} rows/s {count / syncs[0]:9.1f} rows per sync"
    )


def producer(db: Database, count: int, syncs: list[int]) -> None:
    """Single rows by one producer."""
    syncs[0] = 0
    started, cpu = time.perf_counter(), time.process_time()
    with db.producer("four") as sender:
        for number in range(count):
            sender.send({"k": str(number), "n": number})
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(
        f"producer   1 thread  {count / seconds:12,.0f} rows/s {count / syncs[0]:9.1f} rows per sync "
        f"{count / cpu:12,.0f} rows per CPU second"
    )


def consumers(db: Database, count: int) -> None:
    """All rows of four partitions, raw and typed."""
    numbers = np.arange(count)
    db.append("four", pa.table({"k": numbers.astype(str), "n": numbers}))
    for kind in ("raw", "typed"):
        started, cpu = time.perf_counter(), time.process_time()
        rows = 0
        with db.consumer("four", raw=kind == "raw", group=kind) as consumer:
            while (polled := consumer.poll(0)) is not None:
                rows += polled.rows.num_rows
                consumer.commit()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(f"consumer {kind:10} {rows / seconds:14,.0f} rows/s {rows / cpu:38,.0f} rows per CPU second")

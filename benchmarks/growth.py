"""Growth: what happens to throughput and memory as one thing gets larger and all else stays.

    python -m benchmarks growth [--axis NAME] [--quick] [--json]

    keys        a running COUNT and SUM over a state of that many keys
    window      a tumbling COUNT per key, by the length of the window
    buffer      a stream-stream join of one match per row, by the rows that its window keeps
    partitions  a running COUNT that reads, or writes, a topic of that many partitions; files are there
    queries     that many queries over one JSON topic
    columns     a query that uses two columns of a topic that has that many

Rates are events per CPU-second of the whole process, so that a busy machine does not show. Every point
is a process of its own: memory is what the process holds more than it did before the state was there.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.machine import resident_bytes
from streamsql.database import Database, connect

_START_MS = 1_700_000_000_000
_APPEND_ROWS = 1 << 17


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    kind        what tells lines of one axis apart, '' if there is only one
    rate        events per CPU-second
    state_rows  rows kept by the query's state; bytes is memory per such row; 0 where it is not measured
    """

    axis: str
    kind: str
    size: int
    rate: float
    state_rows: int = 0
    bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Axis:
    """What grows: sizes of a short and of a full run, the kinds, and what measures one point."""

    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    measure: Callable[[Database, str, int, bool], Point]
    kinds: tuple[str, ...] = ("",)


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
                if options.json:
                    print(json.dumps(asdict(point)), flush=True)
                    continue
                kept = (
                    f"  {point.bytes:8,.0f} bytes for each of {point.state_rows:,} rows"
                    if point.bytes
                    else ""
                )
                print(f"{name:10} {kind:6} {size:>12,} {point.rate:14,.0f} events/CPU-s{kept}", flush=True)
    return 0


def _apart(axis: str, kind: str, size: int, is_quick: bool) -> Point:
    """Measure one point in a new process: memory is not given back in the order it was taken."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_point, (axis, kind, size, is_quick))


def _point(axis: str, kind: str, size: int, is_quick: bool) -> Point:
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        return AXES[axis].measure(db, kind, size, is_quick)


# --- the axes ---------------------------------------------------------------------------------------


def _keys(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    events = 500_000 if is_quick else 2_000_000
    db.execute(_stream("views", "user_id BIGINT, price DOUBLE", "ARROW"))
    db.execute(
        "CREATE TABLE result AS SELECT user_id, COUNT(*) AS n, SUM(price) AS total FROM views "
        "GROUP BY user_id;"
    )
    db.append("views", [{"user_id": -1, "price": 0.0}])
    db.wait_idle()
    before = resident_bytes()
    for begin in range(0, size, _APPEND_ROWS):
        ids = np.arange(begin, min(size, begin + _APPEND_ROWS))
        db.append("views", pa.table({"user_id": ids, "price": np.ones(len(ids))}))
    db.wait_idle()
    kept = resident_bytes() - before
    random = np.random.default_rng(1)
    ids = random.integers(0, size, events)
    rate = _rate(db, {"views": {"user_id": pa.array(ids), "price": pa.array(random.random(events))}})
    return Point("keys", kind, size, rate, size, kept / size)


def _window(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    """size  length of the window, seconds; the events cover a day, of 1,000 keys each"""
    events = 500_000 if is_quick else 3_000_000
    db.execute(_stream("views", "page BIGINT, at_ms BIGINT", "ARROW", "TIMESTAMP = 'AT_MS'"))
    db.execute(
        f"CREATE TABLE result AS SELECT page, COUNT(*) AS n FROM views "
        f"WINDOW TUMBLING (SIZE {size} SECONDS, GRACE PERIOD 1 MINUTE) GROUP BY page;"
    )
    times = _START_MS + np.arange(events) * 86_400_000 // events
    pages = np.random.default_rng(1).integers(0, 1000, events)
    rate = _rate(db, {"views": {"page": pa.array(pages), "at_ms": pa.array(times)}})
    return Point("window", kind, size, rate)


def _buffer(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    """size  rows that the join keeps of each side: each row has one partner, half a second away"""
    events = 200_000 if is_quick else 500_000
    for name in ("views", "clicks"):
        db.execute(_stream(name, "id BIGINT, at_ms BIGINT", "ARROW", "TIMESTAMP = 'AT_MS'"))
    seconds = max(1, size // 1000)
    db.execute(
        "CREATE STREAM result AS SELECT v.id AS id, c.at_ms - v.at_ms AS later FROM views v "
        f"JOIN clicks c WITHIN {seconds} SECONDS GRACE PERIOD 1 SECOND ON v.id = c.id;"
    )
    db.append("views", [{"id": -1, "at_ms": _START_MS}])
    db.wait_idle()
    before = resident_bytes()
    _append(db, _pairs(0, size))
    db.wait_idle()
    kept = resident_bytes() - before
    rate = _rate(db, _pairs(size, size + events)) * 2
    return Point("buffer", kind, size, rate, 2 * size, kept / (2 * size))


def _partitions(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    """kind  which side has so many partitions; the other has one"""
    events = 1_000_000 if is_quick else 4_000_000
    read, written = (size, 1) if kind == "read" else (1, size)
    db.execute(_stream("views", "user_id BIGINT KEY, price DOUBLE", "ARROW", f"PARTITIONS = {read}"))
    db.execute(
        f"CREATE TABLE result WITH (PARTITIONS = {written}) AS SELECT user_id, COUNT(*) AS n FROM views "
        "GROUP BY user_id;"
    )
    random = np.random.default_rng(1)

    def views(count: int) -> dict[str, dict[str, pa.Array]]:
        ids = random.integers(0, 100_000, count)
        return {"views": {"user_id": pa.array(ids), "price": pa.array(random.random(count))}}

    # The first record of a partition makes its files.
    _append(db, views(_APPEND_ROWS))
    db.wait_idle()
    return Point("partitions", kind, size, _rate(db, views(events)))


def _queries(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    events = 200_000 if is_quick else 500_000
    db.execute(_stream("views", "user_id BIGINT, page VARCHAR, agent VARCHAR, price DOUBLE", kind))
    for number in range(size):
        db.execute(
            f"CREATE TABLE result{number} AS SELECT page, COUNT(*) AS n, SUM(price) AS total FROM views "
            f"WHERE user_id % {number + 2} = 0 GROUP BY page;"
        )
    random = np.random.default_rng(1)
    pages = pa.array([f"/page/{n}" for n in range(1000)]).take(pa.array(random.integers(0, 1000, events)))
    agents = pa.array(["Mozilla/5.0 (X11; Linux) Firefox/128.0"]).take(
        pa.array(np.zeros(events, dtype=np.int64))
    )
    columns = {
        "user_id": pa.array(random.integers(0, 100_000, events)),
        "page": pages,
        "agent": agents,
        "price": pa.array(random.random(events)),
    }
    return Point("queries", kind, size, _rate(db, {"views": columns}))


def _columns(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    events = 50_000 if is_quick else 150_000
    names = [f"c{number}" for number in range(size)]
    db.execute(_stream("wide", ", ".join(f"{name} BIGINT" for name in names), kind))
    db.execute("CREATE STREAM result AS SELECT c0 + c1 AS total FROM wide;")
    values = pa.array(np.random.default_rng(1).integers(0, 1_000_000, events))
    return Point("columns", kind, size, _rate(db, {"wide": dict.fromkeys(names, values)}))


AXES = {
    "keys": Axis((10_000, 100_000, 1_000_000, 10_000_000), (10_000, 100_000, 1_000_000), _keys),
    "window": Axis((1, 10, 60, 600, 3600, 86_400), (1, 60, 3600), _window),
    "buffer": Axis((10_000, 100_000, 1_000_000, 3_000_000), (10_000, 100_000, 500_000), _buffer),
    "partitions": Axis((1, 4, 16, 64, 256), (1, 16, 256), _partitions, ("read", "written")),
    "queries": Axis((1, 2, 5, 10, 20, 50), (1, 5, 20), _queries, ("JSON", "ARROW")),
    "columns": Axis((5, 10, 25, 50, 100, 200), (5, 50, 200), _columns, ("JSON", "ARROW")),
}


# --- helpers ----------------------------------------------------------------------------------------


def _stream(name: str, columns: str, value_format: str, more: str = "") -> str:
    properties = f"KAFKA_TOPIC = '{name}', VALUE_FORMAT = '{value_format}'" + (f", {more}" if more else "")
    return f"CREATE STREAM {name} ({columns}) WITH ({properties});"


def _pairs(begin: int, end: int) -> dict[str, dict[str, pa.Array]]:
    """Rows of both sides, a thousand per second of event time; a click comes half a second after its view."""
    ids = np.arange(begin, end)
    return {
        "views": {"id": pa.array(ids), "at_ms": pa.array(_START_MS + ids)},
        "clicks": {"id": pa.array(ids), "at_ms": pa.array(_START_MS + 500 + ids)},
    }


def _rate(db: Database, data: dict[str, dict[str, pa.Array]]) -> float:
    """Events per CPU-second from the topics being full to everything being committed."""
    for query in db.queries.runners:
        db.execute(f"PAUSE {query};")
    rows = _append(db, data)
    gc.collect()
    cpu = time.process_time()
    for query in db.queries.runners:
        db.execute(f"RESUME {query};")
    db.wait_idle()
    return rows / (time.process_time() - cpu)


def _append(db: Database, data: dict[str, dict[str, pa.Array]]) -> int:
    """Append to several streams in turns, piece by piece; gives the rows of the longest."""
    tables = {name: pa.table(columns) for name, columns in data.items()}
    rows = max(table.num_rows for table in tables.values())
    for begin in range(0, rows, _APPEND_ROWS):
        for name, table in tables.items():
            db.append(name, table.slice(begin, _APPEND_ROWS))
    return rows

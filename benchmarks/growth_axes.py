"""What grows in `python -m benchmarks growth`: for each axis its sizes, and how one point is measured."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from benchmarks.machine import resident_bytes
from streamsql.database import Database

_START_MS = 1_700_000_000_000
_APPEND_ROWS = 1 << 17
_LOADS, _QUICK_LOADS = 4, 2
_HOT_KEYS = 10_000


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
    """What grows: sizes of a full and of a short run, the kinds, and what measures one point."""

    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    measure: Callable[[Database, str, int, bool], Point]
    kinds: tuple[str, ...] = ("",)


Tables = Mapping[str, pa.Table]
"""Rows by stream. A column `$timestamp` is the records' own time, ms."""


def _keys(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    """kind  how many of the keys the events are about"""
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
    touched = random.permutation(size)[: size if kind == "all" else _HOT_KEYS]

    def load(number: int) -> Tables:
        ids = touched[random.integers(0, len(touched), events)]
        return {"views": pa.table({"user_id": ids, "price": random.random(events)})}

    return Point("keys", kind, size, _rate(db, load, is_quick), size, kept / size)


def _window(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    """kind  events to each of 1,000 keys in a window; size: length of the window, seconds"""
    per_group = int(kind.split()[0])
    events = 500_000 if is_quick else 1_000_000 if per_group == 1 else 3_000_000
    db.execute(_stream("views", "page BIGINT, at_ms BIGINT", "ARROW", "TIMESTAMP = 'AT_MS'"))
    db.execute(
        f"CREATE TABLE result AS SELECT page, COUNT(*) AS n FROM views "
        f"WINDOW TUMBLING (SIZE {size} SECONDS, GRACE PERIOD 1 MINUTE) GROUP BY page;"
    )

    def load(number: int) -> Tables:
        numbers = np.arange(number * events, (number + 1) * events)
        times = _START_MS + numbers * size // per_group
        # In no order, each as often as any other.
        return {"views": pa.table({"page": numbers * 389 % 1000, "at_ms": times})}

    return Point("window", kind, size, _rate(db, load, is_quick))


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
    rate = _rate(db, lambda n: _pairs(size + n * events, size + (n + 1) * events), is_quick) * 2
    return Point("buffer", kind, size, rate, 2 * size, kept / (2 * size))


def _pairs(begin: int, end: int) -> Tables:
    """Rows of both sides, a thousand per second of event time; a click comes half a second after its view."""
    ids = np.arange(begin, end)
    return {
        "views": pa.table({"id": ids, "at_ms": _START_MS + ids}),
        "clicks": pa.table({"id": ids, "at_ms": _START_MS + 500 + ids}),
    }


def _partitions(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    """kind  which side has so many partitions; and whether time orders what is read

    What counts has one partition on its other side; what keeps the order writes as many as it reads.
    """
    events = 1_000_000 if is_quick else 2_000_000
    read, written = (1, size) if kind == "written" else (size, 1)
    db.execute(_stream("views", "user_id BIGINT KEY, price DOUBLE", "ARROW", f"PARTITIONS = {read}"))
    if kind == "read in order":
        db.execute("CREATE STREAM result AS SELECT user_id, price FROM views WHERE price > 0.5;")
    else:
        db.execute(
            f"CREATE TABLE result WITH (PARTITIONS = {written}) AS SELECT user_id, COUNT(*) AS n FROM views "
            "GROUP BY user_id;"
        )
    random = np.random.default_rng(1)

    def load(number: int) -> Tables:
        ids = random.integers(0, 100_000, events)
        # 5,000 a second: neighbours in time are in different partitions.
        times = _START_MS + np.arange(number * events, (number + 1) * events) // 5
        return {"views": pa.table({"user_id": ids, "price": random.random(events), "$timestamp": times})}

    return Point("partitions", kind, size, _rate(db, load, is_quick))


def _queries(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    events = 200_000 if is_quick else 500_000
    db.execute(_stream("views", "user_id BIGINT, page VARCHAR, agent VARCHAR, price DOUBLE", kind))
    for number in range(size):
        db.execute(
            f"CREATE TABLE result{number} AS SELECT page, COUNT(*) AS n, SUM(price) AS total FROM views "
            f"WHERE user_id % {number + 2} = 0 GROUP BY page;"
        )
    random = np.random.default_rng(1)
    pages = pa.array([f"/page/{n}" for n in range(1000)])
    rows = pa.table(
        {
            "user_id": random.integers(0, 100_000, events),
            "page": pages.take(pa.array(random.integers(0, 1000, events))),
            "agent": pa.repeat("Mozilla/5.0 (X11; Linux) Firefox/128.0", events),
            "price": random.random(events),
        }
    )
    return Point("queries", kind, size, _rate(db, lambda _: {"views": rows}, is_quick))


def _columns(db: Database, kind: str, size: int, is_quick: bool) -> Point:
    events = 100_000 if kind == "JSON" else 300_000 if is_quick else 500_000
    names = [f"c{number}" for number in range(size)]
    db.execute(_stream("wide", ", ".join(f"{name} BIGINT" for name in names), kind))
    db.execute("CREATE STREAM result AS SELECT c0 + c1 AS total FROM wide;")
    values = pa.array(np.random.default_rng(1).integers(0, 1_000_000, events))
    rows = pa.table(dict.fromkeys(names, values))
    return Point("columns", kind, size, _rate(db, lambda _: {"wide": rows}, is_quick))


AXES = {
    "keys": Axis(
        (10_000, 100_000, 1_000_000, 10_000_000), (10_000, 100_000, 1_000_000), _keys, ("10,000", "all")
    ),
    "window": Axis((1, 10, 60, 600, 3600, 86_400), (1, 60, 3600), _window, ("100 events", "1 event")),
    "buffer": Axis((10_000, 100_000, 1_000_000, 3_000_000), (10_000, 100_000, 500_000), _buffer),
    "partitions": Axis((1, 4, 16, 64, 256), (1, 16, 256), _partitions, ("read", "read in order", "written")),
    "queries": Axis((1, 2, 5, 10, 20, 50), (1, 5, 20), _queries, ("JSON", "ARROW")),
    "columns": Axis((5, 10, 25, 50, 100, 200), (5, 50, 200), _columns, ("JSON", "ARROW")),
}


# --- measuring --------------------------------------------------------------------------------------


def _stream(name: str, columns: str, value_format: str, more: str = "") -> str:
    properties = f"KAFKA_TOPIC = '{name}', VALUE_FORMAT = '{value_format}'" + (f", {more}" if more else "")
    return f"CREATE STREAM {name} ({columns}) WITH ({properties});"


def _rate(db: Database, load: Callable[[int], Tables], is_quick: bool) -> float:
    """Events per CPU-second from the topics being full to everything being committed; the best of some loads.

    load  rows of the n-th load, which is not counted for n = 0
    """
    best = 0.0
    for number in range(1 + (_QUICK_LOADS if is_quick else _LOADS)):
        tables = load(number)
        for runner in db.queries.runners.values():
            runner.pause()
        rows = _append(db, tables)
        gc.collect()
        cpu = time.process_time()
        for runner in db.queries.runners.values():
            runner.resume()
        db.wait_idle()
        if number:
            best = max(best, rows / (time.process_time() - cpu))
    return best


def _append(db: Database, tables: Tables) -> int:
    """Append to several streams in turns, piece by piece; gives the rows of the longest."""
    rows = max(table.num_rows for table in tables.values())
    for begin in range(0, rows, _APPEND_ROWS):
        for name, table in tables.items():
            piece, times = table.slice(begin, _APPEND_ROWS), None
            if "$timestamp" in piece.column_names:
                times = piece.column("$timestamp").combine_chunks()
                piece = piece.drop_columns(["$timestamp"])
            db.append(name, piece, timestamps=times)
    return rows

"""Restore: bringing state back from its changelog, and opening a database that has some.

    python -m benchmarks restore [--rows N] [--keys N] [--json]

Aims: 5 million rows a second for a state of two numbers (key BIGINT, value BIGINT), and a database with a
million keys open within 2 s. Rows per second of CPU time are what a busy machine does not change.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from streamsql.database import connect
from streamsql.engine.kernel import Workspace
from streamsql.engine.log.disk import DiskLog
from streamsql.engine.log.log import TopicConfig
from streamsql.engine.restore import restore
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.store import KeyedStore

_TOPIC = "changelog"
_KEYS = pa.schema([("K", pa.int64())])
_VALUES = pa.schema([("V", pa.int64())])


@dataclass(frozen=True, slots=True)
class Restored:
    """What was measured: seconds of wall and CPU time, and rows of both a second."""

    what: str
    rows: int
    seconds: float
    cpu_seconds: float
    rate: float
    cpu_rate: float


def main(arguments: list[str]) -> int:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks restore")
    parser.add_argument("--rows", type=int, default=8_000_000, help="records of the changelogs")
    parser.add_argument("--keys", type=int, default=1_000_000, help="different keys among them")
    parser.add_argument("--rounds", type=int, default=3, help="runs, the best of which counts")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    keys = min(options.keys, options.rows)
    for what, rows, frame_rows in (
        ("each key once, large frames", keys, 1 << 18),
        ("each key several times, large frames", options.rows, 1 << 18),
        ("each key several times, frames of 10,000", options.rows, 10_000),
    ):
        with _changelog(rows, keys, frame_rows) as log:
            taken = [_restored(what, log, rows) for _ in range(options.rounds)]
        _print(min(taken, key=_seconds), options.json)
    with _database(keys) as open_again:
        what = f"a database with {keys:,} counts opened"
        taken = [_timed(what, keys, open_again) for _ in range(options.rounds)]
    _print(min(taken, key=_seconds), options.json)
    return 0


def _seconds(restored: Restored) -> float:
    return restored.seconds


@contextmanager
def _changelog(rows: int, keys: int, frame_rows: int) -> Iterator[DiskLog]:
    """A log whose topic has `rows` records, every key about as often as any, in no order."""
    chance = np.random.default_rng(1)
    order = np.concatenate([chance.permutation(keys) for _ in range(-(-rows // keys))])[:rows]
    with tempfile.TemporaryDirectory() as folder, DiskLog(Path(folder) / "data", flush="never") as log:
        log.create_topic(_TOPIC, TopicConfig(cleanup="compact"))
        for begin in range(0, rows, frame_rows):
            numbers = order[begin : begin + frame_rows]
            key = pa.StructArray.from_arrays([pa.array(numbers * 7919)], fields=list(_KEYS))
            value = pa.StructArray.from_arrays([pa.array(numbers + begin)], fields=list(_VALUES))
            times = pa.array(np.zeros(len(numbers), dtype=np.int64))
            log.append(_TOPIC, 0, pa.record_batch({"key": key, "value": value, "timestamp": times}))
        yield log


def _restored(what: str, log: DiskLog, rows: int) -> Restored:
    workspace = Workspace()
    try:
        store = KeyedStore("benchmark", _KEYS, _VALUES, KeyHasher(workspace, _KEYS))
        return _timed(what, rows, lambda: restore(log, _TOPIC, store, lambda rows: None))
    finally:
        workspace.close()


@contextmanager
def _database(keys: int) -> Iterator[Callable[[], None]]:
    """A database with a count for every key; gives the way to open it and to close it again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        with connect(path) as db:
            db.execute("CREATE STREAM clicks (user_id BIGINT) WITH (KAFKA_TOPIC = 'clicks');")
            db.execute("CREATE TABLE counts AS SELECT user_id, COUNT(*) AS n FROM clicks GROUP BY user_id;")
            db.append("clicks", pa.table({"USER_ID": np.arange(keys)}))
            db.wait_idle()
        yield lambda: connect(path).close()


def _timed(what: str, rows: int, run: Callable[[], None]) -> Restored:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Restored(what, rows, wall, cpu, rows / wall, rows / cpu)


def _print(restored: Restored, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(restored)), flush=True)
        return
    print(
        f"{restored.what:44} {restored.rows:>10,} rows  {restored.seconds:6.2f} s  "
        f"{restored.rate / 1e6:5.2f} M/s, {restored.cpu_rate / 1e6:5.2f} M/s of CPU time",
        flush=True,
    )

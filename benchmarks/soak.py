"""Soak: at full speed for a long time, with windows that expire: do memory and disk stay flat?

    python -m benchmarks soak [--minutes M] [--threads N] [--json]

Views and clicks come in as fast as they are processed, 5,000 views per second of event time. A tumbling
count, a session count and a stream-stream join keep what their windows need, and no more. Memory, state
and disk are sampled. Compaction of the log takes memory for as long as it runs, and the disk fills until the
next round of maintenance, so that samples go up and down: a leak lifts all of them. It fails if the median
of memory in the last quarter is more than a tenth above that of the second one, or a quarter in a run that
is too short for many rounds of maintenance; in a longer one also if the lowest use of the disk is a quarter
above: what matters there is that it comes back.
Sources and outputs that are streams keep their last 64 MB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from benchmarks.machine import resident_bytes
from streamsql.database import Database, connect
from streamsql.engine.log.maintenance import INTERVAL_MS

_USERS, _PAGES = 10_000, 1_000
_BLOCK_ROWS = 1 << 16
_VIEWS_PER_SECOND = 5_000
_VIEWS_PER_CLICK = 5
_MOST_LAG = 1 << 19
_START_MS = 1_700_000_000_000
_MEMORY_GROWTH_ALLOWED = 0.10
# In the first minute the process still comes to the size of its batches.
_WARMING_ALLOWED = 0.25
_DISK_GROWTH_ALLOWED = 0.25
_MANY_ROUNDS = 40

_STATEMENTS = """
CREATE STREAM views (user_id BIGINT, page VARCHAR, at_ms BIGINT)
  WITH (KAFKA_TOPIC = 'views', VALUE_FORMAT = 'ARROW', TIMESTAMP = 'AT_MS');
CREATE STREAM clicks (user_id BIGINT, ad_id BIGINT, at_ms BIGINT)
  WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'ARROW', TIMESTAMP = 'AT_MS');
CREATE TABLE per_minute WITH (KAFKA_TOPIC = 'per_minute') AS SELECT page, COUNT(*) AS n FROM views
  WINDOW TUMBLING (SIZE 1 MINUTE, RETENTION 2 MINUTES, GRACE PERIOD 10 SECONDS) GROUP BY page;
CREATE TABLE sessions WITH (KAFKA_TOPIC = 'sessions') AS SELECT user_id, COUNT(*) AS n FROM views
  WINDOW SESSION (2 SECONDS, RETENTION 1 MINUTE, GRACE PERIOD 10 SECONDS) GROUP BY user_id;
CREATE STREAM joined WITH (KAFKA_TOPIC = 'joined') AS SELECT v.user_id AS user_id, page, ad_id FROM views v
  JOIN clicks c WITHIN 1 SECOND GRACE PERIOD 10 SECONDS ON v.user_id = c.user_id;
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. seconds since the start; events so far; bytes of memory, of states, of the directory."""

    seconds: float
    events: int
    resident: int
    state_rows: int
    state_bytes: int
    disk: int


def main(arguments: list[str]) -> int:
    """Run, print the samples, and fail if memory grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1, help="of each query")
    parser.add_argument("--json", action="store_true", help="one object per sample and line")
    options = parser.parse_args(arguments)
    samples: list[Sample] = []
    if not options.json:
        print(f"{'s':>6}{'events':>15}{'memory MB':>11}{'state rows':>12}{'state MB':>10}{'disk MB':>9}")

    def take(sample: Sample) -> None:
        samples.append(sample)
        if options.json:
            print(json.dumps(asdict(sample)), flush=True)
            return
        print(
            f"{sample.seconds:6.0f}{sample.events:15,}{sample.resident / 1e6:11.0f}{sample.state_rows:12,}"
            f"{sample.state_bytes / 1e6:10.1f}{sample.disk / 1e6:9.0f}",
            flush=True,
        )

    _run(options.minutes * 60, options.samples, options.threads, take)
    memory, disk = [sample.resident for sample in samples], [sample.disk for sample in samples]
    if not options.json:
        for name, growth, sizes in (
            ("median of memory", _growth(memory, median), memory),
            ("lowest use of the disk", _growth(disk, min), disk),
        ):
            print(
                f"{name} from the second quarter to the last: {growth:+.1%}; "
                f"at most {max(sizes) / 1e6:,.0f} MB"
            )
    is_long = options.minutes * 60_000 >= _MANY_ROUNDS * INTERVAL_MS
    is_flat = _growth(memory, median) <= (_MEMORY_GROWTH_ALLOWED if is_long else _WARMING_ALLOWED)
    return 0 if is_flat and not (is_long and _growth(disk, min) > _DISK_GROWTH_ALLOWED) else 1


def _growth(sizes: list[int], typical: Callable[[list[int]], float]) -> float:
    """What is typical of the last quarter over that of the second one, less one."""
    size = max(1, len(sizes) // 4)
    return typical(sizes[-size:]) / typical(sizes[size : 2 * size] or sizes) - 1


def _run(seconds: float, count: int, threads: int, take: Callable[[Sample], None]) -> None:
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(f"SET 'num.stream.threads' = '{threads}';")
        db.execute(_STATEMENTS)
        _forget_early(db)
        block = _Block()
        begin, sampled, events = time.monotonic(), 0, 0
        while (passed := time.monotonic() - begin) < seconds:
            events += block.append(db)
            while db.queries.lag() > _MOST_LAG:
                time.sleep(0.005)
            if passed >= seconds * (sampled + 1) / (count + 1):
                sampled += 1
                take(_sample(db, passed, events, Path(folder)))


def _forget_early(db: Database) -> None:
    """Topics keep the last megabytes only: it is memory that is looked at, and a disk has an end."""
    for topic in db.log.topics():
        config = db.log.topic_config(topic)
        small = replace(config, segment_bytes=16 * 1024 * 1024)
        if config.cleanup == "delete":
            small = replace(small, retention_bytes=64 * 1024 * 1024)
        db.log.alter_topic(topic, small)


class _Block:
    """The same users and pages again and again, at ever later times, up to two seconds out of order."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self._users = random.integers(0, _USERS, _BLOCK_ROWS)
        names = pa.array([f"/page/{number}" for number in range(_PAGES)])
        self._pages = names.take(pa.array(random.integers(0, _PAGES, _BLOCK_ROWS)))
        self._offsets = np.arange(_BLOCK_ROWS) * 1000 // _VIEWS_PER_SECOND
        self._offsets -= random.integers(0, 2000, _BLOCK_ROWS)
        self._begin_ms = _START_MS

    def append(self, db: Database) -> int:
        times = self._begin_ms + self._offsets
        db.append("views", pa.table({"user_id": self._users, "page": self._pages, "at_ms": times}))
        some = slice(None, None, _VIEWS_PER_CLICK)
        users = self._users[some]
        db.append("clicks", pa.table({"user_id": users, "ad_id": users % 100, "at_ms": times[some] + 200}))
        self._begin_ms += _BLOCK_ROWS * 1000 // _VIEWS_PER_SECOND
        return _BLOCK_ROWS + len(users)


def _sample(db: Database, seconds: float, events: int, folder: Path) -> Sample:
    rows = size = 0
    for runner in db.queries.runners.values():
        with runner.still() as task:
            rows += sum(store.rows for _, store in task.stores())
            size += sum(store.bytes for _, store in task.stores())
    disk = sum(_size(path) for path in folder.rglob("*"))
    return Sample(seconds, events, resident_bytes(), rows, size, disk)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # segments come and go
        return 0

"""The parts of a whole run: which benchmarks, with which arguments, and which of their numbers are judged.

A part is a command that prints one JSON object per line; a new benchmark joins by a row here and, in
docs/performance.md, a pair of marks `<!-- NAME -->` `<!-- /NAME -->` between which its table goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

MORE, LESS = "more is better", "less is better"
RATIO, PER_CPU, TIME = "ratio", "per CPU-second", "time"
"""What a number is: a ratio stands by itself; the others are brought to the speed of the machine first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A number that is compared with the baseline.

    noise  how far it may go, as a factor, before it is called better or worse: measured on a busy machine
    """

    name: str
    better: str
    what: str
    noise: float


@dataclass(frozen=True, slots=True)
class Part:
    """A command and what to do with the objects it prints.

    full, quick  arguments of `python -m benchmarks`
    key          fields that tell the objects apart
    columns      of the table: field -> (heading, format)
    """

    full: str
    quick: str
    key: tuple[str, ...]
    judged: tuple[Judged, ...]
    columns: Mapping[str, tuple[str, str]]


_CLICKSTREAM = {
    "query": ("query", ""),
    "rate": ("events/s", ",.0f"),
    "cpu": ("CPU-s per million", ".3f"),
    "duckdb_rate": ("DuckDB, events/s", ",.0f"),
    "ratio": ("ratio", ".2f"),
    "cpu_ratio": ("ratio by CPU time", ".2f"),
    "is_equal": ("same result", ""),
}
_CLICKSTREAM_JSON = {
    **{field: _CLICKSTREAM[field] for field in ("query", "rate", "cpu")},
    "duckdb_rate": ("from_json, events/s", ",.0f"),
    "reading_ratio": ("reading alone", ".2f"),
    "ratio": ("ratio", ".2f"),
    "cpu_ratio": ("by CPU time", ".2f"),
    "query_rate": ("from_json and query, events/s", ",.0f"),
    "query_ratio": ("ratio", ".2f"),
    "query_cpu_ratio": ("by CPU time", ".2f"),
    "is_equal": ("same result", ""),
}
_RATIO = (Judged("cpu_ratio", MORE, RATIO, 1.3),)

PARTS: Mapping[str, Part] = {
    "clickstream-arrow": Part(
        "clickstream", "clickstream --events 1000000 --rounds 2", ("query",), _RATIO, _CLICKSTREAM
    ),
    "clickstream-json": Part(
        "clickstream --format json --events 500000",
        "clickstream --format json --events 250000 --rounds 2",
        ("query",),
        (*_RATIO, Judged("reading_ratio", MORE, RATIO, 1.3)),
        _CLICKSTREAM_JSON,
    ),
    "nexmark": Part(
        "nexmark",
        "nexmark --events 300000 --rounds 1",
        ("query",),
        (Judged("ratio", MORE, RATIO, 1.5),),
        {
            "query": ("query", ""),
            "says": ("what", ""),
            "rate": ("events per CPU-second", ",.0f"),
            "duckdb_rate": ("DuckDB", ",.0f"),
            "ratio": ("ratio", ".2f"),
            "is_equal": ("same result", ""),
        },
    ),
    "threads": Part(
        "threads",
        "threads --events 1000000 --rounds 2 --query q2 --query q3",
        ("query",),
        (Judged("cpu_ratio", LESS, RATIO, 1.3),),
        {
            "query": ("query", ""),
            "core_rate": ("events/s, one thread on one core", ",.0f"),
            "rate": ("one thread", ",.0f"),
            "threaded_rate": ("two threads", ",.0f"),
            "gain": ("gain", ".2f"),
            "most_gain": ("at most", ".2f"),
            "core_gain": ("over one core", ".2f"),
            "cpu_ratio": ("CPU time, two to one", ".2f"),
            "duckdb_gain": ("DuckDB's gain", ".2f"),
            "is_equal": ("same result", ""),
        },
    ),
    "latency": Part(
        "latency --seconds 30",
        "latency --seconds 4",
        ("way", "rate"),
        (Judged("p50", LESS, TIME, 2.0), Judged("p99", LESS, TIME, 3.0)),
        {
            "way": ("way", ""),
            "rate": ("events/s", ",.0f"),
            "reached": ("reached", ",.0f"),
            "p50": ("p50 ms", ".2f"),
            "p99": ("p99 ms", ".2f"),
            "p999": ("p99.9 ms", ".2f"),
            "worst": ("worst ms", ".2f"),
            "sync": ("longest sync ms", ".2f"),
            "cpu": ("CPU, cores", ".2f"),
        },
    ),
    "idle": Part(
        "idle --seconds 30",
        "idle --seconds 5",
        ("queries",),
        (Judged("cpu", LESS, RATIO, 5.0),),
        {
            "queries": ("persistent queries", ""),
            "cpu": ("share of a core", ".3%"),
            "wakeups": ("wake-ups/s", ".1f"),
        },
    ),
    "start": Part(
        "start",
        "start --rounds 5",
        ("what",),
        (Judged("best", LESS, TIME, 1.5),),
        {"what": ("until", ""), "median": ("s, median", ".3f"), "best": ("s, at best", ".3f")},
    ),
    "restore": Part(
        "restore",
        "restore --rows 2000000 --keys 500000 --rounds 2",
        ("what",),
        (Judged("cpu_rate", MORE, PER_CPU, 1.4),),
        {
            "what": ("changelog", ""),
            "rows": ("records", ",.0f"),
            "rate": ("records/s", ",.0f"),
            "cpu_rate": ("records per CPU-second", ",.0f"),
        },
    ),
    "commit": Part(
        "commit",
        "commit --events 4000000 --rounds 2 --query q1 --query q4",
        ("query",),
        (),
        {
            "query": ("query", ""),
            "events": ("events", ",.0f"),
            "commits": ("commits", ",.0f"),
            "by_cpu": ("cost, of CPU time", ".1%"),
            "by_wall": ("cost, of wall time", ".1%"),
        },
    ),
    "lookup": Part(
        "lookup",
        "lookup --keys 10000,100000 --lookups 500",
        ("keys", "what"),
        (Judged("cpu_rate", MORE, PER_CPU, 1.5),),
        {
            "keys": ("keys in the table", ",.0f"),
            "what": ("way of asking", ""),
            "cpu_rate": ("look-ups per CPU-second", ",.0f"),
            "rate": ("look-ups/s", ",.0f"),
        },
    ),
    "scale": Part(
        "scale",
        "scale --batches 20",
        ("case", "state_rows"),
        (),
        {
            "case": ("operator", ""),
            "state_rows": ("rows of state", ",.0f"),
            "bytes": ("bytes per row", ",.0f"),
            "ms": ("CPU ms per batch of 10,000", ".2f"),
            "output_rows": ("rows out", ",.0f"),
        },
    ),
    "malformed": Part(
        "malformed",
        "malformed --bad 20000 --rounds 2",
        ("format",),
        (Judged("clean_rate", MORE, PER_CPU, 1.4), Judged("ratio", MORE, RATIO, 1.3)),
        {
            "format": ("format", ""),
            "clean_rate": ("clean, records per CPU-second", ",.0f"),
            "mixed_rate": ("mixed", ",.0f"),
            "ratio": ("ratio", ".2f"),
            "is_complete": ("complete", ""),
        },
    ),
    "growth": Part(
        "growth",
        "growth --quick",
        ("axis", "kind", "size"),
        (Judged("rate", MORE, PER_CPU, 1.4), Judged("bytes", LESS, RATIO, 1.3)),
        {
            "axis": ("what grows", ""),
            "kind": ("", ""),
            "size": ("to", ",.0f"),
            "rate": ("events per CPU-second", ",.0f"),
            "bytes": ("bytes per row of state", ",.0f"),
        },
    ),
    "soak": Part(
        "soak --minutes 30 --threads 2",
        "soak --minutes 0.6 --samples 30 --threads 2",
        ("seconds",),
        (),
        {
            "seconds": ("s", ",.0f"),
            "events": ("events", ",.0f"),
            "resident": ("memory, bytes", ",.0f"),
            "state_rows": ("rows of state", ",.0f"),
            "state_bytes": ("state, bytes", ",.0f"),
            "disk": ("disk, bytes", ",.0f"),
        },
    ),
}

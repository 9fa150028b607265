"""Profile: where the time of one query goes: its thread under cProfile, as tables one can read.

    python -m benchmarks profile [--query q1] [--format arrow|json] [--events N] [--save]

The clock is the thread's CPU time: waiting for the disk is not in it. A profiler makes calls of Python
dearer than they are, so shares are what to look at. Time inside DuckDB and Arrow is the own time of the
function that calls them. `--save` writes docs/performance/profile-*.txt.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks import clickstream
from benchmarks.measure import load
from benchmarks.suite import RESULTS
from streamsql.database import connect

_LINES = 25

Call = tuple[str, int, str]
"""A function as pstats names it: file, line, name."""


def main(arguments: list[str]) -> int:
    """Profile the chosen queries and print, or keep, the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile")
    names = [query.name for query in clickstream.QUERIES]
    parser.add_argument("--query", choices=names, action="append")
    parser.add_argument("--format", choices=["arrow", "json"], default="arrow")
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args(arguments)
    for query in clickstream.QUERIES:
        if options.query and query.name not in options.query:
            continue
        text = f"{query.name}: {query.says}\n{options.events:,} events, {options.format.upper()}\n\n"
        text += tables(profiled(query, options.format.upper(), options.events))
        if options.save:
            path = RESULTS.parent / f"profile-{query.name}-{options.format}.txt"
            path.write_text(text)
            print(f"docs/performance/{path.name}")
        else:
            print(text)
    return 0


def profiled(query: clickstream.Query, value_format: str, events: int) -> pstats.Stats:
    """What the query's thread did from its start until all was committed."""
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "data") as db:
        db.execute(clickstream.declarations(query, value_format))
        for name, rows in clickstream.sources(query, events).items():
            load(db, name, rows)
        with _profiling() as profiles:
            db.execute(query.streaming)
            db.wait_idle()
    (profile,) = profiles
    return pstats.Stats(profile)


@contextmanager
def _profiling() -> Iterator[list[cProfile.Profile]]:
    """Profiles of the query threads that begin inside."""
    profiles: list[cProfile.Profile] = []

    def begin(frame: FrameType, event: str, argument: object) -> None:
        sys.setprofile(None)
        if threading.current_thread().name.startswith("query "):
            profiles.append(cProfile.Profile(time.thread_time))
            profiles[-1].enable()

    threading.setprofile(begin)
    try:
        yield profiles
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]


def tables(stats: pstats.Stats) -> str:
    """Operators and other parts by all of their time, then functions by their own."""
    calls = stats.stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in calls.values())
    parts = {call: (count, whole) for call, (_, count, _, whole, _) in calls.items() if _is_part(call)}
    own = {call: (count, time) for call, (_, count, time, _, _) in calls.items()}
    return (
        f"{total:.2f} s of CPU\n\nparts, with all they call\n{_ranked(parts, total)}\n\n"
        f"functions, their own time\n{_ranked(own, total)}\n"
    )


def _is_part(call: Call) -> bool:
    """Whether a function is the whole of an operator, of reading, of a kernel, or of committing."""
    file, _, name = call
    if name == "process":
        return "/operators/" in file
    return name in ("poll", "run_over") or (file.endswith("engine/runner.py") and name.startswith("_commit"))


def _ranked(found: dict[Call, tuple[int, float]], total: float) -> str:
    ranked = sorted(found.items(), key=lambda one: -one[1][1])[:_LINES]
    return "\n".join(
        f"{time / total:7.1%} {time:8.3f} s {count:9,} calls  {_named(call)}"
        for call, (count, time) in ranked
        if time / total >= 0.002
    )


def _named(call: Call) -> str:
    """File and function, without where the file is on this machine."""
    file, _, name = call
    path = Path(file)
    if file == "~":
        return name
    parts = path.parts
    package = max((i for i, part in enumerate(parts) if part in ("site-packages", "streamsql")), default=-1)
    return f"{'/'.join(parts[package + 1 :]) if package >= 0 else path.name}: {name}"

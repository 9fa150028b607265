"""Start: from calling the program to its answer, to its prompt, and to a database opened with its state.

    python -m benchmarks start [--rounds N] [--json]

Aims: a statement is answered within 0.6 s, the prompt is there within 0.8 s. Processes are started anew
each time; the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_PROGRAM = [sys.executable, "-m", "streamsql.repl"]


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds: median and best."""

    what: str
    median: float
    best: float


def main(arguments: list[str]) -> int:
    """Measure each way of starting and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args(arguments)
    for what, run in (
        ("python -c pass", lambda folder: _ended([sys.executable, "-c", "pass"], folder)),
        ("streamsql --version", lambda folder: _ended([*_PROGRAM, "--version"], folder)),
        ("streamsql -e 'SHOW STREAMS;'", lambda folder: _ended([*_PROGRAM, "-e", "SHOW STREAMS;"], folder)),
        ("streamsql, to its prompt", _prompted),
    ):
        with tempfile.TemporaryDirectory() as folder:
            seconds = sorted(run(Path(folder)) for _ in range(options.rounds))
        found = Start(what, statistics.median(seconds), seconds[0])
        if options.json:
            print(json.dumps(asdict(found)), flush=True)
        else:
            print(f"{found.what:32} {found.median:6.3f} s, at best {found.best:.3f}", flush=True)
    return 0


def _ended(command: list[str], folder: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def _prompted(folder: Path) -> float:
    """Until the prompt is on the screen of a terminal."""
    import pexpect

    begin = time.perf_counter()
    shell = pexpect.spawn(_PROGRAM[0], _PROGRAM[1:], cwd=str(folder), env={**os.environ, "TERM": "xterm"})
    try:
        shell.expect("streamsql>")
        return time.perf_counter() - begin
    finally:
        shell.sendeof()
        shell.close(force=True)

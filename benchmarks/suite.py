"""Suite: every part, one after the other, compared with the baseline that is in the repository.

    python -m benchmarks suite [--full] [--part NAME] [--save] [--save-baseline]

What is compared are ratios, never seconds: rates and times are first multiplied with, or divided by, what
a fixed piece of work takes here (machine.yardstick_seconds), so that another machine, or a busy one, is
no change. `--save` keeps the numbers for `python -m benchmarks report`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import described, yardstick_seconds
from benchmarks.parts import LESS, PARTS, PER_CPU, RATIO, Part, Row

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benchmarks" / "baseline.json"
RESULTS = ROOT / "docs" / "performance" / "results.json"


def main(arguments: list[str]) -> int:
    """Run the parts; fail if one of them does, not because something became slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks suite")
    parser.add_argument("--full", action="store_true", help="as for docs/performance.md: over an hour")
    parser.add_argument("--part", choices=list(PARTS), action="append")
    parser.add_argument("--save", action="store_true", help="keep the numbers for the report")
    parser.add_argument("--save-baseline", action="store_true", help="compare with these from now on")
    options = parser.parse_args(arguments)
    failed: list[str] = []
    relative: dict[str, float] = {}
    for name in options.part or PARTS:
        part = PARTS[name]
        command = part.full if options.full else part.quick
        machine, yardstick, begin = described(), yardstick_seconds(), time.monotonic()
        rows, code = run(command)
        yardstick = (yardstick + yardstick_seconds()) / 2
        print(f"{name}: {len(rows)} numbers in {time.monotonic() - begin:.0f} s", flush=True)
        if code:
            failed.append(name)
        relative |= relative_numbers(name, part, rows, yardstick)
        if options.save and rows:
            _save(name, {"command": command, "machine": machine, "rows": rows})
    if options.save_baseline:
        kept = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
        BASELINE.write_text(json.dumps(kept | relative, indent=1, sort_keys=True) + "\n")
    elif BASELINE.exists():
        print(*compared(json.loads(BASELINE.read_text()), relative), sep="\n")
    for name in failed:
        print(
            f"{name} failed: python -m benchmarks {PARTS[name].full if options.full else PARTS[name].quick}"
        )
    return 1 if failed else 0


def run(command: str) -> tuple[list[Row], int]:
    """The objects that a benchmark prints, and its exit code; in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command.split(), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done.returncode


def relative_numbers(name: str, part: Part, rows: Iterable[Row], yardstick: float) -> dict[str, float]:
    """The judged numbers, free of the machine's speed, by 'part/key/number'."""
    found: dict[str, float] = {}
    for row in rows:
        key = " ".join(str(row[field]) for field in part.key if row[field] != "")
        for judged in part.judged:
            value = float(row[judged.name])
            if judged.what == PER_CPU:
                value *= yardstick
            elif judged.what != RATIO:
                value /= yardstick
            if value > 0:
                found[f"{name}/{key}/{judged.name}"] = float(f"{value:.4g}")
    return found


def compared(baseline: Mapping[str, float], relative: Mapping[str, float]) -> list[str]:
    """A line for every number that is better or worse beyond noise, and one that counts all."""
    lines: list[str] = []
    counts = {"better": 0, "worse": 0, "as before": 0}
    for name, value in relative.items():
        if name not in baseline:
            lines.append(f"new        {name} {value:.4g}")
            continue
        part, _, number = name.split("/", 2)[0], *name.rsplit("/", 1)
        judged = next(judged for judged in PARTS[part].judged if judged.name == number)
        factor = value / baseline[name]
        gain = 1 / factor if judged.better == LESS else factor
        verdict = "better" if gain > judged.noise else "worse" if gain < 1 / judged.noise else "as before"
        counts[verdict] += 1
        if verdict != "as before":
            lines.append(f"{verdict:10} {name}: {factor:.2f} times the baseline ({judged.better})")
    lines.append(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + " (beyond noise)")
    return lines


def _save(name: str, found: Mapping[str, Any]) -> None:
    """Put a part's numbers, and what they were measured on, in the place of its earlier ones."""
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[name] = found
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")

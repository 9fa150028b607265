"""python -m benchmarks NAME ..: one benchmark, by its name; each has its own --help.

A benchmark is a module of this folder with `main(arguments) -> exit code`, and a row here.
"""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    "clickstream": "measure",
    "clients": "clients",
    "commit": "commit",
    "growth": "growth",
    "idle": "idle",
    "latency": "latency",
    "lookup": "lookup",
    "malformed": "malformed",
    "nexmark": "nexmark",
    "profile": "profile",
    "report": "report",
    "restore": "restore",
    "soak": "soak",
    "scale": "scale",
    "start": "start",
    "suite": "suite",
    "threads": "threads",
}


def main(arguments: list[str]) -> int:
    """Hand the arguments to the benchmark that the first one names."""
    if not arguments or arguments[0] not in BENCHMARKS:
        print(f"usage: python -m benchmarks {{{','.join(BENCHMARKS)}}} ..", file=sys.stderr)
        return 2
    name, *rest = arguments
    code: int = import_module(f"benchmarks.{BENCHMARKS[name]}").main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""python -m benchmarks NAME ..: one benchmark, by its name; each has its own --help.

A benchmark is a module of this folder with `main(arguments) -> exit code`, and a row here.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

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


def _help() -> str:
    """Every benchmark, with what the first line of its module says of it."""
    lines = ["usage: python -m benchmarks NAME ..   (NAME --help for its options)", ""]
    for name, module in BENCHMARKS.items():
        text = ast.get_docstring(ast.parse(Path(__file__).with_name(f"{module}.py").read_text())) or ""
        # The first line says "Name: what it measures."
        lines.append(f"  {name:12} {text.splitlines()[0].split(': ', 1)[-1].rstrip('.')}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Hand the arguments to the benchmark that the first one names."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(_help())
        return 0
    if not arguments or arguments[0] not in BENCHMARKS:
        print(_help(), file=sys.stderr)
        return 2
    name, *rest = arguments
    code: int = import_module(f"benchmarks.{BENCHMARKS[name]}").main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

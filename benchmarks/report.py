"""Report: the tables and plots of docs/performance.md, written anew from the numbers that were saved.

    python -m benchmarks suite --full --save && python -m benchmarks report

A table goes between the marks `<!-- NAME -->` and `<!-- /NAME -->` of its part; plots become files in
docs/performance/. Everything else in the document is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.parts import PARTS, Part, Row
from benchmarks.suite import RESULTS, ROOT
from benchmarks.svg import Line, chart

DOCUMENT = ROOT / "docs" / "performance.md"


def main(arguments: list[str]) -> int:
    """Write the tables and plots of every part that has numbers."""
    argparse.ArgumentParser(prog="python -m benchmarks report").parse_args(arguments)
    results: Mapping[str, Any] = json.loads(RESULTS.read_text())
    text = DOCUMENT.read_text()
    for name, result in results.items():
        if name in PARTS:
            text = filled(text, name, table(PARTS[name], result))
            for file, drawn in plots(name, result["rows"]):
                (RESULTS.parent / file).write_text(drawn)
                print(f"docs/performance/{file}")
    DOCUMENT.write_text(text)
    print("docs/performance.md")
    return 0


def filled(text: str, name: str, between: str) -> str:
    """The text with what stands between the marks of a name replaced; unchanged if it has none."""
    marks = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    return marks.sub(lambda found: found[1] + between + found[2], text)


def table(part: Part, result: Mapping[str, Any]) -> str:
    """The numbers of a part in Markdown, with the command and the machine they come from."""
    machine = " · ".join(f"{what} {said}" for what, said in result["machine"].items())
    headings = [heading for heading, _ in part.columns.values()]
    lines = [f"`python -m benchmarks {result['command']}`, {machine}", "", _cells(headings)]
    lines.append(_cells("---" if not shape else "--:" for _, shape in part.columns.values()))
    for row in result["rows"]:
        lines.append(_cells(_shown(row.get(field, ""), shape) for field, (_, shape) in part.columns.items()))
    return "\n".join(lines) + "\n"


def _cells(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _shown(value: Any, shape: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float | int) and shape:
        return format(value, shape) if value else ""
    return str(value)


def plots(name: str, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """File name and SVG of each plot that a part has."""
    if name == "growth":
        return [
            (f"growth-{axis}.svg", _growth(axis, [row for row in rows if row["axis"] == axis]))
            for axis in dict.fromkeys(row["axis"] for row in rows)
        ]
    if name == "latency":
        return [("latency.svg", _latency(rows))]
    if name == "soak":
        return [("soak.svg", _soak(rows))]
    return []


Points = Sequence[tuple[float, float]]
"""Sizes and rates, events per CPU-second."""
Theory = Callable[[Points, Mapping[str, Points]], Points]
"""What rates should be, by the first one that was measured; and by those of other kinds."""


def _flat(measured: Points, others: Mapping[str, Points]) -> Points:
    return [(size, measured[0][1]) for size, _ in measured]


def _inverse(measured: Points, others: Mapping[str, Points]) -> Points:
    first, rate = measured[0]
    return [(size, rate * first / size) for size, _ in measured]


def _decoded_once(measured: Points, others: Mapping[str, Points]) -> Points:
    """A query costs what one over ARROW does, and decoding what the first one over JSON costs more."""
    query = 1 / others["ARROW"][0][1]
    decoding = 1 / measured[0][1] - query
    return [(size, 1 / (decoding + size * query)) for size, _ in measured]


_AXES: Mapping[str, tuple[str, str, Mapping[str, Theory]]] = {
    "keys": (
        "A running count and sum, by the keys in its state",
        "keys, of which 10,000 or all are touched",
        {"10,000": _flat, "all": _flat},
    ),
    "window": (
        "A tumbling count, by the length of its window",
        "seconds, with so many events to a key and window",
        {"100 events": _flat, "1 event": _flat},
    ),
    "buffer": ("A stream-stream join, by the rows it keeps of a side", "rows", {"": _flat}),
    "partitions": (
        "By partitions read or written",
        "partitions",
        {"read": _flat, "read in order": _flat, "written": _flat},
    ),
    "queries": ("Queries over one topic", "queries", {"JSON": _decoded_once, "ARROW": _inverse}),
    "columns": ("A sum of two columns, by columns there are", "columns", {"JSON": _inverse, "ARROW": _flat}),
}


def _growth(axis: str, rows: Sequence[Row]) -> str:
    title, x_label, theories = _AXES[axis]
    lines: list[Line] = []
    measured = {
        kind: [(float(row["size"]), float(row["rate"])) for row in rows if row["kind"] == kind]
        for kind in theories
    }
    for kind, points in measured.items():
        if not points:
            continue
        name = kind or "measured"
        lines.append(Line(name, points))
        lines.append(Line(f"{name}: theory", theories[kind](points, measured), is_theory=True))
    return chart(title, x_label, "events per CPU-second", lines, log_y=True)


def _latency(rows: Sequence[Row]) -> str:
    lines = [
        Line(f"{way} {what}", [(float(row["rate"]), float(row[field])) for row in rows if row["way"] == way])
        for way in dict.fromkeys(row["way"] for row in rows)
        for field, what in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))
    ]
    return chart("From due to seen", "events per second", "ms", lines)


def _soak(rows: Sequence[Row]) -> str:
    memory = Line("memory", [(float(row["seconds"]), row["resident"] / 1e6) for row in rows])
    state = Line("state", [(float(row["seconds"]), row["state_bytes"] / 1e6) for row in rows])
    return chart("Memory at full speed, windows expiring", "seconds", "MB", [memory, state], log_x=False)

"""`streamsql load`: files into a topic."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from streamsql.repl.opening import open_database
from streamsql.repl.progress import ProgressLine, bar, bytes_text, rate_text
from streamsql.repl.render import duration_text
from streamsql.repl.text import safe
from streamsql.result import counted

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsql.connectors.files import Progress


def load(arguments: Namespace) -> int:
    """Load, then say how much it was, how fast, and what to type next."""
    from streamsql.connectors import files
    from streamsql.connectors.declare import for_topic

    line = ProgressLine(sys.stderr)
    started = time.perf_counter()
    rows = 0

    def show(progress: Progress) -> None:
        nonlocal rows
        rows = progress.rows
        rate = rate_text(progress.rows, time.perf_counter() - started, "rows")
        share = bar(progress.bytes, progress.total_bytes, line.terminal) if progress.total_bytes else ""
        line.update(f"{progress.file} {share} {progress.rows:,} rows · {rate}")

    with open_database(arguments) as db:
        with line.over(lambda: f"{counted(rows, 'record')} loaded"):
            report = files.load(
                db,
                arguments.topic,
                arguments.files,
                arguments.format,
                resume=arguments.resume,
                on_progress=show,
            )
        declaration = for_topic(db, arguments.topic, arguments.format)
    files_text = counted(len(arguments.files), "file")
    speed = rate_text(report.rows, report.seconds, "rows")
    if report.bytes:
        speed += f" · {bytes_text(report.bytes / max(report.seconds, 1e-9))}/s"
    topic = safe(arguments.topic)
    print(
        f"{counted(report.rows, 'record')} from {files_text} into topic {topic} "
        f"in {duration_text(report.seconds)} · {speed}"
    )
    if report.rows_before:
        print(f"loaded before: {counted(report.rows_before, 'record')}")
    if declaration is not None:
        print(f"No stream reads topic {topic} yet. To query it:\n\n  {safe(declaration)}\n")
    return 0

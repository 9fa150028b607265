"""`streamsql check`: what the files of a database hold, and what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamsql.repl.app import DONE, FAILED
from streamsql.repl.opening import printer
from streamsql.repl.progress import ProgressLine, bar
from streamsql.repl.text import safe

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsql.engine.log.check import Finding, Report
    from streamsql.result import Result


def check(arguments: Namespace) -> int:
    """Look through a database, say what was found, and repair it if asked to.

    gives  0 if nothing is damaged, or everything could be repaired, else 1
    """
    from streamsql.engine.log import check as log_check
    from streamsql.engine.log.repair import backup_path, repair

    root = Path(arguments.directory or arguments.data)
    show = printer(arguments.output, sys.stdout, sys.stderr)
    line = ProgressLine(sys.stderr)

    def progress(done: int, total: int) -> None:
        line.update(f"checking {bar(done, total, line.terminal)}")

    def looked_through() -> Report:
        try:
            return log_check.check(root, progress)
        finally:
            line.clear()

    report = looked_through()
    show.show(_topics(report))
    if report.findings:
        show.show(_findings(report.findings))
    if not report.damage:
        print(f"{safe(str(root))}: no damage", file=sys.stderr)
        return DONE
    print(f"{safe(str(root))}: {_count(report.damage)} of damage", file=sys.stderr)
    if not arguments.repair:
        hint = f"streamsql check {root} --repair copies the database, then takes out what is damaged"
        print(safe(hint), file=sys.stderr)
        return FAILED
    backup = Path(arguments.backup) if arguments.backup else backup_path(root)
    done = repair(root, report, backup, progress)
    line.clear()
    print(f"the database as it was is in {safe(str(backup))}", file=sys.stderr)
    show.show(_repairs(done))
    left = looked_through().damage
    if left:
        show.show(_findings(left))
        print(f"{safe(str(root))}: {_count(left)} of damage left", file=sys.stderr)
    else:
        print(f"{safe(str(root))}: repaired", file=sys.stderr)
    return FAILED if left else DONE


def _count(findings: Sequence[Finding]) -> str:
    return f"{len(findings):,} {'place' if len(findings) == 1 else 'places'}"


def _topics(report: Report) -> Result:
    """A row per topic: what was looked at."""
    from streamsql.result import rows
    from streamsql.schema import Column
    from streamsql.types import BIGINT, VARCHAR

    names = ("PARTITIONS", "SEGMENTS", "FRAMES", "RECORDS", "BYTES", "DAMAGE")
    listed = []
    for topic in report.topics:
        parts = [part for part in report.partitions if part.files.name == topic.name]
        scans = [scan for part in parts for scan in part.scans]
        damage = sum(finding.topic == topic.name for finding in report.damage)
        frames = sum(len(scan.good) for scan in scans)
        sizes = (sum(scan.rows for scan in scans), sum(scan.size for scan in scans))
        listed.append((topic.name, len(parts), len(scans), frames, *sizes, damage))
    return rows([Column("TOPIC", VARCHAR), *(Column(name, BIGINT) for name in names)], listed)


def _findings(findings: Sequence[Finding]) -> Result:
    """A row per finding."""
    from streamsql.result import rows
    from streamsql.schema import Column
    from streamsql.types import BIGINT, INTEGER, VARCHAR

    columns = [
        *(Column(name, VARCHAR) for name in ("KIND", "TOPIC")),
        Column("PARTITION", INTEGER),
        *(Column(name, BIGINT) for name in ("FIRST_OFFSET", "END_OFFSET")),
        Column("FILE", VARCHAR),
        Column("BYTE", BIGINT),
        Column("FOUND", VARCHAR),
    ]
    listed = []
    for one in findings:
        kind = "damage" if one.is_damage else "note"
        offsets = one.offsets or (None, None)
        listed.append((kind, one.topic, one.partition, *offsets, one.file, one.position, one.says))
    return rows(columns, listed)


def _repairs(done: Sequence[Finding]) -> Result:
    """A row per thing that was done."""
    from streamsql.result import rows
    from streamsql.schema import Column
    from streamsql.types import VARCHAR

    columns = [Column("FILE", VARCHAR), Column("DONE", VARCHAR)]
    return rows(columns, [(one.file, one.says) for one in done])

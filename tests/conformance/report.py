"""Outcomes as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.conformance.differences import DIFFERENCES
from tests.conformance.outcome import DIFFERS, FAILED, PASSED, UNSUPPORTED, Outcome

STATUSES = (PASSED, FAILED, UNSUPPORTED, DIFFERS)


def judged(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes with chosen differences marked: such a case neither passes nor fails."""
    return [
        Outcome(o.id, o.file, DIFFERS, DIFFERENCES[o.id], o.is_negative) if o.id in DIFFERENCES else o
        for o in outcomes
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts per file and in all."""
    lines = [f"{'file':<52}{'passed':>8}{'failed':>8}{'unsupp.':>9}{'differs':>9}{'total':>7}"]
    for name in sorted({o.file for o in outcomes}):
        lines.append(_row(name, [o for o in outcomes if o.file == name]))
    lines.append("")
    lines.append(_row("positive cases", [o for o in outcomes if not o.is_negative]))
    negative = [o for o in outcomes if o.is_negative]
    lines.append(_row("negative cases", negative))
    lines.append(_row("all", outcomes))
    strictly = sum(o.strict for o in negative if o.status == PASSED)
    passed = sum(o.status == PASSED for o in negative)
    lines.append(f"messages that match strictly: {strictly} of {passed} passed negative cases")
    other_order = sum(o.order for o in outcomes)
    lines.append(f"queries that gave the right rows in another order: {other_order}")
    return "\n".join(lines)


def failures(outcomes: Iterable[Outcome]) -> str:
    """Every case that failed or is not supported, with its reason."""
    lines = [
        f"{o.status:<12}{o.id}\n            {o.reason}" for o in outcomes if o.status in (FAILED, UNSUPPORTED)
    ]
    return "\n".join(lines)


def write_json(outcomes: Sequence[Outcome], path: Path) -> None:
    counts = Counter(o.status for o in outcomes)
    data = {
        **{status: counts[status] for status in STATUSES},
        "total": len(outcomes),
        "cases": {o.id: o.status for o in outcomes},
        "reasons": {o.id: o.reason for o in outcomes if o.reason},
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    counts = Counter(o.status for o in outcomes)
    return (
        f"{name:<52}{counts[PASSED]:>8}{counts[FAILED]:>8}{counts[UNSUPPORTED]:>9}{counts[DIFFERS]:>9}"
        f"{len(outcomes):>7}"
    )

"""The command: python -m tests.conformance CORPUS.jsonl .. [--strict] [--filter TEXT] ..

Exit code 1 if --passing names a case that does not pass any more, else 0: how many cases pass is a
matter of progress, not of success.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.conformance.corpus import lines
from tests.conformance.outcome import PASSED, Outcome
from tests.conformance.pool import run_all
from tests.conformance.report import failures, judged, table, write_json


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    cases = list(lines(options.corpus, options.filter))
    started = time.monotonic()
    outcomes: list[Outcome] = []
    for outcome in run_all(cases, jobs=options.jobs, limit_s=options.limit, strict=options.strict):
        outcomes.append(outcome)
        if sys.stderr.isatty():
            print(f"\r{len(outcomes)} of {len(cases)}", end="", file=sys.stderr, flush=True)
    order = {case_id: place for place, (case_id, _) in enumerate(cases)}
    outcomes = sorted(judged(outcomes), key=lambda o: order[o.id])
    if options.reasons:
        print(failures(outcomes))
    print(table(outcomes))
    print(f"{len(outcomes)} cases in {time.monotonic() - started:.0f} s")
    if options.json is not None:
        write_json(outcomes, options.json)
    if options.passing is not None:
        return _check_passing(outcomes, options.passing, update=options.update)
    return 0


def _check_passing(outcomes: list[Outcome], path: Path, *, update: bool) -> int:
    """1 if a case that was run and is on the list does not pass."""
    passed = {o.id for o in outcomes if o.status == PASSED}
    known = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()
    lost = sorted((known & {o.id for o in outcomes}) - passed)
    if update:
        # Cases that were not run this time stay as they were.
        kept = (known - {o.id for o in outcomes}) | passed
        path.write_text("".join(f"{case_id}\n" for case_id in sorted(kept)), encoding="utf-8")
        print(f"{path}: {len(kept)} cases, {len(kept - known)} new, {len(known - kept)} gone")
        return 0
    for case_id in lost:
        print(f"does not pass any more: {case_id}")
    new = len(passed - known)
    print(f"{path}: {len(lost)} of {len(known)} cases lost" + (f"; {new} more pass: --update" if new else ""))
    return 1 if lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("corpus", nargs="+", type=Path, help="files with one case a line")
    parser.add_argument("--strict", action="store_true", help="compare messages and spelling of numbers too")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only cases whose id holds TEXT")
    parser.add_argument("--reasons", action="store_true", help="why each case did not pass")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the outcomes as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a case may take")
    parser.add_argument("--passing", type=Path, metavar="FILE", help="ids that must pass")
    parser.add_argument("--update", action="store_true", help="rewrite FILE with what passes now")
    return parser


if __name__ == "__main__":
    sys.exit(main())

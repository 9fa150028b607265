"""python -m tests.crash [--times N] [--seed S]: N kills; exit code 1 if anything was lost, doubled or wrong."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash import campaign

_KILLS_PER_CAMPAIGN = 20


def main() -> int:
    """Run campaigns until there were as many kills as asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=sys.modules[__name__].__doc__)
    parser.add_argument("--times", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=1, help="of the first campaign; the next has the next")
    parser.add_argument("--keep", type=Path, help="where to work; what is there is kept")
    options = parser.parse_args()
    root = options.keep or Path(tempfile.mkdtemp(prefix="crash-"))
    started = time.monotonic()
    kills: Counter[str] = Counter()
    records = seed = 0

    def report(tally: campaign.Tally) -> None:
        done = sum(kills.values()) + tally.killed
        line = f"{done} of {options.times} kills, seed {seed}, {time.monotonic() - started:.0f} s"
        print(
            f"\r{line}   " if sys.stderr.isatty() else line,
            end="" if sys.stderr.isatty() else "\n",
            file=sys.stderr,
        )

    for number in range(-(-options.times // _KILLS_PER_CAMPAIGN)):
        seed = options.seed + number
        left = min(_KILLS_PER_CAMPAIGN, options.times - sum(kills.values()))
        directory = root / str(seed)
        try:
            tally = campaign.run(directory, seed, left, report=report)
        except campaign.Broken as broken:
            print(f"\n{broken}")
            return 1
        kills.update(tally.kills)
        records += tally.records
        if options.keep is None:
            shutil.rmtree(directory)
    print(f"\n{sum(kills.values())} kills, {records} records: all is there, and once")
    for point, count in sorted(kills.items()):
        print(f"  {count:4} {point or 'at a random moment'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A tour in half a minute: `python -m streamsql.repl.demo`.

Made-up page views stream into a fresh directory, the persistent queries of examples/clickstream keep
their tables, the ten most seen pages are drawn while they change; then a pull query.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamsql.errors import ExternalError, StreamSQLError
from streamsql.repl.activity import activity
from streamsql.repl.app import DONE, FAILED, INTERRUPTED, fault, leave, report
from streamsql.repl.interactive import read_script
from streamsql.repl.progress import blocks, rate_text
from streamsql.repl.render import TablePrinter, duration_text
from streamsql.repl.terminal import BOLD, CYAN, DIM, Terminal, terminal_of
from streamsql.repl.text import fit, pad

if TYPE_CHECKING:
    from streamsql.database import Database

_DATA = ".demo-data"
_TOP = "SELECT page, views FROM pages ORDER BY views DESC LIMIT 10;"
_PULL = """\
SELECT p.page, p.views, p.errors, 100 * p.errors / p.views AS percent_bad
  FROM pages p
  WHERE p.views > 100
  ORDER BY percent_bad DESC, p.views DESC
  LIMIT 5;"""
_BAR_CELLS = 30


def main(arguments: list[str] | None = None) -> int:
    """Run the tour; 0 at its end, 130 after Ctrl-C, 1 after an error."""
    parser = argparse.ArgumentParser(prog="python -m streamsql.repl.demo", description=__doc__)
    parser.add_argument("--data", default=_DATA, help="a directory that is not there yet")
    parser.add_argument("--seconds", type=float, help="how long clicks come (20; 5 without a terminal)")
    parser.add_argument("--rate", type=float, default=20_000, help="clicks per second")
    given = parser.parse_args(arguments)
    try:
        _tour(given.data, given.seconds, given.rate)
    except StreamSQLError as error:
        report(error)
        return FAILED
    except KeyboardInterrupt:
        print()
        return INTERRUPTED
    except Exception as error:  # As at the command line: one message, and a status.
        report(fault(error))
        return FAILED
    return DONE


def _tour(data: str, seconds: float | None, rate: float) -> None:
    import streamsql

    terminal = terminal_of(sys.stdout)
    if seconds is None:
        seconds = 20.0 if terminal.is_screen else 5.0
    _make_room(data)
    with streamsql.connect(data) as db:
        for script in _scripts():
            print(terminal.paint(f"-- {script.name}", DIM))
            text = read_script(str(script))
            print(_sql_only(text))
            db.execute(text)
        print(f"\n{rate:,.0f} clicks per second for {seconds:.0f} seconds:\n")
        with _clicks(db, rate, int(rate * seconds)) as clicking:
            show = _draw if terminal.is_screen else _tell
            show(db, clicking, terminal)
        db.wait_idle(30)
        print("\nA pull query, answered once by DuckDB from the tables as they are now:\n")
        print(_indented(_PULL) + "\n")
        with db.execute(_PULL) as result:
            TablePrinter(sys.stdout, terminal, has_timing=True).show(result)
    print(
        f"\nThe data is in {data}. To go on from here:\n\n"
        f"  streamsql --data {data}\n"
        "  streamsql> SELECT * FROM pages_per_10s WHERE page = '/page/0';\n"
        "  streamsql> SELECT browser, COUNT(*) AS n FROM problems GROUP BY browser EMIT CHANGES LIMIT 8;\n"
    )


def _make_room(data: str) -> None:
    """An empty place for the data: what an earlier tour left is removed, anything else is not."""
    path = Path(data)
    if not path.exists():
        return
    if data != _DATA:
        raise ExternalError(f"{data} is there already", code="DEMO-DATA", hint="name a new directory")
    shutil.rmtree(path)


def _scripts() -> list[Path]:
    folder = Path(__file__).resolve().parents[1] / "examples" / "clickstream"
    found = sorted(folder.glob("*.sql"))
    if not found:
        raise ExternalError(
            f"there are no examples in {folder}", code="DEMO-EXAMPLES", hint="run it from the source tree"
        )
    return found


@contextmanager
def _clicks(db: Database, rate: float, rows: int) -> Iterator[threading.Thread]:
    """Clicks that come in from another thread, until they are done or the context ends."""
    from streamsql.connectors import generate

    template = generate.template("clickstream")
    is_over = threading.Event()

    def click() -> None:
        writer = db.topic_writer("clicks")
        try:
            made = generate.paced(template, rows, rate, db.clock, wait=is_over.wait)
            for piece in made:
                if is_over.is_set():
                    return
                generate.send(iter([piece]), writer)
        finally:
            writer.close()

    thread = threading.Thread(target=click, name="clicks")
    thread.start()
    try:
        yield thread
    finally:
        is_over.set()
        thread.join()


def _draw(db: Database, clicking: threading.Thread, terminal: Terminal) -> None:
    """The ten most seen pages, drawn over themselves until no more clicks come."""
    sys.stdout.write("\x1b[?25l")
    drawn = 0
    started = time.perf_counter()
    try:
        while True:
            is_last = not clicking.is_alive()
            lines = _picture(db, terminal, started)
            if drawn:
                sys.stdout.write(f"\x1b[{drawn}A")
            sys.stdout.write("".join(f"\r{line}\x1b[K\n" for line in lines))
            sys.stdout.flush()
            drawn = len(lines)
            if is_last:
                return
            clicking.join(0.25)
    finally:
        sys.stdout.write("\x1b[?25h")
        sys.stdout.flush()


def _picture(db: Database, terminal: Terminal, started: float) -> list[str]:
    asked = time.perf_counter()
    top = db.execute(_TOP).fetchall()
    answered = time.perf_counter()
    read = db.log.end_offset("clicks", 0)
    most = top[0][1] if top else 1
    lines = []
    for page, views in top + [("", 0)] * (10 - len(top)):
        bar = terminal.paint(blocks(views / most, terminal, _BAR_CELLS), CYAN) if views else ""
        label = pad(fit(page, 12), 12)
        lines.append(f"  {terminal.paint(label, BOLD)} {views:>10,}  {bar}" if page else "")
    rate = rate_text(read, answered - started, "clicks")
    answer = duration_text(answered - asked)
    footer = f"  {read:,} clicks · {rate} · {activity(db)} · this answer took {answer}"
    return [*lines, "", terminal.paint(fit(footer, (terminal.width or 80) - 1), DIM)]


def _tell(db: Database, clicking: threading.Thread, terminal: Terminal) -> None:
    """The same as plain lines."""
    while clicking.is_alive():
        clicking.join(1.0)
        top = db.execute(_TOP).fetchall()
        pages = ", ".join(f"{page} {views:,}" for page, views in top[:3])
        print(f"  {db.log.end_offset('clicks', 0):,} clicks · {pages}", flush=True)


def _sql_only(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("--")]
    return _indented("\n".join(lines))


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


if __name__ == "__main__":
    leave(main())

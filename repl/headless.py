"""`streamsql run`: the persistent queries of a file, with nobody watching."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from streamsql.errors import PlanError, Span, StreamSQLError
from streamsql.repl.activity import Activity, activity
from streamsql.repl.app import FAILED, INTERRUPTED, report
from streamsql.repl.interactive import read_script
from streamsql.repl.opening import open_database, printer
from streamsql.repl.progress import ProgressLine, bar, rate_text
from streamsql.repl.text import safe

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsql.database import Database
    from streamsql.grammar import ast
    from streamsql.repl.records import Printer

_POLL_SECONDS = 0.2


def run(arguments: Namespace) -> int:
    """Apply the file, then wait: for a signal, for all queries to fail, or (--until-idle) for the end.

    gives  0 after SIGTERM or when idle, 130 after Ctrl-C, 1 if a query has failed
    """
    text = read_script(arguments.file)
    with open_database(arguments) as db, _ending() as ending:
        try:
            apply(db, text, printer(arguments.output, sys.stdout, sys.stderr), sys.stderr)
        except StreamSQLError:
            sys.stderr.write(f"in {safe(arguments.file)}:\n")
            raise
        if arguments.until_idle:
            return _until_idle(db, ending)
        return _until_ended(db, ending, arguments.interval)


def apply(db: Database, text: str, show: Printer, notes: TextIO) -> None:
    """Run the statements of a file, leaving out those that an earlier run has applied with the same text.

    raises  StreamSQLError; a syntax error anywhere means that nothing is done
    """
    from streamsql.grammar import ast
    from streamsql.grammar.parser import parse
    from streamsql.grammar.statements import split
    from streamsql.grammar.variables import substitute

    if "${" not in text:
        parse(text)
    for piece, start in split(text):
        try:
            for statement in parse(substitute(piece, db.variables)):
                name = _applied(db, statement)
                if name is not None:
                    notes.write(f"{safe(name)} is there already: left as it is\n")
                    continue
                if isinstance(statement, ast.QueryStatement) and statement.query.emit is not None:
                    raise PlanError(
                        "a push query has no end, and nobody to read it here",
                        code="RUN-PUSH-QUERY",
                        span=statement.span,
                        hint="run it in the shell, or with streamsql -e; CREATE TABLE .. AS keeps its rows",
                    )
                for result in db.run(piece):
                    with result:
                        show.show(result)
        except StreamSQLError as error:
            _place_in_file(error, piece, text, start)
            raise


def _applied(db: Database, statement: ast.Statement) -> str | None:
    """What an earlier run has made of this very statement, or None if it has made nothing of it."""
    from streamsql.grammar import ast
    from streamsql.grammar.printer import to_sql
    from streamsql.plan.type_names import resolve_type

    sql = to_sql(statement)
    match statement:
        case ast.CreateSource() | ast.CreateAsSelect():
            found = db.catalog.sources.get(statement.name)
            if found is not None:
                query = db.catalog.queries.get(found.query_id or "")
                if sql == (query.sql if query is not None else found.sql):
                    return found.title
        case ast.InsertSelect():
            return next((f"query {q.id}" for q in db.catalog.queries.values() if q.sql == sql), None)
        case ast.CreateType():
            known = db.catalog.types.get(statement.name)
            if known is not None and known == resolve_type(statement.type, db.catalog.type):
                return f"type {statement.name}"
    return None


def _place_in_file(error: StreamSQLError, piece: str, text: str, start: int) -> None:
    """Tell the error of a piece where in the whole file it is."""
    if error.span is not None and error.source in (None, piece):
        error.span = Span(error.span.start + start, error.span.end + start)
        error.source = text


@dataclass(slots=True)
class _Ending:
    """Whether the process was told to end, and the exit status that goes with it."""

    is_due: bool = False
    code: int = 0


@contextmanager
def _ending() -> Iterator[_Ending]:
    """SIGINT and SIGTERM leave a note instead of raising somewhere in the middle.

    A note and no threading.Event: a handler that runs while its own thread is inside Event.wait would
    wait for itself.
    """
    ending = _Ending()

    def handle(number: int, frame: FrameType | None) -> None:
        if ending.is_due and number == signal.SIGINT:
            raise KeyboardInterrupt
        ending.code = INTERRUPTED if number == signal.SIGINT else 0
        ending.is_due = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _until_idle(db: Database, ending: _Ending) -> int:
    """Wait until everything is processed and committed."""
    line = ProgressLine(sys.stderr)
    total = activity(db).lag
    try:
        while not ending.is_due:
            if db.wait_idle(_POLL_SECONDS):
                break
            now = activity(db)
            total = max(total, now.lag)
            line.update(f"catching up {bar(total - now.lag, total, line.terminal)} · {now}")
    finally:
        line.clear()
    if ending.is_due:
        return ending.code
    _say(activity(db))
    return 0


def _until_ended(db: Database, ending: _Ending, interval: float) -> int:
    """Say how things go until a signal comes or nothing runs any more."""
    reported: set[str] = set()
    last, last_time = activity(db), time.monotonic()
    _say(last)
    while not ending.is_due:
        time.sleep(_POLL_SECONDS)
        now = activity(db)
        for query in now.failed.keys() - reported:
            sys.stderr.write(f"query {query} has stopped:\n")
            report(now.failed[query])
            reported.add(query)
        if now.failed and not now.running and not now.paused:
            return FAILED
        elapsed = time.monotonic() - last_time
        if elapsed >= interval:
            _say(now, rate_text(now.read - last.read, elapsed, "records"))
            last, last_time = now, time.monotonic()
    return FAILED if activity(db).failed and not ending.code else ending.code


def _say(now: Activity, rate: str = "") -> None:
    clock = datetime.now().astimezone().strftime("%H:%M:%S")
    print(" · ".join(filter(None, (f"{clock} {now}", f"{now.read:,} records read", rate))), flush=True)

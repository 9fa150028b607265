"""`streamsql`, `streamsql -e` and `streamsql -f`: statements in, results out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from streamsql.errors import ExternalError, StreamSQLError
from streamsql.repl.interrupts import on_interrupt
from streamsql.repl.opening import open_database, printer
from streamsql.repl.text import safe

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsql.database import Database
    from streamsql.repl.records import Printer
    from streamsql.result import Result


def interact(arguments: Namespace) -> int:
    """Run what -e and -f give, or else read statements from a person or a pipe."""
    if arguments.sources:
        texts = [_text(kind, value) for kind, value in arguments.sources]
        with open_database(arguments) as db:
            show = printer(arguments.output, sys.stdout, sys.stderr)
            for (kind, value), text in zip(arguments.sources, texts, strict=True):
                try:
                    run_text(db, text, show)
                except StreamSQLError:
                    if kind == "file":
                        sys.stderr.write(f"in {safe(value)}:\n")
                    raise
        return 0
    if sys.stdin.isatty() and sys.stdout.isatty():
        from streamsql.repl.loop import Shell

        with open_database(arguments) as db:
            return Shell(db, arguments.data, arguments.output).run()
    with open_database(arguments) as db:
        return run_stream(db, sys.stdin, printer(arguments.output, sys.stdout, sys.stderr))


def run_text(db: Database, text: str, show: Printer) -> None:
    """Run all statements of a text and print their results.

    raises  StreamSQLError of the first that fails; those before it are done
            KeyboardInterrupt after Ctrl-C; of a push query it is then said how it went
    """
    for result in db.run(text):
        with result:
            if result.kind == "CHANGES":
                _follow(result, show)
            else:
                show.show(result)


def _follow(result: Result, show: Printer) -> None:
    """Show a push query up to its LIMIT, or to Ctrl-C."""
    is_interrupted = False

    def end() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # the terminal has written ^C, and what comes next begins a line
        result.close()

    with on_interrupt(end):
        show.show(result)
    if is_interrupted:
        sys.stderr.write("ended by Ctrl-C\n")
        raise KeyboardInterrupt


def run_stream(db: Database, lines: TextIO, show: Printer) -> int:
    """Run statements as they come in, each as soon as its ';' is there; stops at the first error."""
    from streamsql.grammar.statements import is_complete

    pending = ""
    for line in lines:
        pending += line
        if ";" in line and is_complete(pending):
            run_text(db, pending, show)
            pending = ""
    if pending.strip():
        run_text(db, pending, show)
    return 0


def _text(kind: str, value: str) -> str:
    """The SQL of one -e (a missing last ';' is no matter there) or -f."""
    if kind == "sql":
        from streamsql.grammar.statements import is_complete

        if is_complete(value) or not value.strip():
            return value
        # A last line that is a comment would swallow the sign.
        return value.rstrip() + ";" if is_complete(value.rstrip() + ";") else value + "\n;"
    return read_script(value)


def read_script(path: str) -> str:
    """The text of a file of statements; '-' is standard input.

    raises  ExternalError SCRIPT-FILE
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ExternalError(
            f"{path} cannot be read: {error.strerror or error}", code="SCRIPT-FILE"
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ExternalError(f"{path} is not UTF-8 text: see line {line}", code="SCRIPT-FILE") from error

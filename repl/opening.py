"""Opening the database that the command line asks for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from streamsql.errors import ExternalError
from streamsql.repl.arguments import MEMORY
from streamsql.repl.progress import ProgressLine, bar

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsql.database import Database
    from streamsql.repl.records import Printer


def open_database(arguments: Namespace) -> Database:
    """The database in --data with the settings and functions of the command line.

    raises  ExternalError if another process holds it, or a file with functions cannot be used
    """
    from streamsql.database import connect

    line = ProgressLine(sys.stderr)

    def show(what: str, done: int, total: int) -> None:
        line.update(f"{what} {bar(done, total, line.terminal)}")

    try:
        return connect(
            None if arguments.data == MEMORY else arguments.data,
            settings=dict(arguments.settings or ()),
            udfs=[function for path in arguments.udf or () for function in functions_of(path)],
            progress=show,
        )
    finally:
        line.clear()


def functions_of(path: str) -> list[Callable[..., Any]]:
    """The functions that a Python file makes with streamsql.udf, udaf or udtf.

    raises  ExternalError UDF-FILE if the file cannot be run or makes none
    """
    import runpy

    from streamsql.functions.user import is_user_function

    try:
        names = runpy.run_path(path)
    except Exception as error:  # It is the user's own code: anything may come out of it.
        where = f"{type(error).__name__}: {error}"
        raise ExternalError(f"{path} cannot be run: {where}", code="UDF-FILE") from error
    found = {id(value): value for value in names.values() if is_user_function(value)}
    if not found:
        raise ExternalError(
            f"{path} makes no functions", code="UDF-FILE", hint="put @streamsql.udf above a function"
        )
    return list(found.values())


def printer(output: str, out: TextIO, notes: TextIO, *, has_timing: bool = False) -> Printer:
    """What prints results in a format of --output."""
    if output == "table":
        from streamsql.repl.render import TablePrinter
        from streamsql.repl.terminal import terminal_of

        return TablePrinter(out, terminal_of(out), has_timing=has_timing)
    from streamsql.repl.records import CsvPrinter, JsonPrinter

    return JsonPrinter(out, notes) if output == "json" else CsvPrinter(out, notes)

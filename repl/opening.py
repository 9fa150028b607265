"""Opening the database that the command line asks for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, TextIO

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
    with _uncollected():
        if not arguments.udf:
            _spare_pandas()
        from streamsql.database import connect

    line = ProgressLine(sys.stderr, patience_seconds=1)

    def show(what: str, done: int, total: int) -> None:
        line.update(f"{what} {bar(done, total, line.terminal)}")

    try:
        return connect(
            None if arguments.data == MEMORY else arguments.data,
            settings=dict(arguments.settings or ()),
            udfs=[_functions_of(path) for path in arguments.udf or ()],
            progress=show,
        )
    finally:
        line.clear()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Load modules without looking for garbage in them, now or ever: they stay for good."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _NoPandas(MetaPathFinder):
    """Finds that there is no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"{name} is not wanted here", name=name)


def _spare_pandas() -> None:
    """Keep Arrow from importing pandas, which takes as long as all the rest of starting.

    Arrow looks for it once, when it is first given a list, and not again. Whoever imports pandas
    later finds it; only a user's own functions could hand its objects to Arrow.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


def _functions_of(path: str) -> Callable[..., Any]:
    """What a Python file makes with streamsql.udf, udaf or udtf, as one thing to give to `connect`.

    raises  ExternalError UDF-FILE or PlanError PLAN-UDF if the file cannot be run or makes none
    """
    from streamsql.functions.user import attach, load_udf_file

    def functions() -> None:
        """Carries the functions of a file; it is not called itself."""

    for row in load_udf_file(path):
        attach(functions, row)
    return functions


def printer(output: str, out: TextIO, notes: TextIO, *, has_timing: bool = False) -> Printer:
    """What prints results in a format of --output."""
    if output == "table":
        from streamsql.repl.render import TablePrinter
        from streamsql.repl.terminal import terminal_of

        return TablePrinter(out, terminal_of(out), has_timing=has_timing)
    from streamsql.repl.records import CsvPrinter, JsonPrinter

    return JsonPrinter(out, notes) if output == "json" else CsvPrinter(out, notes)

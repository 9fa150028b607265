"""The program `streamsql`: from a command line to an exit status.

Nothing heavy is imported here: --help, --version and a wrong command line answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from streamsql.errors import InternalError, StreamSQLError
from streamsql.repl.arguments import parse

if TYPE_CHECKING:
    from argparse import Namespace

DONE, FAILED, PIPE_CLOSED, INTERRUPTED = 0, 1, 128 + 13, 128 + 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    argv   None: the process is ours, takes its arguments from the system and ends here
    gives  0 done, 1 an error was reported, 130 ended by Ctrl-C, 141 the reader of the output left
    raises SystemExit(2) for a wrong command line
    """
    if argv is None:
        leave(_guarded(sys.argv[1:]))
    return _guarded(argv)


def _guarded(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    if not getattr(arguments, "udf", None):
        # numpy starts a thread per core for linear algebra, which only a user's functions could want.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = _command(arguments.command)(arguments)
        sys.stdout.flush()
        return code
    except StreamSQLError as error:
        report(error)
        return FAILED
    except BrokenPipeError:
        # What is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # A fault of ours: still one message, and a status.
        report(fault(error))
        return FAILED


def report(error: StreamSQLError) -> None:
    """Print an error on stderr."""
    from streamsql.repl.render import error_text
    from streamsql.repl.terminal import terminal_of

    sys.stdout.flush()
    print(error_text(error, terminal_of(sys.stderr)), file=sys.stderr, flush=True)


def fault(error: Exception) -> InternalError:
    """An exception that nobody expected, as an error to report; with STREAMSQL_TRACEBACK set, all of it."""
    import traceback

    if os.environ.get("STREAMSQL_TRACEBACK"):
        traceback.print_exception(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "streamsql" in f.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return InternalError(
        f"{type(error).__name__}: {error}{where}",
        hint="this is a fault of streamsql; please report it with what STREAMSQL_TRACEBACK=1 shows",
    )


def _command(name: str | None) -> Callable[[Namespace], int]:
    """The function that does a command; importing it is most of the start-up time."""
    match name:
        case "run":
            from streamsql.repl.headless import run

            return run
        case "load":
            from streamsql.repl.loading import load

            return load
        case "datagen":
            from streamsql.repl.generating import datagen

            return datagen
        case "check":
            from streamsql.repl.checking import check

            return check
    from streamsql.repl.interactive import interact

    return interact


def leave(code: int) -> NoReturn:
    """End the process without tearing the interpreter down.

    The database is closed by now. The interpreter would go on to free thousands of objects, DuckDB's
    among them, which takes longer than `SHOW STREAMS` and complains about those still in use by a
    thread that was waiting when the process was interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or PIPE_CLOSED
    os._exit(code)

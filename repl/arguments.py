"""What may stand on the command line."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

MEMORY = ":memory:"
DEFAULT_DATA = "./streamsql-data"
COMMANDS = ("run", "load", "datagen", "check")

HELP = """\
Type this:

  streamsql                                   the shell, on the database in ./streamsql-data
  streamsql -e "SHOW STREAMS;"                run statements, print, leave
  streamsql -f queries.sql                    the same from a file
  streamsql run queries.sql                   keep the persistent queries of a file running
  streamsql load clicks clicks.jsonl.gz --format jsonl
                                              put files into a topic
  streamsql datagen clickstream --topic clicks --rows 1000000 --create
                                              made-up data to try things with
  streamsql check ./streamsql-data            verify every frame of a database that nobody has open

Options, before or after a command:

  --data DIR          where the database lives (default ./streamsql-data); :memory: for nowhere
  --output FORMAT     table, json (an object per row and line) or csv; for json and csv everything
                      that is not a row goes to stderr
  --set NAME=VALUE    a setting, as SET 'NAME'='VALUE'; may come more than once
  --udf FILE.py       functions of your own, made with streamsql.udf; may come more than once
  --version           the version
  -h, --help          this; streamsql COMMAND --help says more

Exit status: 0 done, 1 an error that was reported, 2 a wrong command line, 130 ended by Ctrl-C.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence and what to type instead."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n  {self.format_usage().strip()}\n")


class _Main(_Parser):
    def format_help(self) -> str:
        return HELP

    def format_usage(self) -> str:
        return "streamsql --help shows what to type"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace; `command` is None for the shell, -e and -f.

    Leaves through SystemExit, with 2 for a wrong command line.
    """
    parser = _main_parser()
    _refuse_bare_file(parser, arguments)
    # An option given before the command must not be undone by the command's own default.
    found = parser.parse_args(arguments, argparse.Namespace(**_DEFAULTS))
    if found.command is not None and found.sources:
        parser.error(f"-e and -f do not go with {found.command}")
    return found


_DEFAULTS: dict[str, object] = {"data": DEFAULT_DATA, "output": "table", "settings": None, "udf": None}


def _main_parser() -> _Parser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--data", metavar="DIR", help=f"where the database lives (default {DEFAULT_DATA})")
    common.add_argument("--output", choices=("table", "json", "csv"), help="how results are printed")
    common.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="settings",
        action="append",
        type=_setting,
        help="a setting; may come more than once",
    )
    common.add_argument(
        "--udf", metavar="FILE.py", action="append", help="functions of your own; may come more than once"
    )

    parser = _Main(prog="streamsql", parents=[common], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=_version())
    parser.add_argument(
        "-e", metavar="SQL", dest="sources", action="append", type=lambda text: ("sql", text), default=[]
    )
    parser.add_argument(
        "-f", metavar="FILE", dest="sources", action="append", type=lambda path: ("file", path)
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser(
        "run",
        parents=[common],
        allow_abbrev=False,
        usage="streamsql run FILE.sql [--until-idle] [--interval SECONDS]",
        help="keep the persistent queries of a file running",
        description="Run the statements of a file and keep its persistent queries going until Ctrl-C or "
        "SIGTERM. What an earlier run has created with the same text is left as it is.",
    )
    run.add_argument("file", metavar="FILE.sql", help="statements; - for standard input")
    run.add_argument("--until-idle", action="store_true", help="stop when everything is processed")
    run.add_argument(
        "--interval", metavar="SECONDS", type=_positive, default=10.0, help="between status lines"
    )

    load = commands.add_parser(
        "load",
        parents=[common],
        allow_abbrev=False,
        usage="streamsql load TOPIC FILE.. --format lines|jsonl|csv|parquet [--resume]",
        help="put files into a topic",
        description="Append the records of files to a topic, which is made if there is none. "
        "Files that are compressed with gzip are read as they are.",
    )
    load.add_argument("topic", metavar="TOPIC", help="where the records go")
    load.add_argument("files", metavar="FILE", nargs="+", help="- for standard input")
    load.add_argument(
        "--format",
        required=True,
        choices=("lines", "jsonl", "csv", "parquet"),
        help="what is in the files: lines of text, lines of JSON, CSV with the names of the columns in its "
        "first line, or Parquet",
    )
    load.add_argument(
        "--resume",
        action="store_true",
        help="go on where an earlier load of the same files stopped: each record is stored once",
    )

    datagen = commands.add_parser(
        "datagen",
        parents=[common],
        allow_abbrev=False,
        usage="streamsql datagen TEMPLATE --topic T --rows N [--rate R] [--seed N] [--create]",
        help="made-up data to try things with",
        description="Append made-up rows to a topic: clickstream (page views), clicks, users, orders.",
    )
    datagen.add_argument(
        "template",
        metavar="TEMPLATE",
        choices=("clickstream", "clicks", "users", "orders"),
        help="one of those four",
    )
    datagen.add_argument("--topic", metavar="T", required=True, help="where the rows go")
    datagen.add_argument("--rows", metavar="N", required=True, type=_count, help="how many")
    datagen.add_argument("--rate", metavar="R", type=_positive, help="rows per second, stamped with the time")
    datagen.add_argument("--seed", metavar="N", type=int, default=0, help="another seed, other rows")
    datagen.add_argument("--create", action="store_true", help="declare the stream as well")

    check = commands.add_parser(
        "check",
        parents=[common],
        allow_abbrev=False,
        usage="streamsql check [DIR] [--repair] [--backup DIR]",
        help="verify every frame of a database",
        description="Look through every file of a database that nobody has open: settings, segments frame by "
        "frame, indexes, commits. Nothing is changed without --repair. Exit status 1 if there is damage.",
    )
    check.add_argument("directory", metavar="DIR", nargs="?", help="the database (default: that of --data)")
    check.add_argument(
        "--repair", action="store_true", help="copy the database, then take out what is damaged"
    )
    check.add_argument("--backup", metavar="DIR", help="where the copy goes (default: beside it)")
    return parser


# Options that may stand before a command.
_WITH_VALUE = ("--data", "--output", "--set", "--udf", "-e", "-f")
_FLAGS = ("--version", "--help", "-h")


def _refuse_bare_file(parser: _Parser, arguments: Sequence[str]) -> None:
    """`streamsql queries.sql` is a guess that deserves a better answer than a list of commands."""
    takes_value = False
    for argument in arguments:
        if takes_value:
            takes_value = False
        elif argument.startswith("-") and argument != "-":
            takes_value = argument in _WITH_VALUE
            name = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
            if name not in (*_WITH_VALUE, *_FLAGS):
                near = difflib.get_close_matches(name, (*_WITH_VALUE, *_FLAGS), 1)
                hint = f": did you mean {near[0]}?" if near and argument.startswith("--") else ""
                parser.error(f"there is no option {argument}{hint}")
        elif argument in COMMANDS:
            return
        elif argument.endswith(".sql"):
            parser.error(f"to run a file, type: streamsql -f {argument}")
        else:
            parser.error(f"there is no command '{argument}': it is one of {', '.join(COMMANDS)}")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return number


def _count(text: str) -> int:
    digits = text.replace("_", "").replace(",", "")
    if not digits.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(digits)


def _version() -> str:
    import streamsql

    return f"streamsql {streamsql.__version__} (Python {sys.version.split()[0]})"

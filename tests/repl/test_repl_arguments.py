"""The command line: what it takes, and what it says to a wrong one. Nothing heavy is loaded for it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from streamsql.repl.arguments import COMMANDS, HELP, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([], {"command": None, "data": "./streamsql-data", "output": "table", "sources": []}),
        (
            ["--data", "d", "-e", "a;", "-f", "b.sql"],
            {"data": "d", "sources": [("sql", "a;"), ("file", "b.sql")]},
        ),
        (
            ["--data", "d", "run", "x.sql"],
            {"command": "run", "data": "d", "file": "x.sql", "until_idle": False},
        ),
        (["run", "x.sql", "--data", "d", "--until-idle"], {"data": "d", "until_idle": True}),
        (["--data", "a", "run", "x.sql", "--data", "b"], {"data": "b"}),
        (["load", "t", "a", "-", "--format", "csv"], {"topic": "t", "files": ["a", "-"], "format": "csv"}),
        (
            ["datagen", "users", "--topic", "u", "--rows", "1_000"],
            {"rows": 1000, "rate": None, "create": False},
        ),
        (["--set", "a=b=c", "--set", "d="], {"settings": [("a", "b=c"), ("d", "")]}),
    ],
)
def test_options_stand_before_or_after_the_command(line: list[str], expected: dict[str, Any]) -> None:
    found = vars(parse(line))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (["queries.sql"], "streamsql: to run a file, type: streamsql -f queries.sql"),
        (["frobnicate"], "there is no command 'frobnicate': it is one of run, load, datagen"),
        (["--outptu", "json"], "there is no option --outptu: did you mean --output?"),
        (["--dta=x", "-e", "SHOW STREAMS;"], "there is no option --dta=x: did you mean --data?"),
        (["--output", "xml"], "invalid choice: 'xml'"),
        (["--nonsense"], "there is no option --nonsense"),
        (["--set", "novalue"], "'novalue' is not NAME=VALUE"),
        (["load", "t", "a"], "required: --format\n  usage: streamsql load TOPIC FILE.. --format lines|"),
        (["datagen", "users", "--topic", "t", "--rows", "many"], "'many' is not a whole number"),
        (["datagen", "users", "--topic", "t", "--rows", "1", "--rate", "0"], "'0' is not a number above 0"),
        (["-e", "a", "run", "x.sql"], "-e and -f do not go with run"),
    ],
)
def test_a_wrong_line_ends_with_2_and_says_why(
    line: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(line)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_help_is_a_screen_that_begins_with_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == HELP
    assert HELP.startswith("Type this:\n\n  streamsql ")
    assert len(HELP.splitlines()) <= 32
    assert max(map(len, HELP.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_each_option_is_for(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: streamsql {command} ")
    begun = [place for place, line in enumerate(lines) if line.startswith("  ") and line[2] not in " "]
    for place, end in zip(begun, [*begun[1:], len(lines)], strict=True):
        said = " ".join(lines[place:end]).split("  ")
        assert len([part for part in said if part.strip()]) > 1, lines[place]


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from streamsql.repl.app import main\n"
        "try: main([sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "heavy = {'duckdb', 'pyarrow', 'lark', 'rich', 'prompt_toolkit', 'numpy'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == ""


OF_OTHER_TASKS = (
    "asyncio fastavro google.protobuf http.client lark pandas polars prompt_toolkit pytest rich.console ssl "
    "streamsql.asserts streamsql.formats.avro streamsql.formats.json_sr streamsql.formats.protobuf "
    "streamsql.formats.registry_http"
).split()


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("SHOW STREAMS;", ["streamsql.plan.pull", "streamsql.plan.explain"]),
        ("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON'); SELECT a + 1 AS b FROM s;", []),
    ],
)
def test_a_statement_loads_only_what_it_needs(statement: str, absent: list[str]) -> None:
    code = (
        "import sys; from streamsql.repl.app import main\n"
        f"main(['--data', ':memory:', '-e', {statement!r}])\n"
        f"print(*(set({OF_OTHER_TASKS + absent!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    assert done.stderr == ""

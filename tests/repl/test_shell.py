"""The shell at a real terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from program import ENVIRONMENT

PROMPT = "streamsql>"
CONTINUED = r"\.\.\.>"
WHERE_IS_THE_CURSOR, IT_IS_HERE = r"\x1b\[6n", "\x1b[1;1R"
CREATE = "CREATE STREAM views (page VARCHAR, n BIGINT);"


class Terminal:
    """A shell in a pseudo-terminal of 100 columns without colours.

    answers  the terminal says where its cursor is when asked, as all real ones do
    """

    def __init__(self, folder: Path, *, answers: bool = False) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "streamsql.repl", "--data", "data"],  # the bottom line has no room for a long path
            env=ENVIRONMENT | {"NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "" if answers else "1"},  # type: ignore[arg-type]
            dimensions=(40, 100),
            encoding="utf-8",
            timeout=120,  # it says nothing of how quick a shell is, on a machine that does much else
            cwd=str(folder),
        )
        self.expect("help says what to type")
        if answers:
            self.expect(WHERE_IS_THE_CURSOR)
            self.child.send(IT_IS_HERE)
        self.expect(PROMPT)

    def expect(self, pattern: str) -> None:
        self.child.expect(pattern)

    def type(self, text: str) -> None:
        """Type a line and press Enter."""
        self.child.send(text + "\r")

    def ask(self, text: str, answer: str) -> None:
        self.type(text)
        self.expect(answer)
        self.expect(PROMPT)

    def leave(self) -> None:
        self.child.sendeof()
        self.child.expect(pexpect.EOF)
        assert "nanobind" not in (self.child.before or "")
        self.child.close()
        assert self.child.exitstatus == 0


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.child.close(force=True)


def test_statements_of_several_lines_run_when_they_are_ended(shell: Terminal) -> None:
    shell.type("CREATE STREAM views")
    shell.expect(CONTINUED)
    shell.ask("(page VARCHAR, n BIGINT);", "stream VIEWS created")
    shell.ask("INSERT INTO views VALUES ('/', 7); SELECT n FROM views;", r" 7\s+1 row")
    shell.leave()


def test_an_error_has_a_caret_and_the_shell_goes_on(shell: Terminal) -> None:
    shell.ask(CREATE, "created")
    shell.ask("SELECT pag FROM views;", r"LINE 1: SELECT pag FROM views;\s+\^\^\^")
    shell.ask("SHOW STREAMS;", "VIEWS")
    shell.leave()


def test_ctrl_c_ends_a_push_query_or_drops_a_line_and_not_the_shell(shell: Terminal) -> None:
    shell.ask(CREATE + " INSERT INTO views VALUES ('/first', 1);", "inserted")
    shell.type("SELECT page FROM views EMIT CHANGES;")
    shell.expect("/first")
    shell.child.sendintr()
    shell.expect(r"\r\n1 row read · 1 shown")
    shell.expect(PROMPT)
    shell.child.send("SELECT nonsense")
    shell.expect("nonsense")
    shell.child.sendintr()
    shell.expect(PROMPT)
    shell.ask("SELECT n FROM views;", "1 row")
    shell.leave()


def test_tab_completes_keywords_and_names(shell: Terminal) -> None:
    shell.ask(CREATE, "created")
    shell.child.send("SELECT page FROM VIE\t")
    shell.expect(r"FROM VIE.*WS")
    shell.child.send(";\r")
    shell.expect("SELECT page FROM VIEWS;")
    shell.expect("0 rows")
    shell.expect(PROMPT)
    shell.child.send("DESCR\t")
    shell.expect("DESCR.*IBE")
    shell.child.send(" views;\r")
    shell.expect("DESCRIBE views;")
    shell.expect("PAGE.*VARCHAR")
    shell.expect(PROMPT)
    shell.leave()


def test_what_was_typed_comes_back_in_the_next_shell(shell: Terminal, tmp_path: Path) -> None:
    shell.ask(CREATE, "created")
    shell.ask("DESCRIBE views;", "VARCHAR")
    shell.leave()
    again = Terminal(tmp_path)
    again.child.send("\x1b[A")
    again.expect("DESCRIBE views;")
    again.ask("", "VARCHAR")
    again.leave()


def test_commands_of_the_shell(shell: Terminal) -> None:
    shell.ask("help", "help TOPIC")
    shell.ask("output xml", r"\[SHELL-COMMAND\] output takes table or json or csv, not xml")
    shell.ask("output json", "")
    shell.ask("SHOW STREAMS;", '{"NAME":')
    shell.ask("history", "output json")
    shell.type("exit")
    shell.expect(pexpect.EOF)
    shell.child.close()
    assert shell.child.exitstatus == 0


def test_the_bottom_line_says_where_the_data_is_and_what_runs(shell: Terminal, tmp_path: Path) -> None:
    shell.ask(CREATE, "created")
    shell.ask("CREATE STREAM more AS SELECT * FROM views;", "started")
    shell.leave()
    again = Terminal(tmp_path, answers=True)
    again.expect("data . 1 query running . caught up")
    again.child.sendeof()
    again.expect(pexpect.EOF)
    again.child.close()

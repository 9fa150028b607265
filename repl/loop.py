"""The shell: read, run, show."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import clear

import streamsql
from streamsql.errors import StreamSQLError
from streamsql.grammar.statements import is_complete
from streamsql.grammar.tables import load
from streamsql.repl.app import fault
from streamsql.repl.arguments import MEMORY
from streamsql.repl.commands import is_command, run_command
from streamsql.repl.completion import SqlCompleter
from streamsql.repl.interrupts import on_interrupt
from streamsql.repl.lexer import SqlLexer
from streamsql.repl.records import CsvPrinter, JsonPrinter, Printer
from streamsql.repl.render import TablePrinter, duration_text, error_text
from streamsql.repl.style import PLAIN, STYLE
from streamsql.repl.terminal import DIM, terminal_of
from streamsql.repl.text import safe_lines
from streamsql.repl.toolbar import toolbar

if TYPE_CHECKING:
    from streamsql.database import Database
    from streamsql.result import Result

_MOST_ROWS = 10_000
_PROMPT, _CONTINUATION = "streamsql> ", "      ...> "


class Shell:
    """One session at a terminal.

    output      how results are shown: table, json or csv
    has_timing  whether the time is shown that statements take
    most_rows   rows of a finite answer that are shown, None for all
    """

    def __init__(self, db: Database, data: str, output: str) -> None:
        self.output = output
        self.has_timing = True
        self.most_rows: int | None = _MOST_ROWS
        self._db = db
        self._data = data
        self._is_leaving = False
        self._terminal = terminal_of(sys.stdout)
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            key_bindings=_keys(),
            history=history_in(data),
            completer=SqlCompleter(db.completions),
            complete_while_typing=False,
            auto_suggest=AutoSuggestFromHistory(),
            lexer=SqlLexer(load().words, frozenset(db.completions()["function"])),
            style=STYLE if self._terminal.has_colours else PLAIN,
            prompt_continuation=[("class:continuation", _CONTINUATION)],
            bottom_toolbar=partial(toolbar, db, data),
            refresh_interval=1.0,
            enable_history_search=True,
        )

    def run(self) -> int:
        """Read and run until Ctrl-D or exit; gives the exit status, 0."""
        self.say(f"streamsql {streamsql.__version__} · {_place(self._data)} · help says what to type")
        while not self._is_leaving:
            try:
                text = self._session.prompt([("class:prompt", _PROMPT)])
            except KeyboardInterrupt:
                continue  # Ctrl-C drops the line.
            except EOFError:
                break
            if text.strip():
                self._guarded(text)
        return 0

    # --- what commands may do ---------------------------------------------------------------------

    def say(self, text: str) -> None:
        sys.stdout.write(safe_lines(text).rstrip("\n") + "\n")
        sys.stdout.flush()

    def describe_function(self, name: str) -> bool:
        if name.upper() not in self._db.completions()["function"]:
            return False
        self._run_sql(f"DESCRIBE FUNCTION {name};")
        return True

    def typed(self) -> list[str]:
        return list(self._session.history.get_strings())

    def clear(self) -> None:
        clear()

    def leave(self) -> None:
        self._is_leaving = True

    # --- statements -------------------------------------------------------------------------------

    def _guarded(self, text: str) -> None:
        """Run what was typed; whatever goes wrong is shown and the shell goes on."""
        try:
            if not run_command(text, self):
                self._run_sql(text)
        except StreamSQLError as error:
            sys.stdout.flush()
            self._say_raw(error_text(error, self._terminal))
        except KeyboardInterrupt:
            self.say("stopped")
        except Exception as error:  # A fault of ours must not take the shell, and the queries, with it.
            self._say_raw(error_text(fault(error), self._terminal))

    def _run_sql(self, text: str) -> None:
        # The screen may have been resized since the last statement.
        self._terminal = terminal_of(sys.stdout)
        results = self._db.run(text)
        while True:
            started = time.perf_counter()
            result = next(results, None)
            if result is None:
                return
            seconds = time.perf_counter() - started
            with result:
                self._show(result)
            if self.has_timing and result.kind == "MESSAGE":
                self._say_raw(self._terminal.paint(f"({duration_text(seconds)})", DIM))

    def _show(self, result: Result) -> None:
        if result.kind != "CHANGES":
            self._printer().show(result)
            return

        def end() -> None:
            self._say_raw("")  # the terminal has written ^C, and what comes next begins a line
            result.close()

        with on_interrupt(end):
            self._say_raw(self._terminal.paint("Ctrl-C ends this query", DIM))
            self._printer().show(result)

    def _printer(self) -> Printer:
        if self.output == "json":
            return JsonPrinter(sys.stdout, sys.stdout)
        if self.output == "csv":
            return CsvPrinter(sys.stdout, sys.stdout)
        return TablePrinter(sys.stdout, self._terminal, has_timing=self.has_timing, most_rows=self.most_rows)

    def _say_raw(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def history_in(data: str) -> History:
    """What was typed before: kept with the data, or in the user's state directory for one in memory.

    Where that cannot be written, the history lasts as long as the shell.
    """
    if data == MEMORY:
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        path = Path(state).expanduser() / "streamsql" / "history"
    else:
        path = Path(data) / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is typed may hold what others should not read.
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def is_ready(text: str) -> bool:
    """Whether Enter sends the text: statements that are all ended, a command, or nothing."""
    return not text.strip() or is_command(text) or is_complete(text)


def _keys() -> KeyBindings:
    """Enter sends what is complete and breaks the line of what is not; Alt-Enter always breaks it."""
    keys = KeyBindings()

    @Condition
    def is_to_be_sent() -> bool:
        buffer = get_app().current_buffer
        is_at_end = not buffer.document.text_after_cursor.strip()
        return is_at_end and buffer.complete_state is None and is_ready(buffer.text)

    @keys.add("enter", filter=is_to_be_sent)
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def break_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _place(data: str) -> str:
    return "in memory: nothing is kept" if data == MEMORY else f"data in {data}"

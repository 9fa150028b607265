"""What the shell itself understands, without ';': help, output, rows, timing, history, clear, exit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamsql.errors import PlanError
from streamsql.repl.help import page


class ShellControls(Protocol):
    """What commands may change."""

    output: str
    has_timing: bool
    most_rows: int | None

    def say(self, text: str) -> None:
        """Show a text."""

    def describe_function(self, name: str) -> bool:
        """Show a function; False if there is none of that name."""

    def typed(self) -> list[str]:
        """Earlier lines, oldest first."""

    def clear(self) -> None:
        """Clear the screen."""

    def leave(self) -> None:
        """End the shell."""


@dataclass(frozen=True, slots=True)
class Command:
    """run: (shell, rest of the line); `words` are the arguments it takes, None for any."""

    run: Callable[[ShellControls, str], None]
    words: tuple[str, ...] | None = ()


def run_command(line: str, shell: ShellControls) -> bool:
    """Run a line if it is a command of the shell; False if it is something else, such as SQL.

    raises  PlanError SHELL-COMMAND for arguments that the command does not take
    """
    name, _, rest = line.strip().rstrip(";").strip().partition(" ")
    command = COMMANDS.get(name.lower())
    rest = rest.strip()
    if command is None or (command.words == () and rest):
        return False
    if (
        command.words
        and rest.lower() not in command.words
        and not (name.lower() == "rows" and rest.isdecimal())
    ):
        raise PlanError(
            f"{name} takes {' or '.join(command.words)}" + (f", not {rest}" if rest else ""),
            code="SHELL-COMMAND",
        )
    command.run(shell, rest)
    return True


def is_command(line: str) -> bool:
    """Whether a line is for the shell, so that Enter sends it without a ';'."""
    name, _, rest = line.strip().rstrip(";").strip().partition(" ")
    command = COMMANDS.get(name.lower())
    return command is not None and "\n" not in line.strip() and (command.words != () or not rest.strip())


def _help(shell: ShellControls, topic: str) -> None:
    text = page(topic.lower())
    if text is None and shell.describe_function(topic):
        return
    shell.say(text if text is not None else f"There is no help on {topic}.\n\n" + (page("") or ""))


def _output(shell: ShellControls, name: str) -> None:
    shell.output = name.lower()


def _rows(shell: ShellControls, count: str) -> None:
    shell.most_rows = int(count) if count.isdecimal() else None


def _timing(shell: ShellControls, word: str) -> None:
    shell.has_timing = word.lower() == "on"


def _history(shell: ShellControls, _: str) -> None:
    shell.say("\n".join(shell.typed()))


COMMANDS: dict[str, Command] = {
    "help": Command(_help, None),
    "?": Command(_help, None),
    "output": Command(_output, ("table", "json", "csv")),
    "rows": Command(_rows, ("all", "a number")),
    "timing": Command(_timing, ("on", "off")),
    "history": Command(_history),
    "clear": Command(lambda shell, _: shell.clear()),
    "exit": Command(lambda shell, _: shell.leave()),
    "quit": Command(lambda shell, _: shell.leave()),
}

"""The parts of the shell that need no terminal: completion, colours, its own commands, its history."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory

from streamsql.errors import PlanError
from streamsql.grammar.parser import parse
from streamsql.repl.commands import is_command, run_command
from streamsql.repl.completion import SqlCompleter, current_word
from streamsql.repl.help import TOPICS, page
from streamsql.repl.lexer import SqlLexer
from streamsql.repl.loop import history_in, is_ready

NAMES: Mapping[str, Sequence[str]] = {
    "source": ["VIEWS", "`lower`"],
    "column": ["PAGE", "`user id`"],
    "function": ["UCASE", "PARSE_DATE"],
    "topic": ["page-views", "Clicks"],
    "query": ["CTAS_HITS_3"],
    "property": ["auto.offset.reset"],
}


def offered(text: str) -> list[str]:
    """What Tab offers at the end of a text, as the text would then read."""
    completer = SqlCompleter(lambda: NAMES)
    found = completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
    return [text[: len(text) + c.start_position] + c.text for c in found]


@pytest.mark.parametrize(
    ("text", "offers"),
    [
        ("SELECT * FR", ["SELECT * FROM"]),
        ("sel", ["select"]),
        ("SHOW ST", ["SHOW STREAMS"]),
        ("SELECT * FROM vi", ["SELECT * FROM views"]),
        ("SELECT * FROM VI", ["SELECT * FROM VIEWS"]),
        ("SELECT * FROM `lo", ["SELECT * FROM `lower`"]),
        ("SELECT pa", ["SELECT page", "SELECT parse_date"]),
        ("SELECT v.pag", ["SELECT v.page"]),
        ("SELECT `user i", ["SELECT `user id`"]),
        ("SHOW TABLES; DROP STREAM v", ["SHOW TABLES; DROP STREAM views"]),
        ("PRINT page-v", ["PRINT page-views"]),
        ("PRINT cl", ["PRINT Clicks"]),
        ("SET 'auto", ["SET 'auto.offset.reset'"]),
        ("unset ", ["unset 'auto.offset.reset'"]),
        ("TERMINATE ctas", ["TERMINATE ctas_hits_3"]),
        ("SELECT 'vi", []),
        ("-- sel", []),
        ("ex", ["exit", "explain"]),
        ("CREATE STREAM vi", []),
    ],
)
def test_tab_offers_what_may_come_next(text: str, offers: list[str]) -> None:
    assert offered(text) == offers


@pytest.mark.parametrize(
    ("text", "word"),
    [("a b", "b"), ("a ", ""), ("a.b", "b"), ("x `a b", "`a b"), ("'a", "'a"), ("'a' b", "b")],
)
def test_the_word_at_the_cursor(text: str, word: str) -> None:
    assert current_word(text) == word


def test_every_kind_of_token_has_its_colour() -> None:
    lexer = SqlLexer(frozenset({"SELECT", "FROM"}), frozenset({"UCASE"}))
    text = "select UCASE(x), 'a\nb', 1.5 -- why\nFROM `from` /* open"
    shown = {piece: style for style, piece in lexer.fragments(text) if piece.strip()}
    assert shown["select"] == shown["FROM"] == "class:keyword"
    assert shown["UCASE"] == "class:function"
    assert shown["x"] == ""
    assert shown["'a\nb'"] == "class:string"
    assert shown["1.5"] == "class:number"
    assert shown[" -- why\n"] == "class:comment"
    assert shown["`from`"] == "class:name"
    assert shown["/* open"] == "class:comment"
    line = lexer.lex_document(Document(text))
    assert ["".join(piece for _, piece, *_ in line(i)) for i in range(4)] == [*text.split("\n"), ""]


@pytest.mark.parametrize("text", ["", "SELECT", "'", "/*", "a\n\n", "\x00\ud800", "日本 `"])
def test_colours_change_no_text(text: str) -> None:
    lexer = SqlLexer(frozenset(), frozenset())
    assert "".join(piece for _, piece in lexer.fragments(text)) == text


class Recorder:
    """A shell that only remembers."""

    def __init__(self) -> None:
        self.output = "table"
        self.has_timing = True
        self.most_rows: int | None = 100
        self.did: list[str] = []

    def say(self, text: str) -> None:
        self.did.append(text)

    def describe_function(self, name: str) -> bool:
        self.did.append(f"describe {name}")
        return name == "ucase"

    def typed(self) -> list[str]:
        return ["a", "b"]

    def clear(self) -> None:
        self.did.append("clear")

    def leave(self) -> None:
        self.did.append("leave")


@pytest.mark.parametrize(
    ("line", "did"),
    [
        ("exit", ["leave"]),
        ("QUIT;", ["leave"]),
        ("clear", ["clear"]),
        ("history", ["a\nb"]),
        ("help windows", [TOPICS["windows"]]),
        ("help TUMBLING", [TOPICS["windows"]]),
        ("help ucase", ["describe ucase"]),
    ],
)
def test_words_for_the_shell(line: str, did: list[str]) -> None:
    shell = Recorder()
    assert run_command(line, shell)
    assert shell.did == did


def test_settings_of_the_shell() -> None:
    shell = Recorder()
    for line in ("output JSON", "timing off", "rows 7"):
        assert run_command(line, shell)
    assert (shell.output, shell.has_timing, shell.most_rows) == ("json", False, 7)
    run_command("rows all", shell)
    assert shell.most_rows is None


@pytest.mark.parametrize("line", ["output xml", "timing", "rows -1"])
def test_what_a_command_does_not_take(line: str) -> None:
    with pytest.raises(PlanError, match=r"takes "):
        run_command(line, Recorder())


@pytest.mark.parametrize("line", ["SELECT 1;", "exit stage;", "helpme", "clear x", ""])
def test_the_rest_is_sql(line: str) -> None:
    assert not is_command(line)
    assert not run_command(line, Recorder())


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("", True),
        ("  \n", True),
        ("help", True),
        ("help joins", True),
        ("SHOW STREAMS", False),
        ("SHOW STREAMS;", True),
        ("SHOW STREAMS; -- done", True),
        ("SELECT ';", False),
        ("/* ; ", False),
        ("SHOW STREAMS; SELECT", False),
        ("exit\nSELECT", False),
    ],
)
def test_enter_sends_what_is_complete(text: str, ready: bool) -> None:
    assert is_ready(text) is ready


def test_help_lists_its_pages_and_every_page_is_there() -> None:
    overview = page("")
    assert overview is not None and all(topic in overview for topic in TOPICS)
    assert page("nonsense") is None


BEGINNINGS = "CREATE|SELECT|INSERT|SHOW|DESCRIBE|EXPLAIN|PRINT|SET|UNSET|DEFINE|UNDEFINE|DROP|TERMINATE"


@pytest.mark.parametrize("topic", ["", *TOPICS])
def test_the_sql_in_help_is_sql(topic: str) -> None:
    statements = re.findall(rf"(?:^ |  )( (?:{BEGINNINGS}) [^;]*;)", page(topic) or "", re.MULTILINE)
    assert statements or topic == "joins"
    for statement in statements:
        parse(statement)


def test_history_is_kept_with_the_data_for_its_owner_only(tmp_path: Path) -> None:
    history = history_in(str(tmp_path / "data"))
    assert isinstance(history, FileHistory)
    history.append_string("SHOW STREAMS;")
    path = tmp_path / "data" / "history"
    assert "SHOW STREAMS;" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_history_of_a_database_in_memory_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    history_in(":memory:").append_string("x")
    assert (tmp_path / "streamsql" / "history").exists()
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    assert isinstance(history_in(":memory:"), InMemoryHistory)

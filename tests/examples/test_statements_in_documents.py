"""What README and the documents show: their SQL runs, their Python runs, their commands do what they say."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import pytest

from streamsql.database import Database
from streamsql.grammar.parser import parse
from streamsql.repl.app import main
from streamsql.repl.help import TOPICS, page

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
VIEWS = "CREATE STREAM views (user_id BIGINT, page VARCHAR) WITH (KAFKA_TOPIC = 'views');"


def blocks(text: str, language: str) -> list[str]:
    """What stands between the fences of a language; '' for fences that name none."""
    parts = re.split(r"^```(.*)\n", text, flags=re.MULTILINE)
    return [inside for named, inside in zip(parts[1::4], parts[2::4], strict=True) if named == language]


def run(db: Database, text: str) -> None:
    """All statements of a text; push queries are asked for what is there."""
    for result in db.run(text):
        with result:
            if result.kind != "CHANGES":
                result.fetchall()


def test_the_sql_of_the_readme_runs(db: Database) -> None:
    (text,) = blocks(README, "sql")
    run(db, text)
    assert set(db.catalog.sources) >= {"VIEWS", "VIEWS_PER_MINUTE"}


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    (text,) = blocks(README, "python")
    exec(compile(text, "README.md", "exec"), {})
    assert "page" in capsys.readouterr().out.lower()


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [
        line for block in blocks(README, "") for line in block.splitlines() if line.startswith("streamsql ")
    ]
    assert len(commands) == 4
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    line = '10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0"\n'
    (tmp_path / "access.log").write_text(line)
    (tmp_path / "access.log.gz").write_bytes(gzip.compress(line.encode()))
    for command in commands:
        assert main(shlex.split(command, comments=True)[1:]) == 0, command


@pytest.mark.parametrize(("name", "before"), [("language.md", ""), ("log.md", VIEWS), ("recovery.md", VIEWS)])
def test_the_statements_of_a_document_run(db: Database, name: str, before: str) -> None:
    run(db, before)
    complete = [
        text for text in blocks(DOCUMENTS[name], "sql") if not re.search(r"\.\.(?!\.)|^\s*WINDOW", text, re.M)
    ]
    assert complete
    # What the recovery of a query shows of it comes before the query.
    run(db, complete[0] if name == "language.md" else "\n".join(reversed(complete)))


PATTERN = re.compile(r"\.\.|\bname\b|\btopic\b|[{\[|]|\bid;|AS T;|ADD COLUMN c ")


def shown(text: str) -> list[str]:
    """Statements among the words of a document; patterns of statements are none."""
    spans = re.findall(r"`([A-Z][A-Z]+ [^`]*;)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [span for span in spans if not PATTERN.search(span)]


@pytest.mark.parametrize("name", ["README.md", *DOCUMENTS])
def test_statements_among_the_words_read(name: str) -> None:
    for statement in shown(README if name == "README.md" else DOCUMENTS[name]):
        assert parse(statement), statement


@pytest.mark.parametrize("topic", ["", *TOPICS])
def test_a_page_of_help_fits_the_screen_and_its_statements_read(topic: str) -> None:
    text = page(topic)
    assert text is not None
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for statement in re.findall(r"^ +([A-Z][A-Z]+ [^;]*;)", text, re.MULTILINE):
        if not PATTERN.search(statement):
            parse(statement)

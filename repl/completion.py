"""Completion: the words the grammar takes next, and the names that the database knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from streamsql.grammar.complete import expected_keywords, expects_name
from streamsql.grammar.lexer import FLAWS, SEMICOLON, tokenize
from streamsql.repl.commands import COMMANDS

# The word at the cursor: a plain name, or a quoted one that is still open. Topics may be longer.
_WORD = re.compile(r"[A-Za-z0-9_@]*\Z")
_QUOTED = re.compile(r"[`\"'][^`\"'\n]*\Z")
_LONG_WORD = re.compile(r"[A-Za-z0-9_.@-]*\Z")
_SETTING = re.compile(r"\s*(?:SET|UNSET|ALTER\s+SYSTEM)\s+", re.IGNORECASE)


class SqlCompleter(Completer):
    """Completes the word before the cursor.

    names  gives the names of each kind ('source', 'column', ...) as they are now
    """

    def __init__(self, names: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        for text, kind, length in self.candidates(document.text_before_cursor):
            yield Completion(text, start_position=-length, display_meta=kind)

    def candidates(self, before: str) -> Iterator[tuple[str, str, int]]:
        """What may end a text: (text, what it is, characters before the cursor that it replaces)."""
        word, kind = _at_cursor(before)
        head = before[: len(before) - len(word)]
        if not head.strip():
            for name in _beginning_with(word, COMMANDS):
                yield name, "command", len(word)
        if kind is not None:
            names = self._names()
            for one in ("column", "source", "function") if kind == "column" else (kind,):
                for name in _beginning_with(word, names.get(one, ())):
                    yield _as_typed(name, one, word), one, len(word)
        if not word.startswith("'"):
            for name in _beginning_with(word, expected_keywords(_last_statement(head))):
                yield (name.lower() if word.islower() else name), "", len(word)


def _at_cursor(before: str) -> tuple[str, str | None]:
    """The word at the cursor and the kind of name that it may be."""
    long_word = _found(_LONG_WORD, before)
    kind = _kind_after(before[: len(before) - len(long_word)])
    if kind == "topic":
        return long_word, kind
    word = current_word(before)
    kind = _kind_after(before[: len(before) - len(word)])
    # A string is a name only where a setting is named.
    return word, None if word.startswith("'") and kind != "property" else kind


def _kind_after(head: str) -> str | None:
    statement = _last_statement(head)
    if _SETTING.fullmatch(statement):
        return "property"
    return expects_name(statement)


def current_word(before: str) -> str:
    """The word, or the beginning of a quoted name, that ends at the cursor.

    >>> current_word("SELECT v.pa"), current_word("SELECT `user i"), current_word("SELECT 'a' ")
    ('pa', '`user i', '')
    """
    flaws = [token for token in tokenize(before) if token.kind in FLAWS and token.end == len(before)]
    if flaws and _found(_QUOTED, before) == flaws[-1].text:
        return flaws[-1].text
    return _found(_WORD, before)


def _as_typed(name: str, kind: str, word: str) -> str:
    """A name in the case and the quotes in which it is being typed."""
    if kind == "property":
        return f"'{name}'"
    is_plain = kind != "topic" and not name.startswith("`")
    return name.lower() if is_plain and word.islower() else name


def _beginning_with(word: str, texts: Iterable[str]) -> Iterator[str]:
    start = word.lstrip("`\"'").upper()
    return (text for text in texts if text.lstrip("`").upper().startswith(start) and text != word)


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group() if found else ""


def _last_statement(text: str) -> str:
    """What follows the last ';' outside quotes and comments."""
    ends = [token.end for token in tokenize(text) if token.kind == SEMICOLON]
    return text[ends[-1] :] if ends else text

"""Completion: the words the grammar takes next, and the names that the database knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from streamsql.grammar.complete import expected_keywords, expects_name
from streamsql.repl.commands import COMMANDS

_WORD = re.compile(r"[`\"]?[A-Za-z0-9_@.-]*$|[`\"][^`\"]*$")
_FIRST_FEW_CHARACTERS = 1


class SqlCompleter(Completer):
    """Completes the word before the cursor.

    names  gives the names of each kind ('source', 'column', ...) as they are now
    """

    def __init__(self, names: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor
        word = current_word(before)
        if len(word) < _FIRST_FEW_CHARACTERS and not complete_event.completion_requested:
            return
        for text, kind in self.candidates(before, word):
            yield Completion(text, start_position=-len(word), display_meta=kind)

    def candidates(self, before: str, word: str) -> Iterator[tuple[str, str]]:
        """(text, what it is) of everything that may stand for `word` at the end of `before`."""
        head = before[: len(before) - len(word)]
        if not head.strip():
            yield from _matching(word, COMMANDS, "command", upper=False)
        statement = _last_statement(head)
        kind = expects_name(statement)
        if kind is not None:
            names = self._names()
            wanted = ["column", "source", "function"] if kind == "column" else [kind]
            for one in wanted:
                yield from _matching(word, names.get(one, ()), one, upper=False)
        yield from _matching(word, expected_keywords(statement), "", upper=not word.islower())


def current_word(before: str) -> str:
    """The word, or the beginning of a quoted name, that ends at the cursor."""
    found = _WORD.search(before)
    return found.group() if found else ""


def _matching(word: str, texts: Iterable[str], kind: str, *, upper: bool) -> Iterator[tuple[str, str]]:
    """Texts that begin with the word; keywords come in the case that is being typed."""
    start = word.strip('`"').upper()
    for text in texts:
        if text.strip("`").upper().startswith(start) and text != word:
            yield (text if upper or kind else text.lower()), kind


def _last_statement(text: str) -> str:
    """What follows the last ';' outside quotes and comments."""
    from streamsql.grammar.lexer import SEMICOLON, tokenize

    ends = [token.end for token in tokenize(text) if token.kind == SEMICOLON]
    return text[ends[-1] :] if ends else text

"""Colours for SQL while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Set

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from streamsql.grammar.lexer import (
    BACKTICKED,
    BAD_CHARACTER,
    BAD_NUMBER,
    DOUBLE_QUOTED,
    OPEN_BACKTICK,
    OPEN_COMMENT,
    OPEN_DOUBLE_QUOTE,
    OPEN_STRING,
    VARIABLE,
    WORD,
    Token,
    tokenize,
)

_CLASSES = {
    "STRING_LITERAL": "class:string",
    OPEN_STRING: "class:string",
    "INTEGER_LITERAL": "class:number",
    "DECIMAL_LITERAL": "class:number",
    "DOUBLE_LITERAL": "class:number",
    BACKTICKED: "class:name",
    DOUBLE_QUOTED: "class:name",
    OPEN_BACKTICK: "class:name",
    OPEN_DOUBLE_QUOTE: "class:name",
    OPEN_COMMENT: "class:comment",
    VARIABLE: "class:variable",
    BAD_CHARACTER: "class:bad",
    BAD_NUMBER: "class:bad",
}


class SqlLexer(Lexer):
    """Colours tokens by kind, words by what they are.

    keywords, functions  in upper case
    """

    def __init__(self, keywords: Set[str], functions: Set[str]) -> None:
        self._keywords = keywords
        self._functions = functions

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        # Strings and comments span lines, so the text is read as a whole; what is typed is short.
        lines = _split(self.fragments(document.text))
        return lambda number: lines[number] if number < len(lines) else []

    def fragments(self, text: str) -> list[tuple[str, str]]:
        """The whole text as (style, piece)."""
        found: list[tuple[str, str]] = []
        done = 0
        tokens = tokenize(text)
        for place, token in enumerate(tokens):
            if token.start > done:
                blank = text[done : token.start]
                found.append(("class:comment" if blank.strip() else "", blank))
            if token.end > token.start:
                found.append((self._style(tokens, place), text[token.start : token.end]))
            done = token.end
        return found

    def _style(self, tokens: list[Token], place: int) -> str:
        token = tokens[place]
        if token.kind != WORD:
            return _CLASSES.get(token.kind, "class:sign")
        word = token.text.upper()
        is_call = tokens[place + 1].kind == "LPAR"
        if word in self._functions and is_call:
            return "class:function"
        return "class:keyword" if word in self._keywords else ""


def _split(fragments: list[tuple[str, str]]) -> list[StyleAndTextTuples]:
    """Fragments by line."""
    lines: list[StyleAndTextTuples] = [[]]
    for style, piece in fragments:
        first, *rest = piece.split("\n")
        lines[-1].append((style, first))
        lines.extend([(style, part)] for part in rest)
    return lines

"""What may come next at a cursor: keywords, and what kind of name, for a shell's completion."""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.grammar.lexer import END, FLAWS, SEMICOLON, WORD, Token, tokenize
from streamsql.grammar.machine import Machine
from streamsql.grammar.parser import machine
from streamsql.grammar.statements import parts
from streamsql.grammar.wording import name_kinds

# The rule that would take a name -> what the shell can look up. New names have nothing to look up.
_KINDS = {
    "column_name": "column",
    "connector_name": "connector",
    "field_name": "field",
    "function_name": "column",  # a name in an expression is either; both are worth offering
    "property_name": "property",
    "qualifier": "column",
    "query_id": "query",
    "source_name": "source",
    "topic_name": "topic",
    "topic_text": "topic",
    "type_name": "type",
    "variable_name": "variable",
}

# Words that only ever come together are offered together.
_PAIRS = {
    "GROUP": "GROUP BY",
    "ORDER": "ORDER BY",
    "PARTITION": "PARTITION BY",
    "PRIMARY": "PRIMARY KEY",
    "GRACE": "GRACE PERIOD",
    "ADVANCE": "ADVANCE BY",
    "_AS_OF": "AS OF",
}


def expected_keywords(text: str) -> list[str]:
    """The keywords that may come next, in the order of the alphabet; [] inside quotes and comments.

    text  up to the cursor; a word that the cursor touches counts as unfinished and is left out, so its
          beginning can be completed

    >>> expected_keywords("DROP ")
    ['CONNECTOR', 'STREAM', 'TABLE', 'TYPE']
    """
    reached = _reach(text)
    if reached is None:
        return []
    automaton, stack = reached
    words = (w for w in automaton.expected(stack) if w in automaton.words or w in _PAIRS)
    return sorted({_PAIRS.get(word, word) for word in words})


def expects_name(text: str) -> str | None:
    """What kind of existing name may come next, or None if none may.

    gives  'source', 'column' (or a function), 'function', 'field', 'topic', 'query', 'type', 'connector',
           'variable' or 'property'

    >>> expects_name("SELECT a FROM "), expects_name("CREATE STREAM "), expects_name("PRINT ")
    ('source', None, 'topic')
    """
    reached = _reach(text)
    if reached is None:
        return None
    kinds = name_kinds(*reached)
    if kinds == {"function_name"}:
        return "function"
    return next((_KINDS[kind] for kind in sorted(kinds) if kind in _KINDS), None)


def _reach(text: str) -> tuple[Machine, list[int]] | None:
    """The machine's stack after the last statement's words, without the one at the cursor; None if lost."""
    tokens = tokenize(text)
    last = tokens[-2] if len(tokens) > 1 else None
    after_last = text[last.end :] if last is not None else text
    if any(
        after_last.startswith("--", start) for _, start, end in parts(after_last) if end == len(after_last)
    ):
        return None  # inside a comment
    if last is not None and last.end == len(text):
        if last.kind in FLAWS:
            return None
        if last.kind == WORD:
            del tokens[-2]
    begin = max((place + 1 for place, token in enumerate(tokens) if token.kind == SEMICOLON), default=0)
    automaton = machine()
    stack = [automaton.starts["statement"]]
    for place in range(begin, len(tokens) - 1):
        if not automaton.shift(stack, _terminal(automaton, stack, tokens, place)):
            return None
    return automaton, stack


def _terminal(automaton: Machine, stack: list[int], tokens: Sequence[Token], place: int) -> str:
    """As the parser sees it, but the last word may be the first half of a keyword such as EMIT CHANGES."""
    word = tokens[place].text.upper()
    is_last = tokens[place + 1].kind == END
    if is_last and tokens[place].kind == WORD and word in automaton.words and automaton.accepts(stack, word):
        return word
    return automaton.terminal(stack, tokens, place)

"""Keyword or name: what terminal a word stands for at its place.

A reserved word is always a keyword. Any other word the grammar knows is a keyword only where the parser
can take it as one. Where it could also take a name there, the words that follow decide, by the table
BEFORE; a word that begins a clause (EMIT, PARTITION, ORDER, UNION, ..) is then a keyword, so as an alias
after a source it needs AS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamsql.grammar.lexer import BACKTICKED, DOUBLE_QUOTED, END, SEMICOLON, WORD, Token
from streamsql.grammar.names import RESERVED

_FRAME = frozenset({"BETWEEN", "UNBOUNDED", "CURRENT", "INTEGER_LITERAL"})

# A word that may begin a clause or a constructor, and what must follow it to make it one. Words are in
# upper case, other tokens by their kind.
BEFORE: dict[str, frozenset[str]] = {
    "ARRAY": frozenset({"LSQB", "LESSTHAN"}),
    "ESCAPE": frozenset({"STRING_LITERAL"}),
    "GROUPS": _FRAME,
    "IF": frozenset({"EXISTS", "NOT"}),
    "MAP": frozenset({"LPAR", "LESSTHAN"}),
    "NULLS": frozenset({"FIRST", "LAST"}),
    "OVER": frozenset({"LPAR"}),
    "RANGE": _FRAME,
    "ROWS": _FRAME,
    "SESSION": frozenset({"LPAR"}),
    "STRUCT": frozenset({"LPAR", "LESSTHAN", "LESSGREATER"}),
    "TABLES": frozenset({"EXTENDED", SEMICOLON, END}),
}

# In `EXPLAIN x` and `DESCRIBE FUNCTION`, these are names only if nothing follows.
NOT_BEFORE: dict[str, frozenset[str]] = dict.fromkeys(
    ("ALTER", "ASSERT", "DEFINE", "EXPLAIN", "FUNCTION", "SET", "SHOW", "UNDEFINE"),
    frozenset({SEMICOLON, END, "EXTENDED"}),
)

NAMES = frozenset({BACKTICKED, DOUBLE_QUOTED})


def classify(
    tokens: Sequence[Token], place: int, words: frozenset[str], accepts: Callable[[str], bool]
) -> str:
    """The terminal that the token at `place` stands for.

    words    the grammar's keywords
    accepts  whether the parser, as it stands, can take a terminal
    cost     a look at one or two tokens ahead, save for lambda parameters: as many as there are names
    """
    kind = tokens[place].kind
    if kind == "LPAR":
        return "_LAMBDA_LPAR" if _opens_lambda(tokens, place) and accepts("_LAMBDA_LPAR") else kind
    if kind in NAMES:
        return "NAME"
    if kind != WORD:
        return END if kind == SEMICOLON else kind
    word = tokens[place].text.upper()
    if word in RESERVED:
        return "_AS_OF" if word == "AS" and _is_as_of(tokens, place) and accepts("_AS_OF") else word
    if word in words and accepts(word) and (_followed_as_keyword(word, tokens, place) or not accepts("NAME")):
        return word
    return "NAME"


def _followed_as_keyword(word: str, tokens: Sequence[Token], place: int) -> bool:
    follower = shape(tokens[place + 1])
    if word in BEFORE:
        return follower in BEFORE[word]
    if word in NOT_BEFORE:
        return follower not in NOT_BEFORE[word]
    if word == "COLUMN":  # ADD COLUMN c INT, but ADD column INT
        return tokens[place + 1].kind in _WORDLIKE and tokens[place + 2].kind in _WORDLIKE
    return True


_WORDLIKE = NAMES | {WORD}


def shape(token: Token) -> str:
    """A word in upper case, or the kind of another token."""
    return token.text.upper() if token.kind == WORD else token.kind


def _is_as_of(tokens: Sequence[Token], place: int) -> bool:
    return shape(tokens[place + 1]) == "OF" and shape(tokens[place + 2]) in ("TIMESTAMP", "OFFSET")


def _opens_lambda(tokens: Sequence[Token], place: int) -> bool:
    """Whether `(a, b) =>` begins here."""
    place += 1
    while tokens[place].kind in _WORDLIKE:
        follower = tokens[place + 1].kind
        if follower == "RPAR":
            return tokens[place + 2].kind == "LAMBDA"
        if follower != "COMMA":
            return False
        place += 2
    return False

"""Text to tokens: words, quoted names, literals, signs; comments and blanks are dropped.

Whether a word is a keyword or a name is not decided here (streamsql.grammar.keywords). Nothing raises:
text that is no token becomes one of the kinds in FLAWS, for whoever reaches it to complain about.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Token(NamedTuple):
    """A piece of text [start, end) in characters; kind is a terminal of the grammar or one of those below."""

    kind: str
    text: str
    start: int
    end: int


WORD = "WORD"
BACKTICKED = "BACKTICKED"
DOUBLE_QUOTED = "DOUBLE_QUOTED"
SEMICOLON = "SEMICOLON"
END = "$END"

OPEN_STRING = "OPEN_STRING"
OPEN_BACKTICK = "OPEN_BACKTICK"
OPEN_DOUBLE_QUOTE = "OPEN_DOUBLE_QUOTE"
OPEN_COMMENT = "OPEN_COMMENT"
VARIABLE = "VARIABLE"
BAD_NUMBER = "BAD_NUMBER"
BAD_CHARACTER = "BAD_CHARACTER"
FLAWS = frozenset(
    {OPEN_STRING, OPEN_BACKTICK, OPEN_DOUBLE_QUOTE, OPEN_COMMENT, VARIABLE, BAD_NUMBER, BAD_CHARACTER}
)

# Possessive quantifiers (*+) keep an unclosed quote from being tried again at every doubled quote.
COMMENT = r"--[^\r\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/"
STRING = r"'(?:[^']++|'')*+'"
BACKTICK = r"`(?:[^`]++|``)*+`"
DOUBLE_QUOTE = r'"(?:[^"]++|"")*+"'
VARIABLE_REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_@]*+\}"

_SIGNS = {
    "->": "ARROW",
    "=>": "LAMBDA",
    ":=": "ASSIGN",
    "||": "CONCAT",
    "<>": "LESSGREATER",
    "!=": "BANGEQUAL",
    "<=": "LESSEQUAL",
    ">=": "MOREEQUAL",
    "==": "DOUBLE_EQUAL",  # no terminal of the grammar; a token of its own reads better in an error
    "<": "LESSTHAN",
    ">": "MORETHAN",
    "=": "EQUAL",
    "(": "LPAR",
    ")": "RPAR",
    "[": "LSQB",
    "]": "RSQB",
    ",": "COMMA",
    ".": "DOT",
    "+": "PLUS",
    "-": "MINUS",
    "*": "STAR",
    "/": "SLASH",
    "%": "PERCENT",
    ";": SEMICOLON,
}

_TOKEN = re.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in (
            ("BLANK", rf"[ \t\r\n\f\v]++|{COMMENT}"),
            (WORD, r"[A-Za-z_][A-Za-z0-9_@]*+"),
            ("STRING_LITERAL", STRING),
            # The dot of `t.1st` or `t1.x` is no decimal point.
            ("DOT", r"(?<=[A-Za-z0-9_@`\"])\."),
            ("DOUBLE_LITERAL", r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)[eE][+-]?[0-9]++(?![A-Za-z0-9_@])"),
            ("DECIMAL_LITERAL", r"(?:[0-9]++\.[0-9]*+|\.[0-9]++)(?![A-Za-z0-9_@])"),
            ("DIGIT_WORD", r"[0-9]++[A-Za-z_@][A-Za-z0-9_@]*+"),
            ("INTEGER_LITERAL", r"[0-9]++(?!\.)"),
            (BAD_NUMBER, r"[0-9]*+\.[0-9]++[A-Za-z0-9_@]*+|[0-9]++\.[A-Za-z0-9_@]*+"),
            (BACKTICKED, BACKTICK),
            (DOUBLE_QUOTED, DOUBLE_QUOTE),
            (OPEN_COMMENT, r"/\*"),
            ("SIGN", "|".join(re.escape(sign) for sign in _SIGNS)),
            (VARIABLE, VARIABLE_REFERENCE),
            (OPEN_STRING, "'"),
            (OPEN_BACKTICK, "`"),
            (OPEN_DOUBLE_QUOTE, '"'),
            (BAD_CHARACTER, r"(?s:.)"),
        )
    )
)


def tokenize(text: str) -> list[Token]:
    """The tokens of a text, with `$END` last; time is linear in its length.

    After an unclosed quote or comment, which swallows the rest of the text, comes `$END`.

    >>> [t.kind for t in tokenize("a->b; -- why")]
    ['WORD', 'ARROW', 'WORD', 'SEMICOLON', '$END']
    """
    tokens: list[Token] = []
    append = tokens.append
    position = 1 if text.startswith("\ufeff") else 0  # a byte order mark
    length = len(text)
    match = _TOKEN.match
    while position < length:
        found = match(text, position)
        assert found is not None and found.lastgroup is not None
        kind, piece, end = found.lastgroup, found.group(), found.end()
        if kind == "BLANK":
            position = end
            continue
        if kind == "SIGN":
            kind = _SIGNS[piece]
        elif kind == "DIGIT_WORD":
            kind = WORD
        if kind in _SWALLOWS:
            append(Token(kind, text[position:], position, length))
            break
        append(Token(kind, piece, position, end))
        position = end
    append(Token(END, "", length, length))
    return tokens


_SWALLOWS = frozenset({OPEN_STRING, OPEN_BACKTICK, OPEN_DOUBLE_QUOTE, OPEN_COMMENT})


def unquote(token_text: str) -> str:
    """What is between the quotes of a string or quoted name, doubled quotes undone.

    >>> unquote("'it''s'"), unquote("`a``b`")
    ("it's", 'a`b')
    """
    quote = token_text[0]
    return token_text[1:-1].replace(quote * 2, quote)

"""Filling in `${name}`, in the text of statements, before they are parsed.

A value can only ever stand for one token, or for a part of one, so it cannot smuggle in a clause:

    in a string             anything; its quotes are doubled
    in a quoted name        anything; its quotes are doubled
    part of a word, a_${x}  letters, digits, _ and @; the whole may be no reserved word
    alone                   a name, a quoted name, a quoted string, a number, TRUE or FALSE

`$${name}` stays, less one `$`. A name that is not defined stays as it is, and so do comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from streamsql.errors import ParseError, Span
from streamsql.grammar.lexer import (
    BACKTICK,
    COMMENT,
    DOUBLE_QUOTE,
    STRING,
    VARIABLE_REFERENCE,
    WORD,
    Token,
    tokenize,
    unquote,
)
from streamsql.grammar.names import RESERVED
from streamsql.grammar.statements import split

_ESCAPED = rf"\${VARIABLE_REFERENCE}"
_PART = re.compile(
    rf"(?P<quoted>{STRING}|{BACKTICK}|{DOUBLE_QUOTE})|(?P<aside>{COMMENT})|(?P<open>/\*|['\"`])"
    rf"|(?P<escaped>{_ESCAPED})"
    rf"|(?P<word>(?:[A-Za-z0-9_@]++|{VARIABLE_REFERENCE})++)|(?P<plain>(?s:.))"
)
_REFERENCE = re.compile(rf"(?P<escaped>{_ESCAPED})|(?P<reference>{VARIABLE_REFERENCE})")
_WORD_PART = re.compile(r"[A-Za-z0-9_@]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*|[0-9]+[A-Za-z_@][A-Za-z0-9_@]*")
_QUOTED_NAME = re.compile(r"`[A-Za-z_][A-Za-z0-9_@]*`|\"[A-Za-z_][A-Za-z0-9_@]*\"")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables filled in; one or many statements.

    variables  name -> value, names in any case; a DEFINE or UNDEFINE in the text counts from there on
    raises     ParseError (PARSE-VARIABLE) for a value that cannot stand where it is named

    >>> substitute("SELECT ${c} FROM s_${env} WHERE a = '${who}';", {"C": "b", "ENV": "dev", "WHO": "it's"})
    "SELECT b FROM s_dev WHERE a = 'it''s';"
    """
    if "${" not in text:
        return text
    known = {name.upper(): value for name, value in variables.items()}
    filled: list[str] = []
    position = 0
    for piece in split(text):
        filled.append(text[position : piece.start])
        statement = _fill(text, piece.start, piece.start + len(piece.text), known)
        filled.append(statement)
        position = piece.start + len(piece.text)
        _define(statement, known)
    filled.append(text[position:])
    return "".join(filled)


def _define(statement: str, known: dict[str, str]) -> None:
    """Follow a DEFINE or UNDEFINE; anything else, or a malformed one, is for the parser."""
    # The longest statement of this form has six tokens; tokens of a long one are not worth making.
    head = statement.lstrip()[:8].upper()
    if not head.startswith(("DEFINE", "UNDEFINE", "--", "/*")):
        return
    match tokenize(statement):
        case [Token(text=verb), Token(kind=kind, text=name), Token(kind="EQUAL"), Token(text=value), *_] if (
            verb.upper() == "DEFINE" and kind == WORD and value.startswith("'") and len(value) > 1
        ):
            known[name.upper()] = unquote(value)
        case [Token(text=verb), Token(kind=kind, text=name), *_] if (
            verb.upper() == "UNDEFINE" and kind == WORD
        ):
            known.pop(name.upper(), None)


def _fill(text: str, start: int, end: int, known: Mapping[str, str]) -> str:
    parts: list[str] = []
    position = start
    while position < end:
        found = _PART.match(text, position, end)
        assert found is not None
        piece = found.group()
        match found.lastgroup:
            case "quoted":
                parts.append(_in_quotes(piece, known))
            case "escaped":
                parts.append(piece[1:])
            case "word" if "$" in piece:
                value = _in_word(text, found.start(), piece, known)
                if value != piece:
                    before, after = parts[-1][-1:] if parts else "", text[found.end() : found.end() + 1]
                    value = _apart(before, value, after)
                parts.append(value)
            case "open":  # the parser will say so
                parts.append(text[position:end])
                position = end
                continue
            case _:
                parts.append(piece)
        position = found.end()
    return "".join(parts)


def _lookup(reference: str, known: Mapping[str, str]) -> str | None:
    return known.get(reference[2:-1].upper())


def _in_quotes(piece: str, known: Mapping[str, str]) -> str:
    quote = piece[0]

    def filled(found: re.Match[str]) -> str:
        if found.lastgroup == "escaped":
            return found.group()[1:]
        value = _lookup(found.group(), known)
        return found.group() if value is None else value.replace(quote, quote * 2)

    return _REFERENCE.sub(filled, piece)


def _in_word(text: str, start: int, piece: str, known: Mapping[str, str]) -> str:
    """A reference alone, or a word with references in it."""
    references = list(_REFERENCE.finditer(piece))
    if len(references) == 1 and references[0].group() == piece:
        value = _lookup(piece, known)
        if value is None:
            return piece
        if not _stands_alone(value):
            raise _refused(text, Span(start, start + len(piece)), value, _ALONE)
        return value
    for found in references:
        value = _lookup(found.group(), known)
        if value is not None and not _WORD_PART.fullmatch(value):
            span = Span(start + found.start(), start + found.end())
            raise _refused(text, span, value, "as a part of a name it may hold letters, digits, _ and @")
    word = _REFERENCE.sub(lambda found: _lookup(found.group(), known) or found.group(), piece)
    if word.upper() in RESERVED:
        raise _refused(text, Span(start, start + len(piece)), word, "a reserved word cannot be put together")
    return word


_ALONE = "here it must be a name, a quoted name, a quoted string, a number, TRUE or FALSE"


def _stands_alone(value: str) -> bool:
    if value.upper() in RESERVED:
        return value.upper() in ("TRUE", "FALSE")
    return any(pattern.fullmatch(value) for pattern in (_NAME, _QUOTED_NAME, _STRING_VALUE, _NUMBER))


_STRING_VALUE = re.compile(STRING)


def _apart(before: str, value: str, after: str) -> str:
    """A blank where the value would run into its neighbour: `-` and `-1`, `'a'` and `'b'`."""
    left = " " if before and before in "-'\"`" else ""
    right = " " if after and after in "'\"`" else ""
    return f"{left}{value}{right}"


def _refused(text: str, span: Span, value: str, rule: str) -> ParseError:
    shown = value if len(value) <= 40 else f"{value[:37]}.."
    return ParseError(
        f"the value {shown} of this variable cannot stand here: {rule}",
        code="PARSE-VARIABLE",
        span=span,
        hint="to put a string in, define it with its quotes: DEFINE name = '''text''';",
        source=text,
    )

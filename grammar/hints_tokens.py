"""What is wrong with text that is no token at all."""

from __future__ import annotations

import unicodedata

from streamsql.errors import ParseError, Span
from streamsql.grammar import lexer
from streamsql.grammar.lexer import Token

_OPEN = {
    lexer.OPEN_STRING: (
        "QUOTE",
        "this string is not closed",
        "add ' at its end; inside a string write it twice",
    ),
    lexer.OPEN_BACKTICK: ("QUOTE", "this quoted name is not closed", "add ` at its end"),
    lexer.OPEN_DOUBLE_QUOTE: ("QUOTE", "this quoted name is not closed", 'add " at its end'),
    lexer.OPEN_COMMENT: ("COMMENT", "this comment is not closed", "add */ at its end"),
}

_CHARACTERS = {
    "‘": "write strings between straight quotes: '..'",
    "’": "write strings between straight quotes: '..'",
    "“": "write strings between straight quotes: '..'",
    "”": "write strings between straight quotes: '..'",
    ":": "to convert a value write CAST(x AS type); pairs are joined by :=",
    "!": "write NOT x, or a <> b",
    "|": "texts are joined by ||, conditions by OR",
    "&": "conditions are joined by AND",
    "{": "build a map with MAP('k' := v), a struct with STRUCT(f := v)",
    "}": "build a map with MAP('k' := v), a struct with STRUCT(f := v)",
    "?": "parameters are not known; write the value, or ${name} after DEFINE name = '..'",
    "$": "a variable is written ${name}",
    "#": "a comment begins with --",
    "\\": "a quote inside a string is written twice",
    "^": "write POWER(x, y)",
}


def flaw(text: str, token: Token) -> ParseError:
    """The error for a token of one of the kinds in streamsql.grammar.lexer.FLAWS."""
    if token.kind in _OPEN:
        what, message, hint = _OPEN[token.kind]
        width = 2 if token.kind == lexer.OPEN_COMMENT else 1
        return _error(text, f"UNCLOSED-{what}", message, hint, Span(token.start, token.start + width))
    at = Span(token.start, token.end)
    if token.kind == lexer.VARIABLE:
        name = token.text[2:-1]
        return _error(
            text, "VARIABLE", f"the variable {name} is not defined", f"DEFINE {name} = '..'; sets it", at
        )
    if token.kind == lexer.BAD_NUMBER:
        return _error(
            text,
            "NUMBER",
            f"{token.text[:40]} is no number",
            "numbers are written 12, 1.5 or 1.5E3; a name that begins so needs backticks",
            at,
        )
    return _character(text, token)


def _character(text: str, token: Token) -> ParseError:
    character = token.text
    if character.isalpha():
        start, end = token.start, token.end
        while start > 0 and token.end - start < 40 and (text[start - 1].isalnum() or text[start - 1] == "_"):
            start -= 1
        while end < len(text) and end - token.start < 40 and (text[end].isalnum() or text[end] == "_"):
            end += 1
        word = text[start:end]
        return _error(
            text,
            "CHARACTER",
            f"{word} has letters that a plain name cannot have",
            f"put the name in backticks: `{word}`",
            Span(start, end),
        )
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "a control character" if ord(character) < 32 else "a character")
    if character.isascii() and character.isprintable():
        message = f"the character {character} has no meaning here"
    elif character.isspace() or not character.isprintable():
        message = f"there is an invisible character here: {code}, {name.lower()}"
    else:
        message = f"the character {character} ({code}, {name.lower()}) has no meaning here"
    hint = _CHARACTERS.get(character)
    if hint is None:
        invisible = character.isspace() or not character.isprintable()
        hint = (
            "take it out; a plain blank is meant, if any"
            if invisible
            else "text belongs between single quotes"
        )
    return _error(text, "CHARACTER", message, hint, Span(token.start, token.end))


def _error(text: str, code: str, message: str, hint: str, at: Span) -> ParseError:
    return ParseError(message, code=f"PARSE-{code}", span=at, hint=hint, source=text)

"""What a token's text means: names, strings, numbers."""

from __future__ import annotations

from streamsql.errors import ParseError, Span
from streamsql.grammar.lexer import WORD, Token, unquote

_LARGEST = 2**63 - 1


def span_of(token: Token) -> Span:
    return Span(token.start, token.end)


def exact_name(token: Token) -> str:
    """A name as typed, without its quotes; raises ParseError if it is empty."""
    if token.kind == WORD:
        return token.text
    name = unquote(token.text)
    if not name:
        raise ParseError(
            "a name is empty",
            code="PARSE-EMPTY-NAME",
            span=span_of(token),
            hint="put text between the quotes",
        )
    return name


def folded_name(token: Token) -> str:
    """A name as it means: upper case unless quoted."""
    name = exact_name(token)
    return name.upper() if token.kind == WORD else name


def string_value(token: Token) -> str:
    return unquote(token.text)


def whole_number(token: Token, *, sign: Token | None = None) -> int:
    """An integer that fits 64 bits, the sign included; raises ParseError."""
    # Python refuses to read thousands of digits; anything over 19 is too large anyway.
    digits = token.text.lstrip("0") or "0"
    value = int(digits) if len(digits) <= 19 else _LARGEST + 2
    if sign is not None:
        value = -value
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise ParseError(
            f"the number {_shortened(digits)} does not fit a BIGINT (64 bits)",
            code="PARSE-NUMBER",
            span=Span(sign.start if sign else token.start, token.end),
            hint=f"write a decimal ({_shortened(digits)}.0) or a double ({_shortened(digits)}E0)"
            if len(digits) <= 38
            else "numbers of that size are doubles: 1E30",
        )
    return value


def double_value(token: Token, *, sign: Token | None = None) -> float:
    """A finite double; raises ParseError if the text overflows to infinity."""
    value = float(token.text)
    if value == float("inf"):
        raise ParseError(
            f"the number {_shortened(token.text)} does not fit a DOUBLE",
            code="PARSE-NUMBER",
            span=Span(sign.start if sign else token.start, token.end),
            hint="the largest double is 1.7976931348623157E308",
        )
    return -value if sign else value


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}.."

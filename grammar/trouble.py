"""A place where the text does not read, and trying repairs there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from streamsql.errors import ParseError, Span
from streamsql.grammar.lexer import END, SEMICOLON, Token
from streamsql.grammar.machine import Machine
from streamsql.grammar.wording import in_words

# Reading on for this many tokens, or to the end of the statement, makes a repair believable.
_ENOUGH = 5


class Trouble:
    """A statement, from the token at `begin`, and the token at `place`, which does not fit."""

    def __init__(
        self,
        machine: Machine,
        start: str,
        text: str,
        tokens: Sequence[Token],
        begin: int,
        place: int,
    ) -> None:
        self.machine = machine
        self.start = start
        self.text = text
        self.tokens = tokens
        self.begin = begin
        self.place = place
        self.token = tokens[self.place]

    @cached_property
    def stack(self) -> list[int]:
        """The stack after the previous token; a LALR machine may reduce further before it notices."""
        stack = list(self.before_previous)
        if self.previous is not None:
            self.machine.shift(stack, self.machine.terminal(stack, self.tokens, self.place - 1))
        return stack

    @cached_property
    def expected(self) -> set[str]:
        return self.machine.expected(self.stack)

    @property
    def previous(self) -> Token | None:
        return self.tokens[self.place - 1] if self.place > self.begin else None

    @property
    def at_end(self) -> bool:
        return self.token.kind in (END, SEMICOLON)

    @property
    def span(self) -> Span:
        """The token that does not fit; at the end of the text, the place just after the last one."""
        if self.token.kind == END and self.previous is not None:
            return Span(self.previous.end, self.previous.end)
        return span(self.token)

    @cached_property
    def before_previous(self) -> list[int]:
        """The stack before the previous token: the statement read again up to there."""
        stack = [self.machine.starts[self.start]]
        for place in range(self.begin, self.place - 1):
            self.machine.shift(stack, self.machine.terminal(stack, self.tokens, place))
        return stack

    def reads_on(self, stack: Sequence[int], terminals: Sequence[str], place: int) -> bool:
        """Whether, after these terminals, the text from `place` goes on making sense."""
        trial = list(stack)
        if not all(self.machine.shift(trial, terminal) for terminal in terminals):
            return False
        for step in range(place, min(place + _ENOUGH, len(self.tokens))):
            terminal = self.machine.terminal(trial, self.tokens, step)
            if not self.machine.shift(trial, terminal):
                return False
            if terminal == END:
                return True
        return True

    @cached_property
    def expectation(self) -> str:
        """What could come here, in words."""
        return in_words(self.machine, self.stack)

    def error(self, code: str, message: str, hint: str | None, at: Span | None = None) -> ParseError:
        return ParseError(message, code=f"PARSE-{code}", span=at or self.span, hint=hint, source=self.text)


def span(token: Token) -> Span:
    return Span(token.start, token.end)

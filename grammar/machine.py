"""The LALR(1) machine: runs the tables over tokens and calls a function for each production.

After Aho, Lam, Sethi and Ullman, Compilers, section 4.5 to 4.7. It keeps its stacks in lists, so nesting
costs no Python recursion, and asks exactly (not by LALR's merged look-ahead) whether a token would be
taken: that decides between keyword and name, and what a message or a completion lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamsql.errors import ParseError, Span
from streamsql.grammar.keywords import classify
from streamsql.grammar.lexer import END, Token
from streamsql.grammar.tables import Rule, Tables

# Code that walks a tree recurses; printing the deepest one takes some four frames a level, and the whole
# must stay well below Python's limit of 1000.
DEEPEST = 120

Action = Callable[..., Any]

_THROUGH: tuple[int, ...] = (0,)
"""The plan of a production that only hands its one child on; known by identity."""


class Unexpected(Exception):
    """No way on from here. place: the token that does not fit."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class Machine:
    """The grammar's automaton. It has no state of its own: stacks are passed in and out."""

    def __init__(self, tables: Tables, actions: Mapping[str, Action]) -> None:
        """actions: name -> function(span, *children), see `plan` in streamsql.grammar.tables."""
        self.rows = tables.rows
        self.rules = tables.rules
        self.starts = tables.starts
        self.words = tables.words
        self._productions = [
            (
                rule.origin,
                rule.length,
                actions[rule.action] if rule.action else None,
                _THROUGH if _hands_through(rule) else rule.plan,
            )
            for rule in tables.rules
        ]

    def accepts(self, stack: Sequence[int], terminal: str) -> bool:
        """Whether the terminal can come next, found out by trying the reductions it needs on the side."""
        return self._after(stack, terminal) is not None

    def _after(self, stack: Sequence[int], terminal: str) -> tuple[int, list[int]] | None:
        """How many states of the stack stay when the terminal is taken, and the new ones on top; or None."""
        rows = self.rows
        keep = len(stack)
        top: list[int] = []
        state = stack[-1]
        while True:
            action = rows[state].get(terminal)
            if action is None:
                return None
            if action >= 0:
                top.append(action)
                return keep, top
            rule = self.rules[-1 - action]
            if rule.length <= len(top):
                del top[len(top) - rule.length :]
            else:
                keep -= rule.length - len(top)
                top.clear()
            state = rows[top[-1] if top else stack[keep - 1]][rule.origin]
            top.append(state)

    def shift(self, stack: list[int], terminal: str) -> bool:
        """Take a terminal without making anything; False, and an untouched stack, if it does not fit."""
        after = self._after(stack, terminal)
        if after is None:
            return False
        keep, top = after
        del stack[keep:]
        stack += top
        return True

    def expected(self, stack: Sequence[int]) -> set[str]:
        """Every terminal that can come next."""
        return {symbol for symbol in self.rows[stack[-1]] if symbol.isupper() and self.accepts(stack, symbol)}

    def terminal(self, stack: Sequence[int], tokens: Sequence[Token], place: int) -> str:
        """What the token at `place` stands for, see streamsql.grammar.keywords."""
        return classify(tokens, place, self.words, lambda terminal: self.accepts(stack, terminal))

    def run(self, start: str, tokens: Sequence[Token], place: int) -> tuple[Any, int]:
        """Parse from `place` to the next `;` or the end; gives the value and the place of that last token.

        raises   Unexpected; ParseError of an action, or if the tree gets deeper than DEEPEST
        """
        rows = self.rows
        productions = self._productions
        states = [self.starts[start]]
        values: list[Any] = [None]
        # Span and depth of each value; the entry at the bottom gives an empty production its place.
        begins, ends, depths = [tokens[place].start], [tokens[place].start], [0]
        while True:
            token = tokens[place]
            terminal = self.terminal(states, tokens, place)
            while True:
                action = rows[states[-1]].get(terminal)
                if action is None:
                    raise Unexpected(place)
                if action >= 0:
                    break
                origin, length, make, plan = productions[-1 - action]
                if plan is _THROUGH:
                    # The levels of precedence: half of all steps, and nothing but the state changes.
                    states[-1] = rows[states[-2]][origin]
                    continue
                if length:
                    begin, end, depth = begins[-length], ends[-1], max(depths[-length:])
                    children = values[-length:]
                    del states[-length:], values[-length:], begins[-length:], ends[-length:], depths[-length:]
                else:
                    begin, end, depth = ends[-1], ends[-1], 0
                    children = []
                if make is not None:
                    depth += 1
                    if depth > DEEPEST:
                        raise _too_deep(Span(begin, end))
                    value = make(Span(begin, end), *_arrange(children, plan))
                elif len(plan) == 1 and plan[0] >= 0 and not origin.startswith("_"):
                    value = children[plan[0]]
                else:
                    value = _splice(children, plan)
                states.append(rows[states[-1]][origin])
                values.append(value)
                begins.append(begin)
                ends.append(end)
                depths.append(depth)
            if terminal == END:
                return values[-1], place
            states.append(action)
            values.append(token)
            begins.append(token.start)
            ends.append(token.end)
            depths.append(0)
            place += 1


def _hands_through(rule: Rule) -> bool:
    return rule.length == 1 and rule.plan == (0,) and rule.action is None and not rule.origin.startswith("_")


def _arrange(children: list[Any], plan: Sequence[int]) -> list[Any]:
    """A production's children in the plan's order: taken, absent, or spliced."""
    arranged: list[Any] = []
    for step in plan:
        if step >= 0:
            arranged.append(children[step])
        elif step == -1:
            arranged.append(None)
        else:
            arranged += children[-2 - step]
    return arranged


def _splice(children: list[Any], plan: Sequence[int]) -> list[Any]:
    """As `_arrange` for a repetition: grows the list it begins with, so that n items cost n steps."""
    if plan and plan[0] <= -2:
        grown: list[Any] = children[-2 - plan[0]]
        grown += _arrange(children, plan[1:])
        return grown
    return _arrange(children, plan)


def _too_deep(span: Span) -> ParseError:
    return ParseError(
        f"this is nested deeper than {DEEPEST} levels",
        code="PARSE-TOO-DEEP",
        span=span,
        hint="write a long chain of = and OR as x IN (a, b, ..); else split it over two queries",
    )

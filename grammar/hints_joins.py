"""Rules for joins and windows that other dialects write otherwise, or with their parts in another order."""

from __future__ import annotations

from streamsql.errors import ParseError, Span
from streamsql.grammar.keywords import shape
from streamsql.grammar.trouble import Trouble, span
from streamsql.grammar.wording import found

_CONDITION = "a join names its condition: JOIN b ON a.x = b.y"


def _unknown_join(trouble: Trouble) -> ParseError | None:
    """`a CROSS JOIN b`, `a NATURAL JOIN b`, `a JOIN b USING (x)`: the words were taken for aliases."""
    previous = trouble.previous
    if not {"ON", "WITHIN"} <= trouble.expected or previous is None:
        return None
    if shape(previous) == "USING" and trouble.token.kind == "LPAR":
        return trouble.error("JOIN", "there is no USING", "JOIN b ON a.x = b.x", span(previous))
    words = [shape(token) for token in trouble.tokens[trouble.begin : trouble.place]]
    join = trouble.begin + len(words) - 1 - words[::-1].index("JOIN")
    before = trouble.tokens[join - 1]
    if shape(before) in ("CROSS", "NATURAL"):
        at = Span(before.start, trouble.tokens[join].end)
        return trouble.error("JOIN", f"there is no {shape(before)} JOIN", _CONDITION, at)
    return None


def join_without_on(trouble: Trouble) -> ParseError | None:
    if {"ON", "WITHIN"} <= trouble.expected or trouble.expected == {"ON", "GRACE"}:
        return trouble.error("JOIN", f"found {found(trouble.token)}, expected ON", _CONDITION)
    return None


def _within(trouble: Trouble) -> ParseError | None:
    """`ON .. WITHIN 1 HOUR`, `WITHIN (1 HOUR)`"""
    if shape(trouble.token) == "WITHIN" and "WHERE" in trouble.expected:
        hint = "JOIN b WITHIN 1 HOUR ON a.x = b.y"
        return trouble.error("CLAUSE-ORDER", "WITHIN comes before ON", hint)
    words = [shape(token) for token in trouble.tokens[max(trouble.begin, trouble.place - 4) : trouble.place]]
    if trouble.expected == {"COMMA"} and trouble.token.kind == "RPAR" and words[:1] == ["WITHIN"]:
        return trouble.error(
            "JOIN",
            "WITHIN ( ) takes two durations, before and after",
            "write WITHIN 1 HOUR, or WITHIN (1 HOUR, 2 HOURS)",
        )
    return None


def _window_of_another_kind(trouble: Trouble) -> ParseError | None:
    """`SESSION (SIZE 1 HOUR)`, `TUMBLING (SIZE 1 HOUR, ADVANCE BY 1 MINUTE)`"""
    words = [shape(token) for token in trouble.tokens[max(trouble.begin, trouble.place - 2) : trouble.place]]
    if shape(trouble.token) == "SIZE" and words[:1] == ["SESSION"]:
        return trouble.error("WINDOW", "a SESSION has no SIZE, only a gap", "write SESSION (1 HOUR)")
    if shape(trouble.token) == "ADVANCE" and trouble.expected == {"GRACE", "RETENTION"}:
        return trouble.error(
            "WINDOW",
            "only HOPPING windows ADVANCE",
            "write HOPPING (SIZE 1 HOUR, ADVANCE BY 10 MINUTES)",
        )
    return None


def _grouping_sets(trouble: Trouble) -> ParseError | None:
    previous = trouble.previous
    if previous is not None and (shape(previous), shape(trouble.token)) == ("GROUPING", "SETS"):
        at = Span(previous.start, trouble.token.end)
        return trouble.error("GROUP-BY", "there are no GROUPING SETS", "write a query for each of them", at)
    return None


JOIN_RULES = (_unknown_join, _within, _window_of_another_kind, _grouping_sets)

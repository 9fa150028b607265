"""What may be wrong with a text: one rule a mistake, tried in the order of RULES.

Most rules try a repair and keep it if the text then reads on (after Burke and Fisher, A practical method
for LR and LL syntactic error diagnosis and recovery, TOPLAS 1987): another word, a comma, a closing
parenthesis. A rule gives the error, or None if it has nothing to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamsql.errors import ParseError, Span
from streamsql.grammar.hints_joins import JOIN_RULES, join_without_on
from streamsql.grammar.hints_special import OTHER_DIALECTS, SPECIAL_RULES
from streamsql.grammar.hints_tokens import flaw
from streamsql.grammar.keywords import NAMES, shape
from streamsql.grammar.lexer import END, FLAWS, WORD, Token
from streamsql.grammar.names import RESERVED, quote_name
from streamsql.grammar.spelling import closest
from streamsql.grammar.trouble import Trouble, span
from streamsql.grammar.wording import COMPARISONS, PREDICATES, found

_CLAUSES = (
    *("FROM", "JOIN", "WINDOW", "WHERE", "GROUP BY", "PARTITION BY", "HAVING"),
    *("ORDER BY", "EMIT", "LIMIT", "OFFSET"),
)
# Words that are no reserved ones begin a clause only with these after them.
FOLLOWERS: dict[str, frozenset[str]] = {
    "EMIT": frozenset({"CHANGES", "FINAL"}),
    "OFFSET": frozenset({"INTEGER_LITERAL"}),
    "ORDER": frozenset({"BY"}),
    "PARTITION": frozenset({"BY"}),
}
_CLAUSE_OF = {clause.split()[0]: place for place, clause in enumerate(_CLAUSES)} | {
    word: 1 for word in ("INNER", "LEFT", "RIGHT", "FULL")
}
_ORDER = "SELECT .. FROM .. WINDOW .. WHERE .. GROUP BY .. PARTITION BY .. HAVING .. EMIT .. LIMIT"

_MORE_OF_A_NAME = re.compile(r"(?:\.[\w@]+)*")
_STATEMENTS = "SELECT, CREATE, INSERT, DROP, SHOW, DESCRIBE, EXPLAIN, PRINT, TERMINATE, SET"
_ELSEWHERE = {
    "UPDATE": "to change a row of a table, INSERT one with the same key",
    "DELETE": "rows cannot be deleted by a statement; DROP removes a stream or table",
    "MERGE": "to change a row of a table, INSERT one with the same key",
    "TRUNCATE": "DROP .. DELETE TOPIC removes a source and its records",
    "USE": "there is one database; names need no schema",
    "DESC": "did you mean DESCRIBE?",
    **dict.fromkeys(("BEGIN", "COMMIT", "ROLLBACK"), "each statement takes effect as a whole, by itself"),
}


def _flaw(trouble: Trouble) -> ParseError | None:
    """Text that is no token: an open quote, an undefined variable, a stray character."""
    if trouble.token.kind in FLAWS:
        return flaw(trouble.text, trouble.token)
    return None


def _quote_inside_string(trouble: Trouble) -> ParseError | None:
    """`'it's'`"""
    previous = trouble.previous
    if (
        previous is not None
        and previous.kind == "STRING_LITERAL"
        and previous.end == trouble.token.start
        and trouble.token.kind == WORD
    ):
        return trouble.error(
            "QUOTE-IN-STRING",
            f"the string {found(previous)} ends before {trouble.token.text}",
            "write a quote inside a string twice: 'it''s'",
            Span(previous.start, trouble.token.end),
        )
    return None


def _double_equal(trouble: Trouble) -> ParseError | None:
    if trouble.token.kind == "DOUBLE_EQUAL":
        return trouble.error("OPERATOR", "== is no operator", "write = to compare")
    return None


def _unknown_statement(trouble: Trouble) -> ParseError | None:
    token = trouble.token
    if trouble.start != "statement" or trouble.previous is not None or trouble.at_end:
        return None
    word = token.text.upper()
    if token.kind == WORD:
        for meant in closest(word, trouble.expected):
            if trouble.reads_on(trouble.stack, [meant], trouble.place + 1):
                return trouble.error(
                    "UNKNOWN-STATEMENT", f"{token.text} begins no statement", f"did you mean {meant}?"
                )
    hint = _ELSEWHERE.get(word, f"statements begin with {_STATEMENTS}, ..")
    return trouble.error("UNKNOWN-STATEMENT", f"{found(token)} begins no statement", hint)


def _quotes(trouble: Trouble) -> ParseError | None:
    """A name where a string belongs, or a string where a name belongs."""
    token, expected = trouble.token, trouble.expected
    if token.kind == WORD and "STRING_LITERAL" in expected and "NAME" not in expected:
        # Settings, topics and files have dots in their names.
        more = _MORE_OF_A_NAME.match(trouble.text, token.end)
        end = token.end if more is None else more.end()
        whole = trouble.text[token.start : end]
        return trouble.error(
            "QUOTES",
            f"found {whole}, expected {trouble.expectation}",
            f"write text as '{whole}'",
            Span(token.start, end),
        )
    inner = token.text[1:-1]
    if token.kind in NAMES and "STRING_LITERAL" in expected and "NAME" not in expected:
        text = "'" + inner.replace("'", "''") + "'"
        return trouble.error(
            "QUOTES", f"{found(token)} is a quoted name, expected a string", f"write {text} in single quotes"
        )
    if token.kind == "STRING_LITERAL" and "NAME" in expected and token.kind not in expected:
        if trouble.reads_on(trouble.stack, ["NAME"], trouble.place + 1):
            return trouble.error(
                "QUOTES",
                f"{found(token)} is a string, expected a name",
                f"write {inner} without quotes"
                if quote_name(inner.upper()) == inner.upper()
                else f"put it in backticks: {quote_name(inner)}",
            )
    return None


def _parenthesis(trouble: Trouble) -> ParseError | None:
    """An opening bracket that is not closed, or a closing one too many."""
    opened: list[Token] = []
    for token in trouble.tokens[trouble.begin : trouble.place]:
        if token.kind in ("LPAR", "LSQB"):
            opened.append(token)
        elif token.kind in ("RPAR", "RSQB") and opened:
            opened.pop()
    if not opened:
        if trouble.token.kind in ("RPAR", "RSQB"):
            return trouble.error(
                "PARENTHESIS", f"{found(trouble.token)} closes nothing", "take it out, or open one before it"
            )
        return None
    last = opened[-1]
    close = "RPAR" if last.kind == "LPAR" else "RSQB"
    is_closed_here = close in trouble.expected and (
        _clause_at(trouble, trouble.place) is not None
        or trouble.reads_on(trouble.stack, [close], trouble.place)
    )
    if trouble.at_end or is_closed_here:
        sign = ")" if close == "RPAR" else "]"
        where = "" if trouble.at_end else f" before {found(trouble.token)}"
        return trouble.error(
            "UNCLOSED-PARENTHESIS", f"{found(last)} is not closed{where}", f"add '{sign}'", span(last)
        )
    return None


def _from_missing(trouble: Trouble) -> ParseError | None:
    """`SELECT 1;`"""
    if "FROM" in trouble.expected and "AS" in trouble.expected:
        clause = _clause_at(trouble, trouble.place)
        if trouble.at_end or (clause is not None and clause > 0):
            return trouble.error(
                "MISSING-FROM",
                f"found {found(trouble.token)}, expected FROM: every SELECT reads a stream or table",
                "write SELECT .. FROM name ..",
            )
    return None


def _clause_at(trouble: Trouble, place: int) -> int | None:
    """The place in _CLAUSES of the clause that begins with this token, by its words alone."""
    token = trouble.tokens[place]
    if token.kind != WORD:
        return None
    word = token.text.upper()
    if word in FOLLOWERS and shape(trouble.tokens[place + 1]) not in FOLLOWERS[word]:
        return None
    return _CLAUSE_OF.get(word)


def _clause_order(trouble: Trouble) -> ParseError | None:
    """A clause after one that comes later, or twice."""
    clause = _clause_at(trouble, trouble.place)
    if clause is None or clause == 0:
        return None
    seen, depth = -1, 0
    for place in range(trouble.place - 1, trouble.begin - 1, -1):
        token = trouble.tokens[place]
        if token.kind in ("RPAR", "LPAR"):
            depth += 1 if token.kind == "RPAR" else -1
        if depth < 0 or (depth == 0 and shape(token) == "SELECT"):
            break
        earlier = _clause_at(trouble, place)
        if depth == 0 and earlier is not None:
            seen = max(seen, earlier)
    name = _CLAUSES[clause]
    if seen > clause:
        return trouble.error(
            "CLAUSE-ORDER", f"{name} comes before {_CLAUSES[seen]}", f"the order is {_ORDER}"
        )
    if seen == clause and clause > 1:
        both = " or ".join(["AND", "OR"]) if name in ("WHERE", "HAVING") else None
        hint = f"put both conditions into one, with {both}" if both else f"leave one {name} out"
        return trouble.error("CLAUSE-TWICE", f"there are two {name} clauses", hint)
    return None


# Reserved words that begin an expression, and so were taken for one before the trouble showed.
_BEGINNERS = frozenset({"CASE", "CAST", "DISTINCT", "EXISTS", "NOT"})


def _reserved(trouble: Trouble) -> ParseError | None:
    """A reserved word used as a name, here or one token ago."""
    previous = trouble.previous
    for token, stack, place in (
        (trouble.token, trouble.stack, trouble.place),
        *([(previous, None, trouble.place - 1)] if previous and shape(previous) in _BEGINNERS else []),
    ):
        if token.kind != WORD or token.text.upper() not in RESERVED:
            continue
        if trouble.reads_on(trouble.before_previous if stack is None else stack, ["NAME"], place + 1):
            quoted = quote_name(token.text.upper(), always=True)
            return trouble.error(
                "RESERVED-WORD",
                f"{token.text} is a reserved word and cannot be a name as it is",
                f"put it in backticks: {quoted}",
                span(token),
            )
    return None


def _misspelt(trouble: Trouble) -> ParseError | None:
    """A keyword with a slip: the token itself, or the one before, which then passed for a name."""
    token, previous = trouble.token, trouble.previous
    if token.kind == WORD:
        meant = _meant(trouble, token, trouble.stack, trouble.place)
        if meant is not None:
            return meant
        followers = FOLLOWERS.get(previous.text.upper(), frozenset()) if previous is not None else frozenset()
        for word in closest(token.text.upper(), (f for f in followers if f.isalpha())):
            return _did_you_mean(trouble, token, word)
    if previous is not None and previous.kind == WORD and previous.text.upper() not in RESERVED:
        return _meant(trouble, previous, trouble.before_previous, trouble.place - 1)
    return None


def _meant(trouble: Trouble, token: Token, stack: Sequence[int], place: int) -> ParseError | None:
    words = trouble.machine.words
    for word in closest(token.text.upper(), (t for t in trouble.machine.expected(stack) if t in words)):
        if trouble.reads_on(stack, [word], place + 1):
            return _did_you_mean(trouble, token, word)
    return None


def _did_you_mean(trouble: Trouble, token: Token, word: str) -> ParseError:
    return trouble.error(
        "KEYWORD", f"{token.text} is no keyword that fits here", f"did you mean {word}?", span(token)
    )


def _semicolon(trouble: Trouble) -> ParseError | None:
    """The beginning of the next statement, without a `;` between."""
    if trouble.start != "statement":
        return None
    candidates = [(trouble.place, trouble.stack)]
    if trouble.place - 1 > trouble.begin:
        candidates.append((trouble.place - 1, trouble.before_previous))
    fresh = [trouble.machine.starts["statement"]]
    for place, stack in candidates:
        token = trouble.tokens[place]
        begins = token.kind == WORD and trouble.machine.accepts(fresh, token.text.upper())
        if begins and trouble.machine.accepts(stack, END) and trouble.reads_on(fresh, [], place):
            end = trouble.tokens[place - 1].end
            return trouble.error(
                "MISSING-SEMICOLON",
                f"there is no ';' before {token.text}, which begins another statement",
                f"add ; after {trouble.tokens[place - 1].text[:30]}",
                Span(end, end),
            )
    return None


def _comma(trouble: Trouble) -> ParseError | None:
    """A comma that is missing here, or one too many before."""
    previous = trouble.previous
    if previous is None:
        return None
    if previous.kind == "COMMA" and trouble.reads_on(trouble.before_previous, [], trouble.place):
        return trouble.error(
            "COMMA", f"found {found(trouble.token)} after a comma", "take the comma out", span(previous)
        )
    is_thing = trouble.token.kind in (WORD, "STRING_LITERAL", "INTEGER_LITERAL", *NAMES)
    if is_thing and "COMMA" in trouble.expected:
        if trouble.reads_on(trouble.stack, ["COMMA"], trouble.place):
            return trouble.error(
                "COMMA", f"there is no comma between {found(previous)} and {found(trouble.token)}", "add ','"
            )
    return None


def _predicate(trouble: Trouble) -> ParseError | None:
    """`a = b = c`, and `GROUP BY a = b`."""
    token = trouble.token
    kind = token.text.upper() if token.kind == WORD else token.kind
    if kind not in PREDICATES or kind in trouble.expected:
        return None
    sign = token.text.upper()
    if {"AND", "OR"} <= trouble.expected:
        both = f"a {sign} b AND b {sign} c" if kind in COMPARISONS else "a = b AND a IN (..)"
        return trouble.error(
            "CHAINED",
            f"comparisons do not chain: {sign} follows one",
            f"write {both}, or put one in parentheses",
        )
    if "CONCAT" in trouble.expected:
        return trouble.error(
            "COMPARISON", f"{sign} cannot stand here", "put the comparison in parentheses: (a = b)"
        )
    return None


RULES = (
    _flaw,
    _quote_inside_string,
    _double_equal,
    _unknown_statement,
    _quotes,
    _from_missing,
    *JOIN_RULES,
    *OTHER_DIALECTS,
    _clause_order,
    _misspelt,
    _semicolon,
    _reserved,
    _parenthesis,
    _comma,
    _predicate,
    join_without_on,
    *SPECIAL_RULES,
)

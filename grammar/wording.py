"""Tokens and sets of terminals in a person's words, for messages and completion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamsql.grammar.lexer import END, SEMICOLON, Token
from streamsql.grammar.machine import Machine

_SIGNS = {
    "ARROW": "->",
    "ASSIGN": ":=",
    "BANGEQUAL": "!=",
    "COMMA": ",",
    "CONCAT": "||",
    "DOT": ".",
    "EQUAL": "=",
    "LAMBDA": "=>",
    "LESSEQUAL": "<=",
    "LESSGREATER": "<>",
    "LESSTHAN": "<",
    "LPAR": "(",
    "_LAMBDA_LPAR": "(",
    "LSQB": "[",
    "MINUS": "-",
    "MOREEQUAL": ">=",
    "MORETHAN": ">",
    "PERCENT": "%",
    "PLUS": "+",
    "RPAR": ")",
    "RSQB": "]",
    "SLASH": "/",
    "STAR": "*",
}

COMPARISONS = frozenset(
    {"EQUAL", "LESSGREATER", "BANGEQUAL", "LESSTHAN", "LESSEQUAL", "MORETHAN", "MOREEQUAL"}
)
PREDICATES = COMPARISONS | {"BETWEEN", "IN", "LIKE", "IS", "NOT"}
_CONTINUE = PREDICATES | {
    *("PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "CONCAT", "AND", "OR", "AT", "ESCAPE", "OVER"),
    *("ARROW", "LSQB", "LPAR", "DOT", "LAMBDA"),
}
_VALUE = frozenset({"STRING_LITERAL", "INTEGER_LITERAL", "TRUE", "NULL"})
_BEGIN = _VALUE | {
    *("DECIMAL_LITERAL", "DOUBLE_LITERAL", "FALSE", "CASE", "CAST", "ARRAY", "MAP", "STRUCT", "EXISTS"),
    *("PLUS", "MINUS", "NOT", "LPAR", "_LAMBDA_LPAR", "NAME"),
}
_UNIT_ARGUMENTS = frozenset(
    {"DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECOND", "MILLISECONDS", "MONTHS", "YEARS"}
)
_DURATION_UNITS = (_UNIT_ARGUMENTS - {"MONTHS", "YEARS"}) | {"DAY", "HOUR", "MINUTE", "SECOND"}
_STATEMENTS = frozenset({"SELECT", "CREATE", "INSERT", "DROP", "SHOW", "EXPLAIN"})
_JOINS = frozenset({"INNER", "LEFT", "RIGHT", "FULL", "JOIN"})

UNITS_IN_WORDS = "DAYS, HOURS, MINUTES, SECONDS or MILLISECONDS"

# The rule that takes a name tells what is named.
_NAMED = {
    "column_name": "a column",
    "connector_name": "a connector",
    "field_name": "a field",
    "function_name": "a function",
    "new_name": "a name",
    "parameter": "a name",
    "property_name": "a property",
    "qualifier": "a name",
    "query_id": "the id of a query",
    "source_name": "a stream or table",
    "topic_name": "a topic",
    "topic_text": "a name",
    "type_name": "a type",
    "variable_name": "a variable",
}

# Words that are no clause on their own.
_PHRASES = {
    "GROUP": "GROUP BY",
    "PARTITION": "PARTITION BY",
    "ORDER": "ORDER BY",
    "_AS_OF": "AS OF",
    END: "';'",
    "STRING_LITERAL": "a string in single quotes",
    "INTEGER_LITERAL": "a whole number",
    "DECIMAL_LITERAL": "a decimal",
    "DOUBLE_LITERAL": "a double",
}

# What is shown first when not everything can be.
_FIRST = (
    *("STREAM", "TABLE", "TYPE", "STREAMS", "TABLES", "TOPICS", "QUERIES", "FUNCTIONS"),
    *("')'", "']'", "FROM", "','", "AS", "VALUES", "WITH", "JOIN", "WINDOW", "WHERE", "GROUP BY"),
    *("PARTITION BY", "HAVING", "ORDER BY", "EMIT", "LIMIT", "OFFSET", "';'"),
)
_MOST = 8


def found(token: Token) -> str:
    """A token as it is called in a message."""
    if token.kind == END:
        return "the end of the text"
    if token.kind == SEMICOLON:
        return "';'"
    text = token.text if len(token.text) <= 30 else f"{token.text[:27]}.."
    text = "".join(c if c.isprintable() else " " for c in text)
    return f"'{text}'" if token.kind in _SIGNS else text


def name_kinds(machine: Machine, stack: Sequence[int]) -> set[str]:
    """The rules that a name at this place can belong to: `source_name`, `column_name`, ..; empty if none."""
    after = list(stack)
    if not machine.shift(after, "NAME"):
        return set()
    row = machine.rows[after[-1]]
    return {machine.rules[-1 - action].origin for action in row.values() if action < 0}


def in_words(machine: Machine, stack: Sequence[int]) -> str:
    """What can come next, as a short list: "FROM, ',' or AS".

    Operators that would only go on with an expression are left out, as long as something else is there.
    """
    left = machine.expected(stack)
    phrases: list[str] = []
    kinds = name_kinds(machine, stack)
    if left >= _STATEMENTS:
        phrases.append("a statement")
        left = {"ALL"} & left
    if left >= _VALUE and "NAME" in left:
        phrases.append("a column or expression")
        left -= _BEGIN | _UNIT_ARGUMENTS | {"DISTINCT", "SELECT", "WITH"}
    elif left >= _VALUE:
        phrases.append("a literal")
        left -= _BEGIN
    elif "type_name" in kinds:
        phrases.append("a type")
        left -= {"NAME", "ARRAY", "MAP", "STRUCT", "DECIMAL"}
    elif "NAME" in left:
        # After something that may have an alias the other ways on tell more.
        if kinds != {"new_name"} or "AS" not in left:
            phrases += sorted({_NAMED[kind] for kind in kinds if kind in _NAMED})
        left -= {"NAME", "IF", "LPAR"}
    if left >= _DURATION_UNITS:
        phrases.append(f"a time unit ({UNITS_IN_WORDS})")
        left -= _DURATION_UNITS
    if left & _JOINS:
        left = (left - _JOINS) | {"JOIN"}
    if "MORETHAN" in left and "EQUAL" not in left:
        phrases.append("'>'")  # of a type
        left -= {"MORETHAN", "LPAR", "ARRAY"}
    if "AND" in left and "OR" not in left:
        phrases.append("AND")  # of BETWEEN
    if phrases or left - _CONTINUE:
        # An opening parenthesis that is no call goes on with something else: WITH (, VALUES (.
        left -= _CONTINUE if "DOT" in left or "OR" in left or phrases else _CONTINUE - {"LPAR"}
    words = [_phrase(terminal) for terminal in left]
    rank = {phrase: place for place, phrase in enumerate(_FIRST)}
    words.sort(key=lambda word: (rank.get(word, len(rank)), word))
    return listed(phrases + words)


def _phrase(terminal: str) -> str:
    if terminal in _SIGNS:
        return f"'{_SIGNS[terminal]}'"
    return _PHRASES.get(terminal, terminal)


def listed(words: Iterable[str]) -> str:
    """`a, b or c`, cut after a few."""
    shown = list(dict.fromkeys(words))
    if len(shown) > _MOST:
        return ", ".join(shown[:_MOST]) + ", .."
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)

"""A resolved call, printed as DuckDB SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import InternalError
from streamsql.functions.arrow import calls_twin, without_errors
from streamsql.functions.cast import CastPrint, cast_sql, widen_sql
from streamsql.functions.registry import BoundCall, Fragment, Scalar, TableFunction
from streamsql.functions.resolve import Match
from streamsql.functions.signature import Lambda, Unit
from streamsql.types import NULL, SqlType

_LITERAL = r"'(?:[^']|'')*'"
_NAME = r'(?:[A-Za-z_]\w*|"(?:[^"]|"")*")'
_SIMPLE = re.compile(
    rf"""{_NAME}(?:\.{_NAME})* | \d+(?:\.\d+)? | {_LITERAL} | TRUE | FALSE
       | CAST\((?:NULL|-?\d+(?:\.\d+)?|{_LITERAL})\ AS\ [A-Z]+(?:\(\d+,\ ?\d+\))?\)""",
    re.VERBOSE | re.DOTALL,
)


def print_call(
    match: Match[Scalar] | Match[TableFunction],
    argument_sql: Sequence[str],
    *,
    is_safe: bool = False,
    lambdas_can_fail: bool = False,
) -> tuple[str, tuple[ArrowFunction, ...], bool]:
    """The call as DuckDB SQL, the Arrow functions it needs, and whether a row can raise.

    argument_sql  one SQL text per argument: an expression of the argument's type, a lambda as
                  `lambda a, b: body`, a unit as its word
    is_safe       a text that never raises if the arguments do not: see `Places.tried`
    gives         can_fail speaks of the call itself, its lambdas and the casts of its arguments, not of
                  what the arguments do on their own
    """
    functions: list[ArrowFunction] = []
    casts_can_fail = False
    given: list[str] = []
    for source, target, sql in zip(match.arguments, match.types, argument_sql, strict=True):
        if isinstance(target, Lambda | Unit):
            given.append(sql)
            continue
        assert isinstance(source, SqlType)
        cast = widened(sql, source, target, is_safe=is_safe)
        functions += cast.functions
        casts_can_fail = casts_can_fail or bool(cast.can_fail)
        given.append(cast.sql)
    places = Places(given)
    printed = _apply(match, places.names)
    fails_itself = can_fail_itself(match.overload, printed)
    can_fail = fails_itself or casts_can_fail or lambdas_can_fail
    if not is_safe:
        sql, own_functions = places.fill(printed.sql), printed.functions
    elif casts_can_fail:
        # A call that does not get its arguments gives NULL, whatever it makes of a null.
        text, own_functions = without_errors(printed.sql, printed.functions)
        sql = f"TRY({places.fill(text)})"
    elif fails_itself:
        sql, own_functions = places.tried(printed, lambdas_can_fail=lambdas_can_fail)
    else:
        sql, own_functions = places.fill(printed.sql), printed.functions
        sql = f"TRY({sql})" if lambdas_can_fail else sql
    return sql, tuple(dict.fromkeys((*functions, *own_functions))), can_fail


def print_coarse(match: Match[Scalar], argument_sql: Sequence[str]) -> str | None:
    """What a call's value can be told apart by for less, see `Fragment.coarse`; None if that is not known.

    argument_sql  literals and columns, of the types that the function takes
    """
    if list(match.arguments) != list(match.types):
        return None
    return _apply(match, argument_sql).coarse


def can_fail_itself(row: Scalar | TableFunction, printed: Fragment) -> bool:
    """Whether a call can raise, its arguments aside: what the printed text says, else what the row says."""
    return row.can_fail if printed.can_fail is None else printed.can_fail


def widened(
    sql: str, source: SqlType, target: SqlType, *, is_safe: bool = False, tried: bool = False
) -> Fragment:
    """The expression, implicitly widened from `source` to `target`.

    is_safe  its Arrow functions give null where they would raise; what DuckDB itself does may raise
    tried    nothing raises
    """
    if source == target:
        return Fragment(sql)
    if source == NULL:
        return Fragment(f"CAST(NULL AS {target.duckdb})")
    return rewritten(widen_sql, sql, source, target, is_safe=is_safe, tried=tried)


def converted(sql: str, source: SqlType, target: SqlType, *, tried: bool = False) -> Fragment:
    """CAST(expression AS target); tried: as in widened. PlanError PLAN-CAST if there is no such cast."""
    return rewritten(cast_sql, sql, source, target, tried=tried)


def rewritten(
    how: Callable[[str, SqlType, SqlType], CastPrint],
    sql: str,
    source: SqlType,
    target: SqlType,
    *,
    is_safe: bool = False,
    tried: bool = False,
) -> Fragment:
    """The expression as `how` prints it over a place for it; is_safe, tried: as in widened."""
    places = Places([sql])
    printed = how(places.names[0], source, target)
    text, functions = printed.sql, printed.functions
    if tried and printed.can_fail:
        text, functions = places.tried(Fragment(text, functions))
        return Fragment(text, functions, printed.can_fail)
    if is_safe and printed.can_fail:
        text, functions = without_errors(text, functions)
    return Fragment(places.fill(text), functions, printed.can_fail)


def _apply(match: Match[Scalar] | Match[TableFunction], names: Sequence[str]) -> Fragment:
    """The row's implementation over the places of the arguments."""
    row = match.overload
    arguments: dict[str, str] = {}
    variadic = tuple(n for p, n in zip(match.parameters, names, strict=True) if p.is_variadic)
    types: dict[str, SqlType] = {}
    for parameter, name in zip(match.parameters, names, strict=True):
        arguments[parameter.name] = ", ".join(variadic) if parameter.is_variadic else name
        t = parameter.type
        types[parameter.name] = t.body if isinstance(t, Lambda) else t
    call = BoundCall(arguments, types, match.result, variadic)
    if row.python is not None:
        function = row.python(call)
        return Fragment(f"{function.name}({', '.join(names)})", (function,))
    if row.sql is None:
        raise InternalError(f"function {row.name}{row.signature} has no implementation")
    if isinstance(row.sql, str):
        return Fragment(row.sql.format_map(arguments))
    printed = row.sql(call)
    return Fragment(printed) if isinstance(printed, str) else printed


class Places:
    """Stand-ins for the arguments that are more than a literal or a column.

    An argument that the printed call mentions twice, or inside a lambda, would be evaluated as often
    and make the text of nested calls grow exponentially. Such a one is bound to a name by the only
    means that DuckDB's expressions have for it: `list_transform([argument], lambda name: call)[1]`.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        mark = "$"
        while any(f'"{mark}' in a for a in arguments):
            mark += "$"
        self._texts = {
            f'"{mark}{i}"': a
            for i, a in enumerate(arguments)
            if not _SIMPLE.fullmatch(a) and not a.startswith("lambda ")
        }
        by_text = {a: place for place, a in self._texts.items()}
        self.names = [by_text.get(a, a) for a in arguments]

    def tried(
        self, printed: Fragment, *, lambdas_can_fail: bool = False
    ) -> tuple[str, tuple[ArrowFunction, ...]]:
        """The printed text so that it never raises, the arguments in their places, and its functions.

        Arrow functions become their twins, DuckDB's own come under TRY. Arguments that call Python are
        evaluated before it: under TRY, DuckDB would do that row by row.
        """
        text, functions = without_errors(printed.sql, printed.functions)
        only_call = _is_call(text) and any(text.startswith(f"{f.name}(") for f in functions)
        if only_call and not lambdas_can_fail:
            return self.fill(text), functions
        return self.fill(text, tried=True), functions

    def fill(self, sql: str, *, tried: bool = False) -> str:
        """The printed call with the arguments in their places; tried: the call under TRY."""
        inside_lambda = sql.find("lambda ")
        once: dict[str, str] = {}
        bound: list[tuple[str, str]] = []
        for place, text in self._texts.items():
            first = sql.find(place)
            if sql.count(place) > 1 or 0 <= inside_lambda < first or (tried and calls_twin(text)):
                bound.append((place, text))
            elif first >= 0:
                once[place] = text if _is_call(text) else f"({text})"
        sql = _replaced(sql, once)
        sql = f"TRY({sql})" if tried else sql
        for place, text in bound:
            sql = f"list_transform([{text}], lambda {place}: {sql})[1]"
        return sql


def _replaced(sql: str, texts: Mapping[str, str]) -> str:
    """All places at once, so that a text put in is never searched itself."""
    if not texts:
        return sql
    return re.sub("|".join(map(re.escape, texts)), lambda m: texts[m.group()], sql)


def _is_call(sql: str) -> bool:
    """Whether the text is one function call, which needs no parentheses around it.

    >>> _is_call("f(a, ')')"), _is_call("f(a) + g(b)"), _is_call("a + 1")
    (True, False, False)
    """
    opening = re.match(r"\w+\(", sql)
    if not opening:
        return False
    depth = 1
    for m in re.finditer(rf"{_LITERAL}|\"(?:[^\"]|\"\")*\"|[()\[\]{{}}]", sql[opening.end() :]):
        token = m.group()
        if token in "([{":
            depth += 1
        elif token in ")]}":
            depth -= 1
            if depth == 0:
                return opening.end() + m.end() == len(sql)
    return False


def literal_integer(sql: str) -> int | None:
    """The number of an integer literal, or None if the SQL is anything else.

    >>> literal_integer("7"), literal_integer("CAST(-7 AS INTEGER)"), literal_integer('"A"')
    (7, -7, None)
    """
    match = re.fullmatch(r"(?:CAST\()?(-?\d+)(?: AS (?:INTEGER|BIGINT)\))?", sql)
    return int(match[1]) if match else None

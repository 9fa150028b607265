"""What an aggregate function is: a row that says, per state column, how it begins, fills and merges.

Texts in a row are DuckDB SQL with places in braces:

    {x}            an argument or a literal parameter, by the signature's name
    {T}            the DuckDB type that a type variable stands for in this call
    {old.count}    in `merge`: a state column before; {new.count}: the partial of the rows that follow
    {count}        in `value`: a state column
    {settled}      an Arrow function of the row, by the name in `functions`

A partial is itself a state: that of its rows alone. So partials of two sessions, or of the panes of a
window, merge like any others, and a snapshot query reads its result from a partial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Literal

from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.operators.aggregate_call import AggregateCall, Plain, RowPartial, RowValue, StateColumn
from streamsql.errors import PlanError
from streamsql.functions.registry import ResultType
from streamsql.functions.resolve import Match
from streamsql.functions.signature import Variable, parse_signature
from streamsql.types import Array, Map, SqlType, Struct


@dataclass(frozen=True, slots=True)
class State:
    """One column of an aggregate's state.

    type     as in a signature: BIGINT, T, ARRAY<STRUCT<seq BIGINT, item T>>
    initial  the state before any row
    partial  an aggregate over a batch's rows of one group; it may use "$seq", and in `on_table` rows
             "$weight": 1 for a row put in, -1 for one taken back
    merge    empty if `plain` says it
    plain    what numpy does instead: sum, min, max
    of_row   with `plain`: what a single row's partial is, see RowPartial; "" if that cannot be said
    """

    name: str
    type: str
    initial: str
    partial: str
    merge: str = ""
    plain: Plain | None = None
    of_row: RowValue | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class AggregateBinding:
    """A call with its overload chosen: what a row's functions may ask about it.

    arguments  parameter name -> SQL of the column arguments, literal values as SQL
    columns    SQL and type of each column argument, in order, variadic ones one by one
    literals   parameter name -> value of a literal parameter, a tuple of them for a variadic one; absent
               if it was left out
    variables  type variable -> type
    types      parameter name -> type
    settings   the statement's properties, by lower-case name
    """

    arguments: Mapping[str, str]
    literals: Mapping[str, Any]
    variables: Mapping[str, SqlType]
    types: Mapping[str, SqlType]
    result: SqlType
    columns: tuple[tuple[str, SqlType], ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


States = tuple[State, ...] | Callable[[AggregateBinding], tuple[State, ...]]
Text = str | Callable[[AggregateBinding], str]


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """One overload of an aggregate.

    state        its state over a stream
    value        the result, over the state columns
    bare         the state column that is the result once it is cut to the result's width; if `value` is
                 nothing but a column, that goes without saying
    on_table     its state over a table, where rows are taken back too; None: streams only
    table_value  the result over that state, if it differs
    check        raises PlanError for literal parameters that make no sense
    functions    name in braces -> the Arrow function that the texts call
    is_ordered, uses_seq  as in AggregateCall
    example      a call and rows, `SUM(x) of 1, 2, NULL`; `gives` is its result as text; a test runs it
    """

    name: str
    signature: str
    says: str
    state: States
    value: Text
    on_table: States | None = None
    table_value: Text | None = None
    bare: str | None = None
    check: Callable[[AggregateBinding], None] | None = None
    functions: Mapping[str, Callable[[AggregateBinding], ArrowFunction]] = field(default_factory=dict)
    is_ordered: bool = False
    uses_seq: bool = False
    result: ResultType | None = None
    example: str = ""
    gives: str = ""
    category: str = "aggregate"
    author: str = "streamsql"


def bind(
    match: Match[AggregateFunction],
    argument_sql: Sequence[str],
    literals: Sequence[Any],
    name: str,
    prefix: str,
    *,
    on_table: bool = False,
    settings: Mapping[str, str] | None = None,
    names: StateNames | None = None,
) -> AggregateCall:
    """The declaration of a call for the engine.

    argument_sql  SQL of the column arguments, in order
    literals      values of the literal parameters, in order
    name          output column
    prefix        of the state columns, to make them unique within an operator
    settings      properties that configure functions: ksql.functions.collect_list.limit
    names         those of the operator's state columns so far, to share what is declared alike
    raises        PlanError PLAN-AGGREGATE-ON-TABLE, PLAN-LITERAL
    """
    row = match.overload
    states = row.on_table if on_table else row.state
    if states is None:
        raise PlanError(
            f"aggregate {row.name} works on streams only: it cannot take a row back, as a table does",
            code="PLAN-AGGREGATE-ON-TABLE",
            hint="aggregate a stream; over a table there are COUNT, SUM, SUM_LIST, AVG, COLLECT_LIST, "
            "HISTOGRAM, ATTR, CORRELATION, STDDEV_SAMP and STDDEV_SAMPLE",
        )
    binding = _binding(match, argument_sql, literals, settings or {})
    if row.check is not None:
        row.check(binding)
    columns = states(binding) if callable(states) else states
    functions = {place: make(binding) for place, make in row.functions.items()}
    places: dict[str, Any] = {
        **binding.arguments,
        **{variable: t.duckdb for variable, t in binding.variables.items()},
        **{place: f.name for place, f in functions.items()},
    }
    declared = _declared(columns, places, binding, _first_column(argument_sql), on_table)
    full = (names or StateNames()).of(declared, prefix)
    value = row.table_value if on_table and row.table_value is not None else row.value
    text = value(binding) if callable(value) else value
    result = text.format_map(places | {short: f'"{name}"' for short, name in full.items()})
    whole = (c for c in declared if c.type == match.result.arrow and result == f'"{full[c.name]}"')
    bare = row.bare or next((c.name for c in whole), None)
    return AggregateCall(
        name=name,
        state=tuple(
            replace(column, name=full[column.name], merge=_merge(state, full, places))
            for state, column in zip(columns, declared, strict=True)
        ),
        result=result,
        result_type=match.result.arrow,
        bare=None if bare is None else full[bare],
        is_ordered=row.is_ordered,
        uses_seq=row.uses_seq,
        functions=tuple(functions.values()),
    )


class StateNames:
    """Names of the state columns within an operator: those that are declared alike have one.

    So COUNT(x), SUM(x) and AVG(x) together keep one count and one sum.
    """

    def __init__(self) -> None:
        self._names: dict[Hashable, str] = {}

    def of(self, columns: Sequence[StateColumn], prefix: str) -> dict[str, str]:
        """The names of a call's columns, by the names they have in the row; new ones get the prefix."""
        return {
            c.name: self._names.setdefault(self._declaration(c, columns), prefix + c.name) for c in columns
        }

    def _declaration(self, column: StateColumn, columns: Sequence[StateColumn]) -> Hashable:
        others = [c.name for c in columns if c.name != column.name]
        alone = replace(column, name="", merge=column.merge.replace(f'.{column.name}"', '.self"'))
        if any(f'.{other}"' in column.merge for other in others):
            # What it becomes depends on the others of its call: they are alike together, or not at all.
            return column.name, tuple(columns)
        return alone


def _declared(
    states: Sequence[State],
    places: Mapping[str, Any],
    binding: AggregateBinding,
    argument: str | None,
    on_table: bool,
) -> tuple[StateColumn, ...]:
    """The state columns of a call under the names they have in the row.

    argument  the column that the first argument is, if it is one
    """
    is_plain = all(state.plain is not None for state in states)
    own = {state.name: state.name for state in states}
    found = []
    for state in states:
        of_row = None
        if is_plain and state.of_row and (state.of_row == "one" or argument is not None):
            of_row = RowPartial(state.of_row, None if state.of_row == "one" else argument, is_signed=on_table)
        found.append(
            StateColumn(
                state.name,
                state_type(state.type, binding.variables).arrow,
                state.initial.format_map(places),
                state.partial.format_map(places),
                _merge(state, own, places),
                state.plain if is_plain else None,
                of_row,
            )
        )
    return tuple(found)


def _merge(state: State, names: Mapping[str, str], places: Mapping[str, Any]) -> str:
    """The SQL that merges a state column, over columns of these names."""
    sides = {
        side: SimpleNamespace(**{short: f'"{side}.{name}"' for short, name in names.items()})
        for side in ("old", "new")
    }
    own = {f"{side}_self": f'"{side}.{names[state.name]}"' for side in ("old", "new")}
    return (state.merge or _MERGES[state.plain]).format_map({**places, **sides, **own})


def _first_column(argument_sql: Sequence[str]) -> str | None:
    """The column that the first argument is, if it is one as it stands."""
    named = _COLUMN.fullmatch(argument_sql[0]) if argument_sql else None
    return named[1].replace('""', '"') if named else None


_COLUMN = re.compile(r'"((?:[^"]|"")+)"')

_MERGES: Mapping[Plain | None, str] = {
    "sum": "{old_self} + {new_self}",
    "min": "least({old_self}, {new_self})",
    "max": "greatest({old_self}, {new_self})",
}


def check_count(parameter: str) -> Callable[[AggregateBinding], None]:
    """A check that a literal parameter is a whole number from 1 on."""

    def check(binding: AggregateBinding) -> None:
        count = binding.literals[parameter]
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise PlanError(
                f"parameter {parameter} must be a whole number from 1 on, not {count}",
                code="PLAN-LITERAL",
                hint=f"{parameter} says how many values to keep: 3, say",
            )

    return check


def _binding(
    match: Match[AggregateFunction],
    argument_sql: Sequence[str],
    literals: Sequence[Any],
    settings: Mapping[str, str],
) -> AggregateBinding:
    columns = [p for p in match.parameters if not p.is_literal]
    given: dict[str, Any] = {}
    for parameter, value in zip([p for p in match.parameters if p.is_literal], literals, strict=True):
        if parameter.is_variadic:
            given[parameter.name] = (*given.get(parameter.name, ()), value)
        else:
            given[parameter.name] = value
    arguments = dict(zip([p.name for p in columns], argument_sql, strict=True))
    arguments |= {name: _literal_sql(value) for name, value in given.items() if not isinstance(value, tuple)}
    signature = parse_signature(match.overload.signature)
    patterns = signature.arranged(len(match.parameters))
    assert patterns is not None
    variables: dict[str, SqlType] = {}
    for pattern, parameter in zip(patterns, match.parameters, strict=True):
        _bind_variables(pattern.type, parameter.type, variables)
    types = {p.name: p.type for p in match.parameters}
    own = tuple(zip(argument_sql, (p.type for p in columns), strict=True))
    return AggregateBinding(arguments, given, variables, types, match.result, own, settings)


def _literal_sql(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _bind_variables(pattern: SqlType, found: SqlType, variables: dict[str, SqlType]) -> None:
    """Read off what a signature's variables stand for, given the type a parameter has in the call."""
    match pattern, found:
        case Variable(name=name), _:
            variables[name] = found
        case Array(inner), Array(element):
            _bind_variables(inner, element, variables)
        case Map(key, value), Map(found_key, found_value):
            _bind_variables(key, found_key, variables)
            _bind_variables(value, found_value, variables)
        case Struct(fields), Struct(found_fields):
            for (_, a), (_, b) in zip(fields, found_fields, strict=True):
                _bind_variables(a, b, variables)


def state_type(text: str, variables: Mapping[str, SqlType]) -> SqlType:
    """The type of a state column, its variables replaced."""
    return _replaced(parse_signature(f"() -> {text}").result, variables)


def _replaced(t: SqlType, variables: Mapping[str, SqlType]) -> SqlType:
    match t:
        case Variable(name=name):
            return variables[name]
        case Array(element):
            return Array(_replaced(element, variables))
        case Map(key, value):
            return Map(_replaced(key, variables), _replaced(value, variables))
        case Struct(fields):
            return Struct(tuple((name, _replaced(inner, variables)) for name, inner in fields))
    return t

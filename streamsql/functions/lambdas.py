"""TRANSFORM, FILTER and REDUCE.

A lambda comes as DuckDB's `lambda a, b: body`. DuckDB's list functions hand it one element at a time, so
a lambda over a map's key and value is taken apart and its parameters are bound one in another. An error
in any call of a lambda raises, and so nulls the whole result under TRY.
"""

from __future__ import annotations

import re

from streamsql.errors import InternalError
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import FAIL, fail

_LAMBDA = re.compile(r'\s*lambda ((?:"(?:[^"]|"")*"|\w+|[\s,])+?)\s*:\s*(.*)', re.DOTALL)
_PARAMETER = re.compile(r'"(?:[^"]|"")*"|\w+')


def split_lambda(sql: str) -> tuple[list[str], str]:
    """Parameters and body of a printed lambda.

    >>> split_lambda('lambda a, "B:c": a + "B:c"')
    (['a', '"B:c"'], 'a + "B:c"')
    """
    match = _LAMBDA.fullmatch(sql)
    if match is None:
        raise InternalError(f"not a lambda: {sql}")
    return _PARAMETER.findall(match[1]), match[2]


def applied(sql: str, *values: str) -> str:
    """The lambda's body with its parameters bound to the values."""
    parameters, body = split_lambda(sql)
    for parameter, value in reversed(list(zip(parameters, values, strict=True))):
        body = f"list_transform([{value}], lambda {parameter}: {body})[1]"
    return body


def _map_of(entries: str, t: str, function: str) -> str:
    """A map from a list of entries; it fails a row with a null value, as ksqlDB does."""
    message = f"'function {function} gives a null value'"
    has_null = 'len(list_filter("$entries", lambda "$e": "$e".value IS NULL)) > 0'
    built = f'CASE WHEN {has_null} THEN {fail(message, t)} ELSE map_from_entries("$entries") END'
    return f'list_transform([{entries}], lambda "$entries": {built})[1]'


def _transform_map(call: BoundCall) -> Fragment:
    key, value = (applied(call.arguments[n], '"$e".key', '"$e".value') for n in ("to_key", "to_value"))
    entries = (
        f"list_transform(map_entries({call.arguments['map']}),"
        f" lambda \"$e\": {{'key': {key}, 'value': {value}}})"
    )
    return Fragment(_map_of(entries, call.result.duckdb, "TRANSFORM"), (FAIL,))


def _filter_map(call: BoundCall) -> Fragment:
    condition = applied(call.arguments["keeps"], '"$e".key', '"$e".value')
    entries = f'list_filter(map_entries({call.arguments["map"]}), lambda "$e": {condition})'
    return Fragment(_map_of(entries, call.result.duckdb, "FILTER"), (FAIL,))


def _reduce(call: BoundCall) -> str:
    array, start, step = (call.arguments[n] for n in ("array", "start", "step"))
    return f"CASE WHEN {array} IS NULL THEN {start} ELSE list_reduce({array}, {step}, {start}) END"


def _reduce_map(call: BoundCall) -> str:
    a_map, start = call.arguments["map"], call.arguments["start"]
    step = applied(call.arguments["step"], '"$done"', '"$e".key', '"$e".value')
    folded = f'list_reduce(map_entries({a_map}), lambda "$done", "$e": {step}, {start})'
    return f"CASE WHEN {a_map} IS NULL THEN {start} ELSE {folded} END"


_TRANSFORM = "The collection with every element, or every key and value, replaced by what a lambda gives."
_FILTER = "The elements or entries for which a lambda is true."
_REDUCE = "A value folded with every element or entry by a lambda; the value itself for a null collection."

LAMBDAS: tuple[Scalar, ...] = (
    Scalar(
        "FILTER",
        "(array ARRAY<T>, keeps (T) => BOOLEAN) -> ARRAY<T>",
        _FILTER,
        sql="list_filter({array}, {keeps})",
        example="FILTER(ARRAY[1, 2, 3], x => x > 1)",
        gives="[2, 3]",
    ),
    Scalar(
        "FILTER",
        "(map MAP<K, V>, keeps (K, V) => BOOLEAN) -> MAP<K, V>",
        _FILTER,
        sql=_filter_map,
        can_fail=True,
        example="FILTER(MAP('a' := 1, 'b' := 2), (k, v) => v > 1)",
        gives="{b=2}",
    ),
    Scalar(
        "REDUCE",
        "(array ARRAY<T>, start S, step (S, T) => S) -> S",
        _REDUCE,
        sql=_reduce,
        example="REDUCE(ARRAY[1, 2, 3], 10, (s, x) => s + x)",
        gives="16",
    ),
    Scalar(
        "REDUCE",
        "(map MAP<K, V>, start S, step (S, K, V) => S) -> S",
        _REDUCE,
        sql=_reduce_map,
        example="REDUCE(MAP('a' := 1, 'b' := 2), 10, (s, k, v) => s + v)",
        gives="13",
    ),
    Scalar(
        "TRANSFORM",
        "(array ARRAY<T>, to (T) => U) -> ARRAY<U>",
        _TRANSFORM,
        sql="list_transform({array}, {to})",
        example="TRANSFORM(ARRAY[1, 2, 3], x => x * 10)",
        gives="[10, 20, 30]",
    ),
    Scalar(
        "TRANSFORM",
        "(map MAP<K, V>, to_key (K, V) => L, to_value (K, V) => W) -> MAP<L, W>",
        _TRANSFORM,
        sql=_transform_map,
        can_fail=True,
        example="TRANSFORM(MAP('a' := 1), (k, v) => UCASE(k), (k, v) => v + 1)",
        gives="{A=2}",
    ),
)

"""Functions of JSON texts.

DuckDB reads JSON many times faster than Python, but rounds numbers with a fraction, and takes trailing
commas and NaN. So what it finds is used where it must be exact (strings, integers, names), and the rest
goes through json_exact.py, by distinct texts. EXTRACTJSONFIELD, JSON_ARRAY_LENGTH and JSON_KEYS put up with
a trailing comma.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.functions.cast import cast_sql
from streamsql.functions.json_exact import (
    MISSING,
    Integer,
    Number,
    dumps,
    follow,
    loads,
    path_tokens,
    quoted,
    text_of,
)
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import literal_text, once
from streamsql.tolerance import attempts
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DOUBLE,
    INTEGER,
    NULL,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    duckdb_string,
)

# Reading -------------------------------------------------------------------------------------------------


def extract_field(text: str, path: str) -> str | None:
    """The value at a path as text; a JSON null is the text `null`, what is not there is None."""
    found = follow(loads(text), path_tokens(path))
    return None if found is MISSING else text_of(found)


def _is_json(text: str | None) -> bool:
    if text is None:
        return False
    try:
        loads(text)
    except DataError:
        return False
    return True


def items(text: str) -> list[str]:
    """The elements of an array, each as JSON."""
    value = loads(text)
    if not isinstance(value, list):
        raise DataError("the JSON text is no array")
    return [dumps(item) for item in value]


def records(text: str) -> dict[str, str] | None:
    """The fields of an object as texts; None for anything else."""
    value = loads(text)
    return {name: text_of(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def concat(texts: list[str | None] | None) -> str | None:
    """Objects merged, the later ones winning; with anything else among them one array of all."""
    if not texts or None in texts:
        return None
    values = [loads(text) for text in texts if text is not None]
    if all(isinstance(value, dict) for value in values):
        merged: dict[str, Any] = {}
        for value in values:
            merged |= value
        return dumps(merged)
    return dumps([item for value in values for item in (value if isinstance(value, list) else [value])])


def _extracts(texts: Column, paths: Column) -> Vector:
    return each_distinct(extract_field, pa.string(), texts, paths)


def _are_json(texts: Column) -> Vector:
    return each_distinct(_is_json, pa.bool_(), texts, nulls=True)


def _items(texts: Column) -> Vector:
    return each_distinct(items, pa.list_(pa.string()), texts)


def _records(texts: Column) -> Vector:
    def pairs(text: str) -> list[tuple[str, str]] | None:
        found = records(text)
        return None if found is None else list(found.items())

    return each_distinct(pairs, pa.map_(pa.string(), pa.string()), texts)


def _concats(lists: Column) -> Vector:
    # Lists have no dictionary in Arrow; the loop is over rows.
    return pa.array(attempts(concat, zip(lists.to_pylist())), pa.string())


_EXTRACT = ArrowFunction("json_exact_field", ("VARCHAR", "VARCHAR"), "VARCHAR", _extracts)
_IS_JSON = ArrowFunction("json_exact_valid", ("VARCHAR",), "BOOLEAN", _are_json)
_ITEMS = ArrowFunction("json_exact_items", ("VARCHAR",), "VARCHAR[]", _items)
_RECORDS = ArrowFunction("json_exact_records", ("VARCHAR",), "MAP(VARCHAR, VARCHAR)", _records)
_CONCAT = ArrowFunction("json_exact_concat", ("VARCHAR[]",), "VARCHAR", _concats)


def _extract(call: BoundCall) -> Fragment:
    text, path = call.arguments["json"], call.arguments["path"]
    exact = f"json_exact_field({text}, {path})"
    known = literal_text(path)
    quick = _duckdb_path(known) if known is not None else None
    if quick is None:
        return Fragment(exact, (_EXTRACT,), True)

    def printed(found: str) -> str:
        return (
            f"CASE WHEN starts_with({found}, '\"') THEN json_extract_string({found}, '$')"
            f" WHEN regexp_full_match({found}, '-?[0-9]+|true|false|null') THEN {found}"
            f" WHEN {found} IS NOT NULL THEN {_fraction(text, known or '', found, exact)} END"
        )

    found = f"CAST(json_extract({text}, {duckdb_string(quick)}) AS VARCHAR)"
    return Fragment(once(found, printed), (_EXTRACT,), True)


_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"


def _fraction(text: str, path: str, found: str, exact: str) -> str:
    """The digits of a number with a fraction, which DuckDB gives rounded.

    If the path ends in a name that stands before just one number in the text, and that number has the
    value found, it is the one; all else, objects and arrays too, is read again.
    """
    tokens = path_tokens(path)
    if not tokens or not re.fullmatch(r"[A-Za-z_]\w*", tokens[-1], re.ASCII):
        return exact
    member = duckdb_string(f'"{tokens[-1]}"\\s*:\\s*({_NUMBER})')
    return once(
        f"regexp_extract_all({text}, {member}, 1)",
        lambda digits: (
            f"CASE WHEN len({digits}) = 1 AND TRY_CAST({digits}[1] AS DOUBLE) = TRY_CAST({found} AS DOUBLE)"
            f" THEN {digits}[1] ELSE {exact} END"
        ),
    )


def _duckdb_path(path: str) -> str | None:
    """The path as DuckDB writes it; None if it is no path or DuckDB has none that means the same."""
    try:
        tokens = path_tokens(path)
    except DataError:
        return None
    steps = []
    for token in tokens:
        if token.isascii() and token.isdigit():
            # A number is an index here; names of digits are left to the exact way.
            if f"[{token}]" not in path:
                return None
            steps.append(f"[{token}]")
        elif '"' in token or "\\" in token or not token:
            return None
        else:
            steps.append(f'."{token}"')
    return "$" + "".join(steps)


def _is_json_sql(call: BoundCall) -> Fragment:
    text = call.arguments["json"]
    doubtful = "regexp_matches({x}, '(?i),\\s*[\\]}]|nan|inf')"
    return Fragment(
        f"CASE WHEN NOT coalesce(json_valid({text}), FALSE) THEN FALSE"
        f" WHEN {doubtful.replace('{x}', text)} THEN json_exact_valid({text}) ELSE TRUE END",
        (_IS_JSON,),
        False,
    )


def _keys(call: BoundCall) -> str:
    text = call.arguments["json"]
    # A name that stands twice is one name.
    first = once(
        f"json_keys({text})",
        lambda keys: f'list_filter({keys}, lambda "$key", "$at": list_position({keys}, "$key") = "$at")',
    )
    return f"CASE WHEN json_type({text}) = 'OBJECT' THEN {first} END"


def _contains(call: BoundCall) -> Fragment:
    """One Arrow function per type looked for; DECIMAL and what JSON has no counterpart for never match."""
    text, wanted, t = call.arguments["json"], call.arguments["x"], call.types["x"]
    kind: SqlType = BIGINT if t == INTEGER else t
    if kind not in _CONTAINS or kind == NULL:
        # Only whether it is null matters.
        is_null = "TRUE" if t == NULL else f"{wanted} IS NULL"
        wanted, kind = f"CASE WHEN {is_null} THEN NULL ELSE '' END", NULL
    function = _CONTAINS[kind]
    return Fragment(f"{function.name}({text}, {wanted})", (function,), False)


def _contains_function(kind: SqlType) -> ArrowFunction:
    def found(text: str | None, wanted: Any) -> bool:
        try:
            value = loads(text) if text is not None else None
        except DataError:
            return False
        return isinstance(value, list) and any(_is_same(element, wanted, kind) for element in value)

    def run(texts: Column, values: Column) -> Vector:
        return each_distinct(found, pa.bool_(), texts, values, nulls=True)

    argument = VARCHAR if kind == NULL else kind
    name = f"json_array_contains_{str(kind).lower()}"
    return ArrowFunction(name, ("VARCHAR", argument.duckdb), "BOOLEAN", run)


def _is_same(element: Any, wanted: Any, kind: SqlType) -> bool:
    if wanted is None or element is None:
        return wanted is None and element is None
    if isinstance(element, Integer):
        return kind == BIGINT and int(element) == wanted
    if isinstance(element, Number):
        return kind == DOUBLE and float(element) == wanted
    if isinstance(element, bool):
        return kind == BOOLEAN and element == wanted
    return kind == VARCHAR and isinstance(element, str) and element == wanted


_CONTAINS: dict[SqlType, ArrowFunction] = {
    kind: _contains_function(kind) for kind in (BIGINT, DOUBLE, VARCHAR, BOOLEAN, NULL)
}


# Writing -------------------------------------------------------------------------------------------------


def _to_json(call: BoundCall) -> Fragment:
    printed = json_sql(call.arguments["x"], call.types["x"])
    return Fragment(f"coalesce({printed.sql}, 'null')", printed.functions, False)


def json_sql(sql: str, t: SqlType) -> Fragment:
    """A value as JSON text, null as NULL; members of structs and maps by name.

    sql  a value that may be repeated: a column or a name
    """
    match t:
        case Array(element):
            inner = json_sql('"$item"', element)
            texts = f"list_transform({sql}, lambda \"$item\": coalesce({inner.sql}, 'null'))"
            return Fragment(f"'[' || array_to_string({texts}, ',') || ']'", inner.functions)
        case Map(key, value):
            return _map_json(sql, key, value)
        case Struct(fields):
            return _struct_json(sql, fields)
    if t == VARCHAR:
        return Fragment(f"CAST(to_json({sql}) AS VARCHAR)" if sql != "NULL" else "CAST(NULL AS VARCHAR)")
    if t == BYTES:
        return Fragment(f"'\"' || to_base64({sql}) || '\"'")
    text = cast_sql(sql, t, VARCHAR)
    if t == DOUBLE:
        # JSON has no NaN and no infinity; they are written as strings.
        finite = f"CASE WHEN isfinite({sql}) THEN {text.sql} ELSE '\"' || {text.sql} || '\"' END"
        return Fragment(finite, text.functions)
    if t in (BOOLEAN, INTEGER, BIGINT) or isinstance(t, Decimal):
        return Fragment(text.sql, text.functions)
    return Fragment(f"'\"' || {text.sql} || '\"'", text.functions)


def _map_json(sql: str, key: SqlType, value: SqlType) -> Fragment:
    name = "struct_extract(\"$entry\", 'key')"
    if key != VARCHAR:
        name = cast_sql(name, key, VARCHAR).sql
    inner = json_sql('"$value"', value)
    bound = f'list_transform([struct_extract("$entry", \'value\')], lambda "$value": {inner.sql})[1]'
    member = f"CAST(to_json({name}) AS VARCHAR) || ':' || coalesce({bound}, 'null')"
    entries = f"list_sort(map_entries({sql}))" if key == VARCHAR else f"map_entries({sql})"
    texts = f'list_transform({entries}, lambda "$entry": {member})'
    return Fragment(f"'{{' || array_to_string({texts}, ',') || '}}'", inner.functions)


def _struct_json(sql: str, fields: tuple[tuple[str, SqlType], ...]) -> Fragment:
    members: list[str] = []
    functions: list[ArrowFunction] = []
    for name, t in sorted(fields):
        inner = json_sql('"$field"', t)
        functions += inner.functions
        value = f"struct_extract({sql}, {duckdb_string(name)})"
        bound = f'list_transform([{value}], lambda "$field": {inner.sql})[1]'
        members.append(f"{duckdb_string(quoted(name) + ':')} || coalesce({bound}, 'null')")
    text = " || ',' || ".join(members) if members else "''"
    return Fragment(f"CASE WHEN {sql} IS NOT NULL THEN '{{' || {text} || '}}' END", tuple(functions))


JSON_TEXT = (
    Scalar(
        "EXTRACTJSONFIELD",
        "(json VARCHAR, path VARCHAR) -> VARCHAR",
        says="The value at a path such as $.a[0].b in a JSON text: strings bare, all else as JSON.",
        sql=_extract,
        can_fail=True,
        example="EXTRACTJSONFIELD('{\"a\": [{\"b\": 1.50}]}', '$.a[0].b')",
        gives="1.50",
    ),
    Scalar(
        "IS_JSON_STRING",
        "(json VARCHAR) -> BOOLEAN",
        says="Whether a text is valid JSON; FALSE for null.",
        sql=_is_json_sql,
        example="IS_JSON_STRING('[1, 2]')",
        gives="true",
    ),
    Scalar(
        "JSON_ARRAY_CONTAINS",
        "(json VARCHAR, x T) -> BOOLEAN",
        says="Whether a JSON array holds a value of the same kind; FALSE for anything but an array.",
        sql=_contains,
        example="JSON_ARRAY_CONTAINS('[1, 2, 3]', 3)",
        gives="true",
    ),
    Scalar(
        "JSON_ARRAY_LENGTH",
        "(json VARCHAR) -> INTEGER",
        says="Number of elements of a JSON array; null for anything but an array.",
        sql="CASE WHEN json_type({json}) = 'ARRAY' THEN CAST(json_array_length({json}) AS INTEGER) END",
        can_fail=True,
        example="JSON_ARRAY_LENGTH('[1, 2, 3]')",
        gives="3",
    ),
    Scalar(
        "JSON_CONCAT",
        "(jsons VARCHAR...) -> VARCHAR",
        says="JSON objects merged into one, later members winning, or else one array of all the values.",
        sql=lambda call: Fragment(
            f"json_exact_concat(CAST([{', '.join(call.variadic)}] AS VARCHAR[]))", (_CONCAT,), True
        ),
        can_fail=True,
        example="JSON_CONCAT('{\"a\": 1}', '{\"b\": 2}')",
        gives='{"a":1,"b":2}',
    ),
    Scalar(
        "JSON_ITEMS",
        "(json VARCHAR) -> ARRAY<VARCHAR>",
        says="The elements of a JSON array, each as JSON.",
        sql=lambda call: Fragment(f"json_exact_items({call.arguments['json']})", (_ITEMS,), True),
        can_fail=True,
        example="JSON_ITEMS('[1, \"a\"]')",
        gives='[1, "a"]',
    ),
    Scalar(
        "JSON_KEYS",
        "(json VARCHAR) -> ARRAY<VARCHAR>",
        says="The names in a JSON object, in order; null for anything but an object.",
        sql=_keys,
        can_fail=True,
        example='JSON_KEYS(\'{"b": 1, "a": 2}\')',
        gives="[b, a]",
    ),
    Scalar(
        "JSON_RECORDS",
        "(json VARCHAR) -> MAP<VARCHAR, VARCHAR>",
        says="The members of a JSON object as texts: strings bare, all else as JSON.",
        sql=lambda call: Fragment(f"json_exact_records({call.arguments['json']})", (_RECORDS,), True),
        can_fail=True,
        example='JSON_RECORDS(\'{"a": "x", "b": [1]}\')',
        gives="{a=x, b=[1]}",
    ),
    Scalar(
        "TO_JSON_STRING",
        "(x T) -> VARCHAR",
        says="Any value as JSON text, members of structs and maps by name.",
        sql=_to_json,
        example="TO_JSON_STRING(ARRAY[1, 2])",
        gives="[1,2]",
    ),
)

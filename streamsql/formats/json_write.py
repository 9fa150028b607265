"""DuckDB SQL that writes typed values as JSON text.

DuckDB's own to_json serves what it writes as the format wants it (texts, integers, booleans, and
structures of them); it drops the zeros of decimals and knows neither base64 nor ms of day, so the
other types are put together here.
"""

from __future__ import annotations

import json

from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    duckdb_name,
    duckdb_string,
)


def value_sql(sql: str, t: SqlType, depth: int = 0) -> str:
    """SQL of a VARCHAR that is the JSON text of a value, SQL NULL for NULL.

    sql    a column or lambda parameter, or a field of one: it is repeated
    depth  how many lambdas are around
    """
    if t in (BOOLEAN, INTEGER, BIGINT):
        return f"CAST({sql} AS VARCHAR)"
    if is_plain(t):
        return f"CAST(to_json({sql}) AS VARCHAR)"
    match t:
        case Array(element):
            return _guarded(sql, _array_sql(sql, element, depth))
        case Map(_, item):
            return _guarded(sql, _map_sql(sql, item, depth))
        case Struct(fields):
            members = [(name, f"{sql}.{duckdb_name(name)}", inner) for name, inner in fields]
            return _guarded(sql, record_sql(members, depth))
    return _scalar_sql(sql, t)


def record_sql(members: list[tuple[str, str, SqlType]], depth: int = 0) -> str:
    """SQL of an object with the members (name, SQL of the value, type) in order; nulls are written."""
    pieces: list[str] = []
    before = "{"
    for name, sql, t in members:
        written = f"{before}{json.dumps(name, ensure_ascii=False)}:"
        pieces.append(_literal(written) if "{" in name else duckdb_string(written))
        pieces.append(f"coalesce({value_sql(sql, t, depth)}, 'null')")
        before = ","
    if not members:
        return "'{}'"
    return "concat(" + ", ".join([*pieces, "'}'"]) + ")"


def _literal(text: str) -> str:
    """A text as SQL in which nothing can be taken for the place of a kernel's feed, like {rows}."""
    return duckdb_string(text[:1]) + " || " + duckdb_string(text[1:]).replace("{", "{' || '")


def plain_record_sql(members: list[tuple[str, str, SqlType]]) -> str:
    """The same text in one call, half as costly, for plain types and finite doubles."""
    packed = ", ".join(f"{duckdb_name(name)} := {sql}" for name, sql, _ in members)
    return f"CAST(to_json(struct_pack({packed})) AS VARCHAR)"


def _scalar_sql(sql: str, t: SqlType) -> str:
    if t == DOUBLE:
        # JSON has no NaN and no infinity: they are texts.
        infinite = f"WHEN {sql} > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"'"
        named = f"CASE WHEN isnan({sql}) THEN '\"NaN\"' {infinite} END"
        written = f"CASE WHEN isfinite({sql}) THEN CAST(to_json({sql}) AS VARCHAR) ELSE {named} END"
        return _guarded(sql, written)
    if t == BYTES:
        return f"'\"' || base64({sql}) || '\"'"
    if t == DATE:
        return f"CAST({sql} - DATE '1970-01-01' AS VARCHAR)"
    if t == TIME:
        return f"CAST(epoch_ms({sql}) AS VARCHAR)"
    if t == TIMESTAMP:
        return f"CAST(epoch_ms({sql}) AS VARCHAR)"
    return decimal_text_sql(sql, t) if isinstance(t, Decimal) else f"CAST({sql} AS VARCHAR)"


def decimal_text_sql(sql: str, t: Decimal) -> str:
    """SQL that prints a decimal plain, with its full scale and a digit before the point."""
    text = f"CAST({sql} AS VARCHAR)"
    # DuckDB prints a type that has no digits before the point without any: .50.
    return rf"regexp_replace({text}, '^(-?)\.', '\1' || '0.')" if t.precision == t.scale else text


def _array_sql(sql: str, element: SqlType, depth: int) -> str:
    name = f"e{depth}"
    text = f"coalesce({value_sql(name, element, depth + 1)}, 'null')"
    return f"concat('[', array_to_string(list_transform({sql}, lambda {name}: {text}), ','), ']')"


def _map_sql(sql: str, item: SqlType, depth: int) -> str:
    name = f"e{depth}"
    value = value_sql(f"{name}.value", item, depth + 1)
    text = f"concat(CAST(to_json({name}.key) AS VARCHAR), ':', coalesce({value}, 'null'))"
    entries = f"list_transform(map_entries({sql}), lambda {name}: {text})"
    return f"concat('{{', array_to_string({entries}, ','), '}}')"


def _guarded(sql: str, text: str) -> str:
    return f"CASE WHEN {sql} IS NOT NULL THEN {text} END"


def is_plain(t: SqlType) -> bool:
    """Whether to_json writes the type as the format wants it."""
    match t:
        case Array(element):
            return is_plain(element)
        case Map(_, item):
            return is_plain(item)
        case Struct(fields):
            return all(is_plain(inner) for _, inner in fields)
    return t in (BOOLEAN, INTEGER, BIGINT, VARCHAR)

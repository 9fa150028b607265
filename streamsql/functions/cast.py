"""CAST and implicit widening, printed as DuckDB SQL.

One printer per pair of type families, in _CASTS; what is not there cannot be cast. Structures cast part
by part. A row that cannot be converted raises (NULL under TRY). Where DuckDB's own cast reads more texts
than the dialect does ('1_000', '1.5' as an integer, 'inf'), a test of the text stands in front of it.

Two places where a value DuckDB cannot hold is refused: a decimal that only overflows by rounding (9.99
as DECIMAL(2, 1)), and two map keys that become equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import PlanError
from streamsql.functions.cast_text import (
    CastPrint,
    text_to_boolean,
    text_to_bytes,
    text_to_date,
    text_to_decimal,
    text_to_double,
    text_to_integer,
    text_to_time,
    text_to_timestamp,
)
from streamsql.java_text import DOUBLE_TEXT, double_text_sql
from streamsql.sqltext import once
from streamsql.types import (
    BIGINT,
    INTEGER,
    NULL,
    VARCHAR,
    Array,
    Decimal,
    Map,
    Primitive,
    SqlType,
    Struct,
    as_decimal,
    duckdb_name,
    duckdb_string,
    is_numeric,
    widens,
)

__all__ = ["CastPrint", "cast_sql", "is_castable", "widen_sql"]

Printer = Callable[[str, SqlType, SqlType], CastPrint]


def is_castable(source: SqlType, target: SqlType) -> bool:
    """Whether CAST from `source` to `target` exists, inside structures too."""
    if source == target or source == NULL:
        return True
    match source, target:
        case Array(a), Array(b):
            return is_castable(a, b)
        case Map(ka, va), Map(kb, vb):
            return is_castable(ka, kb) and is_castable(va, vb)
        case Struct(), Struct(fields):
            return all(is_castable(source.field(name) or NULL, t) for name, t in fields)
        case Array(a), Primitive("VARCHAR"):
            return is_castable(a, VARCHAR)
        case Map(ka, va), Primitive("VARCHAR"):
            return is_castable(ka, VARCHAR) and is_castable(va, VARCHAR)
        case Struct(fields), Primitive("VARCHAR"):
            return all(is_castable(t, VARCHAR) for _, t in fields)
    return (_family(source), _family(target)) in _CASTS


def cast_sql(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """CAST(sql AS target) for an expression of type `source`.

    raises  PlanError (PLAN-CAST) if there is no such cast
    """
    if not is_castable(source, target):
        raise PlanError(f"cannot cast {source} to {target}", code="PLAN-CAST", hint=_hint(source, target))
    return _print(sql, source, target)


def widen_sql(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """The expression as `target`, for types where types.widens(source, target) holds.

    A widened number always fits; only texts read as DATE, TIME, TIMESTAMP or BYTES can fail.

    raises  PlanError (PLAN-CAST) if `source` does not widen to `target`
    """
    if not widens(source, target):
        raise PlanError(f"{source} does not widen to {target}", code="PLAN-CAST", hint="cast it with CAST")
    return _print(sql, source, target)


def _family(t: SqlType) -> str:
    return t.name if isinstance(t, Primitive) else type(t).__name__.upper()


def _hint(source: SqlType, target: SqlType) -> str | None:
    pair = (_family(source), _family(target))
    if pair[0] == "BYTES":
        return "use FROM_BYTES or one of the ..._FROM_BYTES functions"
    if pair == ("VARCHAR", "MAP") or pair == ("VARCHAR", "STRUCT") or pair == ("VARCHAR", "ARRAY"):
        return "use EXTRACTJSONFIELD, JSON_ITEMS or JSON_RECORDS to take JSON text apart"
    for number, moment, function in (
        ("BIGINT", "TIMESTAMP", "FROM_UNIXTIME"),
        ("INTEGER", "DATE", "FROM_DAYS"),
        ("TIMESTAMP", "BIGINT", "UNIX_TIMESTAMP"),
        ("DATE", "INTEGER", "UNIX_DATE"),
    ):
        if pair == (number, moment):
            return f"use {function}"
    return None


def _print(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    if source == target:
        return CastPrint(sql)
    if source == NULL:
        return CastPrint(f"CAST(NULL AS {target.duckdb})")
    return _CASTS[_family(source), _family(target)](sql, source, target)


def _native(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """DuckDB's own cast, where it means the same and cannot fail."""
    return CastPrint(f"CAST({sql} AS {target.duckdb})")


# Numbers ------------------------------------------------------------------------------------------------


def _bigint_to_integer(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    return CastPrint(_low_bits(sql, INTEGER))


def _low_bits(sql: str, target: SqlType) -> str:
    """The low 32 or 64 bits of an integer expression, read as a signed number."""
    bits, wide = (32, "BIGINT") if target == INTEGER else (64, "HUGEINT")
    half = f"CAST({1 << (bits - 1)} AS {wide})"
    # Flipping the sign bit and taking it off again extends it over the bits above.
    return f"CAST(xor(({sql}) & CAST({(1 << bits) - 1} AS {wide}), {half}) - {half} AS {target.duckdb})"


def _decimal_to_integer(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Toward zero; only the low bits of what is too large."""
    assert isinstance(source, Decimal)
    digits = source.precision - source.scale
    whole = f"trunc({sql})" if source.scale else sql
    if digits <= (9 if target == INTEGER else 18):
        return CastPrint(f"CAST({whole} AS {target.duckdb})")
    if target == BIGINT or digits > 18:
        return CastPrint(_low_bits(f"CAST({whole} AS HUGEINT)", target))
    return CastPrint(_low_bits(f"CAST({whole} AS BIGINT)", target))


def _to_decimal(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Exact numbers: half away from zero, an error if it does not fit."""
    fits = is_numeric(source) and widens(source, target) and as_decimal(target).precision <= 38
    return CastPrint(f"CAST({sql} AS {target.duckdb})", can_fail=not fits)


def _decimal_to_double(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    assert isinstance(source, Decimal)
    # DuckDB divides the digits by a power of ten, which is exact as long as both are exact doubles;
    # reading the text back rounds correctly at any size.
    exact = source.precision <= 15
    return CastPrint(f"CAST({sql} AS DOUBLE)" if exact else f"CAST(CAST({sql} AS VARCHAR) AS DOUBLE)")


def _double_to_integer(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Toward zero; what is too large becomes the largest, NaN becomes 0."""
    bits = 31 if target == INTEGER else 63
    low, high = f"CAST({-(1 << bits)} AS {target.duckdb})", f"CAST({(1 << bits) - 1} AS {target.duckdb})"
    return CastPrint(
        once(
            sql,
            lambda x: (
                f"CASE WHEN isnan({x}) THEN 0 WHEN {x} >= {1 << bits}e0 THEN {high}"
                f" WHEN {x} <= -{1 << bits}e0 THEN {low} ELSE CAST(trunc({x}) AS {target.duckdb}) END"
            ),
        )
    )


def _double_to_decimal(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """First to `precision` significant digits of the double's exact value, then to the scale.

    Both steps round half away from zero. Printing a double rounds its exact value half to even, so a
    double that lies exactly between two decimals is moved one step away from zero before.
    """
    assert isinstance(target, Decimal)
    p, s = min(target.precision, 38), min(target.scale, 38)
    # Exactly half: p + 1 significant digits, the last a 5, all others 0. A binary fraction of f bits
    # has at least 0.69 f significant digits, so only multiples of some 2^-f come into question.
    scaling = 2.0 ** (-(-(p + 1) * 145 // 100))

    def printed(x: str) -> str:
        tail = f"substr(format('{{:.80e}}', abs({x})), {p + 2}, {81 - p})"
        halfway = f"{x} * {scaling!r} = trunc({x} * {scaling!r}) AND {x} <> trunc({x})"
        halfway += f" AND {tail} = {duckdb_string('5' + '0' * (80 - p))}"
        nudged = f"CASE WHEN {halfway} THEN nextafter({x}, sign({x}) * 1e308) ELSE {x} END"
        # Digits after the point: one less for each digit before it, one more for each zero behind it;
        # below 10^-(s+1) the result is 0 anyway.
        before = [f"- CAST(abs({x}) >= {_at_least_power(k)!r} AS INTEGER)" for k in range(p - s)]
        behind = [f"+ CAST(abs({x}) < {_at_least_power(-k)!r} AS INTEGER)" for k in range(1, s + 2)]
        digits = " ".join([str(p), *before, *behind])
        return f"CAST(format('{{:.{{}}f}}', {nudged}, {digits}) AS {target.duckdb})"

    return CastPrint(once(sql, printed), can_fail=True)


def _at_least_power(exponent: int) -> float:
    """The smallest double that is not below a power of ten."""
    nearest = float(f"1e{exponent}")
    return nearest if Fraction(nearest) >= Fraction(10) ** exponent else math.nextafter(nearest, math.inf)


# Values to texts ----------------------------------------------------------------------------------------


def _decimal_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Plain notation with all digits of the scale; DuckDB leaves out the zero before a point."""
    assert isinstance(source, Decimal)
    p, s = min(source.precision, 38), min(source.scale, 38)
    if p > s:
        return CastPrint(f"CAST({sql} AS VARCHAR)")
    if p < 38:
        return CastPrint(f"CAST(CAST({sql} AS DECIMAL({p + 1},{s})) AS VARCHAR)")
    return CastPrint(f"regexp_replace(CAST({sql} AS VARCHAR), '^(-?)[.]', '\\10.')")


def _double_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    return CastPrint(double_text_sql(sql), (DOUBLE_TEXT,))


def _timestamp_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    return CastPrint(f"strftime({sql}, '%Y-%m-%dT%H:%M:%S.%g')")


def _time_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """HH:mm:ss without milliseconds, and without the seconds if they are 0."""
    return CastPrint(f"regexp_replace(left(CAST({sql} AS VARCHAR), 8), ':00$', '')")


def _array_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """[a, b], as Java's collections print."""
    assert isinstance(source, Array)
    text, part = _part_texts(sql, "a", source.element)
    return CastPrint(f"'[' || array_to_string({text}, ', ') || ']'", part.functions, part.can_fail)


def _part_texts(sql: str, name: str, element: SqlType) -> tuple[str, CastPrint]:
    """A list's elements as texts, null as `null`."""
    name = _fresh(name, sql)
    part = _print(name, element, VARCHAR)
    return f"list_transform({sql}, lambda {name}: coalesce({part.sql}, 'null'))", part


def _fresh(name: str, sql: str) -> str:
    """A lambda parameter that the text around it does not use."""
    number = 0
    while f'"${name}{number}"' in sql:
        number += 1
    return f'"${name}{number}"'


def _map_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """{key=value, key=value}."""
    assert isinstance(source, Map)
    name = _fresh("m", sql)
    key = _print(f"struct_extract({name}, 'key')", source.key, VARCHAR)
    value = _print(f"struct_extract({name}, 'value')", source.value, VARCHAR)
    entry = f"coalesce({key.sql}, 'null') || '=' || coalesce({value.sql}, 'null')"
    texts = f"list_transform(map_entries({sql}), lambda {name}: {entry})"
    return CastPrint(
        f"'{{' || array_to_string({texts}, ', ') || '}}'",
        _functions(key, value),
        key.can_fail or value.can_fail,
    )


def _struct_to_text(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """Struct{a=1,b=2} without the fields that are null."""
    assert isinstance(source, Struct)
    parts: list[CastPrint] = []

    def printed(x: str) -> str:
        texts = []
        for name, t in source.fields:
            part = _print(f"struct_extract({x}, {duckdb_string(name)})", t, VARCHAR)
            parts.append(part)
            texts.append(f"{duckdb_string(name + '=')} || {part.sql}")
        # concat_ws leaves nulls out.
        fields = f"concat_ws(',', {', '.join(texts)})" if texts else "''"
        return f"CASE WHEN {x} IS NOT NULL THEN 'Struct{{' || {fields} || '}}' END"

    text = once(sql, printed)
    return CastPrint(text, _functions(*parts), any(p.can_fail for p in parts))


# Structures part by part --------------------------------------------------------------------------------


def _functions(*parts: CastPrint) -> tuple[ArrowFunction, ...]:
    return tuple(dict.fromkeys(f for part in parts for f in part.functions))


def _array_to_array(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    assert isinstance(source, Array) and isinstance(target, Array)
    name = _fresh("a", sql)
    part = _print(name, source.element, target.element)
    return CastPrint(f"list_transform({sql}, lambda {name}: {part.sql})", part.functions, part.can_fail)


def _map_to_map(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    assert isinstance(source, Map) and isinstance(target, Map)
    name = _fresh("m", sql)
    key = _print(f"struct_extract({name}, 'key')", source.key, target.key)
    value = _print(f"struct_extract({name}, 'value')", source.value, target.value)
    entries = f"list_transform(map_entries({sql}), lambda {name}: {{'key': {key.sql}, 'value': {value.sql}}})"
    may_collide = source.key != target.key
    return CastPrint(
        f"map_from_entries({entries})",
        _functions(key, value),
        key.can_fail or value.can_fail or may_collide,
    )


def _struct_to_struct(sql: str, source: SqlType, target: SqlType) -> CastPrint:
    """By field name: missing fields are null, others are dropped."""
    assert isinstance(source, Struct) and isinstance(target, Struct)
    parts: list[CastPrint] = []

    def printed(x: str) -> str:
        fields = []
        for name, t in target.fields:
            own = source.field(name)
            part = _print(f"struct_extract({x}, {duckdb_string(name)})", own or NULL, t)
            parts.append(part)
            fields.append(f"{duckdb_name(name)} := {part.sql}")
        return f"CASE WHEN {x} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"

    text = once(sql, printed)
    return CastPrint(text, _functions(*parts), any(p.can_fail for p in parts))


_CASTS: dict[tuple[str, str], Printer] = {
    ("BOOLEAN", "VARCHAR"): _native,
    ("INTEGER", "BIGINT"): _native,
    ("INTEGER", "DECIMAL"): _to_decimal,
    ("INTEGER", "DOUBLE"): _native,
    ("INTEGER", "VARCHAR"): _native,
    ("BIGINT", "INTEGER"): _bigint_to_integer,
    ("BIGINT", "DECIMAL"): _to_decimal,
    ("BIGINT", "DOUBLE"): _native,
    ("BIGINT", "VARCHAR"): _native,
    ("DECIMAL", "INTEGER"): _decimal_to_integer,
    ("DECIMAL", "BIGINT"): _decimal_to_integer,
    ("DECIMAL", "DECIMAL"): _to_decimal,
    ("DECIMAL", "DOUBLE"): _decimal_to_double,
    ("DECIMAL", "VARCHAR"): _decimal_to_text,
    ("DOUBLE", "INTEGER"): _double_to_integer,
    ("DOUBLE", "BIGINT"): _double_to_integer,
    ("DOUBLE", "DECIMAL"): _double_to_decimal,
    ("DOUBLE", "VARCHAR"): _double_to_text,
    ("VARCHAR", "BOOLEAN"): text_to_boolean,
    ("VARCHAR", "INTEGER"): text_to_integer,
    ("VARCHAR", "BIGINT"): text_to_integer,
    ("VARCHAR", "DECIMAL"): text_to_decimal,
    ("VARCHAR", "DOUBLE"): text_to_double,
    ("VARCHAR", "BYTES"): text_to_bytes,
    ("VARCHAR", "DATE"): text_to_date,
    ("VARCHAR", "TIME"): text_to_time,
    ("VARCHAR", "TIMESTAMP"): text_to_timestamp,
    ("DATE", "TIMESTAMP"): _native,
    ("DATE", "VARCHAR"): _native,
    ("TIME", "VARCHAR"): _time_to_text,
    ("TIMESTAMP", "DATE"): _native,
    ("TIMESTAMP", "TIME"): _native,
    ("TIMESTAMP", "VARCHAR"): _timestamp_to_text,
    ("ARRAY", "ARRAY"): _array_to_array,
    ("ARRAY", "VARCHAR"): _array_to_text,
    ("MAP", "MAP"): _map_to_map,
    ("MAP", "VARCHAR"): _map_to_text,
    ("STRUCT", "STRUCT"): _struct_to_struct,
    ("STRUCT", "VARCHAR"): _struct_to_text,
}

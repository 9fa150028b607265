"""What the grammar has between operands, as rows: what each takes, what it gives, and how DuckDB writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

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
    Map,
    SqlType,
    Struct,
)
from tests.properties.expression_values import (
    DECIMAL,
    FLOATS,
    NUMBERS,
    NUMERIC,
    SCALAR_TYPES,
    STRUCTURES,
    TEXTS,
    TYPES,
    WIDE,
)


@dataclass(frozen=True)
class Operator:
    """`template` with operands of the types `takes` in the places of its {}.

    duckdb  the same for DuckDB; None where it has nothing that means the same
    """

    template: str
    takes: tuple[SqlType, ...]
    gives: SqlType
    duckdb: str | None = None


ORDERINGS = ("<", "<=", ">", ">=")
EQUALITIES = ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")


def comparisons(a: SqlType, b: SqlType) -> tuple[str, ...]:
    """The operators that compare two types (language reference 4.3), as it is there and not as the planner has it."""
    pair = {a, b}
    if a in NUMERIC and b in NUMERIC:
        return (*EQUALITIES, *ORDERINGS)
    if pair in ({VARCHAR}, {BYTES}, {DATE}, {TIME}, {TIMESTAMP}, {DATE, TIMESTAMP}):
        return (*EQUALITIES, *ORDERINGS)
    if VARCHAR in pair and pair & {DATE, TIME, TIMESTAMP}:
        return (*EQUALITIES, *ORDERINGS)
    if a == b and (a == BOOLEAN or isinstance(a, Array | Map | Struct)):
        return EQUALITIES
    return ()


@cache
def operators(t: SqlType) -> tuple[Operator, ...]:
    """All that give `t`."""
    return tuple(o for o in _OPERATORS if o.gives == t)


def _all() -> Iterator[Operator]:
    yield from _arithmetic()
    yield from _comparisons()
    yield from _conditions()
    yield from _texts()
    yield from _elements()
    for t in TYPES:
        yield Operator("COALESCE({}, {})", (t, t), t, "coalesce({}, {})")
        # A null is equal to no value; NaN to itself neither.
        simple = "(CASE {} WHEN {} THEN {} ELSE {} END)"
        for x in (INTEGER, VARCHAR, DATE):
            yield Operator(simple, (x, x, t, t), t, simple)


def _arithmetic() -> Iterator[Operator]:
    for t, left in ((INTEGER, INTEGER), (BIGINT, BIGINT), (BIGINT, INTEGER)):
        for op in "+-*":
            yield Operator(f"({{}} {op} {{}})", (left, t), t, f"({{}} {op} {{}})")
        yield Operator("({} / {})", (left, t), t, "({} // nullif({}, 0))")
        yield Operator("({} % {})", (left, t), t, "({} % nullif({}, 0))")
        yield Operator("(-{})", (t,), t, "(0 - {})")
    for t in NUMERIC:
        yield Operator("(+{})", (t,), t, "({})")
    for op in "+-*/%":
        yield Operator(f"({{}} {op} {{}})", (DOUBLE, DOUBLE), DOUBLE, f"({{}} {op} {{}})")
        for other in (INTEGER, BIGINT, DECIMAL, WIDE):
            duckdb = f"(CAST({{}} AS DOUBLE) {op} {{}})" if other in (INTEGER, BIGINT) else None
            yield Operator(f"({{}} {op} {{}})", (other, DOUBLE), DOUBLE, duckdb)
    yield Operator("(-{})", (DOUBLE,), DOUBLE, "(-{})")
    for t in (DECIMAL, WIDE):
        yield Operator("(-{})", (t,), t, "(-{})")
        for op in "+-*/%":
            for pair in ((t, t), (INTEGER, t), (t, BIGINT), (DECIMAL, WIDE)):
                # The result has a type of its own, of many digits.
                yield Operator(f"CAST(({{}} {op} {{}}) AS {t})", pair, t)


def _comparisons() -> Iterator[Operator]:
    for a in TYPES:
        for b in TYPES:
            for op in comparisons(a, b):
                yield Operator(f"({{}} {op} {{}})", (a, b), BOOLEAN, _compared(a, b, op))
        if "<" not in comparisons(a, a):
            continue
        is_plain = a not in (DOUBLE, BYTES)
        ranged = "coalesce({} BETWEEN {} AND {}, false)"
        yield Operator("({} BETWEEN {} AND {})", (a, a, a), BOOLEAN, ranged if is_plain else None)
        yield Operator(
            "({} NOT BETWEEN {} AND {})", (a, a, a), BOOLEAN, f"(NOT {ranged})" if is_plain else None
        )
    for a in TYPES:
        # Null items do not count; nulls inside arrays, maps and structs match each other.
        among = "coalesce({} IN ({}, {}), false)"
        is_plain = a in SCALAR_TYPES and a != DOUBLE
        yield Operator("({} IN ({}, {}))", (a, a, a), BOOLEAN, among if is_plain else None)
        yield Operator("({} NOT IN ({}, {}))", (a, a, a), BOOLEAN, f"(NOT {among})" if is_plain else None)
        yield Operator(
            "({} IN (NULL, {}))", (a, a), BOOLEAN, "coalesce({} = {}, false)" if is_plain else None
        )
    yield Operator(
        "({} IN ('12', {}, ' 7'))", (INTEGER, INTEGER), BOOLEAN, "coalesce({} IN (12, {}, 7), false)"
    )
    yield Operator("({} IN (1.50, {}, 3))", (DECIMAL, INTEGER), BOOLEAN)
    yield Operator("({} IN ({}, '2024-02-29'))", (DATE, DATE), BOOLEAN)


def _compared(a: SqlType, b: SqlType, op: str) -> str | None:
    """A comparison for DuckDB: one with a null is FALSE, unless IS .. asks for nulls."""
    if op.startswith("IS "):
        return f"({{}} {op} {{}})" if a == b and a in SCALAR_TYPES and a != DOUBLE else None
    if a == b == DOUBLE:
        # NaN compares as FALSE here; for DuckDB it is the largest number.
        return f"CASE WHEN isnan({{0}}) OR isnan({{1}}) THEN false ELSE coalesce({{0}} {op} {{1}}, false) END"
    is_same = a == b and a in SCALAR_TYPES and a != BYTES
    if is_same or {a, b} in ({INTEGER, BIGINT}, {DATE, TIMESTAMP}):
        return f"coalesce({{}} {op} {{}}, false)"
    return None


def _conditions() -> Iterator[Operator]:
    for op in ("AND", "OR"):
        yield Operator(f"({{}} {op} {{}})", (BOOLEAN, BOOLEAN), BOOLEAN, f"({{}} {op} {{}})")
    yield Operator("(NOT {})", (BOOLEAN,), BOOLEAN, "(NOT {})")
    for t in TYPES:
        for test in ("IS NULL", "IS NOT NULL"):
            yield Operator(f"({{}} {test})", (t,), BOOLEAN, f"({{}} {test})")
    yield Operator("({} LIKE {})", (VARCHAR, VARCHAR), BOOLEAN)
    yield Operator("({} NOT LIKE '%a_')", (VARCHAR,), BOOLEAN)
    yield Operator("({} LIKE '!%%' ESCAPE '!')", (VARCHAR,), BOOLEAN)
    yield Operator("({} LIKE {} ESCAPE '\\')", (VARCHAR, VARCHAR), BOOLEAN)


def _texts() -> Iterator[Operator]:
    yield Operator("LEN({})", (VARCHAR,), INTEGER, "CAST(length({}) AS INTEGER)")
    yield Operator("CONCAT({}, {})", (VARCHAR, VARCHAR), VARCHAR, "concat({}, {})")
    yield Operator("({} || {})", (VARCHAR, VARCHAR), VARCHAR, "concat({}, {})")
    yield Operator("({} || {})", (BYTES, BYTES), BYTES)
    yield Operator("({} + {})", (VARCHAR, VARCHAR), VARCHAR)
    yield Operator("SUBSTRING({}, 2)", (VARCHAR,), VARCHAR, "substr({}, 2)")
    yield Operator("REPLACE({}, 'a', {})", (VARCHAR, VARCHAR), VARCHAR, "replace({}, 'a', {})")
    # Of 'ß' and 'İ' DuckDB makes one letter, Java two.
    yield Operator("UCASE({})", (VARCHAR,), VARCHAR)
    yield Operator("LCASE({})", (VARCHAR,), VARCHAR)
    yield Operator("(({}) AT TIME ZONE 'Europe/Paris')", (TIMESTAMP,), TIMESTAMP)
    yield Operator("({} AT TIME ZONE S)", (TIMESTAMP,), TIMESTAMP)


def _elements() -> Iterator[Operator]:
    for t in STRUCTURES:
        match t:
            case Array(element):
                for index in (INTEGER, BIGINT):
                    yield Operator("({})[{}]", (t, index), element, "({})[{}]")
                yield Operator("({})[-1]", (t,), element, "({})[-1]")
            case Map(_, inner):
                yield Operator("({})[{}]", (t, VARCHAR), inner, "map_extract_value({}, {})")
                yield Operator("({})['a']", (t,), inner, "map_extract_value({}, 'a')")
            case Struct(fields):
                for name, part in fields:
                    yield Operator(f"({{}})->`{name}`", (t,), part, f"struct_extract({{}}, '{name}')")
    yield Operator("ARRAY[{}, '3', NULL]", (INTEGER,), NUMBERS, "[{}, 3, NULL]")
    yield Operator("ARRAY[1, {}, 2.5, {}]", (INTEGER, DOUBLE), FLOATS)
    yield Operator("ARRAY['x', 1, {}, TRUE]", (VARCHAR,), TEXTS, "['x', '1', {}, 'true']")


_OPERATORS = tuple(_all())

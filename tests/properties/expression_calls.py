"""Which functions of the registry give a type, and what to put in their places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from streamsql.functions import SCALARS
from streamsql.functions.registry import Scalar
from streamsql.functions.signature import Lambda, Unit, Variable, parse_signature, parts_of
from streamsql.types import BIGINT, BOOLEAN, INTEGER, VARCHAR, Array, Map, SqlType, Struct, widens
from tests.properties.expression_values import NUMERIC, SCALAR_TYPES, TYPES

CALLABLE = [row for row in SCALARS if not row.volatile and row.name not in ("UNIX_DATE", "UNIX_TIMESTAMP")]
CALLABLE += [
    row for row in SCALARS if row.name in ("UNIX_DATE", "UNIX_TIMESTAMP") and row.signature[:2] != "()"
]
"""All but those that give another value every time: RANDOM, UUID, and the clocks."""

OVERLOADS = Counter(row.name for row in SCALARS)

# Literals for parameters to which only some texts mean something; a literal that means nothing is refused
# when the statement is planned.
NAMED = {
    "pattern": ["[a-z]+", "(.)b?", "\\d"],
    "zone": ["UTC", "Europe/Paris", "+02:00"],
    "from": ["UTC", "Europe/Paris"],
    "to": ["America/New_York", "+02:00"],
    "encoding": ["utf8", "hex", "base64"],
    "source": ["utf8", "hex"],
    "target": ["base64", "ascii"],
    "json": ['{"a": [1, null]}', '[1, 2.5, "x"]', "{"],
    "path": ["$.a", "$[1]", "$"],
    "url": ["https://u@h.example:80/p?a=b&c=%20#f", "a b"],
    "byte_order": ["BIG_ENDIAN", "LITTLE_ENDIAN"],
    "direction": ["ASC", "desc"],
}
_DATES, _TIMES, _MOMENTS = ["yyyy-MM-dd", "d.M.uuuu"], ["HH:mm:ss", "HH:mm"], ["yyyy-MM-dd HH:mm"]
OF_FUNCTION = {
    ("FORMAT_DATE", "pattern"): _DATES,
    ("PARSE_DATE", "pattern"): _DATES,
    ("DATETOSTRING", "pattern"): _DATES,
    ("STRINGTODATE", "pattern"): _DATES,
    ("FORMAT_TIME", "pattern"): _TIMES,
    ("PARSE_TIME", "pattern"): _TIMES,
    ("FORMAT_TIMESTAMP", "pattern"): _DATES + _TIMES + _MOMENTS,
    ("PARSE_TIMESTAMP", "pattern"): _MOMENTS,
    ("TIMESTAMPTOSTRING", "pattern"): _DATES + _TIMES + _MOMENTS,
    ("STRINGTOTIMESTAMP", "pattern"): _MOMENTS,
    ("REGEXP_REPLACE", "new"): ["", "x", "\\$"],
}
"""The same for a parameter of one function."""
# How long a result becomes: a pad to 2^31 characters is what was asked for, and no test.
SMALL = {"size", "start", "end", "step", "position", "occurrence", "length", "count", "digits", "n", "code"}
JOINED = [t for t in SCALAR_TYPES if t in NUMERIC or t in (BOOLEAN, VARCHAR)]
"""Elements that ARRAY_JOIN takes; its signature says only T."""
UNITS = ["MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS", "DAY"]

Choose = Callable[[list[SqlType]], SqlType]


def bind(pattern: SqlType, bound: dict[str, SqlType], choose: Choose) -> SqlType:
    """The type with its variables replaced; one that stands for nothing yet is given a type."""
    match pattern:
        case Variable():
            if pattern.name not in bound:
                bound[pattern.name] = choose([t for t in TYPES if pattern.admits(t)])
            return bound[pattern.name]
        case Array(element):
            return Array(bind(element, bound, choose))
        case Map(key, inner):
            if isinstance(key, Variable):
                bound.setdefault(key.name, VARCHAR)
            return Map(bind(key, bound, choose), bind(inner, bound, choose))
        case Struct(fields):
            return Struct(tuple((name, bind(part, bound, choose)) for name, part in fields))
    return pattern


@cache
def calls(t: SqlType) -> tuple[tuple[Scalar, Mapping[str, SqlType]], ...]:
    """Functions whose signature gives `t`, and what their type variables then stand for."""
    found = []
    for row in CALLABLE:
        bound: dict[str, SqlType] = {}
        computes_type = row.result is not None and row.name != "ARRAY_JOIN"
        if not computes_type and _gives(parse_signature(row.signature).result, t, bound):
            if all(v.admits(bound.get(v.name, INTEGER)) for v in variables(row)):
                found.append((row, bound))
    return tuple(found)


def variables(row: Scalar) -> Iterator[Variable]:
    """The type variables among the parameters."""
    for parameter in parse_signature(row.signature).parameters:
        yield from (
            part for part in parts_of(parameter.type) if isinstance(part, Variable) and not part.is_decimal
        )


def _gives(pattern: SqlType, t: SqlType, bound: dict[str, SqlType]) -> bool:
    match pattern, t:
        case Variable(), _:
            if not pattern.admits(t) or (pattern.name == "K" and t != VARCHAR):
                return False
            return bound.setdefault(pattern.name, t) == t
        case Array(a), Array(b):
            return _gives(a, b, bound)
        case Map(ka, va), Map(kb, vb):
            return _gives(ka, kb, bound) and _gives(va, vb, bound)
        case Struct(a), Struct(b):
            same = [n for n, _ in a] == [n for n, _ in b]
            return same and all(_gives(x, y, bound) for (_, x), (_, y) in zip(a, b, strict=True))
    return pattern == t


@cache
def unfit(name: str, place: int) -> tuple[SqlType, ...]:
    """Types of which no overload of a function takes an argument in this place, by their signatures."""
    overloads = [parse_signature(row.signature) for row in SCALARS if row.name == name]
    taken = [p[place] for s in overloads for n in range(place + 1, place + 9) if (p := s.arranged(n))]
    return tuple(t for t in TYPES if all(_clashes(p.type, t) for p in taken))


def _clashes(pattern: SqlType, t: SqlType) -> bool:
    """Whether no value of `t` is one of the pattern, however it widens."""
    match pattern, t:
        case Variable(), _:
            return not pattern.admits(t) and not (pattern.is_decimal and t in (INTEGER, BIGINT))
        case ((Lambda() | Unit()), _):
            return True
        case Array(a), Array(b):
            return _clashes(a, b)
        case Map(ka, va), Map(kb, vb):
            return _clashes(ka, kb) or _clashes(va, vb)
        case ((Array() | Map() | Struct()), _):
            return type(pattern) is not type(t)
    return not widens(t, pattern)

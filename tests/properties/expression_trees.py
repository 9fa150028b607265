"""Hypothesis strategies for well-typed expressions over a stream with a column of every type, and its rows.

An expression is a tree of texts: that it is right is known from how it was built, not from the planner.
Where DuckDB's own SQL means the same, a tree also knows how it is written there.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal as D
from functools import cache
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from streamsql.functions import SCALARS
from streamsql.functions.cast import is_castable
from streamsql.functions.registry import Scalar
from streamsql.functions.signature import Lambda, Parameter, Unit, Variable, parse_signature
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
    walk,
)

DECIMAL = Decimal(6, 2)
TEXTS, NUMBERS = Array(VARCHAR), Array(INTEGER)
COUNTS = Map(VARCHAR, INTEGER)
PLACE = Struct((("F", INTEGER), ("G", VARCHAR), ("H", NUMBERS)))

COLUMNS: dict[str, SqlType] = {
    "B": BOOLEAN, "C": BOOLEAN, "I": INTEGER, "J": INTEGER, "L": BIGINT, "M": BIGINT, "X": DOUBLE, "Y": DOUBLE,
    "N": DECIMAL, "O": DECIMAL, "S": VARCHAR, "T": VARCHAR, "BS": BYTES, "DT": DATE, "TM": TIME, "TS": TIMESTAMP,
    "NS": NUMBERS, "XS": TEXTS, "MP": COUNTS, "ST": PLACE,
}  # fmt: skip
"""The stream's columns; all names are plain."""

SCALAR_TYPES = [BOOLEAN, INTEGER, BIGINT, DOUBLE, DECIMAL, VARCHAR, BYTES, DATE, TIME, TIMESTAMP]
TYPES: list[SqlType] = [*SCALAR_TYPES, NUMBERS, TEXTS, COUNTS, PLACE]


@dataclass(frozen=True)
class Tree:
    """An expression: `template` with the parts in the places of its {}, a leaf's template as it stands.

    duckdb  the same as a template for DuckDB; None where DuckDB has nothing that means the same
    """

    template: str
    type: SqlType
    parts: tuple[Tree, ...] = ()
    duckdb: str | None = None

    @property
    def text(self) -> str:
        return self.template.format(*(p.text for p in self.parts)) if self.parts else self.template

    @property
    def oracle(self) -> str:
        """DuckDB's text; only for trees of Expressions(plain=True)."""
        assert self.duckdb is not None
        return self.duckdb.format(*(p.oracle for p in self.parts)) if self.parts else self.duckdb

    def places(self) -> Iterator[tuple[int, ...]]:
        """The way from the root to each part, the root first."""
        yield ()
        for i, part in enumerate(self.parts):
            yield from ((i, *rest) for rest in part.places())

    def at(self, place: Sequence[int]) -> Tree:
        return self.parts[place[0]].at(place[1:]) if place else self

    def put(self, place: Sequence[int], other: Tree) -> Tree:
        """The tree with the part at a place replaced."""
        if not place:
            return other
        parts = list(self.parts)
        parts[place[0]] = parts[place[0]].put(place[1:], other)
        return replace(self, parts=tuple(parts))


# --- values -------------------------------------------------------------------------------------

EDGES: dict[SqlType, list[Any]] = {
    BOOLEAN: [True, False],
    INTEGER: [0, 1, -1, 2, 7, 2**31 - 1, -(2**31)],
    BIGINT: [0, 1, -3, 2**31, 2**40, 2**63 - 1, -(2**63)],
    DOUBLE: [0.0, -0.0, 1.0, -2.5, 0.1, 1e300, -1e-300, 5e-324, 2.0**53, math.nan, math.inf, -math.inf],
    DECIMAL: [D("0.00"), D("1.50"), D("-2.25"), D("9999.99"), D("-0.01")],
    VARCHAR: ["", "a", "B", " a b ", "12", "-7", "1.5", "true", "é😀", "e\u0301", "a,b", "2024-02-29", "[1, 2]",
              '{"a": 1}', "null", "%", "10:30", "x\ny", "İ", "ß"],
    BYTES: [b"", b"a", b"\x00\xff", b"abcdefgh", bytes(4)],
    DATE: [datetime.date(1970, 1, 1), datetime.date(2024, 2, 29), datetime.date(1900, 3, 1), datetime.date(9999, 12, 31)],
    TIME: [datetime.time(0, 0), datetime.time(23, 59, 59, 999000), datetime.time(10, 30)],
    TIMESTAMP: [datetime.datetime(1970, 1, 1), datetime.datetime(2024, 2, 29, 12, 30, 0, 123000),
                datetime.datetime(1969, 12, 31, 23, 59, 59, 999000)],
}  # fmt: skip


@cache
def values(t: SqlType) -> st.SearchStrategy[Any]:
    """Values of a type, null among them."""
    return st.one_of(st.none(), _present(t))


@cache
def _present(t: SqlType) -> st.SearchStrategy[Any]:
    match t:
        case Array(element):
            return st.lists(values(element), max_size=3)
        case Map(_, inner):
            return st.dictionaries(st.sampled_from("abk"), values(inner), max_size=3).map(
                lambda d: list(d.items())
            )
        case Struct(fields):
            return st.fixed_dictionaries({name: values(part) for name, part in fields})
    edges = st.sampled_from(EDGES[t])
    if t in (INTEGER, BIGINT):
        return edges | st.integers(-10, 10)
    if t == DOUBLE:
        return edges | st.floats(-100, 100)
    return edges


@st.composite
def rows(draw: st.DrawFn, most: int = 12) -> pa.RecordBatch:
    """One to `most` rows of all columns."""
    count = draw(st.integers(1, most))
    arrays = []
    for t in COLUMNS.values():
        made = draw(st.lists(values(t), min_size=count, max_size=count))
        arrays.append(pa.array(made, t.arrow))
    return pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS))


# --- expressions --------------------------------------------------------------------------------

Make = Callable[[st.DrawFn, int], Tree]

# Literals for parameters to which only some texts mean something; a literal that means nothing is refused
# when the statement is planned.
_NAMED = {
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
_TIME_PATTERNS = {
    "FORMAT_DATE": _DATES,
    "PARSE_DATE": _DATES,
    "DATETOSTRING": _DATES,
    "STRINGTODATE": _DATES,
    "FORMAT_TIME": _TIMES,
    "PARSE_TIME": _TIMES,
    "FORMAT_TIMESTAMP": _DATES + _TIMES + _MOMENTS,
    "PARSE_TIMESTAMP": _MOMENTS,
    "TIMESTAMPTOSTRING": _DATES + _TIMES + _MOMENTS,
    "STRINGTOTIMESTAMP": _MOMENTS,
}
# How long a result becomes: a pad to 2^31 characters is what was asked for, and no test.
_SMALL = {"size", "start", "end", "step", "position", "occurrence", "length", "count", "digits", "n", "code"}
_UNITS = ["MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS", "DAY"]
_CLOCKS = {"UNIX_DATE()", "UNIX_TIMESTAMP()"}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """Draws trees of a type.

    plain  only what DuckDB's own SQL has with the same meaning
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._parameters: list[tuple[str, SqlType]] = []
        self._count = 0

    def draw(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        """A tree of type `t`, at most `depth` levels above its leaves."""
        if depth <= 0 or draw(st.integers(0, 5)) == 0:
            return self.leaf(draw, t)
        makers = self._makers(t)
        return draw(st.sampled_from(makers))(draw, depth - 1)

    def leaf(self, draw: st.DrawFn, t: SqlType) -> Tree:
        names = [name for name, own in COLUMNS.items() if own == t]
        found = [Tree(name, t, duckdb=name) for name in names]
        found += [Tree(name, t, duckdb=name) for name, own in self._parameters if own == t] * 3
        if t in EDGES:
            found += [self._literal(draw, t)] * 2
        if not found:
            return self._constructed(draw, t, 0)
        return draw(st.sampled_from(found))

    def _literal(self, draw: st.DrawFn, t: SqlType) -> Tree:
        if draw(st.integers(0, 7)) == 0:
            return Tree(f"CAST(NULL AS {t})", t, duckdb=f"CAST(NULL AS {t.duckdb})")
        x = draw(_present(t))
        match x:
            case bool():
                return Tree(str(x).upper(), t, duckdb=str(x))
            case int() if t == INTEGER:
                return Tree(f"({x})", t, duckdb=f"CAST({x} AS INTEGER)")
            case int():
                return Tree(f"CAST({x} AS BIGINT)", t, duckdb=f"CAST({x} AS BIGINT)")
            case float() if math.isfinite(x):
                text = repr(x)
                return Tree(f"({text if 'e' in text else text + 'e0'})", t, duckdb=f"CAST({x!r} AS DOUBLE)")
            case float():
                return Tree("(0e0 / 0e0)", t, duckdb="CAST('nan' AS DOUBLE)")
            case D():
                return Tree(f"CAST({x} AS {t})", t, duckdb=f"CAST({x} AS {t.duckdb})")
            case str():
                return Tree(quoted(x), t, duckdb=quoted(x))
            case bytes():
                return Tree(f"TO_BYTES('{x.hex()}', 'hex')", t, duckdb=f"unhex('{x.hex()}')")
        text = x.isoformat(timespec="milliseconds") if t != DATE else x.isoformat()
        return Tree(f"CAST('{text}' AS {t})", t, duckdb=f"CAST('{text}' AS {t.duckdb})")

    # --- which ways lead to a type --------------------------------------------------------------

    def _makers(self, t: SqlType) -> list[Make]:
        makers: list[Make] = [lambda draw, depth: self._case(draw, t, depth)]
        plain, odd = self._operators(t)
        makers += plain * 2
        if self._plain:
            return makers
        makers += odd
        makers += [lambda draw, depth: self._cast(draw, t, depth)]
        calls = _calls(t)
        if calls:
            makers += [lambda draw, depth: self._call(draw, draw(st.sampled_from(calls)), t, depth)] * 5
        if t in (INTEGER, VARCHAR):
            makers.append(lambda draw, depth: self._element(draw, t, depth))
        if isinstance(t, Array | Map | Struct):
            makers.append(lambda draw, depth: self._constructed(draw, t, depth))
        return makers

    def _operators(self, t: SqlType) -> tuple[list[Make], list[Make]]:
        """Ways that DuckDB has too, and those it has not."""

        def of(template: str, *types: SqlType, duckdb: str | None = None) -> Make:
            def make(draw: st.DrawFn, depth: int) -> Tree:
                parts = tuple(self.draw(draw, part, depth) for part in types)
                return Tree(template, t, parts, duckdb or template)

            return make

        if t in (INTEGER, BIGINT):
            mixed = (INTEGER, BIGINT) if t == BIGINT else (INTEGER, INTEGER)
            plain = [of(f"({{}} {op} {{}})", *mixed) for op in "+-*"]
            plain += [of("({} / {})", *mixed, duckdb="({} // nullif({}, 0))")]
            plain += [
                of("({} % {})", *mixed, duckdb="({} % nullif({}, 0))"),
                of("(-{})", t, duckdb="(0 - {})"),
            ]
            plain += [of("LEN({})", VARCHAR, duckdb="CAST(length({}) AS INTEGER)")] if t == INTEGER else []
            return plain, []
        if t == DOUBLE:
            plain = [of(f"({{}} {op} {{}})", DOUBLE, DOUBLE) for op in "+-*/%"]
            plain += [of(f"({{}} {op} {{}})", INTEGER, DOUBLE) for op in "+-*"] + [of("(-{})", DOUBLE)]
            return plain, [of("({} * {})", DECIMAL, DOUBLE)]
        if t == DECIMAL:
            cast = f"CAST(({{}} {{op}} {{}}) AS {t})"
            return [of("(-{})", DECIMAL)], [
                of(cast.replace("{op}", op), a, b)
                for op in "+-*/%"
                for a, b in ((DECIMAL, DECIMAL), (INTEGER, DECIMAL))
            ]
        if t == VARCHAR:
            return [
                of("CONCAT({}, {})", VARCHAR, VARCHAR, duckdb="concat({}, {})"),
                of("SUBSTRING({}, 2)", VARCHAR, duckdb="substr({}, 2)"),
                of("REPLACE({}, 'a', {})", VARCHAR, VARCHAR, duckdb="replace({}, 'a', {})"),
            ], [
                # Of 'ß' and 'İ' DuckDB makes one letter, Java two.
                of("UCASE({})", VARCHAR),
                of("LCASE({})", VARCHAR),
                of("({} + {})", VARCHAR, VARCHAR),
                of("({} || {})", VARCHAR, VARCHAR),
            ]
        if t == BOOLEAN:
            return self._conditions(of)
        return [], []

    def _conditions(self, of: Callable[..., Make]) -> tuple[list[Make], list[Make]]:
        plain: list[Make] = [of("({} AND {})", BOOLEAN, BOOLEAN), of("({} OR {})", BOOLEAN, BOOLEAN)]
        plain += [of("(NOT {})", BOOLEAN), of("({} IS NULL)", VARCHAR), of("({} IS NOT NULL)", INTEGER)]
        odd: list[Make] = []
        for a, b in (
            (INTEGER, INTEGER),
            (BIGINT, INTEGER),
            (VARCHAR, VARCHAR),
            (DECIMAL, DECIMAL),
            (DATE, DATE),
        ):
            for op in ("=", "<>", "<", "<=", ">", ">="):
                plain.append(of(f"({{}} {op} {{}})", a, b, duckdb=f"coalesce({{}} {op} {{}}, false)"))
            ranged = "coalesce({} BETWEEN {} AND {}, false)"
            plain.append(of("({} BETWEEN {} AND {})", a, a, a, duckdb=ranged))
            plain.append(of("({} NOT BETWEEN {} AND {})", a, a, a, duckdb=f"(NOT {ranged})"))
            plain.append(of("({} IN ({}, {}))", a, a, a, duckdb="coalesce({} IN ({}, {}), false)"))
            plain.append(of("({} NOT IN ({}, {}))", a, a, a, duckdb="(NOT coalesce({} IN ({}, {}), false))"))
            plain.append(of("({} IS DISTINCT FROM {})", a, b))
        for op in ("=", "<>", "<", "<=", ">", ">="):
            # NaN compares as FALSE here; for DuckDB it is the largest number.
            nan = f"CASE WHEN isnan({{0}}) OR isnan({{1}}) THEN false ELSE coalesce({{0}} {op} {{1}}, false) END"
            plain.append(of(f"({{}} {op} {{}})", DOUBLE, DOUBLE, duckdb=nan))
            for a, b in (
                (TIMESTAMP, DATE),
                (TIME, TIME),
                (BYTES, BYTES),
                (VARCHAR, TIMESTAMP),
                (INTEGER, DECIMAL),
            ):
                odd.append(of(f"({{}} {op} {{}})", a, b))
        odd += [
            of(f"({{}} {op} {{}})", t, t)
            for t in (NUMBERS, TEXTS, COUNTS, PLACE, BOOLEAN)
            for op in ("=", "<>")
        ]
        odd += [of("({} LIKE {})", VARCHAR, VARCHAR), of("({} NOT LIKE '%a_')", VARCHAR)]
        return plain, odd

    # --- the parts of the grammar ---------------------------------------------------------------

    def _case(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        parts = [self.draw(draw, BOOLEAN, depth), self.draw(draw, t, depth)]
        template = "(CASE WHEN {} THEN {}"
        if draw(st.booleans()):
            template += " WHEN {} THEN {}"
            parts += [self.draw(draw, BOOLEAN, depth), self.draw(draw, t, depth)]
        if draw(st.booleans()):
            template += " ELSE {}"
            parts.append(self.draw(draw, t, depth))
        template += " END)"
        return Tree(template, t, tuple(parts), template)

    def _cast(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        source = draw(st.sampled_from([s for s in (*TYPES, t) if is_castable(s, t)]))
        return Tree(f"CAST({{}} AS {t})", t, (self.draw(draw, source, depth),))

    def _element(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        array = NUMBERS if t == INTEGER else TEXTS
        ways: list[tuple[str, tuple[SqlType, ...]]] = [("({})[{}]", (array, INTEGER))]
        ways.append(("({})->F" if t == INTEGER else "({})->G", (PLACE,)))
        if t == INTEGER:
            ways += [("({})[{}]", (COUNTS, VARCHAR)), ("({})->H[1]", (PLACE,))]
        template, types = draw(st.sampled_from(ways))
        return Tree(template, t, tuple(self.draw(draw, part, depth) for part in types))

    def _constructed(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        match t:
            case Array(element):
                parts = [self.draw(draw, element, depth) for _ in range(draw(st.integers(1, 3)))]
                return Tree(f"ARRAY[{', '.join(['{}'] * len(parts))}]", t, tuple(parts))
            case Map(_, inner):
                keys = ["'a'", "S", "'b'"][: draw(st.integers(1, 3))]
                parts = [self.draw(draw, inner, depth) for _ in keys]
                return Tree(f"MAP({', '.join(f'{k} := {{}}' for k in keys)})", t, tuple(parts))
            case Struct(fields):
                parts = [self.draw(draw, part, depth) for _, part in fields]
                return Tree(f"STRUCT({', '.join(f'{name} := {{}}' for name, _ in fields)})", t, tuple(parts))
        raise AssertionError(t)

    # --- functions ------------------------------------------------------------------------------

    def _call(self, draw: st.DrawFn, call: tuple[Scalar, dict[str, SqlType]], t: SqlType, depth: int) -> Tree:
        row, bound = call
        bound = dict(bound)
        parts: list[Tree] = []
        for parameter in parse_signature(row.signature).parameters:
            if parameter.is_optional and draw(st.booleans()):
                break
            for _ in range(draw(st.integers(1, 2)) if parameter.is_variadic else 1):
                parts.append(self._argument(draw, row.name, parameter, bound, depth))
        if not parts:
            return Tree(f"{row.name}()", t)
        return Tree(f"{row.name}({', '.join(['{}'] * len(parts))})", t, tuple(parts))

    def _argument(
        self, draw: st.DrawFn, function: str, parameter: Parameter, bound: dict[str, SqlType], depth: int
    ) -> Tree:
        t = parameter.type
        if isinstance(t, Unit):
            return Tree(draw(st.sampled_from(_UNITS)), VARCHAR)
        if isinstance(t, Lambda):
            return self._lambda(draw, t, bound, depth)
        t = _bind(draw, t, bound)
        if t in (INTEGER, BIGINT) and parameter.name in _SMALL:
            small = draw(st.integers(-3, 9))
            return Tree(f"({small})" if t == INTEGER else f"CAST({small} AS BIGINT)", t)
        if t == VARCHAR and parameter.name in _NAMED:
            known = _TIME_PATTERNS.get(function) if parameter.name == "pattern" else None
            literals = [quoted(text) for text in known or _NAMED[parameter.name]]
            return Tree(draw(st.sampled_from([*literals, "S", "UCASE(T)"])), t)
        return self.draw(draw, t, depth)

    def _lambda(self, draw: st.DrawFn, t: Lambda, bound: dict[str, SqlType], depth: int) -> Tree:
        names = []
        before = list(self._parameters)
        for part in t.parameters:
            self._count += 1
            names.append(f"p{self._count}")
            self._parameters.append((names[-1], _bind(draw, part, bound)))
        body = self.draw(draw, _bind(draw, t.body, bound), depth)
        self._parameters = before
        head = f"({', '.join(names)})" if len(names) > 1 else names[0]
        return Tree(f"{head} => {{}}", body.type, (body,))


def _bind(draw: st.DrawFn, pattern: SqlType, bound: dict[str, SqlType]) -> SqlType:
    """The type with its variables replaced; one that stands for nothing yet is given a type."""
    match pattern:
        case Variable():
            if pattern.name not in bound:
                choices = [DECIMAL] if pattern.is_decimal else [INTEGER, VARCHAR]
                bound[pattern.name] = draw(st.sampled_from(choices))
            return bound[pattern.name]
        case Array(element):
            return Array(_bind(draw, element, bound))
        case Map(key, value):
            return Map(_map_key(key, draw, bound), _bind(draw, value, bound))
        case Struct(fields):
            return Struct(tuple((name, _bind(draw, part, bound)) for name, part in fields))
    return pattern


def _map_key(key: SqlType, draw: st.DrawFn, bound: dict[str, SqlType]) -> SqlType:
    if isinstance(key, Variable):
        bound.setdefault(key.name, VARCHAR)
    return _bind(draw, key, bound)


@cache
def _calls(t: SqlType) -> list[tuple[Scalar, dict[str, SqlType]]]:
    """Functions that may give `t`, and what their type variables then stand for."""
    found = []
    for row in SCALARS:
        bound: dict[str, SqlType] = {}
        signature = parse_signature(row.signature)
        is_clock = f"{row.name}()" in _CLOCKS and not signature.parameters
        computes_type = row.result is not None and row.name != "ARRAY_JOIN"
        if row.volatile or is_clock or computes_type or not _gives(signature.result, t, bound):
            continue
        ordered = [v.name for p in signature.parameters for v in _variables(p.type) if v.ordered]
        if any(isinstance(bound.get(name), Array | Map | Struct) for name in ordered):
            continue
        found.append((row, bound))
    return found


def _variables(t: SqlType) -> Iterator[Variable]:
    return (part for part in walk(t) if isinstance(part, Variable))


def _gives(pattern: SqlType, t: SqlType, bound: dict[str, SqlType]) -> bool:
    match pattern, t:
        case Variable(), _:
            if not pattern.admits(t) or pattern.name == "K" and t != VARCHAR:
                return False
            bound[pattern.name] = t
            return True
        case Array(a), Array(b):
            return _gives(a, b, bound)
        case Map(ka, va), Map(kb, vb):
            return _gives(ka, kb, bound) and _gives(va, vb, bound)
    return pattern == t


@st.composite
def expressions(draw: st.DrawFn, t: SqlType | None = None, *, plain: bool = False, depth: int = 3) -> Tree:
    """A well-typed expression, of any type if none is given."""
    scalars = [BOOLEAN, INTEGER, BIGINT, DOUBLE, DECIMAL, VARCHAR]
    wanted = t or draw(st.sampled_from(scalars if plain else TYPES))
    return Expressions(plain=plain).draw(draw, wanted, depth)

"""Hypothesis strategies for expressions with a mistake in them, and for ones that may have one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st

from streamsql.functions import SCALARS
from streamsql.functions.cast import is_castable
from streamsql.functions.signature import Signature, parse_signature
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Map,
    SqlType,
    Struct,
    widens,
)
from tests.properties.expression_calls import CALLABLE, unfit
from tests.properties.expression_operators import EQUALITIES, ORDERINGS, comparisons
from tests.properties.expression_trees import Expressions, Tree, expressions
from tests.properties.expression_values import COLUMNS, COUNTS, NUMBERS, NUMERIC, PLACE, TEXTS, TYPES


@dataclass(frozen=True)
class Wrong:
    """Wrong whatever stands in the places.

    takes     the types of what is put there
    names     types that the message has to name
    literals  False: only columns are put there, as literals are coerced
    """

    template: str
    takes: tuple[SqlType, ...] = ()
    names: tuple[SqlType, ...] = ()
    literals: bool = True


_OTHERS = [
    Wrong("({} + NULL)", (INTEGER,)),
    Wrong("({} = NULL)", (INTEGER,)),
    Wrong("({} BETWEEN {} AND {})", (INTEGER, INTEGER, VARCHAR)),
    Wrong("({} BETWEEN {} AND {})", (TIME, TIME, DATE)),
    Wrong("({} BETWEEN {} AND {})", (NUMBERS, NUMBERS, NUMBERS)),
    Wrong("(CASE WHEN {} THEN NULL END)", (BOOLEAN,)),
    Wrong("(CASE {} WHEN {} THEN 1 END)", (INTEGER, VARCHAR)),
    Wrong("({})['a']", (NUMBERS,)),
    Wrong("({})[1]", (COUNTS,)),
    Wrong("({})['F']", (PLACE,)),
    Wrong("({})->NOPE", (PLACE,)),
    Wrong("({})->f", (TEXTS,)),
    Wrong("MAP('a' := {}, 'a' := {})", (INTEGER, INTEGER)),
    Wrong("MAP(NULL := {})", (INTEGER,)),
    Wrong("STRUCT(F := {}, F := {})", (INTEGER, INTEGER)),
    Wrong("STRUCT(F := NULL, G := {})", (INTEGER,)),
    Wrong("ARRAY[NULL]"),
    Wrong("({} IN (1, 'x'))", (INTEGER,)),
    Wrong("({} IN ('maybe'))", (BOOLEAN,)),
    Wrong("NO_SUCH_FUNCTION({})", (INTEGER,)),
    Wrong("TIMESTAMPADD({}, 1, TS)", (VARCHAR,)),
    Wrong("LEN(DAYS, {})", (VARCHAR,)),
    Wrong("TRANSFORM({}, x => NOPE)", (NUMBERS,)),
    Wrong("TRANSFORM({}, q => UCASE(q))", (NUMBERS,)),
    Wrong("TRANSFORM({}, (q, r) => q)", (NUMBERS,)),
    Wrong("TRANSFORM({}, q => TRANSFORM(NS, q => q))", (NUMBERS,)),
    Wrong("TRANSFORM({}, i => i)", (NUMBERS,)),
    Wrong("TRANSFORM(q => q, {})", (NUMBERS,)),
    Wrong("FILTER({}, q => q)", (NUMBERS,)),
    Wrong("REDUCE({}, 0, (a, q) => CAST(a + q AS VARCHAR))", (NUMBERS,)),
    Wrong("UCASE(q => {})", (VARCHAR,)),
    Wrong("(q => {})", (VARCHAR,)),
    Wrong("({} AT TIME ZONE 5)", (TIMESTAMP,)),
    Wrong("NOPE"),
    Wrong("OTHER.I"),
    Wrong("events.NOPE"),
    Wrong("CAST({} AS NO_SUCH_TYPE)", (INTEGER,)),
    Wrong("LEN(DAYS)"),
]


def _arithmetic() -> Iterator[Wrong]:
    for a in TYPES:
        if a not in NUMERIC:
            yield from (Wrong(f"({sign}{{}})", (a,), (a,)) for sign in "-+")
        for b in TYPES:
            for op in "+-*/%":
                if not (a in NUMERIC and b in NUMERIC) and not (op == "+" and a == b == VARCHAR):
                    yield Wrong(f"({{}} {op} {{}})", (a, b), (a, b))


def _comparisons() -> Iterator[Wrong]:
    for a in TYPES:
        for b in TYPES:
            # ARRAY<INTEGER> is compared with ARRAY<DOUBLE> as the wider one.
            is_family = type(a) is type(b) and isinstance(a, Array | Map | Struct)
            for op in (*EQUALITIES, *ORDERINGS):
                if op not in comparisons(a, b) and not (is_family and op in EQUALITIES):
                    yield Wrong(f"({{}} {op} {{}})", (a, b), (a, b))


def _casts() -> Iterator[Wrong]:
    for a in TYPES:
        for b in TYPES:
            if not is_castable(a, b):
                yield Wrong(f"CAST({{}} AS {b})", (a,), (a, b))


def _families() -> Iterator[Wrong]:
    """Two types that cannot be items of one list, or branches of one CASE."""
    for a in TYPES:
        for b in TYPES:
            if a != b:
                yield Wrong("(CASE WHEN B THEN {} ELSE {} END)", (a, b), (a, b))
            is_number = a in NUMERIC and b in NUMERIC
            is_struct = isinstance(a, Struct) and isinstance(b, Struct)
            if is_number or is_struct or widens(a, b) or widens(b, a):
                continue
            for template in ("ARRAY[{}, {}]", "MAP('a' := {}, 'b' := {})", "({} IN ({}))"):
                yield Wrong(template, (a, b), (a, b), literals=False)


def _places() -> Iterator[Wrong]:
    """A place that is for one type."""
    for t in TYPES:
        if t != BOOLEAN:
            for template in ("({} AND B)", "(B OR {})", "(NOT {})", "(CASE WHEN {} THEN 1 END)"):
                yield Wrong(template, (t,), (t,))
        if t != VARCHAR:
            yield from (
                Wrong(template, (t,), (t,)) for template in ("({} LIKE 'a')", "(S LIKE {})", "MP[{}]")
            )
        if t not in (INTEGER, BIGINT):
            yield Wrong("NS[{}]", (t,), (t,))
        if not isinstance(t, Array | Map | Struct):
            yield Wrong("({})[1]", (t,), (t,))
        if not isinstance(t, Struct):
            yield Wrong("({})->F", (t,), (t,))
        if t != TIMESTAMP:
            yield Wrong("({} AT TIME ZONE 'UTC')", (t,), (t,))


_MISTAKES = [_OTHERS, *(list(some()) for some in (_arithmetic, _comparisons, _casts, _families, _places))]


@dataclass(frozen=True)
class Mistake:
    """An expression with one part that is wrong.

    start, end  where that part stands in the text
    names       types that the message has to name
    """

    text: str
    start: int
    end: int
    names: tuple[SqlType, ...]


@st.composite
def mistakes(draw: st.DrawFn) -> Mistake:
    """A well-typed expression with something wrong in place of one part."""
    whole = draw(expressions(depth=2))
    kind = draw(st.integers(0, 3))
    part, names = draw(_operator() if kind > 1 else _unfit_argument() if kind == 1 else _wrong_count())
    places = [place for place in whole.places() if "=>" not in whole.at(place).template]
    place = draw(st.sampled_from(places))
    marked = whole.put(place, replace(part, template=f"\ue000{part.template}\ue001")).text
    before, part_text, after = marked.replace("\ue001", "\ue000").split("\ue000")
    return Mistake(before + part_text + after, len(before), len(before + part_text), names)


@st.composite
def _operator(draw: st.DrawFn) -> tuple[Tree, tuple[SqlType, ...]]:
    wrong = draw(st.sampled_from(draw(st.sampled_from(_MISTAKES))))
    depth = 1 if wrong.literals else 0
    parts = (Expressions(parameter="w").draw(draw, t, depth) if depth else _column(t) for t in wrong.takes)
    return Tree(wrong.template, BOOLEAN, tuple(parts)), wrong.names


def _column(t: SqlType) -> Tree:
    return Tree(next(name for name, own in COLUMNS.items() if own == t), t)


@st.composite
def _unfit_argument(draw: st.DrawFn) -> tuple[Tree, tuple[SqlType, ...]]:
    """A call with an argument of a type that no overload takes there."""
    row = draw(st.sampled_from([row for row in CALLABLE if _unfit_places(row.name)]))
    place, t = draw(st.sampled_from(_unfit_places(row.name)))
    call = Expressions(parameter="w").call(draw, row, {}, 1)
    arguments = list(call.parts)
    arguments[place : place + 1] = [Expressions(parameter="w").draw(draw, t, 1)]
    return Tree(f"{row.name}({', '.join(['{}'] * len(arguments))})", t, tuple(arguments)), (t,)


@cache
def _unfit_places(name: str) -> list[tuple[int, SqlType]]:
    """Where an argument can be unfit, counted among those that every overload has."""
    least = min(sum(not p.is_optional and not p.is_variadic for p in s.parameters) for s in _signatures(name))
    return [(place, t) for place in range(least) for t in unfit(name, place)]


@st.composite
def _wrong_count(draw: st.DrawFn) -> tuple[Tree, tuple[SqlType, ...]]:
    """A call with more or fewer arguments than any overload takes."""
    row = draw(st.sampled_from([row for row in CALLABLE if _wrong_counts(row.name)]))
    count = draw(st.sampled_from(_wrong_counts(row.name)))
    columns = [_column(draw(st.sampled_from(TYPES))) for _ in range(count)]
    return Tree(f"{row.name}({', '.join(c.template for c in columns)})", BOOLEAN), tuple(
        c.type for c in columns
    )


@cache
def _wrong_counts(name: str) -> list[int]:
    return [n for n in range(7) if not any(s.arranged(n) is not None for s in _signatures(name))]


def _signatures(name: str) -> list[Signature]:
    return [parse_signature(row.signature) for row in SCALARS if row.name == name]


@st.composite
def swapped(draw: st.DrawFn) -> Tree:
    """A well-typed expression with one part replaced by one of any type: it may still be right."""
    whole = draw(expressions(depth=2))
    place = draw(st.sampled_from(list(whole.places())))
    return whole.put(place, draw(expressions(depth=1, parameter="w")))

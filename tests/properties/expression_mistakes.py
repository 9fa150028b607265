"""Hypothesis strategies for expressions with a mistake in them."""

from __future__ import annotations

from hypothesis import strategies as st

from streamsql.functions.cast import is_castable
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
    SqlType,
)
from tests.properties.expression_trees import (
    COUNTS,
    NUMBERS,
    PLACE,
    TEXTS,
    TYPES,
    Expressions,
    Tree,
    expressions,
)

# Wrong whatever stands in the places: the template, and the types of what is put there.
_WRONG: list[tuple[str, tuple[SqlType, ...]]] = [
    ("({} + {})", (INTEGER, VARCHAR)),
    ("({} - {})", (VARCHAR, VARCHAR)),
    ("({} * {})", (TIMESTAMP, INTEGER)),
    ("({} / {})", (NUMBERS, INTEGER)),
    ("({} % {})", (BOOLEAN, INTEGER)),
    ("({} + NULL)", (INTEGER,)),
    ("(-{})", (VARCHAR,)),
    ("({} = {})", (INTEGER, VARCHAR)),
    ("({} = NULL)", (INTEGER,)),
    ("({} < {})", (BOOLEAN, BOOLEAN)),
    ("({} > {})", (NUMBERS, NUMBERS)),
    ("({} = {})", (NUMBERS, TEXTS)),
    ("({} <> {})", (DATE, INTEGER)),
    ("({} BETWEEN {} AND {})", (INTEGER, INTEGER, VARCHAR)),
    ("({} BETWEEN {} AND {})", (TIME, TIME, DATE)),
    ("({} LIKE {})", (INTEGER, VARCHAR)),
    ("({} LIKE {})", (VARCHAR, BOOLEAN)),
    ("(LEN({}) IN (1, {}))", (VARCHAR, DATE)),
    ("({} AND {})", (BOOLEAN, INTEGER)),
    ("({} OR {})", (VARCHAR, BOOLEAN)),
    ("(NOT {})", (BIGINT,)),
    ("(CASE WHEN {} THEN 1 END)", (INTEGER,)),
    ("(CASE WHEN {} THEN {} ELSE {} END)", (BOOLEAN, INTEGER, BIGINT)),
    ("(CASE WHEN {} THEN {} ELSE {} END)", (BOOLEAN, VARCHAR, BYTES)),
    ("(CASE WHEN {} THEN NULL END)", (BOOLEAN,)),
    ("({})[1]", (VARCHAR,)),
    ("({})['a']", (NUMBERS,)),
    ("({})[1]", (COUNTS,)),
    ("({})['F']", (PLACE,)),
    ("({})->F", (COUNTS,)),
    ("({})->NOPE", (PLACE,)),
    ("ARRAY[{}, {}]", (INTEGER, BYTES)),
    ("MAP('a' := {}, 'b' := {})", (DATE, NUMBERS)),
    ("MAP('a' := {}, 'a' := {})", (INTEGER, INTEGER)),
    ("STRUCT(F := {}, F := {})", (INTEGER, INTEGER)),
    ("NO_SUCH_FUNCTION({})", (INTEGER,)),
    ("UCASE({})", (INTEGER,)),
    ("ABS({})", (VARCHAR,)),
    ("LEN({})", (NUMBERS,)),
    ("SUBSTRING({})", (VARCHAR,)),
    ("SUBSTRING({}, {})", (VARCHAR, DOUBLE)),
    ("ARRAY_LENGTH({})", (COUNTS,)),
    ("TIMESTAMPADD({}, 1, TS)", (VARCHAR,)),
    ("TRANSFORM({}, x => NOPE)", (NUMBERS,)),
    ("TRANSFORM({}, x => UCASE(x))", (NUMBERS,)),
    ("TRANSFORM({}, (x, y) => x)", (NUMBERS,)),
    ("TRANSFORM({}, i => i)", (NUMBERS,)),
    ("FILTER({}, x => x)", (NUMBERS,)),
    ("REDUCE({}, 0, (a, x) => CAST(a + x AS VARCHAR))", (NUMBERS,)),
    ("UCASE(x => {})", (VARCHAR,)),
    ("(x => {})", (VARCHAR,)),
    ("NOPE", ()),
    ("OTHER.I", ()),
    ("events.NOPE", ()),
    ("CAST({} AS NO_SUCH_TYPE)", (INTEGER,)),
    ("DAYS", ()),
    *[
        (f"CAST({{}} AS {target})", (source,))
        for source in TYPES
        for target in TYPES
        if not is_castable(source, target)
    ],
]  # fmt: skip


@st.composite
def mistakes(draw: st.DrawFn) -> Tree:
    """A well-typed expression with one part in place of which something wrong stands."""
    whole = draw(expressions(depth=2))
    template, types = draw(st.sampled_from(_WRONG))
    parts = tuple(Expressions().draw(draw, t, 1) for t in types)
    places = [place for place in whole.places() if "=>" not in whole.at(place).template]
    place = draw(st.sampled_from(places))
    return whole.put(place, Tree(template, whole.at(place).type, parts))


@st.composite
def swapped(draw: st.DrawFn) -> Tree:
    """A well-typed expression with one part replaced by one of any type: it may still be right."""
    whole = draw(expressions(depth=2))
    place = draw(st.sampled_from(list(whole.places())))
    return whole.put(place, draw(expressions(depth=1)))

"""DuckDB's way of reading JSON and the exact one agree on generated records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from both_ways import NAMES, SCALARS, TRICKY, assert_same, columns_of
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql.schema import Column
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
)
from tests.examples import tried


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["1", "2", "null", '"x"'])), max_size=4),
        min_size=1,
        max_size=12,
    )
)
@tried(60, share=5)
@example([[("a", "1")], [("A", "1")], [("id", "null")], [("ID", "2")]])
def test_fields_are_found_in_any_case(records: list[list[tuple[str, str]]]) -> None:
    columns = [Column("A", BIGINT), Column("ID", BIGINT), Column("mixed", VARCHAR), Column("FIT", DOUBLE)]
    # One record may hold a name once; twice in different cases is told apart only when it is learnt from.
    texts = []
    for record in records:
        kept = {json.loads(f'"{name}"').upper(): (name, value) for name, value in record}
        texts.append("{" + ", ".join(f'"{n}": {v}' for n, v in kept.values()) + "}")
    assert_same(columns, [text.encode() for text in texts])


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["F", "f", "G", "k", "b"]), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.builds(Array, inner)
        | st.builds(lambda t: Map(VARCHAR, t), inner)
        | st.builds(lambda a, b: Struct((("F", a), ("G", b))), inner, inner)
    ),
    max_leaves=4,
)


@given(TYPES, st.lists(JSON_VALUES, min_size=1, max_size=20), st.booleans())
@tried(60, share=5)
def test_both_ways_agree_on_generated_records(t: SqlType, values: list[Any], compact: bool) -> None:
    separators = (",", ":") if compact else (", ", ": ")
    payloads = [
        json.dumps({"a": value, "b": "x", "c": value}, separators=separators, ensure_ascii=compact).encode()
        for value in values
    ]
    assert_same(columns_of(t), payloads)


# Names and values that look like each other, or like parts of a record.
SPELT_NAMES = [
    "A",
    "a",
    "\\u0041",
    "B",
    "b",
    "C",
    "D",
    "E",
    "F",
    "x",
    "",
    'A\\":1,\\"B',
    "A.B",
    "$",
    "*",
    "[0]",
]
SPELT_VALUES = [
    *TRICKY,
    *(
        "nan -nan NAN inf -inf iNFinity 1e-400 0e0 -0e-1 1e15 1E16 99999999999999.99 0.30000000000000004".split()
    ),
    *r'"1\t" "0012" "-0" "1e0" "A" "\"A\":2" "{\"A\":2}" "\u0000" "\n" "\ud83d\ude00"'.split(),
    *('{"A":2} {"a":{"A":3}} [{"A":4}] {"B":"x","A":5} [1,] {"A":1,}'.split()),
]
BLANKS = st.sampled_from(["", "", "", " ", "\t", "\n", "\r\n "])
MEMBERS = st.lists(st.tuples(st.sampled_from(SPELT_NAMES), st.sampled_from(SPELT_VALUES)), max_size=6)


@st.composite
def spelt_records(draw: st.DrawFn) -> bytes:
    """Objects as nobody should write them, and some that are none."""
    kept: dict[str, tuple[str, str]] = {}
    for name, value in draw(MEMBERS):
        # The same name twice is fine, in two cases it is only told apart when it is learnt from.
        other = kept.setdefault(json.loads(f'"{name}"').upper(), (name, value))
        if other[0] == name:
            kept[json.loads(f'"{name}"').upper()] = (name, other[1])
    members = [*kept.values(), *draw(st.lists(st.sampled_from([*kept.values()] or [("x", "1")]), max_size=2))]
    blank = draw(BLANKS)
    text = ",".join(f'{blank}"{name}"{blank}:{draw(BLANKS)}{value}{blank}' for name, value in members)
    text = f"{blank}{{{text}}}{blank}"
    return draw(
        st.sampled_from([text, text, text, text, text[:-1], f"[{text}]", text.replace(":", "", 1)])
    ).encode()


@given(st.lists(spelt_records(), min_size=1, max_size=20))
@tried(60, share=5)
@pytest.mark.parametrize(
    "types",
    [
        (BIGINT, VARCHAR, DOUBLE, BOOLEAN, Decimal(10, 2), INTEGER),
        (TIMESTAMP, BYTES, DATE, TIME, Decimal(20, 3)),
        (Array(BIGINT), Struct((("A", Decimal(10, 2)), ("F", VARCHAR))), Map(VARCHAR, DOUBLE), BIGINT),
    ],
    ids=str,
)
def test_both_ways_agree_on_records_spelt_oddly(types: tuple[SqlType, ...], payloads: list[bytes]) -> None:
    assert_same([Column(name, t) for name, t in zip("ABCDEF", types, strict=False)], payloads)

"""The fast way of reading JSON gives what the exact one gives, whatever the records are."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from format_samples import WORKSPACE
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamsql.formats.json import JsonDecoder
from streamsql.formats.json_fast import FastReader
from streamsql.formats.json_plan import are_best_by_paths, can_read_fast
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

SCALARS = (
    BOOLEAN,
    INTEGER,
    BIGINT,
    DOUBLE,
    Decimal(10, 2),
    Decimal(30, 20),
    Decimal(3, 0),
    VARCHAR,
    BYTES,
    DATE,
    TIME,
    TIMESTAMP,
)

# JSON texts of values that are near the edge of some type.
TRICKY = """
null true false 0 1 -1 -0 0.0 -0.0 1.0 1.7 -1.7 2.5 12 1e2 1E+2 1.5e-3 1.50 1.505 123.45 99999999.99
100000000 2147483647 2147483648 -2147483649 4294967297 9007199254740993 9223372036854775807
9223372036854775808 -9223372036854775809 18446744073709551616 123456789012345678901234567890 1e30
1e400 5e-324 0.1 12345678901234567.25 1.9999999999999999999 1.00000000000000000000001 86399999
86400000 NaN Infinity -Infinity "" "0" "1" "12" "-12" "+12" " 12 " "1.5" "1.50" "1.505" "1e2"
"1_000" "0x1F" "true" "false" "t" "null" "NaN" "nan" "Infinity" "-Infinity" "inf" "abc" "YWJj"
"YQ==" "YQ" "Y-_c" "YWJjZA=" "9223372036854775807" "9223372036854775808" "2020-01-01" "é" "\\u00e9"
"a\\"b" "\\\\" "\\/" "a\\nb" "[1]" "{}" "{\\"x\\":1}" "1.5e3" "\\ud83d\\ude00" [] [null] [1]
[1,2.5,"x"] [true] ["a",null] [[1],[2,null]] [{"F":1},{"f":"x"}] [1.10] {} {"F":1} {"f":1}
{"f":null} {"F":{"G":1}} {"k":1} {"k":"x","l":null} {"k":1.50,"k2":[1]} {"a":{"F":2}}
""".split()


def columns_of(t: SqlType) -> list[Column]:
    return [Column("A", t), Column("B", VARCHAR)]


def fast_and_exact(
    columns: list[Column], payloads: list[bytes | None], *, is_record: bool = True, closely: bool = False
) -> tuple[Any, Any]:
    """What both ways make of the payloads; the fast one must not leave everything to the exact one.

    closely  all are read as the fast way reads those it has doubts about, if they are many
    """
    array = pa.array(payloads, pa.binary())
    exact = JsonDecoder(columns, is_record=is_record, workspace=WORKSPACE)
    exact._fast = None
    fast = JsonDecoder(columns, is_record=is_record, workspace=WORKSPACE)
    assert fast._fast is not None
    if closely:
        fast._fast.read = partial(fast._fast.read, closely=True)  # type: ignore[method-assign]
    filler = [b"{}" if is_record else b"null"] * 64
    padded = pa.concat_arrays([array, pa.array(filler, pa.binary())])
    return fast.decode(padded), exact.decode(padded)


def assert_same(columns: list[Column], payloads: list[bytes | None], *, is_record: bool = True) -> None:
    for closely in {False, is_record and not are_best_by_paths(columns)}:
        fast, exact = fast_and_exact(columns, payloads, is_record=is_record, closely=closely)
        assert_equal(columns, payloads, fast, exact)


def assert_equal(columns: list[Column], payloads: list[bytes | None], fast: Any, exact: Any) -> None:
    for got, want in zip(fast.columns, exact.columns, strict=True):
        if got.slice(0, len(payloads)).equals(want.slice(0, len(payloads))):
            continue
        for row, payload in enumerate(payloads):  # only NaN equals nothing, but its text does
            assert got.slice(row, 1).equals(want.slice(row, 1)) or repr(got[row]) == repr(want[row]), payload
    assert list(fast.bad) == list(exact.bad)
    assert fast.reasons.to_pylist() == exact.reasons.to_pylist()
    for column, array in zip(columns, fast.columns, strict=True):
        assert array.type == column.type.arrow
        array.validate(full=True)


def nested(t: SqlType) -> list[SqlType]:
    return [
        Array(t),
        Map(VARCHAR, t),
        Struct((("F", t), ("G", VARCHAR))),
        Array(Struct((("F", t),))),
        Map(VARCHAR, Struct((("F", t),))),
        Struct((("F", Array(t)),)),
        Struct((("F", Struct((("F", t),))),)),
        Array(Array(t)),
        Map(VARCHAR, Array(t)),
    ]


@pytest.mark.parametrize("t", [*SCALARS, *(n for s in SCALARS for n in nested(s))], ids=str)
@pytest.mark.parametrize("is_record", [True, False], ids=["record", "bare"])
def test_both_ways_agree_on_tricky_values(t: SqlType, is_record: bool) -> None:
    if is_record:
        payloads = [f'{{"a": {text}, "b": "x"}}'.encode() for text in TRICKY]
        payloads += [f'{{"A":[{text}]}}'.encode() for text in TRICKY]
        payloads += [f'{{"a":{{"f":{text}}}}}'.encode() for text in TRICKY]
        assert_same(columns_of(t), payloads)
    else:
        payloads = [text.encode() for text in TRICKY]
        payloads += [f"[{text}]".encode() for text in TRICKY]
        payloads += [f' {{"F": {text}}}'.encode() for text in TRICKY]
        assert_same([Column("A", t)], payloads, is_record=False)


MALFORMED = [
    b"",
    b" ",
    b"{",
    b'{"a"',
    b'{"a":',
    b'{"a":1',
    b'{"a":1}}',
    b'{"a":1} x',
    b"{'a':1}",
    b'{"a":01}',
    b'{"a":+1}',
    b'{"a":.5}',
    b'{"a":1.}',
    b'{"a":tru}',
    b'{"a":/*x*/1}',
    b'{"a":"\xff"}',
    b"\xff",
    b'{"a":"\\ud800"}',
    b'{"a":"\x01"}',
    b"[" * 5000,
    b"nul",
    b'"a',
    b'{"a":1 "b":2}',
    b'{"a" 1}',
    b"{1:2}",
    b"[1,2]",
    b"5",
    b'"x"',
    b"true",
    b"null",
    b" null ",
    b'{"a":1,}',
    b'{"a":nan}',
    b'{"a":-inf}',
    b'{"x":NAN}',
    b'{"a":[1,],}',
    b'{"a":",}"}',
    b'\n\t {"a":1}\n',
    b"\xef\xbb\xbf{}",
]


@pytest.mark.parametrize("t", [BIGINT, VARCHAR, DOUBLE, Array(DOUBLE), Struct((("F", BIGINT),))], ids=str)
def test_both_ways_agree_on_what_is_no_json(t: SqlType) -> None:
    good = [b'{"a":1,"b":"x"}', b'{"a":"y"}', None]
    assert_same(columns_of(t), [*MALFORMED, *good])
    assert_same(columns_of(t), good)


NAMES = [
    "A",
    "a",
    "B",
    "b",
    "Id",
    "id",
    "ID",
    "iD",
    "ıd",
    "mixed",
    "MIXED",
    "Mixed",
    "FIT",
    "fit",
    "ﬁt",
    "\\u0061",
]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["1", "2", "null", '"x"'])), max_size=4),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=150, deadline=None)
@example([[("a", "1")], [("A", "1")], [("id", "null")], [("ID", "2")]])
def test_fields_are_found_in_any_case(records: list[list[tuple[str, str]]]) -> None:
    columns = [Column("A", BIGINT), Column("ID", BIGINT), Column("mixed", VARCHAR), Column("FIT", DOUBLE)]
    # One record may hold a name once; twice in different cases is told apart only when it is learnt from.
    texts = []
    for record in records:
        kept = {json.loads(f'"{name}"').upper(): (name, value) for name, value in record}
        texts.append("{" + ", ".join(f'"{n}": {v}' for n, v in kept.values()) + "}")
    assert_same(columns, [text.encode() for text in texts])


def test_a_name_in_two_cases_is_read_by_the_exact_one_and_else_the_last() -> None:
    columns = [Column("ID", BIGINT)]
    for payload, value in [
        (b'{"id":1,"ID":2,"Id":3}', 2),
        (b'{"id":1,"Id":3}', 3),
        (b'{"Id":3,"id":1}', 1),
        (b'{"ID":null,"id":1}', None),
    ]:
        fast, exact = fast_and_exact(columns, [payload] * 3)
        assert exact.columns[0][0].as_py() == value
        assert fast.columns[0][0].as_py() == value


def test_a_quoted_mixed_case_column_takes_only_its_own_spelling() -> None:
    columns = [Column("userId", BIGINT)]
    assert_same(columns, [b'{"userid":1}', b'{"USERID":1}', b'{"userId":1}'])
    fast, _ = fast_and_exact(columns, [b'{"userid":1}', b'{"userId":1}'])
    assert fast.columns[0].to_pylist()[:2] == [None, 1]


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
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
    *(
        '" 1" "1 " "1\\t" "0012" "-0" "1e0" "A" "\\"A\\":2" "{\\"A\\":2}" "\\u0000" "\\n" "\\ud83d\\ude00"'.split(
            "@"
        )
    ),
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
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


ODD_NAMES = [
    "a*",
    "*",
    "a.b",
    "a[0]",
    "[*]",
    "#",
    "$",
    "$.a",
    " ",
    "é",
    "a'b",
    "0",
    "-1",
    "a?(@)",
    "%",
    "a,b",
]


def test_names_that_are_paths_are_names() -> None:
    texts = [json.dumps({name: i + j for j, name in enumerate(ODD_NAMES)}).encode() for i in range(3)]
    for some in (ODD_NAMES[:8], ODD_NAMES[8:], ODD_NAMES):
        assert_same([Column(name, BIGINT) for name in some], texts)


def test_clean_records_are_all_read_fast() -> None:
    columns = [
        Column("TIME", BIGINT),
        Column("USER", VARCHAR),
        Column("AMOUNT", DOUBLE),
        Column("PRICE", Decimal(10, 2)),
        Column("OK", BOOLEAN),
        Column("N", INTEGER),
        Column("TAGS", Array(VARCHAR)),
        Column("WHERE", Struct((("ZIP", INTEGER),))),
        Column("COUNTS", Map(VARCHAR, BIGINT)),
        Column("RAW", BYTES),
        Column("AT", TIMESTAMP),
        Column("NONE", VARCHAR),
    ]
    texts = [
        json.dumps(
            {
                "time": 1700000000000 + i,
                "user": f"u{i}",
                "amount": i / 7,
                "price": i / 4,
                "ok": i % 2 == 0,
                "n": i,
                "tags": ["a", "b"],
                "where": {"zip": i},
                "counts": {"x": i},
                "raw": "YWJj",
                "at": i,
                "other": {"k": [i]},
            }
        )
        for i in range(500)
    ]
    assert can_read_fast(columns, is_record=True)
    reader = FastReader(columns, WORKSPACE, is_record=True)
    assert reader.learn(texts[:1])
    doubt = reader.read(pa.array(texts)).doubt
    assert not doubt.any(), np.flatnonzero(doubt)[:5]


def test_layouts_that_duckdb_cannot_name_are_read_exactly() -> None:
    assert not can_read_fast([Column("ID", BIGINT), Column("id", BIGINT)], is_record=True)
    assert not can_read_fast([Column("", BIGINT)], is_record=True)
    columns = [
        Column("ID", BIGINT),
        Column("id", VARCHAR),
        Column('a"b', BIGINT),
        Column("{payloads}", BIGINT),
    ]
    decoder = JsonDecoder(columns, is_record=True, workspace=WORKSPACE)
    decoded = decoder.decode(pa.array([b'{"ID":1,"id":"x","a\\"b":3,"{payloads}":4}'] * 100, pa.binary()))
    assert [c[99].as_py() for c in decoded.columns] == [1, "x", 3, 4]

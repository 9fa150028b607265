"""The fast way of reading JSON gives what the exact one gives, whatever the records are."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from both_ways import SCALARS, TRICKY, assert_equal, assert_same, columns_of, fast_and_exact
from format_samples import WORKSPACE

from streamsql.formats.json import JsonDecoder
from streamsql.formats.json_fast import FastReader
from streamsql.formats.json_plan import can_read_fast
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)


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


@pytest.mark.parametrize("t", SCALARS, ids=str)
@pytest.mark.parametrize("is_record", [True, False], ids=["record", "bare"])
def test_both_ways_agree_on_a_tricky_value_among_none(t: SqlType, is_record: bool) -> None:
    """Beside others that a parser refuses, one that it should have refused might not show."""
    columns = columns_of(t) if is_record else [Column("A", t)]
    fast, exact = (JsonDecoder(columns, is_record=is_record, workspace=WORKSPACE) for _ in range(2))
    exact._fast = None
    for text in TRICKY:
        payloads = pa.array([f'{{"A":{text}}}' if is_record else text] + [None] * 64, pa.binary())
        assert_equal(columns, [text.encode()], fast.decode(payloads), exact.decode(payloads))


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

"""JSON: what is read for every type, what is refused and where, what is written byte by byte."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal as Number
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from format_samples import WORKSPACE, decode, encode, layout, value_of, values
from hypothesis import given
from hypothesis import strategies as st

from streamsql import formats
from streamsql.errors import PlanError
from streamsql.formats.json import JsonEncoder
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

ADDRESS = Struct((("ZIP", Array(INTEGER)), ("City", VARCHAR)))

READS: list[tuple[SqlType, str, Any]] = [
    (BOOLEAN, "true", True),
    (INTEGER, "1.9", 1),
    (INTEGER, "-1.9", -1),
    (INTEGER, "1e2", 100),
    (INTEGER, '"12"', 12),
    (INTEGER, '"-12"', -12),
    (INTEGER, "2147483648", -(2**31)),
    (INTEGER, "4294967297", 1),
    (BIGINT, "9223372036854775808", -(2**63)),
    (BIGINT, "1e30", int(10**30 + 2**63) % 2**64 - 2**63),
    (DOUBLE, "1", 1.0),
    (DOUBLE, '"1.5"', 1.5),
    (DOUBLE, '"Infinity"', math.inf),
    (DOUBLE, '"-Infinity"', -math.inf),
    (Decimal(4, 2), "1.5", Number("1.50")),
    (Decimal(4, 2), "1.500", Number("1.50")),
    (Decimal(4, 2), "15e-1", Number("1.50")),
    (Decimal(4, 2), '"1.50"', Number("1.50")),
    (
        Decimal(38, 20),
        "123456789012345678.12345678901234567890",
        Number("123456789012345678.12345678901234567890"),
    ),
    (VARCHAR, '"x"', "x"),
    (VARCHAR, "1.50", "1.50"),
    (VARCHAR, "1E+2", "1E+2"),
    (VARCHAR, "100", "100"),
    (VARCHAR, "true", "true"),
    (VARCHAR, '{"a": [1, 1.50, null], "b": "q\\"" }', '{"a":[1,1.50,null],"b":"q\\""}'),
    (VARCHAR, '[1, "a", {"b": 1}, [2], null]', '[1, a, {"b":1}, [2], null]'),
    (BYTES, '"YWJj"', b"abc"),
    (BYTES, '"YQ"', b"a"),
    (DATE, "-1", dt.date(1969, 12, 31)),
    (DATE, '"1"', dt.date(1970, 1, 2)),
    (TIME, "3723004", dt.time(1, 2, 3, 4000)),
    (TIMESTAMP, '"-1"', dt.datetime(1969, 12, 31, 23, 59, 59, 999000)),
    (Array(BIGINT), "[1, null, 2.5]", [1, None, 2]),
    (Map(VARCHAR, VARCHAR), '{"a": 1, "b": null}', [("a", "1"), ("b", None)]),
    (Struct((("A", INTEGER), ("B", VARCHAR))), '{"a": 1, "x": 2}', {"A": 1, "B": None}),
]


@pytest.mark.parametrize(("t", "text", "value"), READS, ids=lambda x: str(x)[:30])
@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
def test_reads(t: SqlType, text: str, value: Any, copies: int) -> None:
    payload = f'{{"a": {text}}}'.encode()
    decoded = decode("JSON", layout(Column("A", t)), [payload] * copies)
    assert not len(decoded.bad), decoded.reasons
    assert values(decoded) == [(value,)] * copies


REFUSALS: list[tuple[SqlType, str, str]] = [
    (BOOLEAN, '"true"', '$.A: "true" is not a BOOLEAN'),
    (BOOLEAN, "1", "$.A: 1 is not a BOOLEAN"),
    (INTEGER, "true", "$.A: true is not an INTEGER"),
    (INTEGER, '"1.5"', "$.A: '1.5' is not an INTEGER"),
    (INTEGER, '" 1"', "$.A: ' 1' is not an INTEGER"),
    (INTEGER, '"2147483648"', "$.A: '2147483648' is outside the range of INTEGER"),
    (BIGINT, "{}", "$.A: {} is not a BIGINT"),
    (DOUBLE, "true", "$.A: true is not a DOUBLE"),
    (DOUBLE, '"x"', "$.A: 'x' is not a DOUBLE"),
    (Decimal(4, 2), "1.005", "$.A: '1.005' does not fit DECIMAL(4, 2) without rounding"),
    (Decimal(4, 2), "100", "$.A: '100' does not fit DECIMAL(4, 2) without rounding"),
    (Decimal(4, 2), "1e999999999", "$.A: '1E+999999999' does not fit DECIMAL(4, 2) without rounding"),
    (Decimal(4, 2), '"x"', "$.A: 'x' is not a DECIMAL(4, 2)"),
    (BYTES, '"#"', "$.A: '#' is not base64"),
    (BYTES, "1", "$.A: 1 is not a BYTES"),
    (TIME, "86400000", "$.A: '86400000' is outside the range of TIME"),
    (TIMESTAMP, '"2020-01-01"', "$.A: '2020-01-01' is not a TIMESTAMP"),
    (Array(INTEGER), "[1, [2]]", "$.A[1]: [2] is not an INTEGER"),
    (Array(INTEGER), "{}", "$.A: {} is not an array"),
    (Map(VARCHAR, INTEGER), '{"k": "x"}', "$.A.k: 'x' is not an INTEGER"),
    (Map(VARCHAR, INTEGER), "[]", "$.A: [] is not an object"),
    (ADDRESS, '{"zip": [1, 2, "x"]}', "$.A.ZIP[2]: 'x' is not an INTEGER"),
    (ADDRESS, "5", "$.A: 5 is not an object"),
]


@pytest.mark.parametrize(("t", "text", "reason"), REFUSALS, ids=lambda x: str(x)[:30])
@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
def test_refuses_the_record_and_spares_its_neighbours(
    t: SqlType, text: str, reason: str, copies: int
) -> None:
    columns = (Column("A", t), Column("B", VARCHAR))
    payloads = [b'{"B":"before"}', f'{{"B":"x","a": {text}}}'.encode(), b'{"B":"after"}'] * copies
    decoded = decode("JSON", layout(*columns), payloads)
    assert list(decoded.bad) == list(range(1, 3 * copies, 3))
    assert decoded.reasons.to_pylist() == [reason] * copies
    assert values(decoded) == [(None, "before"), (None, None), (None, "after")] * copies


@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
def test_only_wanted_columns_are_read(copies: int) -> None:
    where = layout(Column("A", BIGINT), Column("B", BIGINT), Column("C", VARCHAR))
    decoded = decode("JSON", where, [b'{"A":"no number","B":2,"C":"x"}'] * copies, ["C", "B"])
    assert values(decoded) == [("x", 2)] * copies


def test_nested_names_fold_at_every_level() -> None:
    t = Struct((("Exact", INTEGER), ("INNER", Struct((("FIELD", INTEGER),)))))
    where = layout(Column("OUTER", t))
    payloads = [
        b'{"outer":{"Exact":1,"inner":{"field":2}}}',
        b'{"Outer":{"EXACT":1,"Inner":{"Field":2,"FIELD":3}}}',
        b'{"OUTER":{"exact":1,"iNNER":{"fIELD":null}}}',
    ]
    assert [row[0] for row in values(decode("JSON", where, payloads))] == [
        {"Exact": 1, "INNER": {"FIELD": 2}},
        {"Exact": None, "INNER": {"FIELD": 3}},
        {"Exact": None, "INNER": {"FIELD": None}},
    ]


def test_null_payloads_and_the_text_null() -> None:
    decoded = decode("JSON", layout(Column("A", BIGINT)), [None, b"null", b"{}"])
    assert values(decoded) == [(None,)] * 3 and not len(decoded.bad)


@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
def test_what_is_no_object_is_refused(copies: int) -> None:
    decoded = decode("JSON", layout(Column("A", BIGINT)), [b"[1]", b'"x"', b"5", b" {}"] * copies)
    assert list(decoded.bad) == [i for i in range(4 * copies) if i % 4 < 3]
    assert decoded.reasons[:3].to_pylist() == [
        "$: [1] is not an object",
        '$: "x" is not an object',
        "$: 5 is not an object",
    ]


def test_reasons_say_where_the_text_breaks() -> None:
    decoded = decode("JSON", layout(Column("A", BIGINT)), [b'{"A":1', b"\xff"])
    assert decoded.reasons[0].as_py().startswith("not JSON: ") and "column 7" in decoded.reasons[0].as_py()
    assert decoded.reasons[1].as_py() == "the bytes are not UTF-8"


WRITES: list[tuple[SqlType, Any, str]] = [
    (BOOLEAN, True, "true"),
    (INTEGER, -1, "-1"),
    (DOUBLE, 1.0, "1.0"),
    (DOUBLE, 0.1, "0.1"),
    (DOUBLE, math.nan, '"NaN"'),
    (DOUBLE, math.inf, '"Infinity"'),
    (DOUBLE, -math.inf, '"-Infinity"'),
    (Decimal(4, 2), Number("1.50"), "1.50"),
    (Decimal(2, 2), Number("-0.50"), "-0.50"),
    (Decimal(38, 20), Number("0E-20"), "0.00000000000000000000"),
    (VARCHAR, 'a"\\\n\x01/é😀', '"a\\"\\\\\\n\\u0001/é😀"'),
    (BYTES, b"\xff\x00", '"/wA="'),
    (DATE, dt.date(1970, 1, 2), "1"),
    (TIME, dt.time(0, 0, 1, 5000), "1005"),
    (TIMESTAMP, dt.datetime(1969, 12, 31, 23, 59, 59, 999000), "-1"),
    (Array(Decimal(4, 2)), [Number("1.50"), None], "[1.50,null]"),
    (Array(Array(INTEGER)), [[1], [], None], "[[1],[],null]"),
    (Map(VARCHAR, DOUBLE), [("a", 1.0), ('"', None)], '{"a":1.0,"\\"":null}'),
    (Map(VARCHAR, Array(BYTES)), [("a", [b"a"])], '{"a":["YQ=="]}'),
    (
        Struct((("x", DATE), ("Y", Struct((("Z", DOUBLE),))))),
        {"x": None, "Y": {"Z": 2.0}},
        '{"x":null,"Y":{"Z":2.0}}',
    ),
]


@pytest.mark.parametrize(("t", "value", "text"), WRITES, ids=lambda x: str(x)[:30])
def test_writes(t: SqlType, value: Any, text: str) -> None:
    wrapped = encode("JSON", layout(Column("A", VARCHAR), Column("b c", t)), [("k", value), (None, None)])
    assert wrapped == [f'{{"A":"k","b c":{text}}}'.encode(), b'{"A":null,"b c":null}']
    assert encode("JSON", layout(Column("A", t), key=True), [(value,)]) == [text.encode()]


def test_names_that_look_like_a_feed() -> None:
    where = layout(Column("{rows}", INTEGER), Column("A", Decimal(4, 2)), Column("'{", INTEGER))
    assert encode("JSON", where, [(1, Number("1.50"), 2)]) == [b'{"{rows}":1,"A":1.50,"\'{":2}']
    plain = layout(Column("{rows}", INTEGER))
    assert values(decode("JSON", plain, encode("JSON", plain, [(1,)]))) == [(1,)]


def test_several_key_columns_are_one_object_and_absent_rows_no_payload() -> None:
    where = layout(Column("A", INTEGER), Column("B", VARCHAR), key=True, wrapped=False)
    assert encode("JSON", where, [(1, "x"), (None, None), (2, "y")], pa.array([False, True, None])) == [
        b'{"A":1,"B":"x"}',
        None,
        b'{"A":2,"B":"y"}',
    ]


def test_maps_have_text_keys() -> None:
    with pytest.raises(
        PlanError, match="format JSON only has maps with VARCHAR keys, column M is MAP<INTEGER, DOUBLE>"
    ):
        formats.get("JSON").check(layout(Column("M", Map(INTEGER, DOUBLE))))
    with pytest.raises(PlanError, match="column M"):
        formats.get("JSON").check(layout(Column("M", Array(Struct((("F", Map(BIGINT, DOUBLE)),))))))


PLAIN = (BOOLEAN, INTEGER, BIGINT, VARCHAR)


@given(st.data())
def test_joined_values_read_as_a_kernel_writes_them(data: st.DataObject) -> None:
    """Every kind of text is among them: what has to be escaped, and what need not be."""
    kinds = data.draw(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=4))
    columns = [Column(f"C{i}", kind) for i, kind in enumerate(kinds)]
    values_of = [data.draw(st.lists(st.none() | value_of(kind), min_size=3, max_size=3)) for kind in kinds]
    arrays = [pa.array(values, kind.arrow) for values, kind in zip(values_of, kinds, strict=True)]
    is_record = data.draw(st.booleans()) or len(kinds) > 1
    sliced = [array.slice(1) for array in arrays]
    joined = JsonEncoder(columns, is_record=is_record, workspace=WORKSPACE).encode(sliced)
    with mock.patch.object(JsonEncoder, "_joined", lambda *_: None):
        assert JsonEncoder(columns, is_record=is_record, workspace=WORKSPACE).encode(sliced) == joined


def test_large_batches_of_records_are_written_as_small_ones_are() -> None:
    columns = (Column("N", BIGINT), Column("T", VARCHAR))
    numbers = pa.array(range(40_000), pa.int64())
    many = [numbers, numbers.cast(pa.string())]
    encoder = JsonEncoder(columns, is_record=True, workspace=WORKSPACE)
    small = [
        encoder.encode([column.slice(begin, 10_000) for column in many]) for begin in range(0, 40_000, 10_000)
    ]
    assert encoder.encode(many) == pa.concat_arrays(small)


TRICKY_NUMBERS = [
    "0",
    "-0",
    "7",
    "-7",
    "00",
    "-01",
    "0x1F",
    "-0x1",
    "+5",
    "1.7",
    "1e2",
    " 5",
    "5 ",
    '"5"',
    '"5.0"',
    "",
    "-",
]
TRICKY_NUMBERS += [
    "null",
    "true",
    "[1]",
    "1 2",
    "2147483648",
    "-2147483649",
    "9223372036854775808",
    "1_0",
    "\u0665",
]


@pytest.mark.parametrize("t", [INTEGER, BIGINT])
@pytest.mark.parametrize("text", TRICKY_NUMBERS)
def test_bare_numbers_are_read_at_once_as_they_are_one_by_one(t: SqlType, text: str) -> None:
    key = layout(Column("K", t), key=True, wrapped=False)
    payloads = [b"1", None, text.encode(), b"-12"]
    at_once = decode("JSON", key, payloads)
    with mock.patch("streamsql.formats.json.bare_numbers", lambda *_: None):
        one_by_one = decode("JSON", key, payloads)
    assert at_once.columns == one_by_one.columns
    assert at_once.bad.tolist() == one_by_one.bad.tolist()
    assert at_once.reasons == one_by_one.reasons

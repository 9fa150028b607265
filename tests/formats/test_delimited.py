"""DELIMITED: fields and their quotes, types, and records of the wrong shape."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal as Number
from typing import Any

import pyarrow as pa
import pytest
from format_samples import decode, encode, layout, values
from hypothesis import example, given
from hypothesis import strategies as st

from streamsql import formats
from streamsql.errors import PlanError
from streamsql.formats.delimited import first_record
from streamsql.formats.quoted import read_quoted
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

TWO = (Column("A", VARCHAR), Column("B", VARCHAR))


@pytest.mark.parametrize(
    ("payload", "row"),
    [
        (b"a,b", ("a", "b")),
        (b" a , b ", (" a ", " b ")),
        (b'"a,b","c"', ("a,b", "c")),
        (b'"say ""hi""",x', ('say "hi"', "x")),
        (b'"two\nlines",x', ("two\nlines", "x")),
        (b'a"b,c', ('a"b', "c")),
        (b'"a"  ,b', ("a", "b")),
        (b"a,b\r\nc,d", ("a", "b")),
        (b"a,b\n", ("a", "b")),
        (b"\n\na,b", ("a", "b")),
        (b",", (None, None)),
        (b'"",x', (None, "x")),
        ("é,😀".encode(), ("é", "😀")),
    ],
)
def test_fields(payload: bytes, row: tuple[str | None, ...]) -> None:
    decoded = decode("DELIMITED", layout(*TWO), [b"plain,row", payload, None])
    assert not len(decoded.bad), decoded.reasons
    assert values(decoded) == [("plain", "row"), row, (None, None)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "the payload is empty"),
        (b"\n", "the payload is empty"),
        (b"a", "1 field, the schema has 2"),
        (b"a,b,c", "3 fields, the schema has 2"),
        (b"a,b,", "3 fields, the schema has 2"),
        (b'"a,b', "the quote of field 1 is not closed"),
        (b'"a"b,c', "field 1 goes on after its closing quote"),
        (b'a,"b" c', "field 2 goes on after its closing quote"),
        (b"\xff,b", "the bytes are not UTF-8"),
    ],
)
def test_records_of_the_wrong_shape(payload: bytes, reason: str) -> None:
    decoded = decode("DELIMITED", layout(*TWO), [b"a,b", payload, b'"c",d'])
    assert (list(decoded.bad), decoded.reasons.to_pylist()) == ([1], [reason])
    assert values(decoded) == [("a", "b"), (None, None), ("c", "d")]


READS: list[tuple[SqlType, str, Any]] = [
    (BOOLEAN, "TRUE", True),
    (BOOLEAN, "yes", False),
    (INTEGER, "+5", 5),
    (INTEGER, "-2147483648", -(2**31)),
    (BIGINT, "9223372036854775807", 2**63 - 1),
    (DOUBLE, "1", 1.0),
    (DOUBLE, ".5", 0.5),
    (DOUBLE, "1e3", 1000.0),
    (DOUBLE, "1.5d", 1.5),
    (DOUBLE, "Infinity", float("inf")),
    (Decimal(4, 2), ".12", Number("0.12")),
    (Decimal(4, 2), "+1.5", Number("1.50")),
    (Decimal(4, 2), "1.500", Number("1.50")),
    (Decimal(4, 2), "1e1", Number("10.00")),
    (BYTES, "YWI=", b"ab"),
    (DATE, "-1", dt.date(1969, 12, 31)),
    (TIME, "86399999", dt.time(23, 59, 59, 999000)),
    (TIMESTAMP, "1", dt.datetime(1970, 1, 1, 0, 0, 0, 1000)),
]


@pytest.mark.parametrize(("t", "text", "value"), READS, ids=str)
@pytest.mark.parametrize("neighbour", ["", "x"], ids=["alone", "beside a bad one"])
def test_reads(t: SqlType, text: str, value: Any, neighbour: str) -> None:
    where = layout(Column("A", t), Column("B", VARCHAR))
    payloads = [f"{text},y".encode(), f"{neighbour},z".encode()]
    assert values(decode("DELIMITED", where, payloads))[0] == (value, "y")


@pytest.mark.parametrize(
    ("t", "text", "reason"),
    [
        (INTEGER, "1.0", "$.A: '1.0' is not an INTEGER"),
        (INTEGER, " 1", "$.A: ' 1' is not an INTEGER"),
        (INTEGER, "0x1F", "$.A: '0x1F' is not an INTEGER"),
        (INTEGER, "2147483648", "$.A: '2147483648' is outside the range of INTEGER"),
        (BIGINT, "9223372036854775808", "$.A: '9223372036854775808' is outside the range of BIGINT"),
        (DOUBLE, "1,5", None),
        (DOUBLE, "inf", "$.A: 'inf' is not a DOUBLE"),
        (DOUBLE, "0x1p3", "$.A: '0x1p3' is not a DOUBLE"),
        (Decimal(4, 2), "1.005", "$.A: '1.005' does not fit DECIMAL(4, 2) without rounding"),
        (Decimal(4, 2), "123.4", "$.A: '123.4' does not fit DECIMAL(4, 2) without rounding"),
        (Decimal(4, 2), "NaN", "$.A: 'NaN' is not a DECIMAL(4, 2)"),
        (BYTES, "Y=W=", "$.A: 'Y=W=' is not base64"),
        (TIME, "-1", "$.A: '-1' is outside the range of TIME"),
    ],
)
def test_refuses(t: SqlType, text: str, reason: str | None) -> None:
    where = layout(Column("A", t), Column("B", VARCHAR))
    decoded = decode("DELIMITED", where, [b",ok", f"{text},y".encode(), b",ok"])
    assert list(decoded.bad) == [1]
    assert decoded.reasons.to_pylist() == [reason or "3 fields, the schema has 2"]
    assert values(decoded) == [(None, "ok"), (None, None), (None, "ok")]


@pytest.mark.parametrize(
    ("row", "payload"),
    [
        (("a", "b"), b"a,b"),
        (("a,b", "c"), b'"a,b",c'),
        (('say "hi"', "x"), b'"say ""hi""",x'),
        (("a\n", "b\r"), b'"a\n","b\r"'),
        (("-a", "-a"), b'"-a",-a'),
        (("é", "é"), '"é",é'.encode()),
        (("#", "#"), b'"#","#"'),
        ((" a", " a"), b'" a"," a"'),
        (("a ", "a "), b'"a ","a "'),
        (("", ""), b'"",'),
        ((None, None), b","),
    ],
)
def test_quotes(row: tuple[str | None, ...], payload: bytes) -> None:
    assert encode("DELIMITED", layout(*TWO), [row]) == [payload]


def test_writes_every_type() -> None:
    columns = [
        Column(f"C{i}", t)
        for i, t in enumerate(
            (
                INTEGER,
                BIGINT,
                BOOLEAN,
                DOUBLE,
                DOUBLE,
                Decimal(20, 10),
                Decimal(2, 2),
                BYTES,
                DATE,
                TIME,
                TIMESTAMP,
            )
        )
    ]
    row = (
        -1,
        -2,
        True,
        1e10,
        1.0,
        Number("0E-10"),
        Number("0.50"),
        b"ab",
        dt.date(1969, 12, 31),
        dt.time(0, 0, 1),
        dt.datetime(1970, 1, 2),
    )
    assert encode("DELIMITED", layout(*columns), [row, (None,) * len(row)]) == [
        b'"-1",-2,true,1.0E10,1.0,0.0000000000,0.50,YWI=,-1,1000,86400000',
        b"," * (len(row) - 1),
    ]


@pytest.mark.parametrize(
    ("given", "separator"),
    [("|", "|"), ("SPACE", " "), ("tab", "\t"), ("-", "-"), ("]", "]"), ("\\", "\\"), ("1", "1")],
)
def test_delimiters(given: str, separator: str) -> None:
    where = layout(Column("A", VARCHAR), Column("B", BIGINT), Column("C", VARCHAR), DELIMITER=given)
    formats.get("DELIMITED").check(where)
    rows = [("a,b", -12, f"x{separator}y"), (None, None, separator)]
    payloads = encode("DELIMITED", where, rows)
    assert payloads[1] == f'{separator}{separator}"{separator}"'.encode()
    assert values(decode("DELIMITED", where, payloads)) == rows


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("<~>", "VALUE_DELIMITER is '<~>', and a delimiter is one character, SPACE or TAB"),
        ("", "VALUE_DELIMITER is blank"),
        ("\t", "VALUE_DELIMITER is blank"),
        ('"', "VALUE_DELIMITER cannot be a quote or a line end"),
    ],
)
def test_impossible_delimiters(given: str, message: str) -> None:
    with pytest.raises(PlanError) as error:
        formats.get("DELIMITED").check(layout(*TWO, DELIMITER=given))
    assert error.value.message == message


@pytest.mark.parametrize("t", [Array(INTEGER), Map(VARCHAR, INTEGER), Struct((("F", INTEGER),))], ids=str)
def test_no_structures(t: SqlType) -> None:
    with pytest.raises(PlanError, match="format DELIMITED cannot hold type .*, which column FOO has"):
        formats.get("DELIMITED").check(layout(Column("FOO", t)))


PIECES = st.sampled_from(['"', '"', '""', ",", ",", "|", " ", "a", "é", "bc", "\n", "\r"])


@given(st.lists(st.lists(PIECES, max_size=9).map("".join), min_size=1, max_size=12), st.sampled_from(",| "))
@tried(400)
@example(
    ['"a"""",b"', '"abc""def', '1,"', '"', '""', '"""', '""""', 'a"b,"c"', '"a" ,b', '"a",', ',"a"'], ","
)
def test_records_with_quotes_are_read_together_as_each_from_the_left(
    texts: list[str], delimiter: str
) -> None:
    texts = [text for text in texts if {*text} & {'"', "\n", "\r"}]
    for wanted in (1, 2, 3):
        read = read_quoted(pa.array(texts, pa.string()), delimiter, wanted)
        read.fields.validate(full=True)
        expected: list[str] = []
        for text, count in zip(texts, read.counts.tolist(), strict=True):
            assert count or {*text} & {"\n", "\r"} or not _is_regular(text, delimiter), text
            try:
                record = first_record(text, delimiter)
            except ValueError as error:
                assert count == 0 or str(error) == f"the quote of field {-count} is not closed", text
            else:
                assert count in (0, len(record)), text
                expected += record if count == wanted else []
        assert read.fields.to_pylist() == expected


def _is_regular(text: str, delimiter: str) -> bool:
    """Whether every field is either without quotes, or quoted with those inside doubled, the last one closed or not."""
    field = f'"(?:[^"]|"")*"|[^"{re.escape(delimiter)}]*'
    return re.fullmatch(f'(?:(?:{field}){re.escape(delimiter)})*(?:{field}|"[^"]*)', text) is not None


def test_the_scanner_agrees_with_itself_on_its_own_writing() -> None:
    rows = [('a"', "b"), ("\r", '","'), ('""', " ")]
    for row, payload in zip(rows, encode("DELIMITED", layout(*TWO), rows), strict=True):
        assert payload is not None
        assert first_record(payload.decode(), ",") == list(row)

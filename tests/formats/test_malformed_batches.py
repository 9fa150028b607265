"""Bad payloads among good ones: each with its own reason, whatever stands beside it, and no good one lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal as Number
from typing import Any

import pyarrow as pa
import pytest
from format_samples import WORKSPACE, encode, layout

from streamsql import formats
from streamsql.engine.codec import Decoder
from streamsql.formats.format import Layout
from streamsql.formats.registry import EmbeddedRegistry
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
    Struct,
)

Bad = Sequence[tuple[bytes, str]]

UNFRAMED = "no schema id stands before the record: it does not begin with a zero byte and four bytes of id"
FLAT = (
    Column("ID", BIGINT),
    Column("NAME", VARCHAR),
    Column("PRICE", DOUBLE),
    Column("AMOUNT", Decimal(6, 2)),
    Column("SEEN", TIMESTAMP),
    Column("FLAG", BOOLEAN),
    Column("RAW", BYTES),
)
NESTED = (
    *FLAT,
    Column("TAGS", Array(VARCHAR)),
    Column("SIZE", Struct((("WIDTH", INTEGER), ("UNIT", Struct((("CODE", INTEGER),)))))),
)


def _record(**fields: str) -> bytes:
    """A good record of JSON but for the fields given, in JSON."""
    good = {
        "ID": "1",
        "NAME": '"né"',
        "PRICE": "0.5",
        "AMOUNT": "1.25",
        "SEEN": "7",
        "FLAG": "true",
        "RAW": '"YQ=="',
        "TAGS": '["a"]',
        "SIZE": '{"WIDTH":1,"UNIT":{"CODE":2}}',
    }
    return ("{" + ",".join(f'"{name}":{value}' for name, value in {**good, **fields}.items()) + "}").encode()


LONG = "z" * 70
JSON_BAD: Bad = [
    (_record(ID='"x1"'), "$.ID: 'x1' is not a BIGINT"),
    (_record(ID='"x2"'), "$.ID: 'x2' is not a BIGINT"),
    (_record(ID='"é"'), "$.ID: 'é' is not a BIGINT"),
    (_record(ID='"1-2"'), "$.ID: '1-2' is not a BIGINT"),
    (_record(ID='""'), "$.ID: '' is not a BIGINT"),
    (_record(ID='"a\\n"'), "$.ID: 'a\n' is not a BIGINT"),
    (_record(ID=f'"{LONG}"'), f"$.ID: '{LONG[:57]}...' is not a BIGINT"),
    (_record(ID='"9223372036854775808"'), "$.ID: '9223372036854775808' is outside the range of BIGINT"),
    (_record(ID="true"), "$.ID: true is not a BIGINT"),
    (_record(ID="[1,2]"), "$.ID: [1,2] is not a BIGINT"),
    (_record(PRICE="true"), "$.PRICE: true is not a DOUBLE"),
    (_record(PRICE="[1.50]"), "$.PRICE: [1.50] is not a DOUBLE"),
    (_record(PRICE='"12 $"'), "$.PRICE: '12 $' is not a DOUBLE"),
    (_record(PRICE='"tiny"'), "$.PRICE: 'tiny' is not a DOUBLE"),
    (_record(AMOUNT='"n/a"'), "$.AMOUNT: 'n/a' is not a DECIMAL(6, 2)"),
    (_record(AMOUNT="1.255"), "$.AMOUNT: '1.255' does not fit DECIMAL(6, 2) without rounding"),
    (_record(AMOUNT='"10000"'), "$.AMOUNT: '10000' does not fit DECIMAL(6, 2) without rounding"),
    (_record(SEEN='"yesterday"'), "$.SEEN: 'yesterday' is not a TIMESTAMP"),
    (_record(FLAG='"yes"'), '$.FLAG: "yes" is not a BOOLEAN'),
    (_record(RAW='"Y?=="'), "$.RAW: 'Y?==' is not base64"),
    (_record(RAW="1"), "$.RAW: 1 is not a BYTES"),
    (_record(TAGS="{}"), "$.TAGS: {} is not an array"),
    (_record(SIZE="5"), "$.SIZE: 5 is not an object"),
    (_record(SIZE='{"WIDTH":"w"}'), "$.SIZE.WIDTH: 'w' is not an INTEGER"),
    (_record(SIZE='{"UNIT":{"CODE":"c"}}'), "$.SIZE.UNIT.CODE: 'c' is not an INTEGER"),
    # The first of several in the columns' order.
    (_record(SEEN='"s"', AMOUNT='"a"', PRICE="true"), "$.PRICE: true is not a DOUBLE"),
    (_record(TAGS="1", SEEN='"s"', ID='"i"'), "$.ID: 'i' is not a BIGINT"),
    (_record()[:30], "not JSON: unexpected end of data: line 1 column 30 (char 29)"),
    (_record()[:9], "not JSON: unexpected end of data: line 1 column 10 (char 9)"),
    (b"not what was expected", "not JSON: invalid literal, expected 'null': line 1 column 1 (char 0)"),
    (b"{\n'ID': 1}", "not JSON: unexpected character, expected a string key: line 2 column 1 (char 2)"),
    (
        '{"ID": é}'.encode(),
        "not JSON: unexpected character, expected a JSON value: line 1 column 8 (char 7)",
    ),
    (b"", "not JSON: Input is a zero-length, empty document: line 1 column 1 (char 0)"),
    # It holds what may be put right, a bare NaN, and what may not.
    (
        b'{"ID":NaN,"NAME":}',
        "not JSON: unexpected character, expected a JSON value: line 1 column 7 (char 6)",
    ),
    (b'{"ID":1,"NAME":"\xff\xfe"}', "the bytes are not UTF-8"),
    (b"\xc3", "the bytes are not UTF-8"),
    (b"[1]", "$: [1] is not an object"),
]
DELIMITED_BAD: Bad = [
    (b"x1,n,0.5,1.25,7,true,YQ==", "$.ID: 'x1' is not a BIGINT"),
    (b"1-2,n,0.5,1.25,7,true,YQ==", "$.ID: '1-2' is not a BIGINT"),
    (b"9223372036854775808,n,0.5,1.25,7,,", "$.ID: '9223372036854775808' is outside the range of BIGINT"),
    ("é,n,0.5,1.25,7,true,YQ==".encode(), "$.ID: 'é' is not a BIGINT"),
    (f"{LONG},n,0.5,1.25,7,true,YQ==".encode(), f"$.ID: '{LONG[:57]}...' is not a BIGINT"),
    (b"1,n,x,1.25,7,true,YQ==", "$.PRICE: 'x' is not a DOUBLE"),
    (b"1,n,nan,1.25,7,true,YQ==", "$.PRICE: 'nan' is not a DOUBLE"),
    (b"1,n,1.2.3,1.25,7,true,YQ==", "$.PRICE: '1.2.3' is not a DOUBLE"),
    (b"1,n,0.5,1.x25,7,true,YQ==", "$.AMOUNT: '1.x25' is not a DECIMAL(6, 2)"),
    (b"1,n,0.5,1_0,7,true,YQ==", "$.AMOUNT: '1_0' is not a DECIMAL(6, 2)"),
    (b"1,n,0.5,1.255,7,true,YQ==", "$.AMOUNT: '1.255' does not fit DECIMAL(6, 2) without rounding"),
    (b"1,n,0.5,1.25,yesterday,true,YQ==", "$.SEEN: 'yesterday' is not a TIMESTAMP"),
    (b"1,n,0.5,1.25,9223372036854776,,", "$.SEEN: '9223372036854776' is outside the range of TIMESTAMP"),
    (b"1,n,0.5,1.25,7,true,Y?==", "$.RAW: 'Y?==' is not base64"),
    (b"1,n,0.5,1.25,7,true,Y=W=", "$.RAW: 'Y=W=' is not base64"),
    (b"a,n,b,c,d,,", "$.ID: 'a' is not a BIGINT"),
    (b"1", "1 field, the schema has 7"),
    (b"1,n,0.5,1.25,7,true", "6 fields, the schema has 7"),
    (b"1,n,0.5,1.25,7,true,YQ==,more", "8 fields, the schema has 7"),
    (b'1,"n",0.5', "3 fields, the schema has 7"),
    (b'1,"never closed,0.5,1.25,7,true,YQ==', "the quote of field 2 is not closed"),
    (b'1,"n"x,0.5,1.25,7,true,YQ==', "field 2 goes on after its closing quote"),
    (b"", "the payload is empty"),
    (b"\r\n", "the payload is empty"),
    (b"1,\xff,0.5,1.25,7,true,YQ==", "the bytes are not UTF-8"),
]


@dataclass(frozen=True)
class Case:
    """Some good payloads of a format, and bad ones with their reasons."""

    name: str
    where: Layout
    good: Sequence[bytes | None]
    bad: Bad

    def decoder(self) -> Decoder:
        return formats.get(self.name).decoder(self.where, [c.name for c in self.where.columns], WORKSPACE)


def _flat(bad: Bad) -> Bad:
    """Those of the bad records whose reason lies in no array and in no struct."""
    return [(payload, reason) for payload, reason in bad if "$.TAGS" not in reason and "$.SIZE" not in reason]


def _framed(name: str, bad: Bad) -> Case:
    where = layout(*FLAT, registry=EmbeddedRegistry())
    row = (1, "né", 0.5, Number("1.25"), None, True, b"a")
    unframed = [(payload, UNFRAMED) for payload in (b"\1\0\0\0\1rest", b"\0\0\0", b"")]
    return Case(name, where, [encode(name, where, [row])[0], None], [*unframed, *bad])


FRAME = b"\0\0\0\0\1"
CASES = {
    "JSON": Case(
        "JSON",
        layout(*NESTED),
        [_record(), b' {"id":2,"seen":"8"} ', b'{"Id":3,"PRICE":nan,}', None, b"null"],
        JSON_BAD,
    ),
    "JSON by paths": Case("JSON", layout(*FLAT), [_record(), b'{"id":2}', None], _flat(JSON_BAD)),
    "DELIMITED": Case(
        "DELIMITED",
        layout(*FLAT),
        [b"1,n,0.5,1.25,7,true,YQ==", b'+2,"a, ""b""",1e5f,+1.5,,no,YQ', b",,,,,,", None],
        DELIMITED_BAD,
    ),
    "JSON_SR": _framed("JSON_SR", [(FRAME + payload, reason) for payload, reason in _flat(JSON_BAD)]),
    "AVRO": _framed(
        "AVRO",
        [
            (FRAME, "the Avro record ends too early"),
            (b"\0\0\0\0\x63rest", "no Avro schema with id 99 is registered"),
        ],
    ),
    "PROTOBUF": _framed("PROTOBUF", [(b"\0\0\0\0\x63rest", "no Protobuf schema with id 99 is registered")]),
    "KAFKA": Case(
        "KAFKA",
        layout(Column("A", INTEGER)),
        [b"\0\0\0\1", None],
        [
            (b"123", "3 bytes, INTEGER has 4"),
            (b"1", "1 byte, INTEGER has 4"),
            (b"", "0 bytes, INTEGER has 4"),
        ],
    ),
}
ROWS = 1100


def _clean(case: Case) -> list[tuple[bytes | None, str | None]]:
    return [(case.good[i % len(case.good)], None) for i in range(ROWS)]


def _every_eleventh(case: Case) -> list[tuple[bytes | None, str | None]]:
    rows = _clean(case)
    for number, place in enumerate(range(10, ROWS, 11)):
        rows[place] = case.bad[number % len(case.bad)]
    return rows


def _one(case: Case, which: int) -> list[tuple[bytes | None, str | None]]:
    rows = _clean(case)
    rows[ROWS // 2] = case.bad[which]
    return rows


def _all_bad(case: Case) -> list[tuple[bytes | None, str | None]]:
    return [case.bad[i % len(case.bad)] for i in range(ROWS)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_bad_payload_has_its_reason_and_every_good_one_its_values(case: Case) -> None:
    """One decoder all along: how it reads a batch may depend on those before."""
    decoder = case.decoder()
    alone = [_decoded(case, decoder, [payload]) for payload in case.good]
    expected = dict(zip(case.good, (values[0] for values, _, _ in alone), strict=True))
    batches = [_clean(case), _every_eleventh(case), _all_bad(case), _clean(case)]
    batches += [[bad] for bad in case.bad] + [_one(case, which) for which in range(len(case.bad))]
    for batch in batches:
        values, bad, reasons = _decoded(case, decoder, [payload for payload, _ in batch])
        assert dict(zip(bad, reasons, strict=True)) == {
            row: reason for row, (_, reason) in enumerate(batch) if reason is not None
        }
        nothing = (None,) * len(case.where.columns)
        assert values == [nothing if reason else expected[payload] for payload, reason in batch]


def _decoded(
    case: Case, decoder: Decoder, payloads: Sequence[bytes | None]
) -> tuple[list[Any], list[int], list[str]]:
    """The rows, the bad ones among them and their reasons."""
    decoded = decoder.decode(pa.array(payloads, pa.binary()))
    for column in decoded.columns:
        column.validate(full=True)
    # NaN equals nothing, its text does.
    columns = [
        [repr(v) if isinstance(v, float) else v for v in column.to_pylist()] for column in decoded.columns
    ]
    return list(zip(*columns, strict=True)), decoded.bad.tolist(), decoded.reasons.to_pylist()

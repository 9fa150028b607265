"""KAFKA, ARROW, NONE, and finding a format by its name."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from format_samples import WORKSPACE, decode, encode, layout, values

from streamsql import formats
from streamsql.errors import PlanError
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DOUBLE,
    INTEGER,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)


def test_names() -> None:
    assert formats.names() == (
        "ARROW",
        "AVRO",
        "DELIMITED",
        "JSON",
        "JSON_SR",
        "KAFKA",
        "NONE",
        "PROTOBUF",
        "PROTOBUF_NOSR",
    )
    assert all(formats.get(name.lower()).name == name for name in formats.names())
    with pytest.raises(PlanError) as error:
        formats.get("JSN")
    assert error.value.message.startswith("there is no format 'JSN'; the formats are ARROW, AVRO, ")
    assert error.value.hint == "did you mean JSON?"


@pytest.mark.parametrize("name", sorted(set(formats.names()) - {"AVRO", "DELIMITED", "JSON_SR", "PROTOBUF"}))
def test_a_property_of_another_format_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match=f"format {name} has no property VALUE_SCHEMA_ID"):
        formats.get(name).check(layout(Column("A", BIGINT), SCHEMA_ID="1"))


KAFKA: list[tuple[SqlType, Any, bytes]] = [
    (INTEGER, 1, b"\0\0\0\x01"),
    (INTEGER, -2, b"\xff\xff\xff\xfe"),
    (BIGINT, 2**40, b"\0\0\x01\0\0\0\0\0"),
    (DOUBLE, 1.5, b"\x3f\xf8\0\0\0\0\0\0"),
    (VARCHAR, "é", b"\xc3\xa9"),
    (VARCHAR, "", b""),
    (BYTES, b"\0\xff", b"\0\xff"),
]


@pytest.mark.parametrize(("t", "value", "payload"), KAFKA)
def test_kafka_bytes(t: SqlType, value: Any, payload: bytes) -> None:
    where = layout(Column("A", t), wrapped=False)
    formats.get("KAFKA").check(where)
    assert encode("KAFKA", where, [(value,), (None,), (value,)]) == [payload, None, payload]
    assert values(decode("KAFKA", where, [payload, None, payload])) == [(value,), (None,), (value,)]


def test_kafka_reads_slices_and_all_doubles() -> None:
    where = layout(Column("A", DOUBLE), wrapped=False)
    rows = [(x,) for x in (0.0, -0.0, 5e-324, math.inf, math.pi)]
    payloads = pa.array([b"junk!", *encode("KAFKA", where, rows)], pa.binary()).slice(1)
    decoded = formats.get("KAFKA").decoder(where, ["A"], WORKSPACE).decode(payloads)
    assert values(decoded) == rows


@pytest.mark.parametrize(("t", "width"), [(INTEGER, 4), (BIGINT, 8), (DOUBLE, 8)])
def test_kafka_refuses_other_lengths(t: SqlType, width: int) -> None:
    good = b"\0" * width
    decoded = decode("KAFKA", layout(Column("A", t)), [good, b"", b"abc", good + b"\0", None, good])
    assert list(decoded.bad) == [1, 2, 3]
    assert decoded.reasons.to_pylist() == [f"{n} bytes, {t} has {width}" for n in (0, 3, width + 1)]
    assert values(decoded) == [(0,), (None,), (None,), (None,), (None,), (0,)]


def test_kafka_text_that_is_no_utf8_is_mended() -> None:
    assert values(decode("KAFKA", layout(Column("A", VARCHAR)), [b"a\xffb", None, b"c"])) == [
        ("a�b",),
        (None,),
        ("c",),
    ]


def test_kafka_without_columns_ignores_the_payload() -> None:
    assert decode("KAFKA", layout(key=True), [b"anything", None], []).columns == ()


@pytest.mark.parametrize(
    "t", [BOOLEAN, Decimal(4, 2), Array(INTEGER), Map(VARCHAR, INTEGER), Struct((("F", INTEGER),))], ids=str
)
def test_kafka_holds_few_types(t: SqlType) -> None:
    with pytest.raises(PlanError, match="format KAFKA cannot hold type .*, which column FOO has"):
        formats.get("KAFKA").check(layout(Column("FOO", t)))


def test_kafka_holds_one_column() -> None:
    with pytest.raises(PlanError, match="format KAFKA holds one value column, and there are 2: A, B"):
        formats.get("KAFKA").check(layout(Column("A", INTEGER), Column("B", INTEGER)))


def arrow(columns: list[Column], payloads: Any) -> Any:
    where = layout(*columns)
    return formats.get("ARROW").decoder(where, [c.name for c in columns], WORKSPACE).decode(payloads)


def test_arrow_shares_its_columns() -> None:
    payloads = pa.StructArray.from_arrays([pa.array([1, 2]), pa.array(["a", "b"])], names=["A", "B"])
    decoded = arrow([Column("A", BIGINT)], payloads)
    assert decoded.columns[0].buffers()[1].address == payloads.field(0).buffers()[1].address


def test_arrow_a_null_struct_is_null_in_every_column() -> None:
    payloads = pa.StructArray.from_arrays([pa.array([1, 2])], names=["A"], mask=pa.array([True, False]))
    assert values(arrow([Column("A", BIGINT), Column("NEW", VARCHAR)], payloads)) == [(None, None), (2, None)]


def test_arrow_widens_and_refuses() -> None:
    payloads = pa.array(
        [{"A": 1, "B": "x"}, {"A": None, "B": None}], pa.struct([("A", pa.int32()), ("B", pa.string())])
    )
    assert values(arrow([Column("A", DOUBLE)], payloads)) == [(1.0,), (None,)]
    assert values(arrow([Column("A", Decimal(12, 2))], payloads))[0][0] == 1
    decoded = arrow([Column("A", BIGINT), Column("B", BIGINT)], payloads)
    assert (list(decoded.bad), decoded.reasons.to_pylist()) == ([0], ["$.B is VARCHAR, not BIGINT"])
    assert values(decoded) == [(None, None), (None, None)]
    assert list(arrow([Column("B", BYTES)], payloads).bad) == [0]


def test_arrow_writes_absent_rows_as_nulls() -> None:
    where = layout(Column("A", Array(INTEGER)))
    column = pa.array([[1], None], pa.list_(pa.int32()))
    written = formats.get("ARROW").encoder(where, WORKSPACE).encode([column], pa.array([False, True]))
    assert written.type == pa.struct([("A", Array(INTEGER).arrow)])
    assert written.to_pylist() == [{"A": [1]}, None]


def test_none_is_for_keys_without_columns() -> None:
    formats.get("NONE").check(layout(key=True))
    with pytest.raises(PlanError, match="a key in format NONE has no columns, and K is a key column"):
        formats.get("NONE").check(layout(Column("K", BIGINT), key=True))
    with pytest.raises(PlanError, match="format NONE is only for keys"):
        formats.get("NONE").check(layout())
    assert decode("NONE", layout(key=True), [b"x", None], []).columns == ()
